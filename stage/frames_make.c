#include "frames_make.h"

#include "frames.h"
#include "frames_order.h"
#include "frames_pack.h"
#include "frames_read.h"
#include "unpack_pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADERS_GUESS 2048 /* bytes of tar of a member beside its contents */

/* Members that are written before the files, or after them. */
struct list {
    struct archive_entry **entry;
    size_t count;
    size_t size;
};

struct maker {
    struct pbc_reader *reader;
    struct pbc_order *order;
    struct list first; /* directories and symbolic links */
    struct list last;  /* hard links */
    int own;           /* there are files below .pbcast/, which the unpacking reads first */
    /* libarchive's restricted pax spares most members a header, but cuts their times to seconds:
     * those that have more go through the other. Both put out whole members at once. */
    struct archive *brief;
    struct archive *full;
    struct archive *tar; /* the one that writes this member */
    struct pbc_packer *packer;
    int closing;          /* what libarchive writes when it is freed is of no use */
    unsigned flags;       /* of the frame that is open */
    struct pbc_error err; /* of the write callback */
    uint64_t members;
    int fd;
    char *temporary;
};

static const uint8_t zeros[64 << 10];

/* --- writing ------------------------------------------------------------------------------- */

/* libarchive's write callback. */
static la_ssize_t take(struct archive *a, void *arg, const void *data, size_t len)
{
    struct maker *m = arg;

    if (!m->closing && pbc_packer_bytes(m->packer, data, len, &m->err) != 0) {
        archive_set_error(a, EIO, "write");
        return -1;
    }
    return (la_ssize_t)len;
}

static int write_failed(struct maker *m, const char *name, struct pbc_error *err)
{
    const char *words = archive_error_string(m->tar);

    if (m->err.text[0] != '\0')
        *err = m->err;
    else
        pbc_fail(err, PBC_EXIT_FAILED, "cannot write member '%s': %s", name,
                 words == NULL ? "no reason given" : words);
    return -1;
}

static int write_bytes(struct maker *m, const char *name, const void *data, size_t len,
                       struct pbc_error *err)
{
    const char *p = data;

