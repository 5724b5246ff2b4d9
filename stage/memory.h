/* memory.h - how much memory the control groups of this process leave it.
 *
 * Files in a tmpfs are memory of who writes them. Where a limit is reached the kernel kills, and
 * frees nothing by it: so the writers of a tree look first, as they do at a file system's space.
 * Versions 1 and 2 of the interface, the kernel's Documentation/admin-guide/cgroup-v1/memory.rst
 * and cgroup-v2.rst. Swap does not count.
 *
 * What the kernel's slab_reclaimable of version 2 counts is not taken for free: the names of files
 * in a tmpfs stand there too, some 200 bytes each, and cannot be taken back.
 */
#ifndef PBC_MEMORY_H
#define PBC_MEMORY_H

#include "error.h"

#include <stdint.h>

#define PBC_MEMORY_LEVELS  16          /* most groups one in the other that are looked at */
#define PBC_MEMORY_NAME    128         /* bytes of a group's name that are remembered */
#define PBC_MEMORY_SLACK   (64u << 20) /* bytes that more is asked for than was missed */
#define PBC_MEMORY_RESERVE (16u << 20) /* bytes that an agent may need for itself any moment */

/* The groups of this process that have a limit. All zeros: none. */
struct pbc_memory {
    unsigned levels;
    struct {
        uint64_t limit; /* bytes */
        int usage;      /* descriptors of files of the group */
        int stat;
        /* The name of a group that lies above the job's, "" for others. Where no group is called
         * as Slurm calls a job's, none does. */
        char above[PBC_MEMORY_NAME];
    } level[PBC_MEMORY_LEVELS];
};

struct pbc_memory_room {
    uint64_t limit;    /* of the group that leaves least */
    uint64_t free;     /* in it; UINT64_MAX without a limit */
    unsigned level;    /* which it is */
    const char *above; /* its name, if it lies above the job's; borrowed; or NULL */
};

/* Look for them, below the directory `root` ("" but in tests). What cannot be found or read is
 * taken for no limit. */
void pbc_memory_open(struct pbc_memory *m, const char *root);
void pbc_memory_close(struct pbc_memory *m);

/* What is free now; what the kernel could take back from its cache of files counts as free. */
struct pbc_memory_room pbc_memory_room(const struct pbc_memory *m);

/* What is used now of each group, in the same sense. 0 where it cannot be read. */
void pbc_memory_used(const struct pbc_memory *m, uint64_t ret[PBC_MEMORY_LEVELS]);

/* The error that `what` begins: that this is too little, and what to ask Slurm for: `need` bytes,
 * the whole of what is to be staged, beside the `before` that were used of this group before that,
 * an agent's own, `reserve` left over and PBC_MEMORY_SLACK, so that a second try is enough; or that
 * Slurm's limit is not the one. PBC_EXIT_NOSPACE. Returns -1. */
int pbc_memory_short(const struct pbc_memory_room *room, uint64_t before, uint64_t need,
                     uint64_t reserve, const char *what, struct pbc_error *err);

#endif
