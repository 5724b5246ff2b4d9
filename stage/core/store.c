#include "store.h"

#include "site.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define STORE_MODE 0755
#define JOB_MODE   0700
#define PURGE      ".purge-"

/* How long to wait for another call that has made a directory and not yet given it away. */
#define SETTLE_STEPS 100
#define SETTLE_NANOS 10000000L

#define MAKE_TRIES 3

/* ---- the way to the store ---- */

/* Closes `fd` and keeps errno: ENOENT tells callers something. */
static void drop(int fd)
{
    int saved = errno;

    if (fd >= 0)
        close(fd);
    errno = saved;
}

/* A refusal is never to be taken for "does not exist". */
static int refuse(struct pbc_error *err, const char *path, const struct stat *st, const char *why)
{
    errno = EPERM;
    return pbc_fail(err, PBC_EXIT_FAILED, "%s (owner %u, mode %04o) %s", path, (unsigned)st->st_uid,
                    (unsigned)st->st_mode & 07777, why);
}

/* Say why `name` could not be opened as a directory; errno is that of the open. */
static int refuse_open(int at, const char *name, const char *path, struct pbc_error *err)
{
    int saved = errno;
    struct stat st;

    if ((saved == ENOTDIR || saved == ELOOP) && fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        if (S_ISLNK(st.st_mode))
            return refuse(err, path, &st,
                          "is a symbolic link, and links are not followed: give store= the real "
                          "path, or remove the link");
        if (!S_ISDIR(st.st_mode))
            return refuse(err, path, &st, "is not a directory: move it out of the way");
    }
    errno = saved;
    return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot open %s", path);
}

static bool is_trusted(uid_t uid)
{
    return uid == 0 || uid == geteuid();
}

static int check_parent(int fd, const char *path, struct pbc_error *err)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot look at %s", path);
    if (!is_trusted(st.st_uid))
        return refuse(err, path, &st,
                      "is a parent of the store and does not belong to root: choose another "
                      "store=, or chown it");
    if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0 && (st.st_mode & S_ISVTX) == 0)
        return refuse(err, path, &st,
                      "is a parent of the store that others can write to: choose another store=, "
                      "or chmod go-w it");
    return 0;
}

/* An O_PATH descriptor of the directory that the store lies in, checked from "/" downwards; the
 * store's name there in `leaf`. -1 with err, errno ENOENT when a parent is missing. */
static int open_parent(const char *store, char leaf[NAME_MAX + 1], struct pbc_error *err)
{
    const char *p = store + strspn(store, "/");
    char path[PATH_MAX];
    int fd;

    errno = EINVAL;
    if (store[0] != '/' || strlen(store) >= sizeof(path))
        return pbc_fail(err, PBC_EXIT_USAGE, "the store must be an absolute path: %.256s", store);
    fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot open /");
    strcpy(path, "/");
    for (;;) {
        size_t len = strcspn(p, "/");
        const char *next = p + len + strspn(p + len, "/");
        int child;

        if (len == 0 || len > NAME_MAX || (len == 1 && p[0] == '.') ||
            (len == 2 && p[0] == '.' && p[1] == '.')) {
            errno = EINVAL;
            pbc_fail(err, PBC_EXIT_USAGE, "the store must be a path without \"..\", not \"/\": %s",
                     store);
            break;
        }
        if (check_parent(fd, path, err) < 0)
            break;
        memcpy(leaf, p, len);
        leaf[len] = '\0';
        if (*next == '\0')
            return fd;
        memcpy(path, store, (size_t)(p + len - store));
        path[p + len - store] = '\0';
        child = openat(fd, leaf, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (child < 0 && errno == ENOENT) {
            pbc_fail_errno(err, PBC_EXIT_FAILED,
                           "cannot open %s, in which the store is to lie (make it on each node, or "
                           "correct store=)",
                           path);
            break;
        }
        if (child < 0) {
            refuse_open(fd, leaf, path, err);
            break;
        }
        close(fd);
        fd = child;
        p = next;
    }
    drop(fd);
    return -1;
}

/* The store itself, for reading; checked as far as not to be deceived by it. */
static int open_store(const char *store, struct pbc_error *err)
{
    char leaf[NAME_MAX + 1];
    int parent = open_parent(store, leaf, err), fd;
    struct stat st;

    if (parent < 0)
        return -1;
    fd = openat(parent, leaf, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        refuse_open(parent, leaf, store, err);
    drop(parent);
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) < 0) {
        pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot look at %s", store);
    } else if (!is_trusted(st.st_uid) || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        refuse(err, store, &st,
               "is not a store: it must belong to root and have mode 0755; remove it, or choose "
               "another store=");
    } else {
        return fd;
    }
    drop(fd);
    return -1;
}

