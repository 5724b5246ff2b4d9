/* runpath.h - which program or library has the library path (RUNPATH or RPATH, ld.so(8)) by which
 * the loader came to another directory.
 */
#ifndef PBC_RUNPATH_H
#define PBC_RUNPATH_H

#include <stddef.h>

struct pbc_runpath {
    char *file;       /* that has it */
    char *entry;      /* one directory of it, as it stands there */
    char *dir;        /* the same with $ORIGIN put in, and without links if it exists */
    const char *kind; /* "RUNPATH", "RPATH" */
    char **needed;    /* names of libraries that the file needs, borrowed from the list */
    size_t nneeded;
};

struct pbc_runpaths {
    struct pbc_runpath *item;
    size_t count;
    struct pbc_elf *elf; /* of the files */
    size_t files;
};

/* Add what the file says, if it can be read and is ELF: nothing else is an error. -1 without
 * memory. */
int pbc_runpaths_add(struct pbc_runpaths *r, const char *file);

/* By which one the loader looked for `path`: one of a file that needs a library of that name, or
 * else the first that names the directory. NULL if none does. */
const struct pbc_runpath *pbc_runpaths_find(const struct pbc_runpaths *r, const char *path);

/* By which one it looked whether there is a directory `path`. NULL if none does. */
const struct pbc_runpath *pbc_runpaths_find_dir(const struct pbc_runpaths *r, const char *path);

void pbc_runpaths_free(struct pbc_runpaths *r); /* not the struct itself */

#endif
