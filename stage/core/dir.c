#include "dir.h"

#include "bundle.h"
#include "fnv.h"
#include "text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LARGEST 3 /* parts in a message */
#define MORE_ENTRIES                                                                               \
    20000 /* that are looked at when it is too much already, to name the largest                   \
           */

struct large {
    char name[256];
    uint64_t bytes;
};

struct level {
    DIR *dir;
    size_t len; /* of its name in `name` */
};

struct look {
    const char *dir;
    uint64_t max;
    uint64_t entries;
    uint64_t enough; /* entries after which a directory that is too large is left */
    struct pbc_dir_sum sum;
    struct large top; /* of which something is being walked */
    struct large largest[LARGEST];
    char name[PBC_PATH_MAX]; /* relative to `dir` */
    int depth;
    struct level level[PBC_DIR_DEPTH + 1];
};

static int refuse(const struct look *l, const char *why, struct pbc_error *err)
{
    return pbc_fail(err, PBC_EXIT_REFUSED,
                    "%s/%s %s: name the parts of the directory that are needed (DIR:PART:PART)",
                    l->dir, l->name, why);
}

static int failed(const struct look *l, struct pbc_error *err)
{
    return pbc_fail_errno(err, PBC_EXIT_REFUSED, "cannot look at %s%s%s", l->dir,
                          l->name[0] != '\0' ? "/" : "", l->name);
}

/* ---- how large ---- */

static void note_top(struct look *l)
{
    struct large t = l->top;

    for (int i = 0; i < LARGEST; i++) {
        if (t.bytes > l->largest[i].bytes) {
            struct large other = l->largest[i];

            l->largest[i] = t;
            t = other;
        }
    }
    l->top.bytes = 0;
}

static void new_top(struct look *l, const char *name)
{
    note_top(l);
    snprintf(l->top.name, sizeof(l->top.name), "%.250s", name);
}

static const char *words(uint64_t bytes, char out[32])
{
    static const char *const unit[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    int i = 0;

    while (value >= 1024 && i < 4) {
        value /= 1024;
        i++;
    }
    snprintf(out, 32, i == 0 ? "%.0f %s" : "%.1f %s", value, unit[i]);
    return out;
}

static int too_large(struct look *l, struct pbc_error *err)
{
    char have[32], most[32], text[PBC_ERROR_MAX / 2] = "";
    size_t at = 0;

    note_top(l);
    for (int i = 0; i < LARGEST && l->largest[i].bytes > 0 && at < sizeof(text); i++) {
        char part[32];

        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s (%s)", i > 0 ? ", " : "",
                               l->largest[i].name, words(l->largest[i].bytes, part));
    }
    return pbc_fail(
        err, PBC_EXIT_REFUSED,
        "directory %s has %s%s, more than the %s that are packed on the fly; the largest "
        "parts are %s: name those that are needed (DIR:PART:PART), or make a bundle",
        l->dir, l->entries >= l->enough ? "over " : "", words(l->sum.bytes, have),
        words(l->max, most), text);
}

/* ---- what is there ---- */

static void add(struct look *l, const struct stat *st, const char *target)
{
    struct pbc_fnv h = PBC_FNV_BASIS;

    pbc_fnv_add(&h, l->name, strlen(l->name) + 1);
    pbc_fnv_add_u64(&h, st->st_mode);
    if (!S_ISDIR(st->st_mode)) {
        pbc_fnv_add_u64(&h, (uint64_t)st->st_size);
        pbc_fnv_add_u64(&h, (uint64_t)st->st_mtim.tv_sec);
        pbc_fnv_add_u64(&h, (uint64_t)st->st_mtim.tv_nsec);
        pbc_fnv_add(&h, target, strlen(target) + 1);
        l->sum.files++;
    }
    if (S_ISREG(st->st_mode)) {
        l->sum.bytes += (uint64_t)st->st_size;
        l->top.bytes += (uint64_t)st->st_size;
    }
    /* A sum, whatever the order of readdir. */
    l->sum.hi += h.hi;
    l->sum.lo += h.lo;
}

