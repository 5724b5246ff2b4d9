#include "beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#define LINK_HOPS_MAX 40 /* as the kernel has it: path_resolution(7) */

int pbc_name_parse(const char *text, struct pbc_name *n, struct pbc_error *err)
{
    size_t at = 0;
    const char *p = text;

    n->depth = 0;
    if (*p == '\0')
        return pbc_fail(err, PBC_EXIT_REFUSED, "a member without a name");
    if (*p == '/')
        return pbc_fail(err, PBC_EXIT_REFUSED, "member '%s' has an absolute name", text);
    if (strlen(text) >= sizeof(n->text))
        return pbc_fail(err, PBC_EXIT_REFUSED,
                        "member '%.64s...' has a name of %zu bytes, at most %d", text, strlen(text),
                        PBC_PATH_MAX - 1);
    while (*p != '\0') {
        size_t len = strcspn(p, "/");

        if (len == 2 && p[0] == '.' && p[1] == '.')
            return pbc_fail(err, PBC_EXIT_REFUSED, "member '%s' has '..' in its name", text);
        if (len > 0 && !(len == 1 && p[0] == '.')) {
            if (n->depth == PBC_NAME_DEPTH)
                return pbc_fail(err, PBC_EXIT_REFUSED,
                                "member '%.64s...' lies more than %d directories deep", text,
                                PBC_NAME_DEPTH);
            n->start[n->depth++] = at;
            memcpy(n->text + at, p, len);
            n->text[at + len] = '\0';
            at += len + 1;
        }
        p += len + (p[len] == '/');
    }
    return 0;
}

void pbc_name_join(const struct pbc_name *n, size_t depth, char out[PBC_PATH_MAX])
{
    size_t at = 0;

    for (size_t i = 0; i < depth; i++) {
        size_t len = strlen(n->text + n->start[i]);

        if (i > 0)
            out[at++] = '/';
        memcpy(out + at, n->text + n->start[i], len);
        at += len;
    }
    out[at] = '\0';
}

/* The way so far: a descriptor for each directory, and their names joined by '/'. */
struct way {
    int root;
    size_t depth;
    int fd[PBC_NAME_DEPTH];
    size_t start[PBC_NAME_DEPTH]; /* of `real` without this directory */
    size_t len;
    char real[PBC_PATH_MAX];
};

static int way_top(const struct way *w)
{
    return w->depth == 0 ? w->root : w->fd[w->depth - 1];
}

/* Takes over the descriptor. */
static int way_down(struct way *w, int fd, const char *part, size_t len)
{
    if (w->depth == PBC_NAME_DEPTH || w->len + 1 + len >= sizeof(w->real)) {
        close(fd);
        errno = ENAMETOOLONG;
        return -1;
    }
    w->start[w->depth] = w->len;
    w->fd[w->depth++] = fd;
    if (w->len > 0)
        w->real[w->len++] = '/';
    memcpy(w->real + w->len, part, len);
    w->len += len;
    return 0;
}

static int way_up(struct way *w)
{
    if (w->depth == 0)
        return -1;
    w->depth--;
    w->len = w->start[w->depth];
    close(w->fd[w->depth]);
    return 0;
}

enum pbc_where pbc_follow(int root, const char *path, int *ret_fd, char real[PBC_PATH_MAX])
{
    char rest[2 * PBC_PATH_MAX];
    struct way w = {.root = root};
    int hops = 0;
    enum pbc_where rc = PBC_INSIDE;
    char *p = rest;

    if (strlen(path) >= sizeof(rest)) {
        errno = ENAMETOOLONG;
        return PBC_BROKEN;
    }
    memcpy(rest, path, strlen(path) + 1);
    while (rc == PBC_INSIDE) {
        char part[NAME_MAX + 1];
        char link[PBC_PATH_MAX];
        size_t len;
        ssize_t n;
        int fd;

        p += strspn(p, "/");
        len = strcspn(p, "/");
        if (len == 0)
            break;
        if (len > NAME_MAX) {
            errno = ENAMETOOLONG;
            rc = PBC_BROKEN;
            break;
        }
        memcpy(part, p, len);
        part[len] = '\0';
        p += len;
        if (strcmp(part, ".") == 0)
            continue;
        if (strcmp(part, "..") == 0) {
            if (way_up(&w) != 0)
                rc = PBC_OUTSIDE;
            continue;
        }
        fd = openat(way_top(&w), part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0) {
            if (way_down(&w, fd, part, len) != 0)
                rc = PBC_BROKEN;
            continue;
        }
        if (errno == ENOENT) {
            rc = PBC_MISSING;
            continue;
        }
        if (errno != ELOOP && errno != ENOTDIR) {
            rc = PBC_BROKEN;
            continue;
        }
        n = readlinkat(way_top(&w), part, link, sizeof(link));
        if (n < 0 && errno == ENOENT) { /* another writer has just taken it away */
            rc = PBC_MISSING;
        } else if (n < 0) {
            rc = errno == EINVAL ? PBC_NOT_DIR : PBC_BROKEN;
        } else if (n > 0 && link[0] == '/') {
            rc = PBC_OUTSIDE;
        } else if (++hops > LINK_HOPS_MAX) {
            errno = ELOOP;
            rc = PBC_BROKEN;
        } else if ((size_t)n + strlen(p) + 1 >= sizeof(rest)) {
            errno = ENAMETOOLONG;
            rc = PBC_BROKEN;
        } else {
            /* The link's words take the place of its name, before what is left of the path. */
            memmove(rest + n, p, strlen(p) + 1);
            memcpy(rest, link, (size_t)n);
            p = rest;
        }
    }
    if (rc == PBC_INSIDE && ret_fd != NULL) {
        *ret_fd = w.depth == 0 ? openat(root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC)
                               : fcntl(way_top(&w), F_DUPFD_CLOEXEC, 0);
        if (*ret_fd < 0)
            rc = PBC_BROKEN;
    }
    if (rc == PBC_INSIDE && real != NULL) {
        memcpy(real, w.real, w.len);
        real[w.len] = '\0';
    }
    while (w.depth > 0)
        way_up(&w);
    return rc;
}
