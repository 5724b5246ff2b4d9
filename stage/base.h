/* base.h - a set that extends one which is staged already begins as a copy of its tree, in which
 * files are hard links.
 *
 * What is unpacked over it unlinks first (writer.h): neither contents nor modes nor times of a file
 * that the two trees share change. Directories are new ones.
 */
#ifndef PBC_BASE_H
#define PBC_BASE_H

#include "error.h"
#include "writer.h"

#include <stdint.h>

/* The tree to begin with. */
struct pbc_base {
    int fd;         /* of its directory; -1: there is none */
    uint64_t files; /* unpacked for it, by its manifest */
    uint64_t bytes;
    /* Where files hold the path of their tree: that of the base, and that of the new one, of the
     * same length. "" where they do not. */
    char old_root[PBC_PATH_MAX];
    char new_root[PBC_PATH_MAX];
};

/* Fill the writer's tree, which is empty. Regular files and symbolic links become hard links,
 * directories keep their modes; what no bundle can have brought (devices, fifos, sockets, links out
 * of the tree) is left out, as is what disappears meanwhile. Files that hold `old_root` are copied
 * with `new_root` in its place, and keep mode and time. PBC_EXIT_REFUSED beyond the writer's
 * limits, or deeper than a member's name can be; PBC_EXIT_NOSPACE; PBC_EXIT_FAILED. */
int pbc_base_copy(struct pbc_writer *w, const struct pbc_base *base, struct pbc_error *err);

#endif
