#include "reader.h"

#include "beneath.h"
#include "decode.h"
#include "stop.h"
#include "unpack_pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK (256u << 10)

struct pbc_reader {
    char *path;
    int fd;
    enum pbc_format format;
    /* What undoes the compression, by the node's own decoder where there is one. Neither is there
     * for a plain tar. */
    struct pbc_decoder *decoder;
    struct archive *filter;
    size_t used, len; /* of `packed`, by the decoder */
    int more;         /* it has more without more of that */
    struct pbc_error why;
    struct archive *tar;
    struct pbc_bundles probed; /* one: the file as it was at first */
    int failed;                /* read(2) did, with errno */
    int take_all;
    uint8_t block[BLOCK];
    uint8_t packed[BLOCK];
};

static int fail(const struct pbc_reader *r, enum pbc_exit code, const char *member,
                const char *words, struct pbc_error *err)
{
    if (member == NULL)
        return pbc_fail(err, code, "%s: %s", r->path, words);
    return pbc_fail(err, code, "%s: member '%s' %s", r->path, member, words);
}

static int archive_failed(struct pbc_reader *r, struct archive *a, struct pbc_error *err)
{
    const char *words = archive_error_string(a);

    if (pbc_stopped(err) != 0)
        return -1;
    if (r->why.text[0] != '\0')
        return fail(r, r->why.code, NULL, r->why.text, err);
    if (r->failed != 0) {
        errno = r->failed;
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot read %s", r->path);
    }
    return pbc_fail(err, archive_errno(a) == ENOMEM ? PBC_EXIT_FAILED : PBC_EXIT_REFUSED,
                    "%s: corrupt, truncated or not a tar archive: %s", r->path,
                    words == NULL ? "unreadable" : words);
}

/* --- bytes --------------------------------------------------------------------------------- */

static la_ssize_t read_file(struct pbc_reader *r, struct archive *a, uint8_t *to, size_t len,
                            const void **ret)
{
    ssize_t n;

    do
        n = read(r->fd, to, len);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        r->failed = errno;
        archive_set_error(a, errno, "read");
        return ARCHIVE_FATAL;
    }
    *ret = to;
    return n;
}

/* To a filter in pieces like those that come to a node: what follows the end of the stream in the
 * last one it does not see there either. */
static la_ssize_t next_packed(struct archive *a, void *arg, const void **ret)
{
    struct pbc_reader *r = arg;

    return read_file(r, a, r->packed, PBC_CHUNK_BYTES, ret);
}

static la_ssize_t decode(struct pbc_reader *r, struct archive *a)
{
    size_t made = 0;

    while (made == 0) {
        const void *packed;
        int rc;

        if (!r->more) {
            la_ssize_t n = read_file(r, a, r->packed, BLOCK, &packed);

            if (n < 0)
                return n;
            r->used = 0;
            r->len = (size_t)n;
        }
        if (r->len == 0 && pbc_decode_end(r->decoder, &r->why) == 0)
            return 0;
        rc = r->len == 0 ? -1
                         : pbc_decode(r->decoder, r->packed, r->len, &r->used, r->block, BLOCK,
                                      &made, &r->why);
        if (rc < 0) {
            archive_set_error(a, EILSEQ, "%s", r->why.text);
            return ARCHIVE_FATAL;
        }
        r->more = rc;
    }
    return (la_ssize_t)made;
}

static la_ssize_t next_plain(struct archive *a, void *arg, const void **ret)
{
    struct pbc_reader *r = arg;
    la_ssize_t n;

    if (pbc_stop_signal() != 0) {
        archive_set_error(a, EINTR, "stopped");
        return ARCHIVE_FATAL;
    }
    *ret = r->block;
    if (r->decoder != NULL)
        return decode(r, a);
    if (r->filter == NULL)
        return read_file(r, a, r->block, BLOCK, ret);
    n = archive_read_data(r->filter, r->block, BLOCK);
    if (n < 0) {
        archive_set_error(a, archive_errno(r->filter), "%s", archive_error_string(r->filter));
        return ARCHIVE_FATAL;
    }
    return n;
}

static int open_decoder(struct pbc_reader *r, struct pbc_error *err)
{
    r->decoder = pbc_decoder_new(r->format);
    r->more = 0;
    return r->decoder != NULL ? 0 : fail(r, PBC_EXIT_FAILED, NULL, "no memory to read it", err);
}

static int open_filter(struct pbc_reader *r, struct pbc_error *err)
{
    struct archive_entry *e;

    r->filter = archive_read_new();
    if (r->filter == NULL)
        return fail(r, PBC_EXIT_FAILED, NULL, "no memory to read it", err);
    if (pbc_add_filter(r->filter, r->format) != ARCHIVE_OK ||
        archive_read_support_format_raw(r->filter) != ARCHIVE_OK)
        return pbc_fail(err, PBC_EXIT_REFUSED, "%s: this libarchive cannot read %s", r->path,
                        pbc_format_name(r->format));
    if (archive_read_open(r->filter, r, NULL, next_packed, NULL) != ARCHIVE_OK ||
        archive_read_next_header(r->filter, &e) != ARCHIVE_OK)
        return archive_failed(r, r->filter, err);
    return 0;
}

int pbc_reader_again(struct pbc_reader *r, struct pbc_error *err)
{
    archive_read_free(r->tar);
    archive_read_free(r->filter);
    pbc_decoder_free(r->decoder);
    r->tar = r->filter = NULL;
    r->decoder = NULL;
    if (lseek(r->fd, 0, SEEK_SET) != 0)
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot read %s", r->path);
    if (r->format != PBC_FORMAT_TAR &&
        (pbc_decoder_exists(r->format) ? open_decoder(r, err) : open_filter(r, err)) != 0)
        return -1;
    r->tar = archive_read_new();
    if (r->tar == NULL || archive_read_support_format_tar(r->tar) != ARCHIVE_OK)
        return fail(r, PBC_EXIT_FAILED, NULL, "no memory to read it", err);
    if (archive_read_open(r->tar, r, NULL, next_plain, NULL) != ARCHIVE_OK)
        return archive_failed(r, r->tar, err);
    return 0;
}

