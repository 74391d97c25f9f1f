/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "config/spec.h"
#include "protocol/limits.h"
#include "protocol/network.h"

#define SHOWN(piece) (int)((piece)->size > 80 ? 80 : (piece)->size), (piece)->start
#define RATE_MAX (1ull << 40) /* bytes a second */

struct vif_parse {
	const struct cfg_value *value;
	const struct config_reader *reader;
	struct domain_vif *vif;
	struct error *err;
};

static bool take_digits(const char **at, const char *end, unsigned long long max,
	unsigned long long *value)
{
	const char *start = *at;

	for (*value = 0; *at < end && isdigit((unsigned char)**at); ++*at) {
		*value = *value * 10 + (**at - '0');
		if (*value > max)
			return false;
	}
	return *at > start;
}

static bool take_word(const char **at, const char *end, const char *word)
{
	size_t size = strlen(word);

	if ((size_t)(end - *at) < size || memcmp(*at, word, size))
		return false;
	*at += size;
	return true;
}

/* 10Mb/s, 1MB/s, 250KB/s@20ms: bits or bytes a second, kept over so long. */
static int take_rate(struct vif_parse *p, const struct piece *value)
{
	const char *at = value->start, *end = at + value->size;
	unsigned long long rate, interval = 0, unit = 1;
	bool bits, good;
	struct cfg_place place;

	good = take_digits(&at, end, RATE_MAX, &rate);
	if (good && take_word(&at, end, "G"))
		unit = 1000000000;
	else if (good && take_word(&at, end, "M"))
		unit = 1000000;
	else if (good && (take_word(&at, end, "K") || take_word(&at, end, "k")))
		unit = 1000;
	bits = take_word(&at, end, "b");
	good = good && (bits || take_word(&at, end, "B")) && take_word(&at, end, "/s");
	if (good && take_word(&at, end, "@")) {
		good = take_digits(&at, end, UINT32_MAX, &interval);
		if (take_word(&at, end, "ms"))
			interval *= 1000;
		else if (!take_word(&at, end, "us"))
			interval *= take_word(&at, end, "s") ? 1000000 : UINT32_MAX;
		good = good && interval && interval <= UINT32_MAX;
	}
	good = good && at == end && rate && rate <= RATE_MAX * 8 / unit;
	rate = rate * unit / (bits ? 8 : 1);
	if (good && rate && rate <= RATE_MAX) {
		p->vif->rate = rate;
		p->vif->rate_interval = interval;
		return 0;
	}
	place = piece_place(p->value, value->start);
	return cfg_error(p->err, EINVAL, &place,
		"'%.*s' is not a rate: like 10Mb/s (bits), 1MB/s (bytes) or 1MB/s@20ms",
		SHOWN(value));
}

static int take_mac(struct vif_parse *p, const struct piece *value)
{
	struct cfg_place place = piece_place(p->value, value->start);
	char *text = NULL;
	int r = piece_take(value, &text, p->err);

	if (!r && (!text || domain_mac_parse(text, p->vif->mac)))
		r = cfg_error(p->err, EINVAL, &place,
			"'%.*s' is not a network card's address: like 00:16:3e:01:02:03, the first "
			"number even",
			SHOWN(value));
	free(text);
	return r;
}

static int take_mtu(struct vif_parse *p, const struct piece *value)
{
	const char *at = value->start, *end = at + value->size;
	struct cfg_place place = piece_place(p->value, at);
	unsigned long long mtu;

	if (!take_digits(&at, end, 65535, &mtu) || at != end || mtu < 68)
		return cfg_error(p->err, EINVAL, &place, "'%.*s' is not an MTU: from 68 to 65535",
			SHOWN(value));
	p->vif->mtu = mtu;
	return 0;
}

static int take_vlan(struct vif_parse *p, const struct piece *value)
{
	const char *at = value->start, *end = at + value->size;
	struct cfg_place place = piece_place(p->value, at);
	unsigned long long vlan;

	if (!take_digits(&at, end, NET_VLAN_MAX, &vlan) || at != end || !vlan)
		return cfg_error(p->err, EINVAL, &place, "'%.*s' is not a VLAN: from 1 to %d",
			SHOWN(value), NET_VLAN_MAX);
	p->vif->vlan = vlan;
	return 0;
}

static int take_isolated(struct vif_parse *p, const struct piece *value)
{
	struct cfg_place place = piece_place(p->value, value->start);

	if (!piece_is(value, "on") && !piece_is(value, "off"))
		return cfg_error(p->err, EINVAL, &place,
			"isolated= is off, or on for a guest that is to reach no other that is isolated");
	p->vif->isolated = piece_is(value, "on");
	return 0;
}

/* One of a list. */
static int take_more(struct vif_parse *p, const struct piece *value, char ***list, unsigned *count)
{
	char **more = realloc(*list, (*count + 1) * sizeof *more);

	if (!more)
		return error_nomem(p->err);
	*list = more;
	more[*count] = NULL;
	(*count)++;
	return piece_take(value, &more[*count - 1], p->err);
}

