/* staged.h - the set that is staged for this job on this node. */
#ifndef PBC_STAGED_H
#define PBC_STAGED_H

#include "bundle.h"
#include "manifest.h"

#include <stdint.h>

/* Which one; zero and NULL: found out. */
struct pbc_staged_wish {
    const char *store;   /* PBC_STORE_DEFAULT, then /dev/shm/pbcast-<uid> */
    uint32_t job;        /* SLURM_JOB_ID */
    const char *set;     /* SLURM_PBCAST_SET, else the only one */
    char *const *bundle; /* the set of these bundles, in this order */
    unsigned bundles;
    const char *profile; /* another than the manifest has; SLURM_PBCAST_ENV, PBCAST_ENV */
};

struct pbc_staged {
    char root[PBC_PATH_MAX];
    struct pbc_manifest manifest;
};

/* With nothing wished for that says which set: the one that PBCAST_ROOT names, if it is there.
 * PBC_EXIT_USAGE for a wish out of form, PBC_EXIT_FAILED where nothing is staged or it is not clear
 * which set is meant. On success the caller frees ret->manifest. */
int pbc_staged_find(const struct pbc_staged_wish *wish, struct pbc_staged *ret,
                    struct pbc_error *err);

#endif