struct pbc_reader *pbc_reader_open(const char *path, struct pbc_error *err)
{
    struct pbc_reader *r = calloc(1, sizeof(*r));

    if (r != NULL)
        r->fd = -1;
    if (r == NULL || (r->path = strdup(path)) == NULL ||
        (r->probed.item[0].path = strdup(path)) == NULL) {
        pbc_fail(err, PBC_EXIT_FAILED, "no memory");
        pbc_reader_free(r);
        return NULL;
    }
    r->probed.count = 1;
    if (pbc_bundles_probe(&r->probed, err) == 0) {
        r->format = r->probed.item[0].format;
        r->fd = open(path, O_RDONLY | O_CLOEXEC);
        if (r->fd < 0)
            pbc_fail_errno(err, PBC_EXIT_REFUSED, "cannot open %s", path);
    }
    if (r->fd < 0 || pbc_reader_again(r, err) != 0) {
        pbc_reader_free(r);
        return NULL;
    }
    return r;
}

void pbc_reader_free(struct pbc_reader *r)
{
    if (r == NULL)
        return;
    archive_read_free(r->tar);
    archive_read_free(r->filter);
    pbc_decoder_free(r->decoder);
    if (r->fd >= 0)
        close(r->fd);
    pbc_bundles_free(&r->probed);
    free(r->path);
    free(r);
}

/* --- members ------------------------------------------------------------------------------- */

/* What the writer (writer.h) refuses in any tree. */
static int check_member(struct pbc_reader *r, struct archive_entry *e, struct pbc_error *err)
{
    const char *name = archive_entry_pathname(e);
    const char *link = archive_entry_symlink(e);
    const char *target = archive_entry_hardlink(e);
    struct pbc_error why;
    struct pbc_name n;

    if (name == NULL)
        return fail(r, PBC_EXIT_REFUSED, NULL, "a member's name is not valid UTF-8", err);
    if (pbc_name_parse(name, &n, &why) != 0)
        return fail(r, why.code, NULL, why.text, err);
    if (target != NULL) {
        if (n.depth == 0 || pbc_name_parse(target, &n, NULL) != 0 || n.depth == 0)
            return fail(r, PBC_EXIT_REFUSED, name, "is a hard link to no name inside the tree",
                        err);
        return 0;
    }
    switch (archive_entry_filetype(e)) {
    case AE_IFREG:
        if (archive_entry_perm(e) & (S_ISUID | S_ISGID))
            return fail(r, PBC_EXIT_REFUSED, name, "is setuid or setgid", err);
        if (archive_entry_size(e) < 0)
            return fail(r, PBC_EXIT_REFUSED, name, "has a negative size", err);
        break;
    case AE_IFDIR:
        return 0;
    case AE_IFLNK:
        if (link == NULL || *link == '\0')
            return fail(r, PBC_EXIT_REFUSED, name, "is a link to nothing", err);
        if (*link == '/')
            return fail(r, PBC_EXIT_REFUSED, name,
                        "is a link out of the tree ('pbcast check' has what to do)", err);
        break;
    default:
        return fail(r, PBC_EXIT_REFUSED, name,
                    "is neither file, directory nor link: bundles cannot have it", err);
    }
    if (n.depth == 0)
        return fail(r, PBC_EXIT_REFUSED, name, "takes the place of the tree", err);
    return 0;
}

/* After the last member: an end mark, and nothing unsound behind it. */
static int check_end(struct pbc_reader *r, struct pbc_error *err)
{
    const void *rest;
    la_ssize_t n;

    if (archive_filter_bytes(r->tar, 0) == archive_read_header_position(r->tar))
        return fail(r, PBC_EXIT_REFUSED, NULL,
                    "truncated: the archive has no end mark (two blocks of zeros)", err);
    while ((n = next_plain(r->tar, r, &rest)) > 0)
        ;
    /* A filter stops at the end of its stream. */
    if (n == 0 && r->filter != NULL && (n = next_packed(r->tar, r, &rest)) > 0)
        return pbc_fail(err, PBC_EXIT_REFUSED, "%s: corrupt: something follows the %s stream",
                        r->path, pbc_format_name(r->format));
    if (n < 0)
        return archive_failed(r, r->tar, err);
    return pbc_bundle_unchanged(r->probed.item, r->fd, NULL) == 0
               ? 0
               : fail(r, PBC_EXIT_REFUSED, NULL, "changed while it was being read: try again", err);
}

int pbc_reader_next(struct pbc_reader *r, struct archive_entry **ret, struct pbc_error *err)
{
    int got = archive_read_next_header(r->tar, ret);

    if (got == ARCHIVE_EOF)
        return check_end(r, err) == 0 ? 0 : -1;
    if (got != ARCHIVE_OK && got != ARCHIVE_WARN)
        return archive_failed(r, r->tar, err);
    return r->take_all || check_member(r, *ret, err) == 0 ? 1 : -1;
}

void pbc_reader_take_all(struct pbc_reader *r)
{
    r->take_all = 1;
}

int pbc_reader_data(struct pbc_reader *r, const void **data, size_t *len, int64_t *offset,
                    struct pbc_error *err)
{
    int got = archive_read_data_block(r->tar, data, len, offset);

    if (got == ARCHIVE_EOF)
        return 0;
    return got == ARCHIVE_OK ? 1 : archive_failed(r, r->tar, err);
}
