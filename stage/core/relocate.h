/* relocate.h - the environment that makes an interpreter live in a staged tree.
 *
 * Profile `python` is Table 1 of Feng and Hand, "Launching Python Applications on Peta-scale
 * Massively Parallel Systems" (SciPy 2016): PYTHONHOME is the tree; PYTHONPATH is purged;
 * PYTHONUSERBASE points at a place that does not exist below the tree, with PYTHONNOUSERSITE=1;
 * LD_LIBRARY_PATH and PATH begin with the tree's directories. What the other profiles set is the
 * table in relocate.c, and why in docs/user-guide.md. The variables that bundles state come after
 * those of the profile, in overlay order. PBCAST_ROOT is always set. Variables of Slurm, PMI, PMIx
 * and the loader (pbc_variable_allowed) are never touched.
 */
#ifndef PBC_RELOCATE_H
#define PBC_RELOCATE_H

#include "error.h"
#include "manifest.h"
#include "variable.h"

/* The names that a relocation has given a value, for pbc_relocation_undo. */
#define PBC_TOUCHED "PBCAST_VARIABLES"

struct pbc_env_op {
    enum pbc_env_kind kind;
    const char *name; /* static, or of the manifest */
    char *value;      /* NULL for PBC_ENV_UNSET; a list joined by ':' to prepend and append */
};

struct pbc_env_ops {
    size_t count;
    struct pbc_env_op *item;
};

/* Look at a staged tree and fill in what `m` says of what it has. Unless the bundles state a
 * profile (m->stated), it is the first of these that is there: conda   conda-meta/ venv pyvenv.cfg,
 * and the base interpreter at the top or in a directory there: that whose bin/python3.N is the
 * tree's bin/python3, if there is one python  bin/python3 (or bin/python3.N) and
 * lib/python3.N/os.py (or lib64/...) r       lib/R or lib64/R with bin/R and library/base, and
 * bin/R or bin/Rscript julia   bin/julia perl    bin/perl and directories of modules node bin/node
 *   generic else
 * Directories of shared libraries are those of lib, lib64, lib/<triplet>, and openblas-*, atlas,
 * blas and lapack below <triplet>, that hold a shared library, each once, those of a base first.
 * More than PBC_DIRS_MAX of a kind are refused, as is a stated profile that does not fit
 * (PBC_EXIT_REFUSED). Follows no link out of the tree. */
int pbc_profile_detect(int treefd, struct pbc_manifest *m, struct pbc_error *err);

/* The user wants another profile than the manifest has (--pbcast-env): 0, or -1 with
 * PBC_EXIT_REFUSED if the tree lacks what it needs. */
int pbc_profile_override(struct pbc_manifest *m, enum pbc_profile profile, struct pbc_error *err);

/* What to do to a task's environment for the tree at the absolute path `root`. Pure. `out` refers
 * to `m`. The caller frees with pbc_env_ops_free. -1 without memory, when `root` is not absolute or
 * has a ':', or when the profile does not fit the tree. */
int pbc_relocate(const struct pbc_manifest *m, const char *root, struct pbc_env_ops *out,
                 struct pbc_error *err);

/* The value of PBC_TOUCHED for these operations: names joined by ':', with a '=' after those whose
 * value has nothing to do with the tree. Malloced; NULL without memory. */
char *pbc_relocation_touched(const struct pbc_env_ops *ops, const char *root);

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

/* Take back what pbc_relocate did for the tree that PBCAST_ROOT names, if any: of the variables
 * that PBCAST_VARIABLES names, entries that lie in the tree, and the variables that are then empty.
 * What was purged stays so. -1 when a variable could not be set. */
int pbc_relocation_undo(const struct pbc_env *env);

void pbc_env_ops_free(struct pbc_env_ops *ops);

#endif
