/* changes.h - what a staged set changes in the environment of this process. */
#ifndef PBC_CHANGES_H
#define PBC_CHANGES_H

#include "staged.h"

#include <stddef.h>

struct pbc_change {
    char *name;
    char *value; /* NULL: unset */
};

/* In order; a name once. */
struct pbc_changes {
    struct pbc_change *item;
    size_t count;
};

/* From the environment as it is to that of the set; a set that it is in is left first. The caller
 * frees, after a failure too. */
int pbc_changes_make(const struct pbc_staged *staged, struct pbc_changes *ret,
                     struct pbc_error *err);
void pbc_changes_free(struct pbc_changes *c);

#endif
