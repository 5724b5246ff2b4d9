#include "rewrite.h"
#include "unpack_pipe.h"

static int write_data(struct pbc_writer *w, struct pbc_rewriter *rewriter, struct archive *a,
                      const char *name, struct pbc_error *err)
{
    const void *data;
    size_t len;
    la_int64_t offset;
    int rc;

    while ((rc = archive_read_data_block(a, &data, &len, &offset)) == ARCHIVE_OK) {
        if (len == 0)
            continue;
        if ((rewriter == NULL ? pbc_writer_data(w, (uint64_t)offset, data, len, err)
                              : pbc_rewriter_data(rewriter, (uint64_t)offset, data, len, err)) != 0)
            return -1;
    }
    if (rc != ARCHIVE_EOF)
        return pbc_archive_failed(a, name, err);
    return rewriter == NULL ? 0 : pbc_rewriter_end(rewriter, err);
}

static int write_file(struct pbc_unpack *u, unsigned bundle, struct pbc_writer *w,
                      struct archive *a, struct archive_entry *e, const char *name,
                      struct pbc_error *err)
{
    struct timespec mtime = {.tv_sec = archive_entry_mtime(e),
                             .tv_nsec = archive_entry_mtime_nsec(e)};
    la_int64_t size = archive_entry_size(e);
    struct pbc_rewriter *rewriter;
    int rc;

    if (size < 0)
        return pbc_fail(err, PBC_EXIT_REFUSED, "member '%s' has a negative size", name);
    if (pbc_writer_file(w, name, archive_entry_perm(e), (uint64_t)size, err) != 0)
        return -1;
    if (pbc_member_rewriter(u, bundle, w, name, &rewriter, err) != 0)
        return -1;
    rc = write_data(w, rewriter, a, name, err);
    pbc_rewriter_free(rewriter);
    return rc == 0 ? pbc_writer_close(w, mtime, err) : -1;
}

int pbc_write_member(struct pbc_unpack *u, unsigned bundle, struct pbc_writer *w, struct archive *a,
                     struct archive_entry *e, struct pbc_error *err)
{
    int own;
    const char *name = archive_entry_pathname(e);
    const char *target = archive_entry_hardlink(e);

    if (name == NULL)
        return pbc_fail(err, PBC_EXIT_REFUSED, "a member's name is not valid UTF-8");
    own = pbc_member_own(u, bundle, a, e, name, err);
    if (own != 0)
        return own < 0 ? -1 : 0;
    if (target != NULL)
        return pbc_writer_hardlink(w, name, target, err);
    switch (archive_entry_filetype(e)) {
    case AE_IFREG:
        return write_file(u, bundle, w, a, e, name, err);
    case AE_IFDIR:
        return pbc_writer_dir(w, name, archive_entry_perm(e), err);
    case AE_IFLNK:
        target = archive_entry_symlink(e);
        if (target == NULL || *target == '\0')
            return pbc_fail(err, PBC_EXIT_REFUSED, "member '%s' is a link to nothing", name);
        return pbc_writer_symlink(w, name, target, err);
    case AE_IFIFO:
        return pbc_fail(err, PBC_EXIT_REFUSED, "member '%s' is a fifo", name);
    case AE_IFCHR:
    case AE_IFBLK:
        return pbc_fail(err, PBC_EXIT_REFUSED, "member '%s' is a device", name);
    default:
        return pbc_fail(err, PBC_EXIT_REFUSED, "member '%s' is of a type that bundles cannot have",
                        name);
    }
}

/* Members of one bundle, then whatever follows the end-of-archive mark up to the END. */
static int read_archive(struct pbc_unpack *u, unsigned bundle, struct pbc_error *err)
{
    struct pbc_pieces p = {.from = &u->plain};
    struct archive *a = archive_read_new();
    struct archive_entry *e;
    const void *rest;
    int rc = 0;

    if (a == NULL || archive_read_support_format_tar(a) != ARCHIVE_OK)
        rc = pbc_fail(err, PBC_EXIT_FAILED, "no memory to read the archive");
    else if (archive_read_open(a, &p, NULL, pbc_pieces_next, NULL) != ARCHIVE_OK)
        rc = pbc_archive_failed(a, NULL, err);
    while (rc == 0) {
        int got = archive_read_next_header(a, &e);

        if (got == ARCHIVE_EOF) {
            /* libarchive is content with an end between two members, or two compressed frames. */
            if (p.ended)
                rc = pbc_fail(err, PBC_EXIT_REFUSED,
                              "truncated: the archive has no end mark (two blocks of zeros)");
            break;
        }
        if (got != ARCHIVE_OK && got != ARCHIVE_WARN)
            rc = pbc_archive_failed(a, NULL, err);
        else
            rc = pbc_write_member(u, bundle, u->writer, a, e, err);
    }
    while (rc == 0 && !p.ended) {
        if (pbc_pieces_next(a, &p, &rest) < 0)
            rc = pbc_fail(err, PBC_EXIT_FAILED, "stopped");
    }
    archive_read_free(a);
    pbc_chunk_unref(p.current);
    return rc;
}

static int unpack_bundle(struct pbc_unpack *u, unsigned bundle, struct pbc_error *err)
{
    struct pbc_writer_count before;
    struct pbc_writer_count after;

    pbc_writer_counts(u->writer, &before);
    if (read_archive(u, bundle, err) != 0)
        return -1;
    pbc_writer_counts(u->writer, &after);
    if (after.entries == before.entries)
        return pbc_fail(err, PBC_EXIT_REFUSED, "the archive has no members");
    u->result[bundle].files = after.files - before.files;
    pbc_meta_forget_rewrites(&u->result[bundle].meta);
    pbc_unpack_wrote(u);
    return 0;
}

void *pbc_write_thread(void *arg)
{
    struct pbc_unpack *u = arg;
    struct pbc_chunk *c;
    struct pbc_error err;
    unsigned bundle = 0;
    int at_end = 0;
    int rc = 0;

    if (u->conf.base != NULL) {
        if (pbc_base_copy(u->writer, u->conf.base, &err) != 0) {
            pbc_unpack_fail_before(u, &err);
            return NULL;
        }
        pbc_unpack_wrote(u);
    }
    while (rc == 0 && (c = pbc_fifo_pop(&u->plain)) != NULL) {
        at_end = c->frame.type == PBC_FRAME_DONE;
        if (!at_end)
            bundle = c->frame.bundle;
        pbc_chunk_unref(c);
        rc = at_end ? pbc_writer_finish(u->writer, &err) : unpack_bundle(u, bundle, &err);
        if (rc == 0 && at_end) {
            pbc_unpack_done(u);
            return NULL;
        }
    }
    /* Which bundle, or the tree before them, a link is of that leads out only at the end, is not
     * known; it may be the only one. */
    if (rc != 0 && at_end && (u->conf.bundles > 1 || u->conf.base != NULL))
        pbc_unpack_fail_before(u, &err);
    else if (rc != 0)
        pbc_unpack_fail(u, bundle, &err);
    return NULL;
}
