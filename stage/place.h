/* place.h - a job's directory in the store of this node, as the agent sees it.
 *
 *     .incoming-<random>/          the tree being unpacked; locked while its agent lives
 *     .incoming-<random>.manifest  its manifest, locked as well
 *     .incoming-<random>.aside     what was in its way, and is being removed
 *     <set>/                       a whole tree
 *     <set>.manifest               says so; comes last, by rename
 *     <set>.lock                   held by the root of a run for this set
 *     .agent-<address>             an agent at work; locked as well
 */
#ifndef PBC_PLACE_H
#define PBC_PLACE_H

#include "error.h"
#include "manifest.h"
#include "memory.h"

#include <stdint.h>

struct pbc_place {
    char dir[PBC_PATH_MAX]; /* <store>/<job> */
    int dirfd;
    int lockfd;               /* of <set>.lock, -1 */
    char incoming[64];        /* name of the tree being unpacked, "" */
    int treefd;               /* of it, -1 */
    int manifestfd;           /* of its manifest, -1 */
    char mark[64];            /* name of this agent's mark, "" */
    int markfd;               /* of it, -1 */
    struct pbc_memory memory; /* what bounds the store where it is memory */
};

/* Open <store>/<job>, which the plugin made; with `store` NULL the default store, or, if that has
 * no directory for the job, one of the user's own below /dev/shm/pbcast-<uid>, which is made.
 * Remove what agents that died have left in it. */
int pbc_place_open(struct pbc_place *p, const char *store, uint32_t job, struct pbc_error *err);

/* Leave a mark of this agent, whose name `agent` no other agent of the run has: at most 48 letters,
 * none of them '/'. It goes with pbc_place_close. Where it cannot be made, as in a full store,
 * there is none: that is an error for those only who have something to unpack, as pbc_place_begin
 * says. */
void pbc_place_mark(struct pbc_place *p, const char *agent);

/* 1 if `agent`, another one, has left its mark here: the store is not this node's own, but lies on
 * a file system that both have mounted. */
int pbc_place_marked(const struct pbc_place *p, const char *agent);

/* 1 if `set` is there with a valid manifest, 0 if not. A manifest that cannot be read is taken as
 * none, and replaced by pbc_place_publish. */
int pbc_place_has(const struct pbc_place *p, const char *set);

/* Free bytes of the store for this user. */
uint64_t pbc_place_free(const struct pbc_place *p);

/* Try to become the one root of a run for `set`: 1 locked, 0 someone else is, -1 err. */
int pbc_place_lock(struct pbc_place *p, const char *set, struct pbc_error *err);

/* The path that the tree of `set` has once it is published. -1 when it is too long. */
int pbc_place_root(const struct pbc_place *p, const char *set, char out[PBC_PATH_MAX],
                   struct pbc_error *err);

/* The tree of `set`, to begin another with: 1 with its descriptor in *ret_fd and its manifest,
 * which the caller frees; 0 if it is not there, or is of other than `bundles` bundles. */
int pbc_place_base(const struct pbc_place *p, const char *set, unsigned bundles, int *ret_fd,
                   struct pbc_manifest *ret);

/* Make the incoming tree; p->treefd is then its descriptor. */
int pbc_place_begin(struct pbc_place *p, struct pbc_error *err);

/* Write the manifest of the incoming tree beside it: after that publishing needs no more space. */
int pbc_place_describe(struct pbc_place *p, const struct pbc_manifest *m, struct pbc_error *err);

/* Rename the incoming tree and its manifest to the names of `set`. If another run on this node has
 * published the set meanwhile, that one stays: they are the same. What is not needed is removed by
 * pbc_place_close. */
int pbc_place_publish(struct pbc_place *p, const char *set, struct pbc_error *err);

/* Remove the incoming tree, if there is one, its manifest, what was in its way, and the mark,
 * release the lock, close. */
void pbc_place_close(struct pbc_place *p);

#endif
