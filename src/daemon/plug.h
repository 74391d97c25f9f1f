/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the store has of a disk or a network that comes to a guest that runs, or goes (op_plug.c, op_plug_vif.c). The
 * order:
 *
 *   1. a note in the guest's folder names it
 *   2. one that comes is put into the store; then its monitor gets it. Of one that goes, the monitor lets go first, and
 *      then the store
 *   3. the note goes
 *
 * So the store has all that the monitor has. A daemon that finds the note asks the monitor whether it has the disk.
 */
#ifndef DACH_DAEMON_PLUG_H
#define DACH_DAEMON_PLUG_H

#include <jansson.h>

#include "base/error.h"
#include "domain/config.h"

struct guest;

/* The guest's disk of that name; NULL: it has none. */
const struct domain_disk *plug_find(const struct domain_config *config, const char *vdev);
/* Which of the monitor's disks it is, or is to be. */
unsigned plug_number(const struct domain_config *config, const struct domain_disk *disk);

/*
 * The configuration as it would be with the disk (an object as the configuration has them), in place of the drive of
 * the same vdev if there is one; or without it (keep: its drive stays, empty). -EINVAL and the like, and to is all zero.
 */
int plug_with(const struct guest *guest, const json_t *disk, struct domain_config *to,
	struct error *err);
int plug_without(const struct guest *guest, const char *vdev, bool keep, struct domain_config *to,
	struct error *err);
/* What both are made of: the configuration as JSON, with that list in any case (NULL: told); and back, taken. */
json_t *plug_open_config(const struct guest *guest, const char *key, json_t **list,
	struct error *err);
int plug_close_config(json_t *json, struct domain_config *to, struct error *err);
/* The guest's and the store's from now on; taken. On failure the guest has what it had. */
int plug_commit(struct guest *guest, struct domain_config *config, struct error *err);

/* The names of these are like those for disks. A network is known by its devid. */

/* Which of the guest's networks has it, or how many there are. */
unsigned plug_vif_find(const struct domain_config *config, unsigned devid);
/* The configuration as it would be with the network, whose place is *at then; complete. */
int plug_vif_with(const struct guest *guest, const json_t *vif, struct domain_config *to,
	unsigned *at, struct error *err);
int plug_vif_without(const struct guest *guest, unsigned at, struct domain_config *to,
	struct error *err);
/* It is not the guest's any more, nor is its link. */
int plug_vif_take_out(struct guest *guest, unsigned at, struct error *err);
int plug_vif_settle(struct guest *guest, const json_t *note, const json_t *info, struct error *err);

/*
 * A daemon before this one made the note, NOTE_PLUGGING, if there is one: {"vdev": "xvdb", "keep": false} or
 * {"devid": 1}. info: what the monitor says; NULL: there is none.
 */
void plug_settle(struct guest *guest, const json_t *info);

#endif