/* ---- making ---- */

static bool is_as_made(const struct stat *st, mode_t mode, uid_t uid)
{
    return st->st_uid == uid && (st->st_mode & 07777) == mode;
}

/* What another call may be about to finish: still ours, with nothing allowed beyond `mode`. */
static bool is_in_the_making(const struct stat *st, mode_t mode)
{
    return st->st_uid == geteuid() && (st->st_mode & 07777 & ~mode) == 0;
}

static int settle(int fd, mode_t mode, uid_t uid, struct stat *st)
{
    const struct timespec pause = {.tv_nsec = SETTLE_NANOS};

    for (int i = 0;; i++) {
        if (fstat(fd, st) < 0)
            return -1;
        if (is_as_made(st, mode, uid) || !is_in_the_making(st, mode) || i == SETTLE_STEPS)
            return 0;
        nanosleep(&pause, NULL);
    }
}

/* By descriptor: neither the umask nor a default ACL has a say. The owner comes last. */
static int finish(int fd, mode_t mode, uid_t uid, gid_t gid)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -1;
    if (st.st_uid != geteuid()) {
        errno = EPERM;
        return -1;
    }
    if (fchmod(fd, mode) < 0)
        return -1;
    if (st.st_uid != uid || st.st_gid != gid)
        return fchown(fd, uid, gid);
    return 0;
}

/* The directory `name` in `at`, made if it is not there. Returns its descriptor. */
static int make_dir(int at, const char *name, const char *path, mode_t mode, uid_t uid, gid_t gid,
                    struct pbc_error *err)
{
    bool made = mkdirat(at, name, mode) == 0;
    struct stat st;
    int fd;

    if (!made && errno != EEXIST)
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot make %s", path);
    fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return refuse_open(at, name, path, err);
    if (made && finish(fd, mode, uid, gid) < 0) {
        pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot set owner and mode of %s", path);
        unlinkat(at, name, AT_REMOVEDIR);
        goto fail;
    }
    if (settle(fd, mode, uid, &st) < 0) {
        pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot look at %s", path);
        goto fail;
    }
    if (!is_as_made(&st, mode, uid)) {
        char why[128];

        snprintf(why, sizeof(why), "is in the way of a directory of owner %u with mode %04o: %s",
                 (unsigned)uid, (unsigned)mode, "remove it, or give it that owner and mode");
        refuse(err, path, &st, why);
        goto fail;
    }
    return fd;
fail:
    drop(fd);
    return -1;
}

static void job_name(uint32_t job, char name[16])
{
    snprintf(name, 16, "%u", (unsigned)job);
}

static int make_job(const char *store, uint32_t job, uid_t uid, gid_t gid, struct pbc_error *err)
{
    char leaf[NAME_MAX + 1], name[16], path[PATH_MAX + 16];
    int parent, storefd, fd;

    parent = open_parent(store, leaf, err);
    if (parent < 0)
        return -1;
    storefd = make_dir(parent, leaf, store, STORE_MODE, geteuid(), getegid(), err);
    drop(parent);
    if (storefd < 0)
        return -1;
    job_name(job, name);
    snprintf(path, sizeof(path), "%s/%s", store, name);
    fd = make_dir(storefd, name, path, JOB_MODE, uid, gid, err);
    drop(storefd);
    if (fd < 0)
        return -1;
    close(fd);
    return 0;
}

int pbc_store_make(const char *store, uint32_t job, uid_t uid, gid_t gid, struct pbc_error *err)
{
    int rc = -1;

    /* -1 would leave the owner as it is */
    if (job == 0 || uid == (uid_t)-1 || gid == (gid_t)-1)
        return pbc_fail(err, PBC_EXIT_FAILED, "job %u of user %u, group %u cannot have a store",
                        (unsigned)job, (unsigned)uid, (unsigned)gid);
    /* A store of the user's own goes with the last job that is purged, which may be just now. */
    for (int tries = 0; rc < 0 && tries < MAKE_TRIES && (tries == 0 || errno == ENOENT); tries++)
        rc = make_job(store, job, uid, gid, err);
    return rc;
}