    while (len > 0) {
        la_ssize_t n = archive_write_data(m->tar, p, len);

        if (n <= 0)
            return write_failed(m, name, err);
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

/* Up to `to`: where the member is sparse the tar writer leaves them out again. */
static int write_zeros(struct maker *m, const char *name, int64_t from, int64_t to,
                       struct pbc_error *err)
{
    while (from < to) {
        size_t n = to - from < (int64_t)sizeof(zeros) ? (size_t)(to - from) : sizeof(zeros);

        if (write_bytes(m, name, zeros, n, err) != 0)
            return -1;
        from += (int64_t)n;
    }
    return 0;
}

static int write_contents(struct maker *m, struct archive_entry *e, struct pbc_error *err)
{
    const char *name = archive_entry_pathname(e);
    int64_t done = 0;
    const void *data;
    int64_t offset;
    size_t len;
    int rc;

    while ((rc = pbc_reader_data(m->reader, &data, &len, &offset, err)) == 1) {
        if (offset < done || write_zeros(m, name, done, offset, err) != 0)
            return offset < done ? pbc_fail(err, PBC_EXIT_REFUSED,
                                            "member '%s' has pieces out of order", name)
                                 : -1;
        if (write_bytes(m, name, data, len, err) != 0)
            return -1;
        done = offset + (int64_t)len;
    }
    return rc != 0 ? -1 : write_zeros(m, name, done, archive_entry_size(e), err);
}

static int write_member(struct maker *m, struct archive_entry *e, struct pbc_error *err)
{
    int file = archive_entry_filetype(e) == AE_IFREG && archive_entry_hardlink(e) == NULL;
    uint64_t size = (file ? (uint64_t)archive_entry_size(e) : 0) + HEADERS_GUESS;

    if (pbc_packer_raw(m->packer) + size > PBC_FRAMES_RAW &&
        pbc_packer_cut(m->packer, m->flags, err) != 0)
        return -1;
    if (!file)
        archive_entry_set_size(e, 0);
    m->tar = archive_entry_mtime_nsec(e) == 0 ? m->brief : m->full;
    /* ARCHIVE_WARN: a name is not valid UTF-8, and kept as it is. */
    if (archive_write_header(m->tar, e) < ARCHIVE_WARN)
        return write_failed(m, archive_entry_pathname(e), err);
    if (file && write_contents(m, e, err) != 0)
        return -1;
    if (archive_write_finish_entry(m->tar) < ARCHIVE_WARN)
        return write_failed(m, archive_entry_pathname(e), err);
    pbc_packer_member(m->packer);
    m->members++;
    if (pbc_packer_raw(m->packer) >= PBC_FRAMES_RAW)
        return pbc_packer_cut(m->packer, m->flags, err);
    return 0;
}

/* Frames from here on have these flags. */
static int turn(struct maker *m, unsigned flags, struct pbc_error *err)
{
    if (pbc_packer_cut(m->packer, m->flags, err) != 0)
        return -1;
    m->flags = flags;
    return 0;
}

/* --- members ------------------------------------------------------------------------------- */

static int list_add(struct list *l, struct archive_entry *e, struct pbc_error *err)
{
    if (l->count == l->size) {
        size_t size = l->size == 0 ? 256 : 2 * l->size;
        struct archive_entry **more = reallocarray(l->entry, size, sizeof(struct archive_entry *));

        if (more == NULL)
            return pbc_fail(err, PBC_EXIT_FAILED, "no memory for the members");
        l->entry = more;
        l->size = size;
    }
    l->entry[l->count] = archive_entry_clone(e);
    if (l->entry[l->count] == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory for the members");
    l->count++;
    return 0;
}

static void list_free(struct list *l)
{
    for (size_t i = 0; i < l->count; i++)
        archive_entry_free(l->entry[i]);
    free(l->entry);
}

static int list_write(struct maker *m, const struct list *l, struct pbc_error *err)
{
    for (size_t i = 0; i < l->count; i++) {
        if (write_member(m, l->entry[i], err) != 0)
            return -1;
    }
    return 0;
}

static enum pbc_order_kind kind_of(struct archive_entry *e)
{
    if (archive_entry_hardlink(e) != NULL)
        return PBC_ORDER_HARDLINK;
    if (archive_entry_filetype(e) == AE_IFDIR)
        return PBC_ORDER_DIR;
    return archive_entry_filetype(e) == AE_IFLNK ? PBC_ORDER_SYMLINK : PBC_ORDER_FILE;
}

/* The first reading: what there is, and that all of it can be read. */
static int look(struct maker *m, struct pbc_error *err)
{
    struct archive_entry *e;
    size_t members = 0;
    int rc;

    while ((rc = pbc_reader_next(m->reader, &e, err)) == 1) {
        enum pbc_order_kind kind = kind_of(e);

        members++;
        m->own |= kind == PBC_ORDER_FILE && pbc_member_is_own(archive_entry_pathname(e));
        if (pbc_order_add(m->order, kind, archive_entry_pathname(e), archive_entry_hardlink(e),
                          err) != 0)
            return -1;
        if (kind != PBC_ORDER_FILE &&
            list_add(kind == PBC_ORDER_HARDLINK ? &m->last : &m->first, e, err) != 0)
            return -1;
    }
    if (rc == 0 && members == 0)
        return pbc_fail(err, PBC_EXIT_REFUSED, "the archive has no members");
    return rc;
}

enum part { ALL, OWN_FILES, OTHER_FILES };

static int in_part(enum part part, struct archive_entry *e)
{
    if (part == ALL)
        return 1;
    return kind_of(e) == PBC_ORDER_FILE &&
           pbc_member_is_own(archive_entry_pathname(e)) == (part == OWN_FILES);
}

/* Another reading. */
static int write_members(struct maker *m, enum part part, struct pbc_error *err)
{
    struct archive_entry *e;
    int rc;

    if (pbc_reader_again(m->reader, err) != 0)
        return -1;
    while ((rc = pbc_reader_next(m->reader, &e, err)) == 1) {
        if (in_part(part, e) && write_member(m, e, err) != 0)
            return -1;
    }
    return rc;
}

static int write_archive(struct maker *m, int in_order, struct pbc_error *err)
{
    m->flags = PBC_FRAMES_ORDERED;
    if (in_order) {
        if (write_members(m, ALL, err) != 0)
            return -1;
    } else if ((m->own &&
                (write_members(m, OWN_FILES, err) != 0 || turn(m, PBC_FRAMES_ORDERED, err) != 0)) ||
               list_write(m, &m->first, err) != 0 || turn(m, 0, err) != 0 ||
               write_members(m, OTHER_FILES, err) != 0 || turn(m, PBC_FRAMES_ORDERED, err) != 0 ||
               list_write(m, &m->last, err) != 0) {
        return -1;
    }
    if (turn(m, PBC_FRAMES_ORDERED | PBC_FRAMES_END, err) != 0)
        return -1;
    m->tar = m->brief;
    if (archive_write_close(m->tar) != ARCHIVE_OK)
        return write_failed(m, "", err);
    return pbc_packer_cut(m->packer, m->flags, err);
}

/* --- the whole ----------------------------------------------------------------------------- */

/* Unbuffered, so that what a member made is in its frame. */
static int open_tar(struct maker *m, struct archive **ret, int (*format)(struct archive *),
                    struct pbc_error *err)
{
    *ret = m->tar = archive_write_new();
    if (m->tar == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory to write");
    if (format(m->tar) != ARCHIVE_OK ||
        archive_write_set_bytes_per_block(m->tar, 0) != ARCHIVE_OK ||
        archive_write_set_bytes_in_last_block(m->tar, 1) != ARCHIVE_OK ||
        archive_write_open(m->tar, m, NULL, take, NULL) != ARCHIVE_OK)
        return write_failed(m, "", err);
    return 0;
}

static int open_output(struct maker *m, int level, struct pbc_error *err)
{
    m->packer = pbc_packer_new(m->fd, level);
    if (m->packer == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory to write");
    return open_tar(m, &m->brief, archive_write_set_format_pax_restricted, err) == 0 &&
                   open_tar(m, &m->full, archive_write_set_format_pax, err) == 0
               ? 0
               : -1;
}

static int open_temporary(struct maker *m, const char *out, struct pbc_error *err)
{
    mode_t mask = umask(0);

    umask(mask);
    if (asprintf(&m->temporary, "%s.XXXXXX", out) < 0) {
        m->temporary = NULL;
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory");
    }
    m->fd = mkostemp(m->temporary, O_CLOEXEC);
    if (m->fd < 0 || fchmod(m->fd, 0666 & ~mask) != 0)
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot make %s", m->temporary);
    return 0;
}

static int put_in_place(struct maker *m, const char *out, struct pbc_error *err)
{
    int fd = m->fd;

    m->fd = -1;
    if (close(fd) != 0 || rename(m->temporary, out) != 0) {
        pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot put the bundle at %s", out);
        unlink(m->temporary);
        return -1;
    }
    return 0;
}

static int make(struct maker *m, const char *in, const char *out, int level, const char **obstacle,
                struct pbc_error *err)
{
    m->reader = pbc_reader_open(in, err);
    if (m->reader == NULL)
        return -1;
    m->order = pbc_order_new();
    if (m->order == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory");
    if (look(m, err) != 0)
        return -1;
    *obstacle = pbc_order_obstacle(m->order);
    if (open_temporary(m, out, err) != 0 || open_output(m, level, err) != 0 ||
        write_archive(m, *obstacle != NULL, err) != 0)
        return -1;
    return put_in_place(m, out, err);
}

int pbc_frames_make(const char *in, const char *out, int level, struct pbc_frames_made *ret,
                    struct pbc_error *err)
{
    struct maker m = {.fd = -1};
    const char *obstacle = NULL;
    int rc = make(&m, in, out, level, &obstacle, err);

    if (rc == 0) {
        *ret = (struct pbc_frames_made){.members = m.members};
        pbc_packer_figures(m.packer, &ret->frames, &ret->raw, &ret->packed);
        ret->in_order = obstacle == NULL ? NULL : strdup(obstacle);
    }
    m.closing = 1;
    archive_write_free(m.brief);
    archive_write_free(m.full);
    if (m.fd >= 0) {
        close(m.fd);
        unlink(m.temporary);
    }
    free(m.temporary);
    pbc_packer_free(m.packer);
    list_free(&m.first);
    list_free(&m.last);
    pbc_order_free(m.order);
    pbc_reader_free(m.reader);
    return rc;
}