static int enter(struct look *l, int at, const char *part, struct pbc_error *err)
{
    int fd = openat(at, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct level *v = &l->level[l->depth];

    v->dir = fd < 0 ? NULL : fdopendir(fd);
    if (v->dir == NULL) {
        failed(l, err);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    v->len = strlen(l->name);
    l->depth++;
    return 0;
}

/* The name is in l->name already. */
static int look_at(struct look *l, int at, const char *part, struct pbc_error *err)
{
    char target[PBC_PATH_MAX] = "";
    struct stat st;
    size_t dirlen = strlen(l->dir);
    ssize_t n;

    if (fstatat(at, part, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return failed(l, err);
    if (++l->entries > PBC_DIR_ENTRIES)
        return refuse(l, "is one entry too many to be packed on the fly", err);
    if (S_ISLNK(st.st_mode)) {
        n = readlinkat(at, part, target, sizeof(target) - 1);
        if (n < 0)
            return failed(l, err);
        target[n] = '\0';
        if (target[0] == '/' && (strncmp(target, l->dir, dirlen) != 0 ||
                                 (target[dirlen] != '/' && target[dirlen] != '\0')))
            return refuse(l, "is a link out of the directory", err);
    } else if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) {
        return refuse(l, "is a device, fifo or socket", err);
    }
    add(l, &st, target);
    if (!S_ISDIR(st.st_mode))
        return 0;
    if (l->depth == PBC_DIR_DEPTH)
        return refuse(l, "lies too deep", err);
    return enter(l, at, part, err);
}

/* 0, or 1 when it is too large and enough has been seen. */
static int walk(struct look *l, struct pbc_error *err)
{
    const int base = l->depth - 1;

    while (l->depth > base) {
        struct level *v = &l->level[l->depth - 1];
        struct dirent *e;
        size_t len;

        errno = 0;
        e = readdir(v->dir);
        l->name[v->len] = '\0';
        if (e == NULL) {
            if (errno != 0)
                return failed(l, err);
            closedir(v->dir);
            l->depth--;
            continue;
        }
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
            fnmatch(PBC_DIR_LEFT_OUT, e->d_name, 0) == 0)
            continue;
        len = strlen(e->d_name);
        if (v->len + len + 2 > sizeof(l->name))
            return refuse(l, "has a name below it that is too long", err);
        if (v->len == 0)
            new_top(l, e->d_name);
        else
            l->name[v->len] = '/';
        memcpy(l->name + v->len + (v->len > 0), e->d_name, len + 1);
        if (look_at(l, dirfd(v->dir), e->d_name, err) < 0)
            return -1;
        if (l->max != 0 && l->sum.bytes > l->max) {
            if (l->enough == 0)
                l->enough = l->entries + MORE_ENTRIES;
            if (l->entries >= l->enough)
                return 1;
        }
    }
    return 0;
}

static int look_at_parts(struct look *l, int fd, const char *parts, struct pbc_error *err)
{
    int rc = 0;

    while (rc == 0 && parts != NULL && *parts != '\0') {
        size_t len = strcspn(parts, ":");

        memcpy(l->name, parts, len);
        l->name[len] = '\0';
        new_top(l, l->name);
        if (faccessat(fd, l->name, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
            return pbc_fail(err, PBC_EXIT_REFUSED, "directory %s has no part '%s' (DIR:PART:PART)",
                            l->dir, l->name);
        rc = look_at(l, fd, l->name, err);
        if (rc == 0 && l->depth > 0)
            rc = walk(l, err);
        parts += len + (parts[len] == ':');
    }
    return rc;
}

int pbc_dir_look(const char *dir, const char *parts, uint64_t max, struct pbc_dir_sum *ret,
                 struct pbc_error *err)
{
    struct look *l = calloc(1, sizeof(*l));
    int fd, rc = -1;

    if (l == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory to look at %s", dir);
    l->dir = dir;
    l->max = max;
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        pbc_fail_errno(err, PBC_EXIT_REFUSED, "cannot open directory %s", dir);
    } else {
        rc = parts != NULL ? look_at_parts(l, fd, parts, err) : enter(l, fd, ".", err);
        if (parts == NULL && rc == 0)
            rc = walk(l, err);
        if (rc > 0 || (rc == 0 && max != 0 && l->sum.bytes > max)) {
            l->enough = l->enough == 0 ? UINT64_MAX : l->enough;
            rc = too_large(l, err);
        }
        if (rc == 0)
            *ret = l->sum;
        close(fd);
    }
    while (l->depth > 0)
        closedir(l->level[--l->depth].dir);
    free(l);
    return rc;
}

/* ---- parts ---- */

int pbc_dir_check_parts(char *parts, struct pbc_error *err)
{
    char part[PBC_PATH_MAX];
    char *to = parts;

    for (;;) {
        size_t whole = strcspn(parts, ":");
        size_t len = whole > 1 && parts[whole - 1] == '/' ? whole - 1 : whole;

        if (len < sizeof(part)) {
            memcpy(part, parts, len);
            part[len] = '\0';
        }
        if (len >= sizeof(part) || !pbc_text_is_below(part))
            return pbc_fail(err, PBC_EXIT_USAGE,
                            "'%.256s' is no part of a directory: a relative name without '..' is "
                            "needed",
                            len < sizeof(part) ? part : parts);
        memmove(to, parts, len);
        to += len;
        *to = parts[whole];
        if (*to++ == '\0')
            return 0;
        parts += whole + 1;
    }
}

static int is_python(const char *name)
{
    size_t len = strlen("python");

    return strncmp(name, "python", len) == 0 && name[len] >= '0' && name[len] <= '9' &&
           strchr(name, ':') == NULL;
}

char *pbc_dir_userbase_parts(const char *dir, struct pbc_error *err)
{
    char *parts = NULL;
    size_t len;
    FILE *out = open_memstream(&parts, &len);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int lib = fd < 0 ? -1 : openat(fd, "lib", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = lib < 0 ? NULL : fdopendir(lib);
    struct dirent *e;
    struct stat st;
    int found = 0;

    while (out != NULL && d != NULL && (e = readdir(d)) != NULL) {
        if (is_python(e->d_name) && fstatat(lib, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISDIR(st.st_mode))
            fprintf(out, "%slib/%s", found++ > 0 ? ":" : "", e->d_name);
    }
    if (out != NULL && found > 0 && fstatat(fd, "bin", &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISDIR(st.st_mode))
        fputs(":bin", out);
    if (d != NULL)
        closedir(d);
    else if (lib >= 0)
        close(lib);
    if (fd >= 0)
        close(fd);
    if (out == NULL || fclose(out) != 0)
        pbc_fail(err, PBC_EXIT_FAILED, "no memory to look at %s", dir);
    else if (found > 0)
        return parts;
    else
        pbc_fail(err, PBC_EXIT_REFUSED,
                 "user base %s has no lib/pythonX.Y: nothing is installed there; name another "
                 "directory, or leave --pbcast-userbase out",
                 dir);
    free(parts);
    return NULL;
}
