#include "trusted.h"

#include "bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINKS_MAX 40 /* as the kernel */

/* The way from "/" to a file. */
struct way {
    const char *path; /* as it was asked for */
    char left[2 * PBC_PATH_MAX];
    int dir; /* O_PATH */
    unsigned links;
};

static int refuse(const struct way *w, const char *what, const struct stat *st, const char *why,
                  struct pbc_error *err)
{
    return pbc_fail(err, PBC_EXIT_FAILED,
                    "%s is not trusted: '%s' on the way (owner %u, mode %04o) %s", w->path, what,
                    (unsigned)st->st_uid, (unsigned)st->st_mode & 07777, why);
}

/* A link has a mode that means nothing. */
static int check(const struct way *w, const char *what, const struct stat *st,
                 struct pbc_error *err)
{
    if (st->st_uid != 0)
        return refuse(w, what, st, "does not belong to root: chown it", err);
    if (!S_ISLNK(st->st_mode) && (st->st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return refuse(w, what, st, "can be written by others: chmod go-w it", err);
    return 0;
}

static int go_to_root(struct way *w, struct pbc_error *err)
{
    struct stat st;
    int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot open /");
    if (w->dir >= 0)
        close(w->dir);
    w->dir = fd;
    if (fstat(fd, &st) < 0)
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot look at /");
    return check(w, "/", &st, err);
}

/* Put the link's target before what is left of the way. */
static int follow(struct way *w, int link, struct pbc_error *err)
{
    char target[PBC_PATH_MAX];
    char left[sizeof(w->left)];
    ssize_t n = readlinkat(link, "", target, sizeof(target) - 1);

    if (n < 0)
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot read a link on the way to %s", w->path);
    target[n] = '\0';
    if (++w->links > LINKS_MAX || (size_t)n + 1 + strlen(w->left) >= PBC_PATH_MAX)
        return pbc_fail(err, PBC_EXIT_FAILED, "too many symbolic links on the way to %s", w->path);
    strcpy(left, target);
    strcat(left, "/");
    strcat(left, w->left);
    strcpy(w->left, left);
    return target[0] == '/' ? go_to_root(w, err) : 0;
}

/* Take the next component off the way. *ret_last says whether it was the last. 0 when none is left.
 */
static size_t next(struct way *w, char part[NAME_MAX + 1], int *ret_last)
{
    char *p = w->left + strspn(w->left, "/");
    size_t len = strcspn(p, "/");
    char *rest = p + len + strspn(p + len, "/");

    if (len == 0 || len > NAME_MAX)
        return len;
    memcpy(part, p, len);
    part[len] = '\0';
    *ret_last = *rest == '\0';
    memmove(w->left, rest, strlen(rest) + 1);
    return len;
}

/* One component further. 1 when `*ret_file` is the file: nobody but root could have exchanged it
 * since it was looked at. */
static int step(struct way *w, int *ret_file, struct pbc_error *err)
{
    char part[NAME_MAX + 1];
    struct stat st;
    int last = 0, fd, rc;
    size_t len = next(w, part, &last);

    if (len == 0)
        return pbc_fail(err, PBC_EXIT_FAILED, "%s is not a regular file", w->path);
    if (len > NAME_MAX) {
        errno = ENAMETOOLONG;
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot open %s", w->path);
    }
    fd = openat(w->dir, part, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot open %s: '%s'", w->path, part);
    if (fstat(fd, &st) < 0)
        rc = pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot look at '%s' on the way to %s", part,
                            w->path);
    else
        rc = check(w, part, &st, err);
    if (rc == 0 && S_ISLNK(st.st_mode)) {
        rc = follow(w, fd, err);
    } else if (rc == 0 && S_ISDIR(st.st_mode) && !last) {
        close(w->dir);
        w->dir = fd;
        return 0;
    } else if (rc == 0 && (!last || !S_ISREG(st.st_mode))) {
        rc = pbc_fail(err, PBC_EXIT_FAILED, "%s is not a regular file", w->path);
    } else if (rc == 0) {
        *ret_file = openat(w->dir, part, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        rc = *ret_file < 0 ? pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot open %s", w->path) : 1;
    }
    close(fd);
    return rc;
}

static char *read_all(int fd, const char *path, size_t max, size_t *ret_len, struct pbc_error *err)
{
    size_t size = 0, len = 0;
    char *text = NULL;

    for (;;) {
        ssize_t n;

        if (len + 1 >= size) {
            char *more;

            size = size == 0 ? 4096 : 2 * size;
            more = realloc(text, size);
            if (more == NULL) {
                pbc_fail(err, PBC_EXIT_FAILED, "no memory to read %s", path);
                break;
            }
            text = more;
        }
        n = read(fd, text + len, size - len - 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot read %s", path);
            break;
        }
        len += (size_t)n;
        if (len > max) {
            pbc_fail(err, PBC_EXIT_FAILED, "%s is longer than %zu bytes", path, max);
            break;
        }
        if (n == 0) {
            text[len] = '\0';
            *ret_len = len;
            return text;
        }
    }
    free(text);
    return NULL;
}

char *pbc_trusted_read(const char *path, size_t max, size_t *ret_len, struct pbc_error *err)
{
    struct way w = {.path = path, .dir = -1};
    char *text = NULL;
    int file = -1, rc;

    if (path[0] != '/' || strlen(path) >= PBC_PATH_MAX) {
        pbc_fail(err, PBC_EXIT_FAILED, "%.256s is not an absolute path", path);
        return NULL;
    }
    strcpy(w.left, path);
    rc = go_to_root(&w, err);
    while (rc == 0)
        rc = step(&w, &file, err);
    if (rc > 0) {
        text = read_all(file, path, max, ret_len, err);
        close(file);
    }
    if (w.dir >= 0)
        close(w.dir);
    return text;
}
