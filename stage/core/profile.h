/* profile.h - the kinds of trees that differ in the environment that they need (relocate.h). */
#ifndef PBC_PROFILE_H
#define PBC_PROFILE_H

enum pbc_profile {
    PBC_PROFILE_GENERIC = 0, /* any tree of bin, lib and share */
    PBC_PROFILE_PYTHON,      /* an installed Python */
    PBC_PROFILE_CONDA,       /* a conda environment */
    PBC_PROFILE_VENV,        /* a Python virtual environment with its base interpreter */
    PBC_PROFILE_R,
    PBC_PROFILE_JULIA,
    PBC_PROFILE_PERL,
    PBC_PROFILE_NODE, /* Node.js */
    PBC_PROFILE_NONE, /* nothing but PBCAST_ROOT and what the bundles state themselves */
};

/* "generic", "python", "conda", "venv", "r", "julia", "perl", "node", "none". */
const char *pbc_profile_name(enum pbc_profile profile);

/* 0 with *ret, -1 for a name that is none of these. */
int pbc_profile_from_name(const char *name, enum pbc_profile *ret);

/* All names, for messages and help. */
#define PBC_PROFILE_NAMES "python, conda, venv, r, julia, perl, node, generic, none"

#endif
