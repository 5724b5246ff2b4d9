/* way.h - the directory of an archive's member: entered, and made where it is missing, without the
 * kernel following a link.
 *
 * It is kept for the next member, which mostly lies in the same one, as a descriptor (O_PATH) for
 * each component, at most PBC_NAME_DEPTH. A directory in the tree is never replaced by something
 * else, so that a descriptor stays good; only who makes a link says pbc_way_forget. Errors name the
 * member, `text`, as the archive has it: PBC_EXIT_REFUSED for what an archive must not contain,
 * PBC_EXIT_NOSPACE, PBC_EXIT_FAILED for what the system refused.
 */
#ifndef PBC_WAY_H
#define PBC_WAY_H

#include "beneath.h"
#include "error.h"

struct pbc_way {
    int root;               /* of the tree; borrowed */
    char dir[PBC_PATH_MAX]; /* the components that are entered, each NUL terminated */
    size_t depth;
    size_t end[PBC_NAME_DEPTH]; /* of component i in `dir` */
    int fd[PBC_NAME_DEPTH];
};

/* At the root; nothing to close. */
void pbc_way_begin(struct pbc_way *w, int root);

/* Close all descriptors but those of the first `keep` components. With 0 at the end. */
void pbc_way_forget(struct pbc_way *w, size_t keep);

/* The directory of all components of `n` but the last, made where it is missing. Where a link is on
 * the way `n` becomes the real name: whatever is remembered of this member stays true when the link
 * is replaced. 0, or -1: a way out of the tree, through a file or to nothing is refused. */
int pbc_way_enter(struct pbc_way *w, struct pbc_name *n, const char *text, struct pbc_error *err);

/* The descriptor of that directory. It belongs to the way. */
int pbc_way_fd(const struct pbc_way *w);

/* Unlink what an earlier member left there under the name `last`. 1 if there was something, 0 if
 * not, -1 with an error; a directory is refused. */
int pbc_way_clear(struct pbc_way *w, const char *last, const char *text, struct pbc_error *err);

/* Fill in the error, and return -1: for where the way to the member leads, if that is not inside,
 * with errno for PBC_BROKEN; for errno of a system call that was to make it. */
int pbc_way_refused(enum pbc_where where, const char *text, const char *way, struct pbc_error *err);
int pbc_way_failed(const char *text, struct pbc_error *err);

#endif
