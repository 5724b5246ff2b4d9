/* pbcast bundle prefix, and dir: trees as they lie there. */
#include "make.h"

#include "bundle.h"
#include "command.h"
#include "manifest.h"
#include "relocate.h"
#include "text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What an installed prefix has, as far as programs that run need it. */
static const char *const branches[] = {"bin",     "sbin",  "lib", "lib32", "lib64",     "libexec",
                                       "include", "share", "etc", "ssl",   "conda-meta"};
#define NBRANCHES (sizeof(branches) / sizeof(branches[0]))

static int join(char out[PBC_PATH_MAX], const char *dir, const char *name, struct pbc_error *err)
{
    if ((size_t)snprintf(out, PBC_PATH_MAX, "%s%s%s", dir, *dir == '\0' ? "" : "/", name) >=
        PBC_PATH_MAX)
        return pbc_fail(err, PBC_EXIT_REFUSED, "the path %.64s... is too long", dir);
    return 0;
}

/* The first argument is a directory: its descriptor and real path. */
static int open_top(const char *dir, char **real, struct pbc_error *err)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    *real = NULL;
    if (fd < 0)
        return pbc_fail_errno(err, PBC_EXIT_REFUSED, "cannot read the directory %s", dir);
    *real = realpath(dir, NULL);
    if (*real != NULL)
        return fd;
    close(fd);
    return pbc_fail_errno(err, PBC_EXIT_REFUSED, "cannot read the directory %s", dir);
}

/* <dir>/<sub> to <sub> below `at` in the bundle. The top's own links, such as lib64 -> lib, stay
 * links. */
static int walk_part(struct pbc_make *m, const char *dir, char *sub, struct pbc_error *err)
{
    char path[PBC_PATH_MAX], name[PBC_PATH_MAX];
    size_t len = strlen(sub);
    struct stat st;

    if (len > 1 && sub[len - 1] == '/') /* shells add it */
        sub[len - 1] = '\0';
    if (!pbc_text_is_below(sub))
        return pbc_fail(err, PBC_EXIT_USAGE,
                        "name parts of %s by relative paths without '.' and '..', not '%s'", dir,
                        sub);
    if (join(path, dir, sub, err) != 0 || join(name, m->at == NULL ? "" : m->at, sub, err) != 0)
        return -1;
    if (pbc_walk_excluded(&m->walk, name))
        return 0;
    if (lstat(path, &st) != 0)
        return pbc_fail_errno(err, PBC_EXIT_REFUSED, "cannot read %s", path);
    return pbc_walk_entry(&m->walk, path, name, err);
}

static int walk_parts(struct pbc_make *m, const char *dir, char **part, size_t count,
                      struct pbc_error *err)
{
    if (pbc_walk_roots(&m->plan, m->rest[0], dir, m->at == NULL ? "" : m->at, err) != 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        if (walk_part(m, dir, part[i], err) != 0)
            return -1;
    }
    return 0;
}

/* --- prefix -------------------------------------------------------------------------------- */

static int is_branch(const char *name)
{
    for (size_t i = 0; i < NBRANCHES; i++) {
        if (strcmp(name, branches[i]) == 0)
            return 1;
    }
    return 0;
}

/* Whatever is not packed is told. */
static void tell_others(const struct pbc_make *m, const char *dir)
{
    DIR *d = m->quiet ? NULL : opendir(dir);
    char others[256] = "";
    struct dirent *entry;
    size_t at = 0;

    if (d == NULL)
        return;
    while ((entry = readdir(d)) != NULL) {
        const char *name = entry->d_name;

        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || is_branch(name))
            continue;
        if (at < sizeof(others))
            at += (size_t)snprintf(others + at, sizeof(others) - at, "%s%s", at == 0 ? "" : ", ",
                                   name);
    }
    closedir(d);
    if (at > 0)
        pbc_note("not packed, because no part of a prefix: %s%s (name parts to pack them)", others,
                 at >= sizeof(others) ? "..." : "");
}

/* -1 with err; else how many parts there are, all of them walked. */
static int walk_branches(struct pbc_make *m, const char *dir, struct pbc_error *err)
{
    char *part[NBRANCHES];
    size_t count = 0;

    for (size_t i = 0; i < NBRANCHES; i++) {
        char path[PBC_PATH_MAX];
        struct stat st;

        if (join(path, dir, branches[i], err) != 0)
            return -1;
        if (lstat(path, &st) == 0)
            part[count++] = (char *)(uintptr_t)branches[i];
    }
    if (count > 0 && walk_parts(m, dir, part, count, err) != 0)
        return -1;
    if (count > 0)
        tell_others(m, dir);
    return (int)count;
}

int pbc_make_walk_prefix(struct pbc_make *m, const char *dir, struct pbc_error *err)
{
    char *real = realpath(dir, NULL);
    int parts;

    if (real == NULL)
        return pbc_fail_errno(err, PBC_EXIT_REFUSED, "cannot read the directory %s", dir);
    parts = walk_branches(m, real, err);
    free(real);
    return parts == 0 ? pbc_walk(&m->walk, dir, "", err) : parts > 0 ? 0 : -1;
}

static int walk_prefix(struct pbc_make *m, const char *dir, struct pbc_error *err)
{
    int parts = walk_branches(m, dir, err);

    if (parts == 0)
        return pbc_fail(err, PBC_EXIT_REFUSED,
                        "%s has no bin, lib or another part of a prefix: name its parts, or use "
                        "pbcast bundle dir",
                        dir);
    return parts > 0 ? 0 : -1;
}

/* The interpreter in the tree, if it is of a Python. */
static int find_python(const struct pbc_manifest *found, const char *dir, char out[PBC_PATH_MAX])
{
    if (found->python[0] == '\0')
        return 0;
    for (int i = 0; i < 2; i++) {
        snprintf(out, PBC_PATH_MAX, "%s/bin/python%s", dir, i == 0 ? found->python : "3");
        if (access(out, X_OK) == 0)
            return 1;
    }
    return 0;
}

static int make_prefix(struct pbc_make *m, const char *dir, int fd, struct pbc_error *err)
{
    struct pbc_manifest found = {0};
    char python[PBC_PATH_MAX];
    int rc, has_python;

    rc = m->nrest > 1 ? walk_parts(m, dir, m->rest + 1, m->nrest - 1, err)
                      : walk_prefix(m, dir, err);
    if (rc != 0)
        return -1;
    has_python = pbc_profile_detect(fd, &found, NULL) == 0 && find_python(&found, dir, python);
    pbc_manifest_free(&found);
    return pbc_make_write(m, m->output,
                          m->python != NULL ? m->python
                          : has_python      ? python
                                            : NULL,
                          true, err);
}

int pbc_make_prefix(struct pbc_make *m, struct pbc_error *err)
{
    char *real;
    int fd = open_top(m->rest[0], &real, err);
    int rc;

    if (fd < 0)
        return -1;
    m->meta.origin = real;
    rc = make_prefix(m, real, fd, err);
    close(fd);
    return rc;
}

/* --- dir ----------------------------------------------------------------------------------- */

int pbc_make_dir(struct pbc_make *m, struct pbc_error *err)
{
    char *real;
    int fd = open_top(m->rest[0], &real, err);
    int rc;

    if (fd < 0)
        return -1;
    close(fd);
    m->meta.origin = real;
    rc = m->nrest > 1 ? walk_parts(m, real, m->rest + 1, m->nrest - 1, err)
                      : pbc_walk(&m->walk, m->rest[0], m->at == NULL ? "" : m->at, err);
    return rc == 0 ? pbc_make_write(m, m->output, m->python, false, err) : -1;
}
