#include "writer.h"

#include "beneath.h"
#include "bundle.h"
#include "ledger.h"
#include "way.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct pbc_writer {
    struct pbc_ledger *ledger;
    int owner;          /* the first of the tree's writers, which frees the ledger */
    struct pbc_way way; /* to the last member's directory */

    /* The file that is open. */
    int file;
    uint64_t size;
    uint64_t written_to;
    char *name;
};

static struct pbc_writer *new_writer(int rootfd, struct pbc_ledger *ledger, int owner)
{
    struct pbc_writer *w = calloc(1, sizeof(*w));

    if (w == NULL)
        return NULL;
    pbc_way_begin(&w->way, rootfd);
    w->ledger = ledger;
    w->owner = owner;
    w->file = -1;
    return w;
}

struct pbc_writer *pbc_writer_new(int rootfd, const struct pbc_writer_limits *limits)
{
    struct pbc_ledger *ledger = pbc_ledger_new(rootfd, limits);
    struct pbc_writer *w;

    if (ledger == NULL)
        return NULL;
    w = new_writer(rootfd, ledger, 1);
    if (w == NULL)
        pbc_ledger_free(ledger);
    return w;
}

struct pbc_writer *pbc_writer_join(struct pbc_writer *first)
{
    return new_writer(first->way.root, first->ledger, 0);
}

void pbc_writer_free(struct pbc_writer *w)
{
    if (w == NULL)
        return;
    pbc_way_forget(&w->way, 0);
    if (w->file >= 0)
        close(w->file);
    free(w->name);
    if (w->owner)
        pbc_ledger_free(w->ledger);
    free(w);
}

int pbc_writer_lacks_memory(struct pbc_writer *w, struct pbc_memory_room *ret)
{
    return pbc_ledger_lacks_memory(w->ledger, ret);
}

void pbc_writer_counts(const struct pbc_writer *w, struct pbc_writer_count *ret)
{
    pbc_ledger_counts(w->ledger, ret);
}

/* Count a member, take its name apart and enter its directory. *ret_last is its last component,
 * NULL for the root itself. */
static int begin(struct pbc_writer *w, const char *text, struct pbc_name *n, const char **ret_last,
                 struct pbc_error *err)
{
    if (pbc_ledger_member(w->ledger, text, err) != 0)
        return -1;
    if (pbc_name_parse(text, n, err) != 0)
        return -1;
    *ret_last = NULL;
    if (n->depth == 0)
        return 0;
    if (pbc_way_enter(&w->way, n, text, err) != 0)
        return -1;
    *ret_last = n->text + n->start[n->depth - 1];
    return 0;
}

