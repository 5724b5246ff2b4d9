/* Removing a tree that its owner may be changing at the same time.
 *
 * No path is walked. Every directory below is renamed into the top directory and emptied there, so
 * that two descriptors are enough however deep the tree is, ".." is never needed, and each name is
 * a single component looked up in a directory that is held open. Root takes a directory from its
 * owner before looking into it: nobody who still runs can then add to it or swap its entries.
 */
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS_MAX 16         /* looks at one directory that does not get empty */
#define IDLE_MAX   100        /* looks at the top that find nothing to do, 10 ms apart */
#define NESTED_MAX 16         /* directories that cannot be renamed, one in the other */
#define DIRS_MAX   (1u << 26) /* directories in all: who makes them faster than we remove them */

struct removal {
    struct pbc_error first;
    bool failed;
    uint64_t removed; /* entries */
    uint64_t dirs;    /* looked into */
};

/* One directory that those below it are moved to. */
struct top {
    DIR *dir;
    char prefix[32];
    uint64_t moved; /* names given: prefix0 .. */
    int nested;
};

static int remove_dir(struct removal *r, int at, const char *name, int nested);

/* Where the first error goes; NULL for those after it. */
static struct pbc_error *first_error(struct removal *r)
{
    if (r->failed)
        return NULL;
    r->failed = true;
    return &r->first;
}

static int fail_at(struct removal *r, int at, const char *name)
{
    char link[32], path[3072];
    const char *what = errno == EBUSY || errno == EXDEV ? "a mount is in the way: " : "";
    int saved = errno;
    ssize_t n;

    if (r->failed)
        return -1;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", at);
    n = readlink(link, path, sizeof(path) - 1);
    path[n > 0 ? n : 0] = '\0';
    errno = saved;
    return pbc_fail_errno(first_error(r), PBC_EXIT_FAILED, "%scannot remove %.700s%s%s", what, path,
                          n > 0 ? "/" : "", name);
}

/* The number of the mount that `fd` lies on; -1 when the kernel does not tell. */
static long long mount_of(int fd)
{
    char path[40], line[128];
    long long mount = -1;
    FILE *info;

    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    info = fopen(path, "re");
    if (info == NULL)
        return -1;
    while (mount < 0 && fgets(line, sizeof(line), info) != NULL) {
        if (strncmp(line, "mnt_id:", 7) == 0)
            mount = strtoll(line + 7, NULL, 10);
    }
    fclose(info);
    return mount;
}

/* A mount of another directory of the same file system has the same st_dev. */
static bool same_mount(int a, int b)
{
    struct stat sta, stb;

    return fstat(a, &sta) == 0 && fstat(b, &stb) == 0 && sta.st_dev == stb.st_dev &&
           mount_of(a) == mount_of(b);
}

/* Open the directory `name` itself: no link, no mount (EXDEV). */
static int open_dir(int at, const char *name, int flags)
{
    struct open_how how = {
        .flags = (unsigned)(flags | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
        .resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH,
    };
    int fd = (int)syscall(SYS_openat2, at, name, &how, sizeof(how));

    /* EPERM is what some containers answer to calls that they do not know */
    if (fd >= 0 || (errno != ENOSYS && errno != EPERM))
        return fd;
    fd = openat(at, name, flags | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && !same_mount(at, fd)) {
        close(fd);
        errno = EXDEV;
        return -1;
    }
    return fd;
}

/* Give the directory `name` to its owner, who may have locked himself out. */
static int unlock(int at, const char *name)
{
    char path[40];
    int fd = open_dir(at, name, O_PATH), rc;

    if (fd < 0)
        return -1;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    rc = chmod(path, 0700);
    close(fd);
    return rc;
}

/* EPERM: no such right in a user namespace; what follows may work all the same. */
static int take(int fd)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -1;
    if (geteuid() == 0 && st.st_uid != 0 && fchown(fd, 0, 0) < 0 && errno != EPERM)
        return -1;
    if ((st.st_mode & 07777) != 0700 && fchmod(fd, 0700) < 0 && errno != EPERM)
        return -1;
    return 0;
}

/* Open `name` for emptying; NULL with errno. */
static DIR *enter(int at, const char *name)
{
    DIR *dir;
    int fd, saved;

    fd = open_dir(at, name, O_RDONLY);
    if (fd < 0 && errno == EACCES && unlock(at, name) == 0)
        fd = open_dir(at, name, O_RDONLY);
    if (fd < 0)
        return NULL;
    if (take(fd) == 0 && (dir = fdopendir(fd)) != NULL)
        return dir;
    saved = errno;
    close(fd);
    errno = saved;
    return NULL;
}

static int random_prefix(char *prefix, size_t size)
{
    unsigned long long number;

    if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
        return -1;
    snprintf(prefix, size, ".pbc-%016llx-", number);
    return 0;
}

/* Move the directory `name` in `at` to the top; remove it in place where that cannot be done. */
static int move_up(struct removal *r, struct top *top, int at, const char *name)
{
    int topfd = dirfd(top->dir), rc;
    char moved[64];

    snprintf(moved, sizeof(moved), "%s%llu", top->prefix, (unsigned long long)top->moved++);
    rc = renameat(at, name, topfd, moved);
    /* a directory that changes its parent is written to */
    if (rc < 0 && errno == EACCES && unlock(at, name) == 0)
        rc = renameat(at, name, topfd, moved);
    if (rc == 0 || errno == ENOENT)
        return 0;
    if (errno == EBUSY)
        return fail_at(r, at, name);
    /* no space for the new name, a project quota, a name that somebody was quicker to take */
    return remove_dir(r, at, name, top->nested + 1);
}

