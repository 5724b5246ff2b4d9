#include "pack.h"

#include "contents.h"
#include "frames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIECE (1u << 20)

struct packing {
    struct pbc_plan *plan;
    struct pbc_members *members;
    struct pbc_contents contents;
    struct pbc_progress *progress;
    uint8_t *piece;
};

/* --- contents ------------------------------------------------------------------------------ */

static int put(struct packing *k, const void *data, size_t len, struct pbc_error *err)
{
    pbc_contents_data(&k->contents, data, len);
    if (pbc_members_data(k->members, data, len, err) != 0)
        return -1;
    return pbc_progress_bytes(k->progress, len, err);
}

/* What the piece, which lies at `at` in the item, has of the item's patch. */
static void patch(const struct pbc_item *i, uint64_t at, uint8_t *piece, size_t len)
{
    uint64_t from = i->patch_at > at ? i->patch_at : at;
    uint64_t to = i->patch_at + i->patch_len;

    if (to > at + len)
        to = at + len;
    if (i->patch != NULL && from < to)
        memcpy(piece + (from - at), i->patch + (from - i->patch_at), (size_t)(to - from));
}

/* `len` bytes of a file from its offset `at`. */
static int put_range(struct packing *k, const struct pbc_item *i, int fd, uint64_t at, uint64_t len,
                     struct pbc_error *err)
{
    while (len > 0) {
        ssize_t n = pread(fd, k->piece, len < PIECE ? (size_t)len : PIECE, (off_t)at);

        if (n < 0 && errno == EINTR && pbc_progress_tick(k->progress, err) == 0)
            continue;
        if (n < 0)
            return pbc_fail_errno(err, PBC_EXIT_REFUSED, "cannot read %s", i->source);
        if (n == 0)
            return pbc_fail(err, PBC_EXIT_REFUSED,
                            "%s has become shorter while it was being packed: try again",
                            i->source);
        patch(i, at, k->piece, (size_t)n);
        if (put(k, k->piece, (size_t)n, err) != 0)
            return -1;
        at += (uint64_t)n;
        len -= (uint64_t)n;
    }
    return 0;
}

static int put_zeros(struct packing *k, uint64_t len, struct pbc_error *err)
{
    static const uint8_t zeros[PIECE];

    while (len > 0) {
        size_t n = len < PIECE ? (size_t)len : PIECE;

        if (put(k, zeros, n, err) != 0)
            return -1;
        len -= n;
    }
    return 0;
}

/* Where a file has data, as far as its file system tells. */
static void map_holes(struct archive_entry *e, const struct pbc_item *i, int fd)
{
    off_t size = (off_t)i->size;
    off_t at = 0;

    if (i->blocks * 512 >= i->size)
        return;
    while (at < size) {
        off_t data = lseek(fd, at, SEEK_DATA);
        off_t hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);

        if (data < 0 || hole < 0) {
            if (errno == ENXIO) /* a hole to the end */
                archive_entry_sparse_add_entry(e, size, 0);
            else
                archive_entry_sparse_clear(e);
            return;
        }
        archive_entry_sparse_add_entry(e, data, hole - data);
        at = hole;
    }
}

/* Holes of the map are not read. */
static int put_file(struct packing *k, struct archive_entry *e, const struct pbc_item *i, int fd,
                    struct pbc_error *err)
{
    la_int64_t data, len;
    uint64_t at = 0;

    if (archive_entry_sparse_reset(e) > 0) {
        while (archive_entry_sparse_next(e, &data, &len) == ARCHIVE_OK) {
            if (put_zeros(k, (uint64_t)data - at, err) != 0 ||
                put_range(k, i, fd, (uint64_t)data, (uint64_t)len, err) != 0)
                return -1;
            at = (uint64_t)(data + len);
        }
        return put_zeros(k, i->size - at, err);
    }
    return put_range(k, i, fd, 0, i->size, err);
}

static int put_contents(struct packing *k, struct archive_entry *e, const struct pbc_item *i,
                        int fd, struct pbc_error *err)
{
    if (i->data != NULL)
        return put(k, i->data, (size_t)i->size, err);
    if (i->spool >= 0)
        return put_range(k, i, k->plan->spool, (uint64_t)i->spool, i->size, err);
    return put_file(k, e, i, fd, err);
}

/* --- members ------------------------------------------------------------------------------- */

static const char kinds[] = {[PBC_PLAN_DIR] = 'd',
                             [PBC_PLAN_SYMLINK] = 'l',
                             [PBC_PLAN_FILE] = 'f',
                             [PBC_PLAN_HARDLINK] = 'h'};

/* What the agent will make of it: nobody else may write, the owner may use it. */
static mode_t mode_of(const struct pbc_item *i)
{
    switch (i->kind) {
    case PBC_PLAN_DIR:
        return (i->mode & 0755) | 0700;
    case PBC_PLAN_SYMLINK:
        return 0777;
    default:
        return (i->mode & 0755) | 0400;
    }
}

static void describe(struct archive_entry *e, const struct pbc_item *i)
{
    archive_entry_copy_pathname(e, i->name);
    archive_entry_set_mode(e, (i->kind == PBC_PLAN_DIR       ? AE_IFDIR
                               : i->kind == PBC_PLAN_SYMLINK ? AE_IFLNK
                                                             : AE_IFREG) |
                                  mode_of(i));
    archive_entry_set_mtime(e, i->mtime, 0);
    archive_entry_set_size(e, i->kind == PBC_PLAN_FILE ? (la_int64_t)i->size : 0);
    if (i->kind == PBC_PLAN_SYMLINK)
        archive_entry_copy_symlink(e, i->target);
    if (i->kind == PBC_PLAN_HARDLINK)
        archive_entry_copy_hardlink(e, i->target);
}

