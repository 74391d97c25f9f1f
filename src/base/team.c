/* SPDX-License-Identifier: Apache-2.0 */
#include "base/team.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/thread.h"

struct team_member {
	struct team *team;
	unsigned number;
	pthread_t thread;
};

struct team {
	void (*work)(void *ctx, unsigned member, unsigned piece);
	void *ctx;
	unsigned pieces, next; /* of this list; next is atomic */
	unsigned members;      /* beside the caller */
	struct team_member member[TEAM_MAX - 1];
	struct mutex lock;
	pthread_cond_t changed;
	unsigned list GUARDED_BY(lock); /* how many there were */
	unsigned busy GUARDED_BY(lock); /* members that are not through with it */
	bool over GUARDED_BY(lock);
};

static void do_pieces(struct team *team, unsigned member)
{
	unsigned piece;

	while ((piece = __atomic_fetch_add(&team->next, 1, __ATOMIC_RELAXED)) < team->pieces)
		team->work(team->ctx, member, piece);
}

static void *serve(void *ctx)
{
	struct team_member *member = ctx;
	struct team *team = member->team;
	unsigned seen = 0;

	pthread_setname_np(pthread_self(), "team");
	mutex_lock(&team->lock);
	for (;;) {
		while (team->list == seen && !team->over)
			mutex_wait(&team->lock, &team->changed);
		if (team->over)
			break;
		seen = team->list;
		mutex_unlock(&team->lock);
		do_pieces(team, member->number);
		mutex_lock(&team->lock);
		if (!--team->busy)
			pthread_cond_broadcast(&team->changed);
	}
	mutex_unlock(&team->lock);
	return NULL;
}

struct team *team_make(void (*work)(void *ctx, unsigned member, unsigned piece), void *ctx)
{
	struct team *team = calloc(1, sizeof *team);
	const long processors = sysconf(_SC_NPROCESSORS_ONLN);

	if (!team)
		return NULL;
	team->work = work;
	team->ctx = ctx;
	mutex_init(&team->lock);
	pthread_cond_init(&team->changed, NULL);
	while (team->members + 1 < TEAM_MAX && team->members + 1 < processors) {
		struct team_member *member = &team->member[team->members];

		*member = (struct team_member){.team = team, .number = team->members + 1};
		if (thread_start(&member->thread, 0, serve, member))
			break;
		team->members++;
	}
	return team;
}

void team_run(struct team *team, unsigned pieces)
{
	mutex_lock(&team->lock);
	team->pieces = pieces;
	team->next = 0;
	team->busy = team->members;
	team->list++;
	pthread_cond_broadcast(&team->changed);
	mutex_unlock(&team->lock);
	do_pieces(team, 0);
	mutex_lock(&team->lock);
	while (team->busy)
		mutex_wait(&team->lock, &team->changed);
	mutex_unlock(&team->lock);
}

void team_end(struct team *team)
{
	if (!team)
		return;
	mutex_lock(&team->lock);
	team->over = true;
	pthread_cond_broadcast(&team->changed);
	mutex_unlock(&team->lock);
	for (unsigned i = 0; i < team->members; i++)
		pthread_join(team->member[i].thread, NULL);
	pthread_cond_destroy(&team->changed);
	mutex_destroy(&team->lock);
	free(team);
}