/* 0 when the entry is gone, 1 when it is a directory with something in it, -1. */
static int remove_entry(struct removal *r, int at, const char *name)
{
    /* never removes a directory on Linux, whoever calls it */
    if (unlinkat(at, name, 0) < 0) {
        int saved = errno;

        if (errno == ENOENT)
            return 0;
        if (errno != EISDIR)
            return fail_at(r, at, name);
        if (unlinkat(at, name, AT_REMOVEDIR) < 0) {
            if (errno == ENOENT)
                return 0;
            if (errno == ENOTEMPTY || errno == EEXIST)
                return 1;
            if (errno == ENOTDIR)
                errno = saved;
            return fail_at(r, at, name);
        }
    }
    r->removed++;
    return 0;
}

/* Remove what a directory holds, or move it up. Returns how many entries went away. */
static uint64_t sweep(struct removal *r, struct top *top, DIR *dir)
{
    size_t prefix = strlen(top->prefix);
    uint64_t gone = 0;
    struct dirent *entry;

    rewinddir(dir);
    while ((entry = readdir(dir)) != NULL) {
        const char *name = entry->d_name;
        int rc;

        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
            continue;
        if (dir == top->dir && strncmp(name, top->prefix, prefix) == 0)
            continue;
        rc = remove_entry(r, dirfd(dir), name);
        if (rc == 1)
            rc = move_up(r, top, dirfd(dir), name);
        if (rc == 0)
            gone++;
    }
    return gone;
}

/* Open `name` for emptying; NULL when it is gone, or with rc -1 when it cannot be. */
static DIR *enter_or_unlink(struct removal *r, int at, const char *name, int *rc)
{
    DIR *dir = enter(at, name);

    *rc = 0;
    if (dir != NULL || errno == ENOENT)
        return dir;
    /* not a directory, or not any more */
    if ((errno == ENOTDIR || errno == ELOOP) && unlinkat(at, name, 0) == 0)
        r->removed++;
    else if (errno != ENOENT)
        *rc = fail_at(r, at, name);
    return NULL;
}

/* Empty and remove one of those that were moved to the top. */
static void remove_moved(struct removal *r, struct top *top, const char *name)
{
    int topfd = dirfd(top->dir), rc;
    DIR *dir = enter_or_unlink(r, topfd, name, &rc);

    if (dir == NULL)
        return;
    for (int round = 0; round < ROUNDS_MAX; round++) {
        uint64_t gone = sweep(r, top, dir);

        rc = unlinkat(topfd, name, AT_REMOVEDIR);
        if (rc == 0 || (errno != ENOTEMPTY && errno != EEXIST) || (gone == 0 && r->failed))
            break;
    }
    if (rc == 0)
        r->removed++;
    else if (errno != ENOENT)
        fail_at(r, topfd, name);
    closedir(dir);
}

/* All that was moved to the top, and what is moved there meanwhile. */
static void remove_all_moved(struct removal *r, struct top *top)
{
    for (uint64_t next = 0; next < top->moved; next++) {
        char name[64];

        if (++r->dirs > DIRS_MAX) {
            pbc_fail(first_error(r), PBC_EXIT_FAILED,
                     "gave up after %u directories: somebody goes on making them", DIRS_MAX);
            return;
        }
        snprintf(name, sizeof(name), "%s%llu", top->prefix, (unsigned long long)next);
        remove_moved(r, top, name);
    }
}

/* One look at all of the top, and an attempt to remove it. */
static int remove_top(struct removal *r, struct top *top, int at, const char *name)
{
    /* a new prefix: what somebody else has named like ours is an entry as any other */
    if (random_prefix(top->prefix, sizeof(top->prefix)) < 0)
        return -1;
    top->moved = 0;
    sweep(r, top, top->dir);
    remove_all_moved(r, top);
    if (unlinkat(at, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        return -1;
    r->removed++;
    return 0;
}

static int remove_dir(struct removal *r, int at, const char *name, int nested)
{
    const struct timespec pause = {.tv_nsec = 10000000L};
    struct top top = {.nested = nested};
    int idle = 0, rc;

    if (nested > NESTED_MAX) {
        errno = ELOOP;
        return fail_at(r, at, name);
    }
    top.dir = enter_or_unlink(r, at, name, &rc);
    if (top.dir == NULL)
        return rc;
    for (;;) {
        uint64_t removed = r->removed;

        rc = remove_top(r, &top, at, name);
        if (rc == 0)
            break;
        if ((errno != ENOTEMPTY && errno != EEXIST) || ++r->dirs > DIRS_MAX || idle == IDLE_MAX ||
            (r->failed && r->removed == removed)) {
            fail_at(r, at, name);
            break;
        }
        if (r->removed > removed) {
            idle = 0;
        } else {
            idle++; /* another removal is at work on it */
            nanosleep(&pause, NULL);
        }
    }
    closedir(top.dir);
    return rc;
}

int pbc_remove_tree(int dirfd, const char *name, struct pbc_error *err)
{
    struct removal r = {.failed = false};

    if (name[0] == '\0' || strchr(name, '/') != NULL || strcmp(name, ".") == 0 ||
        strcmp(name, "..") == 0)
        return pbc_fail(err, PBC_EXIT_FAILED, "\"%s\" is not a name to remove", name);
    if (remove_dir(&r, dirfd, name, 0) == 0)
        return 0;
    if (err != NULL)
        *err = r.first;
    return -1;
}