int pbc_writer_dir(struct pbc_writer *w, const char *name, mode_t mode, struct pbc_error *err)
{
    struct pbc_name n;
    struct stat st;
    const char *last;
    char way[PBC_PATH_MAX];
    enum pbc_where where;

    if (begin(w, name, &n, &last, err) != 0)
        return -1;
    if (last == NULL)
        return 0;
    mode = (mode & 0755) | 0700;
    if (mkdirat(pbc_way_fd(&w->way), last, mode) == 0)
        return 0;
    if (errno != EEXIST)
        return pbc_way_failed(name, err);
    if (fstatat(pbc_way_fd(&w->way), last, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return pbc_way_failed(name, err);
    if (S_ISDIR(st.st_mode)) {
        if ((st.st_mode & 07777) != mode && fchmodat(pbc_way_fd(&w->way), last, mode, 0) != 0)
            return pbc_way_failed(name, err);
        return 0;
    }
    /* A link to a directory inside stays: what the later bundle has below belongs there. */
    if (S_ISLNK(st.st_mode)) {
        pbc_name_join(&n, n.depth, way);
        where = pbc_follow(w->way.root, way, NULL, NULL);
        if (where == PBC_INSIDE)
            return 0;
        if (where == PBC_OUTSIDE)
            return pbc_way_refused(where, name, way, err);
    }
    if (unlinkat(pbc_way_fd(&w->way), last, 0) != 0 ||
        mkdirat(pbc_way_fd(&w->way), last, mode) != 0)
        return pbc_way_failed(name, err);
    pbc_ledger_set_tangled(w->ledger, 1);
    return 0;
}

static int check_link(struct pbc_writer *w, const char *name, struct pbc_error *err)
{
    char target[PBC_PATH_MAX];
    ssize_t n;
    enum pbc_where where = pbc_follow(w->way.root, name, NULL, NULL);

    if (where == PBC_BROKEN && errno != ELOOP)
        return pbc_fail_errno(err, PBC_EXIT_REFUSED, "member '%s' is a link that goes too far",
                              name);
    if (where != PBC_OUTSIDE)
        return 0;
    n = readlinkat(w->way.root, name, target, sizeof(target) - 1);
    target[n < 0 ? 0 : n] = '\0'; /* not a link any more, but on the way of one */
    return pbc_fail(err, PBC_EXIT_REFUSED, "member '%s' is a link out of the tree, to '%s'", name,
                    target);
}

int pbc_writer_symlink(struct pbc_writer *w, const char *name, const char *target,
                       struct pbc_error *err)
{
    struct pbc_name n;
    const char *last;
    char real[PBC_PATH_MAX];
    int replaces;

    if (begin(w, name, &n, &last, err) != 0)
        return -1;
    if (last == NULL)
        return pbc_fail(err, PBC_EXIT_REFUSED, "member '%s' is a link in place of the tree", name);
    if (target[0] == '/')
        return pbc_fail(err, PBC_EXIT_REFUSED, "member '%s' is a link out of the tree, to '%s'",
                        name, target);
    replaces = pbc_way_clear(&w->way, last, name, err);
    if (replaces < 0)
        return -1;
    if (replaces)
        pbc_ledger_set_tangled(w->ledger, 1);
    if (symlinkat(target, pbc_way_fd(&w->way), last) != 0)
        return pbc_way_failed(name, err);
    pbc_ledger_file(w->ledger);
    pbc_way_forget(&w->way, 0); /* the new link may be on the way of what is remembered */
    pbc_name_join(&n, n.depth, real);
    if (check_link(w, real, err) != 0)
        return -1;
    return pbc_ledger_link(w->ledger, real, err);
}

int pbc_writer_hardlink(struct pbc_writer *w, const char *name, const char *target,
                        struct pbc_error *err)
{
    struct pbc_name n;
    struct pbc_name t;
    struct stat st;
    const char *last;
    const char *t_last;
    int t_dir;
    int rc = -1;

    if (pbc_name_parse(target, &t, NULL) != 0 || t.depth == 0)
        return pbc_fail(err, PBC_EXIT_REFUSED,
                        "member '%s' is a hard link to '%s', which is no name inside the tree",
                        name, target);
    if (pbc_way_enter(&w->way, &t, target, err) != 0)
        return -1;
    t_last = t.text + t.start[t.depth - 1];
    t_dir = fcntl(pbc_way_fd(&w->way), F_DUPFD_CLOEXEC, 0);
    if (t_dir < 0)
        return pbc_way_failed(name, err);
    if (fstatat(t_dir, t_last, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode)) {
        pbc_fail(err, PBC_EXIT_REFUSED,
                 "member '%s' is a hard link to '%s', which is not a file here", name, target);
        goto out;
    }
    if (begin(w, name, &n, &last, err) != 0)
        goto out;
    if (last == NULL) {
        pbc_fail(err, PBC_EXIT_REFUSED, "member '%s' is a link in place of the tree", name);
        goto out;
    }
    pbc_ledger_file(w->ledger);
    if (linkat(t_dir, t_last, pbc_way_fd(&w->way), last, 0) == 0) {
        rc = 0;
        goto out;
    }
    if (errno == EEXIST) {
        struct stat old;

        if (fstatat(pbc_way_fd(&w->way), last, &old, AT_SYMLINK_NOFOLLOW) == 0 &&
            old.st_dev == st.st_dev && old.st_ino == st.st_ino) {
            rc = 0; /* the same file already */
            goto out;
        }
        if (pbc_way_clear(&w->way, last, name, err) < 0)
            goto out;
        pbc_way_forget(&w->way, n.depth - 1);
        if (linkat(t_dir, t_last, pbc_way_fd(&w->way), last, 0) == 0) {
            rc = 0;
            goto out;
        }
    }
    pbc_way_failed(name, err);
out:
    close(t_dir);
    return rc;
}

int pbc_writer_file(struct pbc_writer *w, const char *name, mode_t mode, uint64_t size,
                    struct pbc_error *err)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    struct pbc_name n;
    const char *last;
    mode_t bits = (mode & 0755) | 0400;
    int fd;

    if (begin(w, name, &n, &last, err) != 0)
        return -1;
    if (last == NULL)
        return pbc_fail(err, PBC_EXIT_REFUSED, "member '%s' is a file in place of the tree", name);
    if (mode & (S_ISUID | S_ISGID))
        return pbc_fail(err, PBC_EXIT_REFUSED, "member '%s' is set%cid", name,
                        mode & S_ISUID ? 'u' : 'g');
    if (pbc_ledger_bytes(w->ledger, size, name, err) != 0)
        return -1;
    /* Again each time that another writer has put a file there meanwhile. */
    while ((fd = openat(pbc_way_fd(&w->way), last, flags, bits)) < 0 && errno == EEXIST) {
        if (pbc_way_clear(&w->way, last, name, err) < 0)
            return -1;
    }
    if (fd < 0)
        return pbc_way_failed(name, err);
    free(w->name);
    w->name = strdup(name);
    if (w->name == NULL) {
        close(fd);
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory for the name of a member");
    }
    w->file = fd;
    w->size = size;
    w->written_to = 0;
    pbc_ledger_file(w->ledger);
    return 0;
}

static int write_all(struct pbc_writer *w, uint64_t offset, const char *p, size_t len,
                     struct pbc_error *err)
{
    while (len > 0) {
        ssize_t n = pwrite(w->file, p, len, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return pbc_way_failed(w->name, err);
        p += n;
        len -= (size_t)n;
        offset += (uint64_t)n;
    }
    if (offset > w->written_to)
        w->written_to = offset;
    return 0;
}

int pbc_writer_data(struct pbc_writer *w, uint64_t offset, const void *data, size_t len,
                    struct pbc_error *err)
{
    int rc;

    if (offset > w->size || len > w->size - offset)
        return pbc_fail(err, PBC_EXIT_REFUSED,
                        "member '%s' has more data than its size of %llu bytes", w->name,
                        (unsigned long long)w->size);
    if (pbc_ledger_write(w->ledger, len, w->name, err) != 0)
        return -1;
    rc = write_all(w, offset, data, len, err);
    pbc_ledger_written(w->ledger, len);
    return rc;
}

int pbc_writer_resize(struct pbc_writer *w, int64_t by, struct pbc_error *err)
{
    if (by > 0 && pbc_ledger_bytes(w->ledger, (uint64_t)by, w->name, err) != 0)
        return -1;
    w->size += (uint64_t)by;
    return 0;
}

int pbc_writer_close(struct pbc_writer *w, struct timespec mtime, struct pbc_error *err)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, mtime};
    int rc = 0;

    if (w->written_to < w->size && ftruncate(w->file, (off_t)w->size) != 0)
        rc = pbc_way_failed(w->name, err);
    if (rc == 0 && futimens(w->file, times) != 0)
        rc = pbc_way_failed(w->name, err);
    if (close(w->file) != 0 && rc == 0)
        rc = pbc_way_failed(w->name, err);
    w->file = -1;
    return rc;
}

