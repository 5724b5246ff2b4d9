#include "look.h"

#include "bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#define DEPTH_MAX 32 /* directories open at a time */
#define LINKS_MAX 16

/* A way down the tree. */
struct way {
    int fd[DEPTH_MAX]; /* fd[0] is the tree itself and not ours */
    int depth;
    int links;
    char rest[PBC_PATH_MAX]; /* still to go */
};

static void way_up(struct way *way)
{
    close(way->fd[way->depth--]);
}

static void way_close(struct way *way)
{
    while (way->depth > 0)
        way_up(way);
}

/* Put the target of the link `name` before the rest of the way. */
static int way_link(struct way *way, const char *name)
{
    char target[PBC_PATH_MAX];
    size_t rest = strlen(way->rest);
    ssize_t n = readlinkat(way->fd[way->depth], name, target, sizeof(target));

    if (n < 0)
        return -1;
    if (++way->links > LINKS_MAX || n == 0 || target[0] == '/' ||
        (size_t)n + 1 + rest >= sizeof(way->rest)) {
        errno = n > 0 && target[0] == '/' ? EXDEV : ELOOP;
        return -1;
    }
    memmove(way->rest + n + 1, way->rest, rest + 1);
    memcpy(way->rest, target, (size_t)n);
    way->rest[n] = '/';
    return 0;
}

static bool is_kind(int fd, mode_t kind)
{
    struct stat st;

    return fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == kind;
}

/* One part of the way. */
static int way_step(struct way *way, const char *name)
{
    int fd;

    if (name[0] == '\0' || strcmp(name, ".") == 0)
        return 0;
    if (strcmp(name, "..") == 0) {
        if (way->depth == 0 || !is_kind(way->fd[way->depth], S_IFDIR)) {
            errno = way->depth == 0 ? EXDEV : ENOTDIR;
            return -1;
        }
        way_up(way);
        return 0;
    }
    if (way->depth + 1 == DEPTH_MAX) {
        errno = ELOOP;
        return -1;
    }
    fd = openat(way->fd[way->depth], name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -1;
    way->fd[++way->depth] = fd;
    return 0;
}

static int way_follow(struct way *way)
{
    while (way->rest[0] != '\0') {
        char name[PBC_PATH_MAX];
        size_t len = strcspn(way->rest, "/");
        size_t skip = len + strspn(way->rest + len, "/");
        int depth = way->depth;

        memcpy(name, way->rest, len);
        name[len] = '\0';
        memmove(way->rest, way->rest + skip, strlen(way->rest + skip) + 1);
        if (way_step(way, name) < 0)
            return -1;
        if (way->depth > depth && is_kind(way->fd[way->depth], S_IFLNK)) {
            way_up(way);
            if (way_link(way, name) < 0)
                return -1;
        }
    }
    return 0;
}

/* An O_PATH descriptor of `path` in the tree, links resolved; -1 with errno, EXDEV when a link
 * leads out of the tree. */
static int open_in_tree(int treefd, const char *path)
{
    struct way way = {.fd = {treefd}};
    size_t len = strlen(path);
    int fd = -1, saved;

    if (len >= sizeof(way.rest)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(way.rest, path, len + 1);
    if (way_follow(&way) == 0)
        fd = fcntl(way.fd[way.depth], F_DUPFD_CLOEXEC, 0);
    saved = errno;
    way_close(&way);
    errno = saved;
    return fd;
}

int pbc_look_stat(int treefd, const char *path, struct stat *st)
{
    int fd = open_in_tree(treefd, path), rc;

    if (fd < 0)
        return -1;
    rc = fstat(fd, st);
    close(fd);
    return rc;
}

DIR *pbc_look_opendir(int treefd, const char *path)
{
    int at = open_in_tree(treefd, path), fd;
    DIR *dir;

    if (at < 0)
        return NULL;
    fd = openat(at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    close(at);
    if (fd < 0)
        return NULL;
    dir = fdopendir(fd);
    if (dir == NULL)
        close(fd);
    return dir;
}
