/* Directories of a staged tree that an interpreter has to be told of. */
#include "detect.h"
#include "look.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 16

static bool is_shared_library(const char *name)
{
    const char *so = strstr(name, ".so");

    while (so != NULL && so[3] != '\0' && so[3] != '.')
        so = strstr(so + 1, ".so");
    return so != NULL && so != name;
}

static bool holds_shared_library(int treefd, const char *path, struct stat *st)
{
    DIR *dir = pbc_look_opendir(treefd, path);
    bool found = false;
    struct dirent *entry;

    if (dir == NULL)
        return false;
    while (!found && (entry = readdir(dir)) != NULL)
        found = is_shared_library(entry->d_name);
    if (fstat(dirfd(dir), st) < 0)
        found = false;
    closedir(dir);
    return found;
}

/* A list that is being filled: of directories of one kind. */
struct finding {
    int treefd;
    const char *of; /* "of shared libraries" */
    struct pbc_dirs *dirs;
    struct stat seen[PBC_DIRS_MAX];
};

static int too_many(const struct finding *f, const char *path, struct pbc_error *err)
{
    return pbc_fail(err, PBC_EXIT_REFUSED,
                    "the bundles have more than %d directories %s; one too many is in %s",
                    PBC_DIRS_MAX, f->of, path);
}

/* `st` is of the directory `path`, which may be one of those known by another name. */
static int add_dir(struct finding *f, const char *path, const struct stat *st,
                   struct pbc_error *err)
{
    struct pbc_dirs *d = f->dirs;

    for (size_t i = 0; i < d->count; i++) {
        /* lib64 is often a link to lib */
        if (f->seen[i].st_dev == st->st_dev && f->seen[i].st_ino == st->st_ino)
            return 0;
    }
    if (d->count == PBC_DIRS_MAX)
        return too_many(f, path, err);
    d->dir[d->count] = strdup(path);
    if (d->dir[d->count] == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory to look at the tree");
    f->seen[d->count++] = *st;
    return 0;
}

static int add_libdir(struct finding *f, const char *path, struct pbc_error *err)
{
    struct stat st;

    return holds_shared_library(f->treefd, path, &st) ? add_dir(f, path, &st, err) : 0;
}

static int add_any(struct finding *f, const char *path, struct pbc_error *err)
{
    struct stat st;

    return pbc_look_stat(f->treefd, path, &st) == 0 && S_ISDIR(st.st_mode)
               ? add_dir(f, path, &st, err)
               : 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

static bool join(char out[PBC_PATH_MAX], const char *dir, const char *name)
{
    return (size_t)snprintf(out, PBC_PATH_MAX, "%s/%s", dir, name) < PBC_PATH_MAX;
}

/* The directories in `path` whose names `match` accepts, sorted: every node must find the same
 * order. Only names of plain characters: a colon would split LD_LIBRARY_PATH. Returns how many, -1
 * when they are too many. */
static int list_names(int treefd, const char *path, bool (*match)(const char *name),
                      char names[NAMES_MAX][NAME_MAX + 1])
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789._+-";
    DIR *dir = pbc_look_opendir(treefd, path);
    int count = 0;
    struct dirent *entry;

    if (dir == NULL)
        return 0;
    while (count >= 0 && (entry = readdir(dir)) != NULL) {
        const char *name = entry->d_name;
        char full[PBC_PATH_MAX];
        struct stat st;

        if (name[0] == '.' || name[strspn(name, plain)] != '\0' || !match(name))
            continue;
        if (!join(full, path, name) || pbc_look_stat(treefd, full, &st) < 0 || !S_ISDIR(st.st_mode))
            continue;
        if (count < NAMES_MAX)
            memcpy(names[count++], name, strlen(name) + 1);
        else
            count = -1;
    }
    closedir(dir);
    if (count > 0)
        qsort(names, (size_t)count, sizeof(names[0]), compare_names);
    return count;
}

static bool is_triplet(const char *name)
{
    return strstr(name, "-linux-gnu") != NULL;
}

static bool is_openblas(const char *name)
{
    return strncmp(name, "openblas-", 9) == 0;
}

typedef int add_fn(struct finding *f, const char *path, struct pbc_error *err);

static int add_below(struct finding *f, const char *dir, const char *name, add_fn *add,
                     struct pbc_error *err)
{
    char path[PBC_PATH_MAX];

