/* walk.h - what lies in a directory goes into a plan. */
#ifndef PBC_WALK_H
#define PBC_WALK_H

#include "plan.h"
#include "progress.h"

/* What is to be left out. A pattern of glob(7), in which '*' matches '/' too: one without '/' is
 * held against the last part of each name, another against all of it, from the top of the bundle.
 */
struct pbc_exclude {
    const char *pattern;
    uint64_t matched;
};

struct pbc_walk {
    struct pbc_plan *plan;
    struct pbc_exclude *exclude;
    size_t nexclude;
    struct pbc_progress *progress; /* may be NULL */
    /* The file that the bundle will replace, if it is there. */
    dev_t out_dev;
    ino_t out_ino;
};

/* 1 if the name is to be left out, which is counted. */
int pbc_walk_excluded(struct pbc_walk *w, const char *name);

/* The path that a user has given, whole and of plain parts, as a shell has it: by $PWD, with links
 * as they are. */
int pbc_walk_given(const char *path, char out[PBC_PATH_MAX], struct pbc_error *err);

/* The directory `path`, which is `real`, becomes a root of the plan by both: links and scripts in
 * it may know it by either. */
int pbc_walk_roots(struct pbc_plan *p, const char *path, const char *real, const char *name,
                   struct pbc_error *err);

/* What is at `path` goes to the name `name` ("" = the top, for a directory), with all below; links
 * are taken as such, but `path` itself is followed. A directory becomes a root of the plan. -1 with
 * PBC_EXIT_REFUSED: missing, unreadable, what no bundle can have. */
int pbc_walk(struct pbc_walk *w, const char *path, const char *name, struct pbc_error *err);

/* The same for one thing in a root that the plan has already: a link at `path` stays a link. */
int pbc_walk_entry(struct pbc_walk *w, const char *path, const char *name, struct pbc_error *err);

/* Links of the plan, which is sorted before and after, are made to hold within the tree: absolute
 * ones into the plan's roots become relative. What leads out of the tree is refused with
 * PBC_EXIT_REFUSED, or, with `follow`, replaced by what it leads to. So is a link to nothing. */
int pbc_walk_settle(struct pbc_walk *w, bool follow, struct pbc_error *err);

#endif
