#include "base.h"

#include "beneath.h"
#include "io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_BLOCK (64u << 10)

/* The directory that is being copied. */
struct level {
    DIR *from;
    int to;
    size_t len; /* of its name in `name` */
    mode_t mode;
};

struct copy {
    struct pbc_writer *w;
    const struct pbc_base *base;
    size_t rootlen; /* 0: no file holds the tree's path */
    char name[PBC_PATH_MAX];
    size_t depth;
    struct level level[PBC_NAME_DEPTH + 1];
    char block[PBC_PATH_MAX + COPY_BLOCK]; /* of a file */
};

static int failed(const struct copy *c, struct pbc_error *err)
{
    return pbc_fail_errno(err,
                          errno == ENOSPC || errno == EDQUOT ? PBC_EXIT_NOSPACE : PBC_EXIT_FAILED,
                          "cannot take over '%s' from the set that this one extends", c->name);
}

/* ---- files that hold the tree's path ---- */

/* More of the file behind the `kept` bytes in c->block; as many as are there now, -1 failed. It is
 * read, not mapped: a task may cut it short, and a hole that is mapped becomes memory. At most
 * *left: what a task appends meanwhile is not accounted for. */
static ssize_t read_more(struct copy *c, int from, size_t kept, uint64_t *left)
{
    ssize_t n = pbc_io_read(from, c->block + kept, *left < COPY_BLOCK ? (size_t)*left : COPY_BLOCK);

    if (n < 0)
        return -1;
    *left -= (uint64_t)n;
    return (ssize_t)kept + n;
}

/* How many of the last bytes may be the beginning of the path. */
static size_t tail_of(const struct copy *c, size_t len)
{
    return len < c->rootlen ? len : c->rootlen - 1;
}

/* 1 if the file holds the tree's path, 0 if not, -1 with errno. */
static int holds_root(struct copy *c, int from, uint64_t size)
{
    size_t kept = 0;
    ssize_t n;

    while ((n = read_more(c, from, kept, &size)) > (ssize_t)kept) {
        if (memmem(c->block, (size_t)n, c->base->old_root, c->rootlen) != NULL)
            return 1;
        kept = tail_of(c, (size_t)n);
        memmove(c->block, c->block + (size_t)n - kept, kept);
    }
    return n < 0 ? -1 : 0;
}

static int write_replaced(struct copy *c, int from, int to, uint64_t size)
{
    size_t kept = 0;
    ssize_t n;

    while ((n = read_more(c, from, kept, &size)) > (ssize_t)kept) {
        const char *data = c->block, *hit;
        size_t len = (size_t)n;

        while ((hit = memmem(data, len, c->base->old_root, c->rootlen)) != NULL) {
            if (pbc_io_write(to, data, (size_t)(hit - data)) != 0 ||
                pbc_io_write(to, c->base->new_root, c->rootlen) != 0)
                return -1;
            len -= (size_t)(hit - data) + c->rootlen;
            data = hit + c->rootlen;
        }
        kept = tail_of(c, len);
        if (pbc_io_write(to, data, len - kept) != 0)
            return -1;
        memmove(c->block, data + len - kept, kept);
    }
    return n < 0 ? -1 : pbc_io_write(to, c->block, kept);
}

static int copy_file(struct copy *c, int from, const char *part, const struct stat *st,
                     struct pbc_error *err)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, st->st_mtim};
    int rc = 0;
    int fd;

    if (pbc_writer_copies(c->w, c->name, (uint64_t)st->st_size, err) != 0)
        return -1;
    fd = openat(c->level[c->depth - 1].to, part,
                O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return failed(c, err);
    if (lseek(from, 0, SEEK_SET) != 0 || write_replaced(c, from, fd, (uint64_t)st->st_size) != 0 ||
        fchmod(fd, st->st_mode & 0755) != 0 || futimens(fd, times) != 0)
        rc = failed(c, err);
    close(fd);
    pbc_writer_copied(c->w, (uint64_t)st->st_size);
    return rc;
}