static int pack_entry(struct packing *k, struct archive_entry *e, const struct pbc_item *i, int fd,
                      struct pbc_error *err)
{
    describe(e, i);
    if (fd >= 0)
        map_holes(e, i, fd);
    pbc_contents_member(&k->contents, kinds[i->kind], mode_of(i), i->name,
                        i->target == NULL ? "" : i->target, i->kind == PBC_PLAN_FILE ? i->size : 0);
    if (pbc_members_begin(k->members, e, err) != 0 ||
        (i->kind == PBC_PLAN_FILE && put_contents(k, e, i, fd, err) != 0))
        return -1;
    return pbc_members_finish(k->members, err);
}

static int pack_item(struct packing *k, const struct pbc_item *i, struct pbc_error *err)
{
    struct archive_entry *e = archive_entry_new();
    int fd = -1;
    int rc = 0;

    if (e == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory for a member");
    if (i->kind == PBC_PLAN_FILE && i->data == NULL && i->spool < 0) {
        fd = pbc_plan_open(i, err);
        rc = fd < 0 ? -1 : 0;
    }
    if (rc == 0)
        rc = pack_entry(k, e, i, fd, err);
    if (rc == 0 && fd >= 0) /* in part the old one, in part the new one: neither */
        rc = pbc_plan_unchanged(i, fd, err);
    if (fd >= 0)
        close(fd);
    archive_entry_free(e);
    return rc == 0 ? pbc_progress_tick(k->progress, err) : -1;
}

/* Those of the plan's order; frames of files have no order among each other. */
static int pack_items(struct packing *k, struct pbc_error *err)
{
    enum { FIRST, FILES, LAST } part = FIRST;

    for (size_t n = 0; n < k->plan->count; n++) {
        const struct pbc_item *i = &k->plan->item[n];

        if (part == FIRST && i->kind != PBC_PLAN_DIR && i->kind != PBC_PLAN_SYMLINK) {
            part = FILES;
            if (pbc_members_turn(k->members, 0, err) != 0)
                return -1;
        }
        if (part == FILES && i->kind == PBC_PLAN_HARDLINK) {
            part = LAST;
            if (pbc_members_turn(k->members, PBC_FRAMES_ORDERED, err) != 0)
                return -1;
        }
        if (pack_item(k, i, err) != 0)
            return -1;
    }
    return 0;
}

/* --- bundle.conf --------------------------------------------------------------------------- */

static int pack_meta(struct packing *k, const struct pbc_meta *meta,
                     int (*pack)(struct pbc_members *, struct archive_entry *, const void *,
                                 struct pbc_error *),
                     struct pbc_error *err)
{
    struct archive_entry *e = archive_entry_new();
    size_t len = 0;
    char *text = pbc_meta_format(meta, &len, err);
    int rc = -1;

    if (text != NULL && e == NULL)
        pbc_fail(err, PBC_EXIT_FAILED, "no memory for a member");
    if (text != NULL && e != NULL) {
        archive_entry_copy_pathname(e, PBC_META_NAME);
        archive_entry_set_mode(e, AE_IFREG | 0644);
        archive_entry_set_mtime(e, 0, 0);
        archive_entry_set_size(e, (la_int64_t)len);
        rc = pack(k->members, e, text, err);
    }
    free(text);
    archive_entry_free(e);
    return rc;
}

static int pack_all(struct packing *k, struct pbc_meta *meta, int patch, struct pbc_error *err)
{
    if (meta != NULL) {
        meta->has_files = meta->has_bytes = true;
        pbc_plan_sum(k->plan, &meta->files, &meta->bytes);
        meta->contents[0] = '\0';
        if (patch) {
            memset(meta->contents, '0', PBC_META_DIGEST_LEN);
            meta->contents[PBC_META_DIGEST_LEN] = '\0';
        }
        if (pack_meta(k, meta, pbc_members_first, err) != 0)
            return -1;
    }
    pbc_contents_begin(&k->contents);
    if (pack_items(k, err) != 0)
        return -1;
    if (meta != NULL && patch) {
        pbc_contents_end(&k->contents, meta->contents);
        if (pack_meta(k, meta, pbc_members_replace_first, err) != 0)
            return -1;
    }
    return pbc_members_end(k->members, err);
}

int pbc_pack(struct pbc_plan *plan, struct pbc_meta *meta, const struct pbc_sink *sink,
             enum pbc_codec codec, int level, struct pbc_progress *progress,
             struct pbc_members_figures *ret, struct pbc_error *err)
{
    struct packing k = {.plan = plan, .progress = progress, .piece = malloc(PIECE)};
    int rc = -1;

    k.members = pbc_members_new(sink, codec, level, err);
    if (k.piece == NULL)
        pbc_fail(err, PBC_EXIT_FAILED, "no memory to read files");
    else if (k.members != NULL)
        rc = pack_all(&k, meta, sink->patch != NULL, err);
    if (rc == 0 && ret != NULL)
        pbc_members_figures(k.members, ret);
    pbc_members_free(k.members);
    free(k.piece);
    return rc;
}