int pbc_writer_finish(struct pbc_writer *w, struct pbc_error *err)
{
    const char *link = NULL;

    pbc_way_forget(&w->way, 0);
    while ((link = pbc_ledger_next_link(w->ledger, link)) != NULL) {
        if (check_link(w, link, err) != 0)
            return -1;
    }
    return 0;
}

void pbc_writer_overlay(struct pbc_writer *w)
{
    const char *link = NULL;
    int tangled = 0;

    /* A link to a file is on nobody's way, as long as that stays a file. */
    while (!tangled && (link = pbc_ledger_next_link(w->ledger, link)) != NULL)
        tangled = pbc_follow(w->way.root, link, NULL, NULL) != PBC_NOT_DIR;
    pbc_ledger_set_tangled(w->ledger, tangled);
}

int pbc_writer_tangled(const struct pbc_writer *w)
{
    return pbc_ledger_tangled(w->ledger);
}

int pbc_writer_root(const struct pbc_writer *w)
{
    return w->way.root;
}

int pbc_writer_begin_with(struct pbc_writer *w, uint64_t files, uint64_t bytes,
                          struct pbc_error *err)
{
    return pbc_ledger_begin_with(w->ledger, files, bytes, err);
}

int pbc_writer_take_over(struct pbc_writer *w, const char *name, int is_link, struct pbc_error *err)
{
    if (pbc_ledger_member(w->ledger, name, err) != 0)
        return -1;
    return is_link ? pbc_ledger_link(w->ledger, name, err) : 0;
}

int pbc_writer_copies(struct pbc_writer *w, const char *name, uint64_t size, struct pbc_error *err)
{
    return pbc_ledger_write(w->ledger, size, name, err);
}

void pbc_writer_copied(struct pbc_writer *w, uint64_t size)
{
    pbc_ledger_written(w->ledger, size);
}