/* 1 if the file holds the tree's path, and is copied; 0 if not. */
static int copy_if_it_holds_root(struct copy *c, int from, const char *part, struct pbc_error *err)
{
    struct stat st;
    int rc = 0;
    int fd;

    if (c->rootlen == 0)
        return 0;
    fd = openat(from, part, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : failed(c, err);
    if (fstat(fd, &st) != 0)
        rc = failed(c, err);
    else if (S_ISREG(st.st_mode) && (size_t)st.st_size >= c->rootlen &&
             (rc = holds_root(c, fd, (uint64_t)st.st_size)) < 0)
        rc = failed(c, err);
    if (rc > 0 && copy_file(c, fd, part, &st, err) != 0)
        rc = -1;
    close(fd);
    return rc;
}

/* ---- the tree ---- */

static int enter(struct copy *c, int from, int to, size_t len, mode_t mode, struct pbc_error *err)
{
    struct level *l = &c->level[c->depth];

    l->from = from < 0 ? NULL : fdopendir(from);
    if (l->from == NULL || to < 0) {
        failed(c, err);
        if (l->from != NULL)
            closedir(l->from);
        else if (from >= 0)
            close(from);
        if (to >= 0)
            close(to);
        return -1;
    }
    l->to = to;
    l->len = len;
    l->mode = mode;
    c->depth++;
    return 0;
}

static int leave(struct copy *c, struct pbc_error *err)
{
    struct level *l = &c->level[--c->depth];
    int rc = 0;

    c->name[l->len] = '\0';
    if (c->depth > 0 && fchmod(l->to, l->mode) != 0)
        rc = failed(c, err);
    closedir(l->from);
    close(l->to);
    return rc;
}

static int copy_dir(struct copy *c, const char *part, mode_t mode, struct pbc_error *err)
{
    const struct level *l = &c->level[c->depth - 1];
    int from, to;

    if (c->depth == PBC_NAME_DEPTH)
        return pbc_fail(err, PBC_EXIT_REFUSED,
                        "'%.64s...' of the set that this one extends lies too deep", c->name);
    from = openat(dirfd(l->from), part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (from < 0 && errno == ENOENT)
        return 0;
    if (from < 0 || mkdirat(l->to, part, 0700) != 0) {
        failed(c, err);
        if (from >= 0)
            close(from);
        return -1;
    }
    to = openat(l->to, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return enter(c, from, to, strlen(c->name), (mode & 0755) | 0700, err);
}

static int copy_entry(struct copy *c, const char *part, struct pbc_error *err)
{
    const struct level *l = &c->level[c->depth - 1];
    size_t len = strlen(part);
    struct stat st;
    int rc;

    if (l->len + len + 2 > sizeof(c->name))
        return pbc_fail(err, PBC_EXIT_REFUSED,
                        "a name of the set that this one extends is too long: '%.64s...'", c->name);
    c->name[l->len] = '/';
    memcpy(c->name + l->len + (l->len > 0), part, len + 1);
    if (fstatat(dirfd(l->from), part, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? 0 : failed(c, err);
    if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
        return 0;
    /* A task has made it: no bundle can. */
    if (S_ISLNK(st.st_mode) && pbc_follow(c->base->fd, c->name, NULL, NULL) == PBC_OUTSIDE)
        return 0;
    if (pbc_writer_take_over(c->w, c->name, S_ISLNK(st.st_mode), err) != 0)
        return -1;
    if (S_ISDIR(st.st_mode))
        return copy_dir(c, part, st.st_mode, err);
    rc = S_ISREG(st.st_mode) ? copy_if_it_holds_root(c, dirfd(l->from), part, err) : 0;
    if (rc != 0)
        return rc < 0 ? -1 : 0;
    if (linkat(dirfd(l->from), part, l->to, part, 0) == 0 || errno == ENOENT)
        return 0;
    return failed(c, err);
}

int pbc_base_copy(struct pbc_writer *w, const struct pbc_base *base, struct pbc_error *err)
{
    struct copy *c = calloc(1, sizeof(*c));
    int rc = -1;

    if (c == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory to extend a set");
    c->w = w;
    c->base = base;
    c->rootlen = strlen(base->old_root);
    if (strlen(base->new_root) != c->rootlen)
        pbc_fail(err, PBC_EXIT_FAILED, "the paths of two sets differ in length");
    else if (pbc_writer_begin_with(w, base->files, base->bytes, err) == 0)
        rc = enter(c, openat(base->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                   openat(pbc_writer_root(w), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), 0, 0, err);
    while (rc == 0 && c->depth > 0) {
        struct dirent *e;

        errno = 0;
        e = readdir(c->level[c->depth - 1].from);
        if (e == NULL)
            rc = errno != 0 ? failed(c, err) : leave(c, err);
        else if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            rc = copy_entry(c, e->d_name, err);
    }
    while (c->depth > 0)
        (void)leave(c, NULL);
    free(c);
    return rc;
}
