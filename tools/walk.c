#include "walk.h"

#include "beneath.h"
#include "bundle.h"
#include "path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OWN ".pbcast" /* where bundles keep what they say of themselves */

int pbc_walk_excluded(struct pbc_walk *w, const char *name)
{
    const char *last = strrchr(name, '/');

    last = last == NULL ? name : last + 1;
    for (size_t i = 0; i < w->nexclude; i++) {
        const char *pattern = w->exclude[i].pattern;

        if (fnmatch(pattern, strchr(pattern, '/') == NULL ? last : name, 0) == 0) {
            w->exclude[i].matched++;
            return 1;
        }
    }
    return 0;
}

/* Directory and name joined, in place of `out`. */
static int join(char out[PBC_PATH_MAX], const char *dir, const char *name, struct pbc_error *err)
{
    const char *slash = *dir == '\0' || dir[strlen(dir) - 1] == '/' ? "" : "/";

    if ((size_t)snprintf(out, PBC_PATH_MAX, "%s%s%s", dir, slash, name) >= PBC_PATH_MAX)
        return pbc_fail(err, PBC_EXIT_REFUSED, "the path %.64s... is too long", dir);
    return 0;
}

static int take_link(struct pbc_walk *w, const char *path, const char *name, const struct stat *st,
                     struct pbc_error *err)
{
    char target[PBC_PATH_MAX];
    ssize_t n = readlink(path, target, sizeof(target) - 1);

    if (n <= 0)
        return pbc_fail_errno(err, PBC_EXIT_REFUSED, "cannot read the link %s", path);
    target[n] = '\0';
    return pbc_plan_add_found(w->plan, name, path, st, target, err);
}

static int take_file(struct pbc_walk *w, const char *path, const char *name, const struct stat *st,
                     struct pbc_error *err)
{
    if (w->out_ino != 0 && st->st_ino == w->out_ino && st->st_dev == w->out_dev)
        return pbc_fail(err, PBC_EXIT_REFUSED,
                        "%s is the bundle itself: put it elsewhere, or leave it out with --exclude",
                        path);
    if (S_ISREG(st->st_mode) && access(path, R_OK) != 0)
        return pbc_fail_errno(err, PBC_EXIT_REFUSED, "cannot read %s", path);
    return pbc_plan_add_found(w->plan, name, path, st, NULL, err);
}

/* --- directories --------------------------------------------------------------------------- */

struct names {
    char **name;
    size_t count;
};

static void names_free(struct names *n)
{
    for (size_t i = 0; i < n->count; i++)
        free(n->name[i]);
    free(n->name);
}

static int list_add(struct names *n, size_t *size, const char *name)
{
    if (n->count == *size) {
        char **more = reallocarray(n->name, 2 * *size + 16, sizeof(char *));

        if (more == NULL)
            return -1;
        n->name = more;
        *size = 2 * *size + 16;
    }
    n->name[n->count] = strdup(name);
    return n->name[n->count] == NULL ? -1 : (n->count++, 0);
}

static int list_directory(const char *path, struct names *ret, struct pbc_error *err)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    size_t size = 0;
    int rc = 0;

    if (dir == NULL)
        return pbc_fail_errno(err, PBC_EXIT_REFUSED, "cannot read the directory %s", path);
    while (rc == 0 && (errno = 0, entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            rc = list_add(ret, &size, entry->d_name);
    }
    if (rc != 0 || errno != 0)
        rc = pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot read the directory %s", path);
    closedir(dir);
    return rc;
}

static int take(struct pbc_walk *w, const char *path, const char *name, int depth,
                struct pbc_error *err);

static int take_directory(struct pbc_walk *w, const char *path, const char *name, int depth,
                          struct pbc_error *err)
{
    struct names names = {0};
    int rc = list_directory(path, &names, err);

    for (size_t i = 0; i < names.count && rc == 0; i++) {
        char below[PBC_PATH_MAX], inside[PBC_PATH_MAX];

        rc = join(below, path, names.name[i], err);
        if (rc == 0)
            rc = join(inside, name, names.name[i], err);
        if (rc == 0 && !pbc_walk_excluded(w, inside))
            rc = take(w, below, inside, depth + 1, err);
    }
    names_free(&names);
    return rc;
}

static int take(struct pbc_walk *w, const char *path, const char *name, int depth,
                struct pbc_error *err)
{
    struct stat st;

    if (depth > PBC_NAME_DEPTH)
        return pbc_fail(err, PBC_EXIT_REFUSED, "%.64s... lies more than %d directories deep", path,
                        PBC_NAME_DEPTH);
    if (pbc_progress_tick(w->progress, err) != 0)
        return -1;
    if (pbc_path_below(name, OWN))
        return pbc_fail(
            err, PBC_EXIT_REFUSED,
            "%s comes from a bundle that was unpacked, and says what that was: leave it "
            "out with --exclude " OWN,
            path);
    if (lstat(path, &st) != 0)
        return pbc_fail_errno(err, PBC_EXIT_REFUSED, "cannot read %s", path);
    if (S_ISLNK(st.st_mode))
        return take_link(w, path, name, &st, err);
    if (!S_ISDIR(st.st_mode))
        return take_file(w, path, name, &st, err);
    if (*name != '\0' && pbc_plan_add_found(w->plan, name, path, &st, NULL, err) != 0)
        return -1;
    return take_directory(w, path, name, depth, err);
}

int pbc_walk_entry(struct pbc_walk *w, const char *path, const char *name, struct pbc_error *err)
{
    return take(w, path, name, 1, err);
}

int pbc_walk_given(const char *path, char out[PBC_PATH_MAX], struct pbc_error *err)
{
    char *dir = path[0] == '/' ? strdup("") : get_current_dir_name();
    int rc = 0;

    if (dir == NULL)
        rc = pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot tell the working directory");
    else if (!pbc_path_join(dir, path, out))
        rc = pbc_fail(err, PBC_EXIT_REFUSED, "the path %.64s... is too long", path);
    free(dir);
    return rc;
}

int pbc_walk_roots(struct pbc_plan *p, const char *path, const char *real, const char *name,
                   struct pbc_error *err)
{
    char given[PBC_PATH_MAX];

    if (pbc_walk_given(path, given, err) != 0 || pbc_plan_add_root(p, real, name, err) != 0)
        return -1;
    return strcmp(given, real) == 0 ? 0 : pbc_plan_add_root(p, given, name, err);
}

int pbc_walk(struct pbc_walk *w, const char *path, const char *name, struct pbc_error *err)
{
    char *real = realpath(path, NULL);
    struct stat st;
    int rc;

    if (real == NULL || stat(real, &st) != 0) {
        free(real);
        return pbc_fail_errno(err, PBC_EXIT_REFUSED, "cannot read %s", path);
    }
    rc = S_ISDIR(st.st_mode) ? pbc_walk_roots(w->plan, path, real, name, err) : 0;
    if (rc == 0)
        rc = take(w, real, name, 0, err);
    free(real);
    return rc;
}
