/* store.h - the job's directory in the node-local store: made and removed by root, by descriptors.
 *
 *     <store>/             root, 0755
 *     <store>/<jobid>/     the job's user, 0700
 *
 * These are the only things that pbcast does as root. No path that a user chose takes part, no
 * symbolic link is followed, no mount is crossed, nothing that a user wrote is parsed.
 */
#ifndef PBC_STORE_H
#define PBC_STORE_H

#include "error.h"

#include <stdint.h>
#include <sys/types.h>

#define PBC_STORE_DEFAULT "/dev/shm/pbcast"

/* Make <store> and <store>/<job> unless they are there as above. The parents of <store> must be
 * owned by root and, unless sticky, not writable by others. Anything else that lies in the way
 * (a link, a file, another owner, other modes) is refused with its owner and mode named, and what
 * to do. Safe against several calls at a time. */
int pbc_store_make(const char *store, uint32_t job, uid_t uid, gid_t gid, struct pbc_error *err);

/* Open <store>/<job> as its user: a directory of `uid`, 0700, not a link. Returns the descriptor;
 * -1 with err (PBC_EXIT_FAILED), errno ENOENT when it does not exist. */
int pbc_store_open(const char *store, uint32_t job, uid_t uid, struct pbc_error *err);

/* Remove <store>/<job> with all below. 0 when it is gone or never was. The directory is renamed
 * aside first, so that nobody sees half of it. */
int pbc_store_purge(const char *store, uint32_t job, struct pbc_error *err);

/* Call `fn(job, arg)` for every entry of <store> whose name is a job id (and for leftovers of an
 * interrupted purge, which are removed here). Returns how many, or -1. A store that is not there
 * has none. */
int pbc_store_each(const char *store, void (*fn)(uint32_t job, void *arg), void *arg,
                   struct pbc_error *err);

/* Remove `name` in the directory `dirfd` with all below: a walk by descriptors that follows no
 * link, crosses no mount, needs no more than a bounded number of descriptors however deep the tree
 * is, and gives the owner's directories the bits it needs. 0 when it is gone. Goes on after an
 * error and reports the first. */
int pbc_remove_tree(int dirfd, const char *name, struct pbc_error *err);

#endif
