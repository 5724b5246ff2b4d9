/* cause.h - why a program opened a file outside the staged tree. */
#ifndef PBC_CAUSE_H
#define PBC_CAUSE_H

#include "trace.h"

#include <stdbool.h>

enum pbc_cause {
    PBC_CAUSE_SYSTEM,   /* loader, libc and their settings: of every program */
    PBC_CAUSE_COMMAND,  /* the command itself is not in the tree */
    PBC_CAUSE_PROGRAM,  /* a program outside the tree, and what that opens */
    PBC_CAUSE_USER,     /* the user's own packages: user site and the like */
    PBC_CAUSE_VENV,     /* the base interpreter that pyvenv.cfg names */
    PBC_CAUSE_CONFIG,   /* what was configured when Python was built: sysconfig */
    PBC_CAUSE_SCRIPT,   /* directory of the script */
    PBC_CAUSE_VARIABLE, /* a directory that a variable names */
    PBC_CAUSE_LIBRARY,  /* a shared library that the node's loader knows (ld.so.cache) */
    PBC_CAUSE_RUNPATH,  /* another: by RUNPATH, RPATH or a path in a program */
    PBC_CAUSE_WORK,     /* the working directory */
    PBC_CAUSE_HOME,     /* settings in the home directory */
    PBC_CAUSE_OTHER,
    PBC_CAUSES,
};

/* What is known of the command. */
struct pbc_command_facts {
    const char *root;    /* of the tree */
    const char *job_dir; /* above it: other sets of the job */
    const char *cwd;
    const char *home;      /* "" not known */
    const char *script;    /* directory of the script, "" none */
    const char *venv_home; /* prefix of the base interpreter by pyvenv.cfg, "" none */
    char *const *vars;     /* of the command */
    const char *cache;     /* the loader's cache, /etc/ld.so.cache: it has names as text */
    size_t cache_len;
};

/* Whether the path lies in the tree, or in that of another set of the job. */
bool pbc_path_staged(const struct pbc_command_facts *f, const char *path);

/* `variable` gets the name under PBC_CAUSE_VARIABLE: `size` bytes. */
enum pbc_cause pbc_cause_of(const struct pbc_command_facts *f, const struct pbc_trace_event *ev,
                            char *variable, size_t size);

/* A few words for a report, and what helps against it ("" nothing). */
const char *pbc_cause_words(enum pbc_cause cause);
const char *pbc_cause_advice(enum pbc_cause cause);

#endif
