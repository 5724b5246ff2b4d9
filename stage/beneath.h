/* beneath.h - names of archive members, and where they lead below one directory.
 *
 * The kernel follows no symbolic link here: each component is opened with O_NOFOLLOW, and a link is
 * read and followed by hand, so that it is known at each step whether the way leaves the tree. It
 * works on every kernel (openat2 came with Linux 5.6).
 */
#ifndef PBC_BENEATH_H
#define PBC_BENEATH_H

#include "bundle.h"
#include "error.h"

#include <stddef.h>

#define PBC_NAME_DEPTH 128 /* components of a member's name */

/* A member's name, taken apart; "." and empty components are dropped. */
struct pbc_name {
    char text[PBC_PATH_MAX]; /* components, each NUL terminated */
    size_t depth;
    size_t start[PBC_NAME_DEPTH];
};

/* Refused with PBC_EXIT_REFUSED: an empty or absolute name, a ".." component, PBC_PATH_MAX bytes or
 * more, more than PBC_NAME_DEPTH components. */
int pbc_name_parse(const char *text, struct pbc_name *n, struct pbc_error *err);

/* The first `depth` components joined by '/'. */
void pbc_name_join(const struct pbc_name *n, size_t depth, char out[PBC_PATH_MAX]);

enum pbc_where {
    PBC_INSIDE,  /* a directory inside */
    PBC_MISSING, /* nothing, but nothing outside either */
    PBC_NOT_DIR, /* something inside that is no directory */
    PBC_OUTSIDE, /* an absolute link, or ".." above the root, is on the way */
    PBC_BROKEN,  /* errno says why */
};

/* Where `path` leads from the directory `root`. With PBC_INSIDE *ret_fd (unless NULL) is a new
 * descriptor (O_PATH) of the directory, and `real` (unless NULL) its name without links, "" for the
 * root. PBC_BROKEN with ELOOP: the kernel would not follow that many links either. With
 * ENAMETOOLONG: what is longer or deeper than a member's name can be, which the kernel may follow.
 */
enum pbc_where pbc_follow(int root, const char *path, int *ret_fd, char real[PBC_PATH_MAX]);

#endif
