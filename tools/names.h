/* names.h - the names in a bundle, and where its links lead among them. Nothing is looked at but
 * the names: neither the place where the bundle is made nor one where it is unpacked.
 */
#ifndef PBC_NAMES_H
#define PBC_NAMES_H

#include "error.h"

#include <stddef.h>

#define PBC_NAMES_HOPS 40 /* links on one way, as the kernel has it: path_resolution(7) */

struct pbc_name_of {
    const char *name;   /* of plain parts joined by '/' */
    const char *target; /* of a symbolic link, else NULL */
    int dir;
    void *item; /* the caller's */
};

struct pbc_names {
    struct pbc_name_of *of;
    size_t count;
    size_t size;
};

/* The strings are borrowed. -1 without memory. */
int pbc_names_add(struct pbc_names *n, struct pbc_name_of of, struct pbc_error *err);

/* Before the functions below. */
void pbc_names_sort(struct pbc_names *n);

/* The first of that name, NULL if there is none. */
const struct pbc_name_of *pbc_names_find(const struct pbc_names *n, const char *name);

/* Whether something lies below that name. */
int pbc_names_has_below(const struct pbc_names *n, const char *name);

enum pbc_leads {
    PBC_LEADS_INSIDE,  /* to something in the bundle */
    PBC_LEADS_NOWHERE, /* to a name inside that the bundle does not have */
    PBC_LEADS_OUT,     /* absolute, or above the top */
    PBC_LEADS_ASTRAY,  /* round in circles, through a file, or too long */
};

/* Where `target` leads as that of a link at `name`. With PBC_LEADS_INSIDE `real` (PBC_PATH_MAX
 * bytes, may be NULL) is its name without links, "" for the top. */
enum pbc_leads pbc_names_follow(const struct pbc_names *n, const char *name, const char *target,
                                char *real);

/* The relative target of a link at `name` that leads to `to`, malloced; NULL without memory. */
char *pbc_names_relative(const char *name, const char *to);

void pbc_names_free(struct pbc_names *n); /* not the struct itself */

#endif
