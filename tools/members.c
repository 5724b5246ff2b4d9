#include "members.h"

#include "frames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HEADERS_GUESS 2048 /* bytes of tar of a member beside its contents */

struct pbc_members {
    struct pbc_packer *packer;
    /* libarchive's restricted pax spares most members a header, but cuts their times to seconds:
     * those that have more go through the other. Both put out whole members at once. */
    struct archive *brief;
    struct archive *full;
    struct archive *tar; /* the one that writes this member */
    char *name;          /* of this member */
    unsigned flags;      /* of the frame that is open */
    uint64_t count;
    /* What libarchive writes goes here, if not NULL: the first member, by itself. */
    uint8_t *aside;
    size_t aside_len;
    size_t aside_size;
    int closing;          /* what libarchive writes when it is freed is of no use */
    struct pbc_error err; /* of the write callback */
};

static const uint8_t zeros[64 << 10];

/* --- libarchive ---------------------------------------------------------------------------- */

static int put_aside(struct pbc_members *m, const void *data, size_t len)
{
    if (len > m->aside_size - m->aside_len)
        return pbc_fail(&m->err, PBC_EXIT_FAILED, "the first member is too large");
    memcpy(m->aside + m->aside_len, data, len);
    m->aside_len += len;
    return 0;
}

/* libarchive's write callback. */
static la_ssize_t take(struct archive *a, void *arg, const void *data, size_t len)
{
    struct pbc_members *m = arg;
    int rc = 0;

    if (m->aside != NULL)
        rc = put_aside(m, data, len);
    else if (!m->closing)
        rc = pbc_packer_bytes(m->packer, data, len, &m->err);
    if (rc != 0) {
        archive_set_error(a, EIO, "write");
        return -1;
    }
    return (la_ssize_t)len;
}

static int write_failed(struct pbc_members *m, struct pbc_error *err)
{
    const char *words = archive_error_string(m->tar);

    if (m->err.text[0] != '\0')
        return pbc_fail(err, m->err.code, "%s", m->err.text);
    return pbc_fail(err, PBC_EXIT_FAILED, "cannot write member '%s': %s",
                    m->name == NULL ? "" : m->name, words == NULL ? "no reason given" : words);
}

/* Unbuffered, so that what a member made is in its frame. */
static int open_tar(struct pbc_members *m, struct archive **ret, int (*format)(struct archive *),
                    struct pbc_error *err)
{
    *ret = m->tar = archive_write_new();
    if (m->tar == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory to write");
    if (format(m->tar) != ARCHIVE_OK ||
        archive_write_set_bytes_per_block(m->tar, 0) != ARCHIVE_OK ||
        archive_write_set_bytes_in_last_block(m->tar, 1) != ARCHIVE_OK ||
        archive_write_open(m->tar, m, NULL, take, NULL) != ARCHIVE_OK)
        return write_failed(m, err);
    return 0;
}

struct pbc_members *pbc_members_new(const struct pbc_sink *sink, enum pbc_codec codec, int level,
                                    struct pbc_error *err)
{
    struct pbc_members *m = calloc(1, sizeof(*m));