static int take_forward(struct vif_parse *p, const struct piece *value)
{
	struct cfg_place place = piece_place(p->value, value->start);

	if (p->vif->forwards == DOMAIN_FORWARDS_MAX || !value->size)
		return cfg_error(p->err, EINVAL, &place,
			"fwd= takes tcp:ADDRESS:PORT-ADDRESS:PORT, at most %u times",
			DOMAIN_FORWARDS_MAX);
	return take_more(p, value, &p->vif->forward, &p->vif->forwards);
}

static int take_allowed(struct vif_parse *p, const struct piece *value)
{
	struct cfg_place place = piece_place(p->value, value->start);

	if (p->vif->allows == LIMIT_ALLOWS || !value->size)
		return cfg_error(p->err, EINVAL, &place,
			"allow= takes an address, a network or a name, at most %u times",
			LIMIT_ALLOWS);
	return take_more(p, value, &p->vif->allow, &p->vif->allows);
}

static int take_mode(struct vif_parse *p, const struct piece *value)
{
	struct cfg_place place = piece_place(p->value, value->start);

	if (!piece_is(value, "user") && !piece_is(value, "bridge"))
		return cfg_error(p->err, EINVAL, &place, "'%.*s' is not a mode: user or bridge",
			SHOWN(value));
	return piece_take(value, &p->vif->mode, p->err);
}

static int take_filter(struct vif_parse *p, const struct piece *value)
{
	struct cfg_place place = piece_place(p->value, value->start);

	if (!piece_is(value, "on") && !piece_is(value, "off"))
		return cfg_error(p->err, EINVAL, &place,
			"filter= is on, or off for a guest that is to send as others, too");
	p->vif->filter = piece_is(value, "on") ? CHOICE_YES : CHOICE_NO;
	return 0;
}

/* What this network does not do, though it was asked for. */
static void warn_missing(struct vif_parse *p, const struct piece *key, const struct piece *value)
{
	struct cfg_place place = piece_place(p->value, key->start);

	if (!value->size)
		return;
	if (piece_is(key, "backend"))
		spec_warn(p->reader, &place, "'%.*s' has no effect yet", SHOWN(key));
}

/* QEMU's name for what is asked of it in vain would be missed; others are ignored, as by xl. */
static int unknown(struct vif_parse *p, const struct cfg_place *place, const struct piece *key)
{
	if (piece_is(key, "hostfwd"))
		return cfg_error(p->err, EINVAL, place,
			"a network has no 'hostfwd': ports are forwarded by "
			"fwd=tcp:ADDRESS:PORT-ADDRESS:PORT");
	spec_warn(p->reader, place, "a network has no '%.*s': ignored", SHOWN(key));
	return 0;
}

static int take_one(struct vif_parse *p, const struct piece *key, const struct piece *value)
{
	static const struct {
		const char *key;
		size_t offset;
	} texts[] = {
		{"bridge", offsetof(struct domain_vif, bridge)},
		{"ip", offsetof(struct domain_vif, ip)},
		{"model", offsetof(struct domain_vif, model)},
		{"vifname", offsetof(struct domain_vif, vifname)},
		{"script", offsetof(struct domain_vif, script)},
		{"gatewaydev", offsetof(struct domain_vif, gatewaydev)},
		{"netdev", offsetof(struct domain_vif, gatewaydev)}, /* as it was called */
		{"backend", offsetof(struct domain_vif, backend)},
		{"type", offsetof(struct domain_vif, type)},
	};
	struct cfg_place place;

	warn_missing(p, key, value);
	for (unsigned n = 0; n < sizeof texts / sizeof *texts; n++)
		if (piece_is(key, texts[n].key))
			return piece_take(value, (char **)((char *)p->vif + texts[n].offset),
				p->err);
	if (piece_is(key, "mac"))
		return take_mac(p, value);
	if (piece_is(key, "rate"))
		return take_rate(p, value);
	if (piece_is(key, "mtu"))
		return take_mtu(p, value);
	if (piece_is(key, "vlan"))
		return take_vlan(p, value);
	if (piece_is(key, "isolated"))
		return take_isolated(p, value);
	if (piece_is(key, "mode"))
		return take_mode(p, value);
	if (piece_is(key, "fwd"))
		return take_forward(p, value);
	if (piece_is(key, "allow"))
		return take_allowed(p, value);
	if (piece_is(key, "filter"))
		return take_filter(p, value);
	place = piece_place(p->value, key->start);
	return unknown(p, &place, key);
}

int spec_vif(const struct cfg_value *value, const struct config_reader *reader,
	struct domain_vif *vif, struct error *err)
{
	struct vif_parse p = {value, reader, vif, err};
	const char *at = value->text;
	struct piece piece, key, text;
	int r = 0;

	while (!r && piece_next(&at, &piece)) {
		struct cfg_place place = piece_place(value, piece.start);

		if (!piece.size)
			continue;
		if (piece_is(&piece, "trusted") || piece_is(&piece, "untrusted"))
			continue; /* between a driver and what serves it in another domain */
		if (piece_split(&piece, &key, &text))
			r = take_one(&p, &key, &text);
		else
			r = cfg_error(err, EINVAL, &place,
				"'%.*s' is not KEY=VALUE: like bridge=br0 or mac=00:16:3e:01:02:03",
				SHOWN(&piece));
	}
	if (!r && vif->forwards && vif->mode && strcmp(vif->mode, "user"))
		r = cfg_error(err, EINVAL, &value->at, "fwd= needs mode=user");
	return r;
}