    return join(path, dir, name) ? add(f, path, err) : 0;
}

/* All directories in `dir` that `match` accepts. */
static int add_matching(struct finding *f, const char *dir, bool (*match)(const char *name),
                        add_fn *add, struct pbc_error *err)
{
    char names[NAMES_MAX][NAME_MAX + 1];
    int count = list_names(f->treefd, dir, match, names);

    if (count < 0)
        return too_many(f, dir, err);
    for (int i = 0; i < count; i++) {
        if (add_below(f, dir, names[i], add, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- shared libraries ---- */

static int add_triplet(struct finding *f, const char *triplet, struct pbc_error *err)
{
    /* The fast ones first: a tree may hold the reference library beside them. */
    if (add_libdir(f, triplet, err) < 0 ||
        add_matching(f, triplet, is_openblas, add_libdir, err) < 0 ||
        add_below(f, triplet, "atlas", add_libdir, err) < 0 ||
        add_below(f, triplet, "blas", add_libdir, err) < 0)
        return -1;
    return add_below(f, triplet, "lapack", add_libdir, err);
}

int pbc_find_libdirs(int treefd, const char *base, struct pbc_dirs *out, struct pbc_error *err)
{
    struct finding f = {.treefd = treefd, .of = "of shared libraries", .dirs = out};
    const char *top[] = {base, ""};

    for (size_t i = base == NULL ? 1 : 0; i < 2; i++) {
        const char *slash = top[i][0] == '\0' ? "" : "/";
        char lib[PBC_PATH_MAX], lib64[PBC_PATH_MAX];

        snprintf(lib, sizeof(lib), "%s%slib", top[i], slash);
        snprintf(lib64, sizeof(lib64), "%s%slib64", top[i], slash);
        if (add_libdir(&f, lib, err) < 0 || add_libdir(&f, lib64, err) < 0 ||
            add_matching(&f, lib, is_triplet, add_triplet, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- modules and packages ---- */

static bool is_version(const char *name)
{
    return name[0] >= '0' && name[0] <= '9';
}

static int add_debian_perl(struct finding *f, const char *triplet, struct pbc_error *err)
{
    char path[PBC_PATH_MAX];

    if ((join(path, triplet, "perl5") && add_matching(f, path, is_version, add_any, err) < 0) ||
        (join(path, triplet, "perl") && add_matching(f, path, is_version, add_any, err) < 0))
        return -1;
    return add_below(f, triplet, "perl-base", add_any, err);
}

/* Perl looks for directories of its version and machine below each by itself (perlrun(1)). */
int pbc_find_perldirs(int treefd, struct pbc_dirs *out, struct pbc_error *err)
{
    static const char *const usual[] = {
        "lib/perl5/site_perl",     "lib/perl5/vendor_perl", "lib/perl5",  "lib64/perl5/vendor_perl",
        "share/perl5/vendor_perl", "lib64/perl5",           "share/perl5"};
    struct finding f = {.treefd = treefd, .of = "of Perl modules", .dirs = out};

    for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++) {
        if (add_any(&f, usual[i], err) < 0)
            return -1;
    }
    if (add_matching(&f, "lib", is_triplet, add_debian_perl, err) < 0)
        return -1;
    return add_matching(&f, "share/perl", is_version, add_any, err);
}

static int add_debian_node(struct finding *f, const char *triplet, struct pbc_error *err)
{
    return add_below(f, triplet, "nodejs", add_any, err);
}

int pbc_find_nodedirs(int treefd, struct pbc_dirs *out, struct pbc_error *err)
{
    struct finding f = {.treefd = treefd, .of = "of Node.js packages", .dirs = out};

    if (add_any(&f, "node_modules", err) < 0 || add_any(&f, "lib/node_modules", err) < 0 ||
        add_matching(&f, "lib", is_triplet, add_debian_node, err) < 0 ||
        add_any(&f, "share/nodejs", err) < 0)
        return -1;
    return add_any(&f, "lib/nodejs", err);
}

/* The last one has what comes with Julia itself. */
int pbc_find_depots(int treefd, struct pbc_dirs *out, struct pbc_error *err)
{
    struct finding f = {.treefd = treefd, .of = "of Julia packages", .dirs = out};

    if (add_any(&f, "depot", err) < 0 || add_any(&f, ".julia", err) < 0)
        return -1;
    return add_any(&f, "share/julia", err);
}
