/* libpath.h - library paths (RPATH, RUNPATH) of a plan's programs and libraries hold wherever its
 * tree is unpacked.
 */
#ifndef PBC_LIBPATH_H
#define PBC_LIBPATH_H

#include "plan.h"
#include "progress.h"

struct pbc_libpaths {
    uint64_t changed; /* files */
    uint64_t kept;    /* files whose path leads into the tree, and has to stay as it is */
    char first[256];  /* of the kept ones: its name and why */
};

/* In each file of the plan, which pbc_plan_finish has settled, the directories of the library path
 * that are in the bundle, with what the file needs of them, become relative to the file,
 * "$ORIGIN/../lib", within the room of the old path. Others stay. The whole path stays where there
 * is too little room, where another string of the file uses its bytes (elf_path.h), and where the
 * file has a name in another directory too, by a link: relative to that the path would lead
 * elsewhere. -1 with err. */
int pbc_libpath_settle(struct pbc_plan *p, struct pbc_progress *progress, struct pbc_libpaths *ret,
                       struct pbc_error *err);

#endif
