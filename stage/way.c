#include "way.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void pbc_way_begin(struct pbc_way *w, int root)
{
    w->root = root;
    w->depth = 0;
}

void pbc_way_forget(struct pbc_way *w, size_t keep)
{
    while (w->depth > keep)
        close(w->fd[--w->depth]);
}

int pbc_way_refused(enum pbc_where where, const char *text, const char *way, struct pbc_error *err)
{
    if (where == PBC_OUTSIDE)
        return pbc_fail(
            err, PBC_EXIT_REFUSED,
            "member '%s' would be written through '%s', a link that leads out of the tree", text,
            way);
    if (where == PBC_NOT_DIR)
        return pbc_fail(err, PBC_EXIT_REFUSED,
                        "member '%s' lies below '%s', which is not a directory", text, way);
    if (where == PBC_MISSING)
        return pbc_fail(err, PBC_EXIT_REFUSED, "member '%s' lies below '%s', a link to nothing",
                        text, way);
    return pbc_fail_errno(
        err, errno == ELOOP || errno == ENAMETOOLONG ? PBC_EXIT_REFUSED : PBC_EXIT_FAILED,
        "member '%s': '%s'", text, way);
}

int pbc_way_failed(const char *text, struct pbc_error *err)
{
    if (errno == ENOSPC || errno == EDQUOT)
        return pbc_fail_errno(err, PBC_EXIT_NOSPACE, "cannot write member '%s'", text);
    if (errno == ENAMETOOLONG)
        return pbc_fail_errno(err, PBC_EXIT_REFUSED, "member '%s'", text);
    return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot write member '%s'", text);
}

/* Put `real` in place of the first `depth` components. */
static int rename_way(struct pbc_name *n, size_t depth, const char *real, const char *text,
                      struct pbc_error *err)
{
    char whole[2 * PBC_PATH_MAX];
    size_t at = strlen(real);

    memcpy(whole, real, at);
    for (size_t i = depth; i < n->depth; i++) {
        const char *part = n->text + n->start[i];

        if (at > 0)
            whole[at++] = '/';
        memcpy(whole + at, part, strlen(part));
        at += strlen(part);
    }
    whole[at] = '\0';
    if (pbc_name_parse(whole, n, NULL) == 0)
        return 0;
    return pbc_fail(err, PBC_EXIT_REFUSED,
                    "member '%s' is reached through a link, and lies too deep: '%.64s...'", text,
                    whole);
}

/* Go on from the directories that are entered already. 1 if a link was met: `n` is then the real
 * name, and to be entered anew. */
static int enter_more(struct pbc_way *w, struct pbc_name *n, const char *text,
                      struct pbc_error *err)
{
    for (size_t i = w->depth; i + 1 < n->depth; i++) {
        const char *part = n->text + n->start[i];
        int top = i == 0 ? w->root : w->fd[i - 1];
        int fd = openat(top, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        if (fd < 0 && errno == ENOENT) {
            if (mkdirat(top, part, 0755) != 0 && errno != EEXIST)
                return pbc_way_failed(text, err);
            fd = openat(top, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        }
        if (fd < 0) {
            char way[PBC_PATH_MAX];
            char real[PBC_PATH_MAX];
            enum pbc_where where;

            pbc_name_join(n, i + 1, way);
            where = pbc_follow(w->root, way, NULL, real);
            if (where != PBC_INSIDE)
                return pbc_way_refused(where, text, way, err);
            return rename_way(n, i + 1, real, text, err) == 0 ? 1 : -1;
        }
        memcpy(w->dir + n->start[i], part, strlen(part) + 1);
        w->end[i] = n->start[i] + strlen(part);
        w->fd[i] = fd;
        w->depth = i + 1;
    }
    return 0;
}

int pbc_way_enter(struct pbc_way *w, struct pbc_name *n, const char *text, struct pbc_error *err)
{
    int rc;

    do {
        size_t same = 0;

        while (same + 1 < n->depth && same < w->depth &&
               strcmp(w->dir + n->start[same], n->text + n->start[same]) == 0 &&
               w->end[same] == n->start[same] + strlen(n->text + n->start[same]))
            same++;
        pbc_way_forget(w, same);
        rc = enter_more(w, n, text, err);
    } while (rc == 1); /* each time there is one link less on the way */
    return rc;
}

int pbc_way_fd(const struct pbc_way *w)
{
    return w->depth == 0 ? w->root : w->fd[w->depth - 1];
}

int pbc_way_clear(struct pbc_way *w, const char *last, const char *text, struct pbc_error *err)
{
    struct stat st;

    if (fstatat(pbc_way_fd(w), last, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? 0 : pbc_way_failed(text, err);
    if (!S_ISDIR(st.st_mode)) {
        if (unlinkat(pbc_way_fd(w), last, 0) == 0 || errno == ENOENT)
            return 1;
        if (errno != EISDIR) /* another writer has just made it one */
            return pbc_way_failed(text, err);
    }
    return pbc_fail(err, PBC_EXIT_REFUSED,
                    "member '%s' is a directory in an earlier member or bundle", text);
}
