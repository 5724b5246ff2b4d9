/* make.h - what the kinds of `pbcast bundle` have in common: options, and the way from a plan to
 * the file of a bundle.
 */
#ifndef PBC_MAKE_H
#define PBC_MAKE_H

#include "meta.h"
#include "packer.h"
#include "walk.h"

#include <stdbool.h>
#include <stddef.h>

#define PBC_EXCLUDES_MAX 256
#define PBC_DIR_LIMIT    (1ull << 30) /* bytes that `dir` packs unless told otherwise */

/* A list of words that grows; the words are borrowed. */
struct pbc_words {
    char **word;
    size_t count;
};

struct pbc_make {
    const char *kind; /* "prefix" */

    /* Options. */
    const char *output;
    enum pbc_codec codec;
    int level; /* 0: that of the codec */
    bool quiet;
    bool follow;
    bool no_compile;
    bool with_libc;
    const char *python;
    const char *at;
    uint64_t limit;       /* bytes of files; 0 = none */
    struct pbc_words pip; /* options that are passed on to pip */
    char **rest;          /* other arguments */
    size_t nrest;
    char **command; /* what follows "--" */
    size_t ncommand;
    struct pbc_exclude exclude[PBC_EXCLUDES_MAX];

    /* Scripts that begin with it look for it on PATH; NULL. */
    const char *interpreter;

    /* The work. */
    struct pbc_plan plan;
    struct pbc_walk walk;
    struct pbc_meta meta;
    struct pbc_progress *progress;
};

/* One way to make a bundle. */
struct pbc_kind {
    const char *name;
    const char *words;     /* what it packs */
    const char *arguments; /* for the usage line */
    unsigned options;      /* PBC_TAKES_... */
    size_t least;          /* arguments that must be there */
    size_t most;           /* and may be there; 0: any number */
    int (*make)(struct pbc_make *m, struct pbc_error *err);
};

enum {
    PBC_TAKES_FOLLOW = 1,
    PBC_TAKES_COMPILE = 2, /* --no-compile */
    PBC_TAKES_PYTHON = 4,
    PBC_TAKES_AT = 8,
    PBC_TAKES_PIP = 16,
    PBC_TAKES_COMMAND = 32, /* words after "--" */
    PBC_TAKES_LIBC = 64,
    PBC_TAKES_LIMIT = 128,
    PBC_TAKES_DIR_LIMIT = 256, /* the same, PBC_DIR_LIMIT without it */
};

/* The options of `kind` into `m`, which pbc_make_init has made. -1 when all is said and the command
 * is to end with *status. */
int pbc_make_options(struct pbc_make *m, const struct pbc_kind *kind, int argc, char *argv[],
                     int *status);
void pbc_make_usage(const struct pbc_kind *kind);

void pbc_make_init(struct pbc_make *m);
void pbc_make_free(struct pbc_make *m);

/* The rest of the way, for a plan into which all has been walked: links are settled, scripts begin
 * with /usr/bin/env, library paths into the tree with $ORIGIN, the size is looked at, and the
 * bundle is written to `output`. With `compiler` (unless NULL, and unless --no-compile) Python
 * modules are compiled by it, with `own` as in compile.h. */
int pbc_make_write(struct pbc_make *m, const char *output, const char *compiler, bool own,
                   struct pbc_error *err);

/* Walk what a prefix has of bin, lib and so on (m->rest[0] is how it was named), or all of it if it
 * has none of them. */
int pbc_make_walk_prefix(struct pbc_make *m, const char *dir, struct pbc_error *err);

/* Append what the caller has said of variables (m->meta.vars of the options), which counts last. */
int pbc_make_given(struct pbc_variables *list, const struct pbc_variables *given,
                   struct pbc_error *err);

int pbc_words_add(struct pbc_words *w, char *word, struct pbc_error *err);

/* The kinds. */
int pbc_make_prefix(struct pbc_make *m, struct pbc_error *err);
int pbc_make_dir(struct pbc_make *m, struct pbc_error *err);
int pbc_make_venv(struct pbc_make *m, struct pbc_error *err);
int pbc_make_conda(struct pbc_make *m, struct pbc_error *err);
int pbc_make_pip(struct pbc_make *m, struct pbc_error *err);
int pbc_make_module(struct pbc_make *m, struct pbc_error *err);
int pbc_make_libs(struct pbc_make *m, struct pbc_error *err);

#endif
