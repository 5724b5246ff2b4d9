/* What a staged tree holds: its interpreter and its directories of shared libraries. */
#include "look.h"
#include "relocate.h"
#include "site.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 16

/* ---- the interpreter ---- */

static bool is_file(int treefd, const char *path)
{
    struct stat st;

    return pbc_look_stat(treefd, path, &st) == 0 && S_ISREG(st.st_mode);
}

/* The N of "python3.N"; -1 for another name. */
static int python_minor(const char *name)
{
    static const char prefix[] = "python3.";
    unsigned long minor;

    if (strncmp(name, prefix, sizeof(prefix) - 1) != 0)
        return -1;
    name += sizeof(prefix) - 1;
    if ((name[0] == '0' && name[1] != '\0') || pbc_parse_number(name, 0, 999, &minor) < 0)
        return -1;
    return (int)minor;
}

/* How well bin/ fits to python3.N: 3 python3 is it, 2 python3.N is there, 1 some python3 is. */
static int python_rank(int treefd, int minor)
{
    char path[64];
    struct stat plain, versioned;
    bool has_plain = pbc_look_stat(treefd, "bin/python3", &plain) == 0 && S_ISREG(plain.st_mode);
    bool has_versioned;

    snprintf(path, sizeof(path), "bin/python3.%d", minor);
    has_versioned = pbc_look_stat(treefd, path, &versioned) == 0 && S_ISREG(versioned.st_mode);
    if (has_plain && has_versioned && plain.st_dev == versioned.st_dev &&
        plain.st_ino == versioned.st_ino)
        return 3;
    return has_versioned ? 2 : has_plain ? 1 : 0;
}

static void find_python(int treefd, const char *lib, struct pbc_manifest *m)
{
    DIR *dir = pbc_look_opendir(treefd, lib);
    int best = -1, best_rank = 0;
    struct dirent *entry;

    if (dir == NULL)
        return;
    while ((entry = readdir(dir)) != NULL) {
        int minor = python_minor(entry->d_name);
        char path[64];
        int rank;

        if (minor < 0)
            continue;
        snprintf(path, sizeof(path), "%s/python3.%d/os.py", lib, minor);
        if (!is_file(treefd, path))
            continue;
        rank = python_rank(treefd, minor);
        if (rank > best_rank || (rank > 0 && rank == best_rank && minor > best)) {
            best = minor;
            best_rank = rank;
        }
    }
    closedir(dir);
    if (best >= 0) {
        m->profile = PBC_PROFILE_PYTHON;
        snprintf(m->python, sizeof(m->python), "3.%d", best);
    }
}

/* ---- directories of shared libraries ---- */

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

static int too_many(const char *path, struct pbc_error *err)
{
    return pbc_fail(err, PBC_EXIT_REFUSED,
                    "the bundles have more than %d directories of shared libraries; one too many "
                    "is in %s",
                    PBC_LIBDIRS_MAX, path);
}

struct libdirs {
    int treefd;
    struct pbc_manifest *m;
    struct stat seen[PBC_LIBDIRS_MAX];
};

static int add_libdir(struct libdirs *l, const char *path, struct pbc_error *err)
{
    struct pbc_manifest *m = l->m;
    struct stat st;

    if (!holds_shared_library(l->treefd, path, &st))
        return 0;
    for (size_t i = 0; i < m->nlibdirs; i++) {
        /* lib64 is often a link to lib */
        if (l->seen[i].st_dev == st.st_dev && l->seen[i].st_ino == st.st_ino)
            return 0;
    }
    if (m->nlibdirs == PBC_LIBDIRS_MAX)
        return too_many(path, err);
    m->libdir[m->nlibdirs] = strdup(path);
    if (m->libdir[m->nlibdirs] == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory to look at the tree");
    l->seen[m->nlibdirs++] = st;
    return 0;
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

static int add_below(struct libdirs *l, const char *dir, const char *name, struct pbc_error *err)
{
    char path[PBC_PATH_MAX];

    return join(path, dir, name) ? add_libdir(l, path, err) : 0;
}

static int add_below_triplet(struct libdirs *l, const char *triplet, struct pbc_error *err)
{
    char names[NAMES_MAX][NAME_MAX + 1];
    int count = list_names(l->treefd, triplet, is_openblas, names);

    if (count < 0)
        return too_many(triplet, err);
    /* The fast ones first: a tree may hold the reference library beside them. */
    for (int i = 0; i < count; i++) {
        if (add_below(l, triplet, names[i], err) < 0)
            return -1;
    }
    if (add_below(l, triplet, "atlas", err) < 0 || add_below(l, triplet, "blas", err) < 0)
        return -1;
    return add_below(l, triplet, "lapack", err);
}

static int find_libdirs(int treefd, struct pbc_manifest *m, struct pbc_error *err)
{
    struct libdirs l = {.treefd = treefd, .m = m};
    char names[NAMES_MAX][NAME_MAX + 1];
    int count;

    if (add_libdir(&l, "lib", err) < 0 || add_libdir(&l, "lib64", err) < 0)
        return -1;
    count = list_names(treefd, "lib", is_triplet, names);
    if (count < 0)
        return too_many("lib", err);
    for (int i = 0; i < count; i++) {
        char path[PBC_PATH_MAX];

        if (!join(path, "lib", names[i]))
            continue;
        if (add_libdir(&l, path, err) < 0 || add_below_triplet(&l, path, err) < 0)
            return -1;
    }
    return 0;
}

int pbc_profile_detect(int treefd, struct pbc_manifest *m, struct pbc_error *err)
{
    for (size_t i = 0; i < m->nlibdirs; i++)
        free(m->libdir[i]);
    memset(m->libdir, 0, sizeof(m->libdir));
    m->nlibdirs = 0;
    m->profile = PBC_PROFILE_GENERIC;
    m->python[0] = '\0';
    find_python(treefd, "lib", m);
    if (m->profile == PBC_PROFILE_GENERIC)
        find_python(treefd, "lib64", m);
    return find_libdirs(treefd, m, err);
}
