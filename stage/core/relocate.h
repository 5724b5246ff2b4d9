/* relocate.h - the environment that makes an interpreter live in a staged tree.
 *
 * Profile `python` is Table 1 of Feng and Hand, "Launching Python Applications on Peta-scale
 * Massively Parallel Systems" (SciPy 2016): PYTHONHOME is the tree; PYTHONPATH is purged;
 * PYTHONUSERBASE points at a place that does not exist below the tree, with PYTHONNOUSERSITE=1;
 * LD_LIBRARY_PATH and PATH begin with the tree's directories. Profile `generic` prepends PATH,
 * LD_LIBRARY_PATH and MANPATH. PBCAST_ROOT is set under both.
 */
#ifndef PBC_RELOCATE_H
#define PBC_RELOCATE_H

#include "error.h"
#include "manifest.h"
#include "variable.h"

struct pbc_env_op {
    enum pbc_env_kind kind;
    const char *name; /* static */
    char *value;      /* NULL for PBC_ENV_UNSET; directories joined by ':' for PBC_ENV_PREPEND */
};

#define PBC_ENV_OPS_MAX 16

struct pbc_env_ops {
    size_t count;
    struct pbc_env_op item[PBC_ENV_OPS_MAX];
};

/* Look at a staged tree and fill in profile, python and libdirs of `m`: `python` where
 * bin/python3 (or bin/python3.N) and lib/python3.N/os.py (or lib64/...) are there; libdirs are
 * those of lib, lib64, lib/<triplet>, and openblas-*, atlas, blas and lapack below <triplet>, that
 * exist as directories and hold a shared library, each once; more than PBC_LIBDIRS_MAX are refused
 * (PBC_EXIT_REFUSED). Follows no link out of the tree. */
int pbc_profile_detect(int treefd, struct pbc_manifest *m, struct pbc_error *err);

/* What to do to a task's environment for the tree at the absolute path `root`. Pure. The caller
 * frees with pbc_env_ops_free. -1 without memory, or when `root` is not absolute or has a ':'. */
int pbc_relocate(const struct pbc_manifest *m, const char *root, struct pbc_env_ops *out,
                 struct pbc_error *err);

/* The value of a PBC_ENV_PREPEND variable whose value was `old` (NULL = unset): `value` before
 * `old`; entries of `value` that `old` has already are dropped from `old`, so that applying an
 * operation twice changes nothing. Malloced; NULL without memory. */
char *pbc_env_prepend(const char *value, const char *old);

/* The same for PBC_ENV_APPEND: `value` after `old`; entries of `value` that `old` has are dropped
 * from `value`. */
char *pbc_env_append(const char *value, const char *old);

/* An environment: of a task, of this process. */
struct pbc_env {
    char *(*get)(void *arg, const char *name);                  /* malloced, NULL = unset */
    int (*set)(void *arg, const char *name, const char *value); /* NULL = unset; -1 = failed */
    void *arg;
};

/* Do what pbc_relocate says to `env`. A PATH that is not set counts as the usual one, a MANPATH as
 * ":", the system's pages (manpath(1)). */
int pbc_relocation_apply(const struct pbc_manifest *m, const char *root, const struct pbc_env *env,
                         struct pbc_error *err);

/* Take back what pbc_relocate did for the tree that PBCAST_ROOT names, if any: entries of list
 * variables that lie in it, and the variables that are then empty. What was purged stays so. -1
 * when a variable could not be set. */
int pbc_relocation_undo(const struct pbc_env *env);

void pbc_env_ops_free(struct pbc_env_ops *ops);

#endif