    if (m != NULL)
        m->packer = pbc_packer_new(sink, codec, level);
    if (m == NULL || m->packer == NULL) {
        pbc_fail(err, PBC_EXIT_FAILED, "no memory to write");
    } else if (open_tar(m, &m->brief, archive_write_set_format_pax_restricted, err) == 0 &&
               open_tar(m, &m->full, archive_write_set_format_pax, err) == 0) {
        m->flags = PBC_FRAMES_ORDERED;
        return m;
    }
    pbc_members_free(m);
    return NULL;
}

void pbc_members_free(struct pbc_members *m)
{
    if (m == NULL)
        return;
    m->closing = 1;
    archive_write_free(m->brief);
    archive_write_free(m->full);
    pbc_packer_free(m->packer);
    free(m->name);
    free(m);
}

/* --- a member ------------------------------------------------------------------------------ */

static int is_file(struct archive_entry *e)
{
    return archive_entry_filetype(e) == AE_IFREG && archive_entry_hardlink(e) == NULL;
}

static int begin(struct pbc_members *m, struct archive_entry *e, struct pbc_error *err)
{
    free(m->name);
    m->name = strdup(archive_entry_pathname(e));
    if (!is_file(e))
        archive_entry_set_size(e, 0);
    m->tar = archive_entry_mtime_nsec(e) == 0 ? m->brief : m->full;
    /* ARCHIVE_WARN: a name is not valid UTF-8, and kept as it is. */
    return archive_write_header(m->tar, e) < ARCHIVE_WARN ? write_failed(m, err) : 0;
}

int pbc_members_begin(struct pbc_members *m, struct archive_entry *e, struct pbc_error *err)
{
    uint64_t size = (is_file(e) ? (uint64_t)archive_entry_size(e) : 0) + HEADERS_GUESS;

    if (pbc_packer_raw(m->packer) > 0 && pbc_packer_raw(m->packer) + size > PBC_FRAMES_RAW &&
        pbc_packer_cut(m->packer, m->flags, err) != 0)
        return -1;
    return begin(m, e, err);
}

int pbc_members_data(struct pbc_members *m, const void *data, size_t len, struct pbc_error *err)
{
    const char *p = data;

    while (len > 0) {
        la_ssize_t n = archive_write_data(m->tar, p, len);

        if (n <= 0)
            return write_failed(m, err);
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

int pbc_members_zeros(struct pbc_members *m, uint64_t len, struct pbc_error *err)
{
    while (len > 0) {
        size_t n = len < sizeof(zeros) ? (size_t)len : sizeof(zeros);

        if (pbc_members_data(m, zeros, n, err) != 0)
            return -1;
        len -= n;
    }
    return 0;
}

int pbc_members_finish(struct pbc_members *m, struct pbc_error *err)
{
    if (archive_write_finish_entry(m->tar) < ARCHIVE_WARN)
        return write_failed(m, err);
    pbc_packer_member(m->packer);
    m->count++;
    if (pbc_packer_raw(m->packer) >= PBC_FRAMES_RAW)
        return pbc_packer_cut(m->packer, m->flags, err);
    return 0;
}

/* --- the first, and the last --------------------------------------------------------------- */

static int first(struct pbc_members *m, struct archive_entry *e, const void *data,
                 int (*put)(struct pbc_packer *, const void *, size_t, struct pbc_error *),
                 struct pbc_error *err)
{
    size_t len = (size_t)archive_entry_size(e);
    int rc;

    m->aside_size = len + 64 * 1024;
    m->aside_len = 0;
    m->aside = malloc(m->aside_size);
    if (m->aside == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory for the first member");
    rc = begin(m, e, err);
    if (rc == 0)
        rc = pbc_members_data(m, data, len, err);
    if (rc == 0 && archive_write_finish_entry(m->tar) < ARCHIVE_WARN)
        rc = write_failed(m, err);
    if (rc == 0)
        rc = put(m->packer, m->aside, m->aside_len, err);
    free(m->aside);
    m->aside = NULL;
    return rc;
}

int pbc_members_first(struct pbc_members *m, struct archive_entry *e, const void *data,
                      struct pbc_error *err)
{
    if (first(m, e, data, pbc_packer_first, err) != 0)
        return -1;
    m->count++;
    return 0;
}

int pbc_members_replace_first(struct pbc_members *m, struct archive_entry *e, const void *data,
                              struct pbc_error *err)
{
    return first(m, e, data, pbc_packer_replace_first, err);
}

int pbc_members_turn(struct pbc_members *m, unsigned flags, struct pbc_error *err)
{
    if (pbc_packer_cut(m->packer, m->flags, err) != 0)
        return -1;
    m->flags = flags;
    return 0;
}

int pbc_members_end(struct pbc_members *m, struct pbc_error *err)
{
    if (pbc_members_turn(m, PBC_FRAMES_ORDERED | PBC_FRAMES_END, err) != 0)
        return -1;
    m->tar = m->brief;
    if (archive_write_close(m->tar) != ARCHIVE_OK)
        return write_failed(m, err);
    return pbc_packer_cut(m->packer, m->flags, err);
}

void pbc_members_figures(const struct pbc_members *m, struct pbc_members_figures *ret)
{
    ret->members = m->count;
    pbc_packer_figures(m->packer, &ret->frames, &ret->raw, &ret->packed);
}
