#include "place.h"

#include "io.h"
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define INCOMING ".incoming-"
#define MARK     ".agent-"

static int is_ours(const char *name)
{
    return strncmp(name, INCOMING, strlen(INCOMING)) == 0 || strncmp(name, MARK, strlen(MARK)) == 0;
}

/* Its descriptor, locked, or -1. The directory's lock is for the moment between another agent's
 * mkdir and lock only: others wait for it. This is to tidy up, and waits for nobody. */
static int lock_abandoned(int dirfd, const char *name)
{
    int fd;

    if (flock(dirfd, LOCK_EX | LOCK_NB) != 0)
        return -1;
    fd = openat(dirfd, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
        close(fd);
        fd = -1;
    }
    (void)flock(dirfd, LOCK_UN);
    return fd;
}

/* An incoming tree, its manifest or a mark that nobody holds a lock on belongs to an agent that was
 * killed. */
static void remove_abandoned(int dirfd)
{
    int copy = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = copy < 0 ? NULL : fdopendir(copy);
    struct dirent *e;

    if (d == NULL) {
        if (copy >= 0)
            close(copy);
        return;
    }
    while ((e = readdir(d)) != NULL) {
        int fd = is_ours(e->d_name) ? lock_abandoned(dirfd, e->d_name) : -1;

        if (fd < 0)
            continue;
        (void)pbc_remove_tree(dirfd, e->d_name, NULL);
        close(fd);
    }
    closedir(d);
}

