/* mounts.h - which file system a path lies on (proc(5), /proc/self/mountinfo). */
#ifndef PBC_MOUNTS_H
#define PBC_MOUNTS_H

#include "error.h"

#include <stdio.h>

enum pbc_mount_kind {
    PBC_MOUNT_LOCAL,  /* of this node */
    PBC_MOUNT_SHARED, /* served by others */
    PBC_MOUNT_MEMORY, /* tmpfs, ramfs */
    PBC_MOUNT_KERNEL, /* proc, sysfs, devices: no files */
};

struct pbc_mount {
    char *dir;
    char *type;
    enum pbc_mount_kind kind;
};

struct pbc_mounts {
    struct pbc_mount *item;
    size_t count;
};

/* Read a text of that form. Lines that are not are skipped. -1 without memory. */
int pbc_mounts_read(FILE *in, struct pbc_mounts *ret, struct pbc_error *err);

/* What lies below `dir` counts as shared, whatever it is. */
int pbc_mounts_share(struct pbc_mounts *m, const char *dir, struct pbc_error *err);

/* The mount of an absolute path of plain parts; NULL if there is none. */
const struct pbc_mount *pbc_mounts_find(const struct pbc_mounts *m, const char *path);

void pbc_mounts_free(struct pbc_mounts *m);

#endif