int pbc_store_open(const char *store, uint32_t job, uid_t uid, struct pbc_error *err)
{
    char name[16], path[PATH_MAX + 16];
    int storefd = open_store(store, err), fd;
    struct stat st = {0};

    if (storefd < 0)
        return -1;
    job_name(job, name);
    snprintf(path, sizeof(path), "%s/%s", store, name);
    fd = openat(storefd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        refuse_open(storefd, name, path, err);
    drop(storefd);
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) == 0 && is_as_made(&st, JOB_MODE, uid))
        return fd;
    refuse(err, path, &st, "is not the job's directory: its user must own it, with mode 0700");
    drop(fd);
    return -1;
}

/* ---- removing ---- */

/* A name for a directory that is being removed; after an interruption it tells that. */
static void purge_name(uint32_t job, char name[64])
{
    unsigned long long number = 0;

    if (getrandom(&number, sizeof(number), GRND_NONBLOCK) != (ssize_t)sizeof(number))
        number = (unsigned long long)getpid(); /* only a name: the store is root's */
    snprintf(name, 64, PURGE "%u-%016llx", (unsigned)job, number);
}

int pbc_store_purge(const char *store, uint32_t job, struct pbc_error *err)
{
    char name[16], aside[64];
    int storefd = open_store(store, err), rc;

    if (storefd < 0)
        return errno == ENOENT ? 0 : -1;
    job_name(job, name);
    purge_name(job, aside);
    if (renameat(storefd, name, storefd, aside) == 0)
        rc = pbc_remove_tree(storefd, aside, err);
    else if (errno == ENOENT)
        rc = 0;
    else
        rc = pbc_remove_tree(storefd, name, err); /* says what is in the way */
    close(storefd);
    return rc;
}

/* The job whose directory has this name; 0 when it is another name. */
static uint32_t job_of(const char *name)
{
    unsigned long job;

    if (name[0] == '0' || pbc_parse_number(name, 1, UINT32_MAX, &job) < 0)
        return 0;
    return (uint32_t)job;
}

struct jobs {
    uint32_t *id;
    size_t count, room;
};

static int add_job(struct jobs *jobs, uint32_t job, struct pbc_error *err)
{
    if (jobs->count == jobs->room) {
        size_t room = jobs->room > 0 ? 2 * jobs->room : 64;
        uint32_t *id = reallocarray(jobs->id, room, sizeof(*id));

        if (id == NULL)
            return pbc_fail(err, PBC_EXIT_FAILED, "no memory to list the store");
        jobs->id = id;
        jobs->room = room;
    }
    jobs->id[jobs->count++] = job;
    return 0;
}

/* Collect the jobs before any of them is purged, which changes the directory. Leftovers are
 * removed; the first that cannot be is in err. */
static int list_store(DIR *dir, struct jobs *jobs, struct pbc_error *err)
{
    struct dirent *entry;
    int rc = 0;

    while ((entry = readdir(dir)) != NULL) {
        uint32_t job = job_of(entry->d_name);

        if (job != 0 && add_job(jobs, job, rc == 0 ? err : NULL) < 0)
            return -1;
        if (strncmp(entry->d_name, PURGE, strlen(PURGE)) == 0 &&
            pbc_remove_tree(dirfd(dir), entry->d_name, rc == 0 ? err : NULL) < 0)
            rc = -1;
    }
    return rc;
}

int pbc_store_each(const char *store, void (*fn)(uint32_t job, void *arg), void *arg,
                   struct pbc_error *err)
{
    int storefd = open_store(store, err), rc, count;
    struct jobs jobs = {0};
    DIR *dir;

    if (storefd < 0)
        return errno == ENOENT ? 0 : -1;
    dir = fdopendir(storefd);
    if (dir == NULL) {
        pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot list %s", store);
        close(storefd);
        return -1;
    }
    rc = list_store(dir, &jobs, err);
    closedir(dir);
    for (size_t i = 0; i < jobs.count; i++)
        fn(jobs.id[i], arg);
    count = jobs.count < INT_MAX ? (int)jobs.count : INT_MAX;
    free(jobs.id);
    return rc < 0 ? -1 : count;
}