static int is_memory(int fd)
{
    struct statfs fs;

    return fstatfs(fd, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

int pbc_place_open(struct pbc_place *p, const char *store, uint32_t job, struct pbc_error *err)
{
    char own[64];
    const char *base = store != NULL ? store : PBC_STORE_DEFAULT;

    memset(p, 0, sizeof(*p));
    p->lockfd = p->treefd = p->manifestfd = p->markfd = -1;
    p->dirfd = pbc_store_open(base, job, geteuid(), err);
    if (p->dirfd < 0 && store == NULL && errno == ENOENT) {
        snprintf(own, sizeof(own), "/dev/shm/pbcast-%u", (unsigned)geteuid());
        base = own;
        if (pbc_store_make(base, job, geteuid(), getegid(), err) != 0)
            return -1;
        p->dirfd = pbc_store_open(base, job, geteuid(), err);
    }
    if (p->dirfd < 0)
        return -1;
    snprintf(p->dir, sizeof(p->dir), "%s/%u", base, (unsigned)job);
    if (is_memory(p->dirfd))
        pbc_memory_open(&p->memory, "");
    remove_abandoned(p->dirfd);
    return 0;
}

int pbc_place_has(const struct pbc_place *p, const char *set)
{
    struct pbc_manifest m;
    struct stat st;

    if (pbc_manifest_read(p->dirfd, set, &m, NULL) != 0)
        return 0;
    pbc_manifest_free(&m);
    return fstatat(p->dirfd, set, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

int pbc_place_base(const struct pbc_place *p, const char *set, unsigned bundles, int *ret_fd,
                   struct pbc_manifest *ret)
{
    if (pbc_manifest_read(p->dirfd, set, ret, NULL) != 0)
        return 0;
    *ret_fd = openat(p->dirfd, set, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (*ret_fd >= 0 && ret->nbundles == bundles)
        return 1;
    if (*ret_fd >= 0)
        close(*ret_fd);
    pbc_manifest_free(ret);
    return 0;
}

uint64_t pbc_place_free(const struct pbc_place *p)
{
    struct statvfs vfs;

    /* What cannot be asked (a tmpfs without a limit says 0 of 0) is found out by writing. */
    if (fstatvfs(p->dirfd, &vfs) != 0 || vfs.f_blocks == 0)
        return UINT64_MAX;
    return (uint64_t)vfs.f_bavail * vfs.f_frsize;
}

int pbc_place_lock(struct pbc_place *p, const char *set, struct pbc_error *err)
{
    if (p->lockfd < 0) {
        char name[PBC_SET_ID_LEN + 8];

        snprintf(name, sizeof(name), "%s.lock", set);
        p->lockfd = openat(p->dirfd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (p->lockfd < 0)
            return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot open %s/%s", p->dir, name);
    }
    if (flock(p->lockfd, LOCK_EX | LOCK_NB) == 0)
        return 1;
    if (errno == EWOULDBLOCK || errno == EINTR)
        return 0;
    return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot lock the set in %s", p->dir);
}

int pbc_place_root(const struct pbc_place *p, const char *set, char out[PBC_PATH_MAX],
                   struct pbc_error *err)
{
    if ((size_t)snprintf(out, PBC_PATH_MAX, "%s/%s", p->dir, set) < PBC_PATH_MAX)
        return 0;
    return pbc_fail(err, PBC_EXIT_FAILED, "the path of the store is too long: %s", p->dir);
}

static int cannot(const struct pbc_place *p, const char *what, const char *name,
                  struct pbc_error *err)
{
    int full = errno == ENOSPC || errno == EDQUOT;

    return pbc_fail_errno(err, full ? PBC_EXIT_NOSPACE : PBC_EXIT_FAILED, "cannot %s %s/%s", what,
                          p->dir, name);
}

static void mark_name(const char *agent, char out[64])
{
    snprintf(out, 64, MARK "%.48s", agent);
}

void pbc_place_mark(struct pbc_place *p, const char *agent)
{
    mark_name(agent, p->mark);
    (void)flock(p->dirfd, LOCK_EX);
    p->markfd = openat(p->dirfd, p->mark, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (p->markfd >= 0 && flock(p->markfd, LOCK_EX | LOCK_NB) != 0) {
        close(p->markfd);
        p->markfd = -1;
    }
    (void)flock(p->dirfd, LOCK_UN);
}

int pbc_place_marked(const struct pbc_place *p, const char *agent)
{
    char name[64];

    mark_name(agent, name);
    return faccessat(p->dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int pbc_place_begin(struct pbc_place *p, struct pbc_error *err)
{
    uint8_t random[8];
    char hex[2 * sizeof(random) + 1];
    int rc = -1;

    randombytes_buf(random, sizeof(random));
    sodium_bin2hex(hex, sizeof(hex), random, sizeof(random));
    snprintf(p->incoming, sizeof(p->incoming), INCOMING "%s", hex);
    (void)flock(p->dirfd, LOCK_EX);
    if (mkdirat(p->dirfd, p->incoming, 0700) != 0) {
        (void)cannot(p, "make", p->incoming, err);
        (void)flock(p->dirfd, LOCK_UN);
        p->incoming[0] = '\0';
        return -1;
    }
    p->treefd = openat(p->dirfd, p->incoming, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (p->treefd >= 0 && flock(p->treefd, LOCK_EX | LOCK_NB) == 0)
        rc = 0;
    else
        pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot open %s/%s", p->dir, p->incoming);
    (void)flock(p->dirfd, LOCK_UN);
    return rc;
}

static const char *incoming_manifest(const struct pbc_place *p, char name[96])
{
    snprintf(name, 96, "%s.manifest", p->incoming);
    return name;
}

int pbc_place_describe(struct pbc_place *p, const struct pbc_manifest *m, struct pbc_error *err)
{
    char name[96];
    size_t len;
    char *text = pbc_manifest_format(m, &len, err);
    int rc = 0;

    if (text == NULL)
        return -1;
    (void)flock(p->dirfd, LOCK_EX);
    p->manifestfd = openat(p->dirfd, incoming_manifest(p, name),
                           O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (p->manifestfd < 0 || flock(p->manifestfd, LOCK_EX | LOCK_NB) != 0 ||
        pbc_io_write(p->manifestfd, text, len) != 0)
        rc = cannot(p, "write", name, err);
    (void)flock(p->dirfd, LOCK_UN);
    free(text);
    return rc;
}

/* What was unpacked takes its set's name. */
static int rename_both(struct pbc_place *p, const char *set, struct pbc_error *err)
{
    char manifest[PBC_SET_ID_LEN + 16];
    char name[96];

    snprintf(manifest, sizeof(manifest), "%s.manifest", set);
    if (renameat(p->dirfd, p->incoming, p->dirfd, set) != 0)
        return cannot(p, "rename the tree to", set, err);
    if (renameat(p->dirfd, incoming_manifest(p, name), p->dirfd, manifest) == 0)
        return 0;
    (void)cannot(p, "write", manifest, err);
    (void)renameat(p->dirfd, set, p->dirfd, p->incoming);
    return -1;
}

static const char *name_aside(const struct pbc_place *p, char name[96])
{
    snprintf(name, 96, "%s.aside", p->incoming);
    return name;
}

/* Nothing is removed here, which could take long: others wait, for the lock and for an answer.
 * pbc_place_close does. */
int pbc_place_publish(struct pbc_place *p, const char *set, struct pbc_error *err)
{
    char name[96];
    int rc = 0;

    /* Runs with different roots may publish the same set here at the same time. */
    if (flock(p->dirfd, LOCK_EX) != 0)
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot lock %s", p->dir);
    if (!pbc_place_has(p, set)) {
        /* a tree without a manifest, perhaps */
        if (renameat(p->dirfd, set, p->dirfd, name_aside(p, name)) != 0 && errno != ENOENT)
            rc = cannot(p, "set aside", set, err);
        if (rc == 0)
            rc = rename_both(p, set, err);
    }
    (void)flock(p->dirfd, LOCK_UN);
    return rc;
}

void pbc_place_close(struct pbc_place *p)
{
    char name[96];

    if (p->incoming[0] != '\0') {
        (void)unlinkat(p->dirfd, incoming_manifest(p, name), 0);
        (void)pbc_remove_tree(p->dirfd, p->incoming, NULL);
        (void)pbc_remove_tree(p->dirfd, name_aside(p, name), NULL);
    }
    if (p->markfd >= 0) {
        (void)unlinkat(p->dirfd, p->mark, 0);
        close(p->markfd);
    }
    if (p->treefd >= 0)
        close(p->treefd);
    if (p->manifestfd >= 0)
        close(p->manifestfd);
    if (p->lockfd >= 0)
        close(p->lockfd);
    if (p->dirfd >= 0)
        close(p->dirfd);
    pbc_memory_close(&p->memory);
    p->markfd = -1;
    p->incoming[0] = '\0';
    p->treefd = p->manifestfd = p->lockfd = p->dirfd = -1;
}
