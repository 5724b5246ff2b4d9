/* One frame of a bundle of frames, from slices to files. */
#include "unpack_crew.h"

#include <errno.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

/* The frame as libarchive reads it. */
struct reader {
    struct pbc_hand *hand;
    struct pbc_job *job;
    struct pbc_slice *slice;
    size_t at;        /* in `slice` */
    uint64_t fetched; /* bytes of all slices so far */
    uint64_t made;    /* bytes of tar */
    int ended;        /* the whole frame is decoded, and is what its header says */
    int rc;           /* of the decoding: 0, -1 with `err`, or PBC_STOPPED */
    struct pbc_error err;
};

static int fetch(struct reader *r)
{
    const struct pbc_frames_head *head = &r->job->head;

    if (r->slice != NULL && r->at < r->slice->len)
        return 0;
    pbc_slice_free(r->slice);
    r->slice = NULL;
    r->at = 0;
    if (r->fetched == head->packed)
        return 0; /* zstd may still hold some */
    r->slice = pbc_crew_slice(r->hand->crew, r->job);
    if (r->slice == NULL)
        return PBC_STOPPED;
    r->fetched += r->slice->len;
    return 0;
}

static int check_end(struct reader *r)
{
    const struct pbc_frames_head *head = &r->job->head;
    uint64_t rest = head->packed - r->fetched + (r->slice == NULL ? 0 : r->slice->len - r->at);

    if (rest > 0)
        return pbc_fail(&r->err, PBC_EXIT_REFUSED,
                        "corrupt: a frame is shorter than its header says (%llu bytes)",
                        (unsigned long long)head->packed);
    if (r->made != head->raw)
        return pbc_fail(&r->err, PBC_EXIT_REFUSED,
                        "corrupt: a frame has %llu bytes of tar, its header says %llu",
                        (unsigned long long)r->made, (unsigned long long)head->raw);
    r->ended = 1;
    return 0;
}

/* Whether the frame is decoded in one go. */
static int is_whole(const struct pbc_job *job)
{
    return job->head.raw <= PBC_CREW_WHOLE;
}

static int too_much(struct reader *r)
{
    return pbc_fail(&r->err, PBC_EXIT_REFUSED,
                    "corrupt: a frame has more than the %llu bytes of tar that its header says",
                    (unsigned long long)r->job->head.raw);
}

/* Decode some more. */
static int decode(struct reader *r, ZSTD_outBuffer *out)
{
    ZSTD_inBuffer in = {0};
    size_t had = out->pos;
    size_t rc;

    if (fetch(r) != 0)
        return PBC_STOPPED;
    if (r->slice != NULL)
        in = (ZSTD_inBuffer){.src = r->slice->data, .size = r->slice->len, .pos = r->at};
    rc = ZSTD_decompressStream(r->hand->zstd, out, &in);
    if (ZSTD_isError(rc) && ZSTD_getErrorCode(rc) == ZSTD_error_dstSize_tooSmall)
        return too_much(r);
    if (ZSTD_isError(rc) && ZSTD_getErrorCode(rc) == ZSTD_error_memory_allocation)
        return pbc_fail(&r->err, PBC_EXIT_FAILED, "no memory to unpack");
    if (ZSTD_isError(rc))
        return pbc_fail(&r->err, PBC_EXIT_REFUSED, "corrupt: not a valid zstd frame (%s)",
                        ZSTD_getErrorName(rc));
    r->at = in.pos;
    r->made += out->pos - had;
    if (r->made > r->job->head.raw)
        return too_much(r);
    if (rc == 0)
        return check_end(r);
    if (r->slice == NULL && out->pos == had)
        return pbc_fail(&r->err, PBC_EXIT_REFUSED,
                        "corrupt: a frame is longer than its header says (%llu bytes)",
                        (unsigned long long)r->job->head.packed);
    return 0;
}

/* libarchive's read callback. */
static la_ssize_t next_block(struct archive *a, void *arg, const void **ret)
{
    struct reader *r = arg;
    int whole = is_whole(r->job);
    ZSTD_outBuffer out = {.dst = r->hand->block,
                          .size = whole ? (size_t)r->job->head.raw : PBC_CREW_BLOCK};

    while (r->rc == 0 && !r->ended && (whole || out.pos < out.size))
        r->rc = decode(r, &out);
    if (r->rc != 0) {
        if (a != NULL)
            archive_set_error(a, EILSEQ, "corrupt frame");
        return ARCHIVE_FATAL;
    }
    *ret = r->hand->block;
    return (la_ssize_t)out.pos;
}

/* The frame that ends the archive: zeros. */
static int read_end(struct reader *r, struct pbc_error *err)
{
    const void *block;
    la_ssize_t n;

    while ((n = next_block(NULL, r, &block)) > 0) {
        const uint8_t *p = block;

        if (p[0] != 0 || memcmp(p, p + 1, (size_t)n - 1) != 0)
            return pbc_fail(err, PBC_EXIT_REFUSED,
                            "corrupt: the frame that ends the archive has members");
    }
    return n < 0 ? -1 : 0;
}

static int read_member(struct reader *r, struct archive *a, struct archive_entry *e,
                       struct pbc_error *err)
{
    const char *name = archive_entry_pathname(e);

    if (!(r->job->head.flags & PBC_FRAMES_ORDERED) &&
        (archive_entry_filetype(e) != AE_IFREG || archive_entry_hardlink(e) != NULL))
        return pbc_fail(err, PBC_EXIT_REFUSED,
                        "member '%s' is not a regular file, and in a frame without order",
                        name == NULL ? "" : name);
    if (!(r->job->head.flags & PBC_FRAMES_ORDERED) && name != NULL && pbc_member_is_own(name))
        return pbc_fail(err, PBC_EXIT_REFUSED, "member '%s' is in a frame without order", name);
    return pbc_write_member(r->hand->u, r->job->bundle, r->hand->writer, a, e, err);
}

static int read_members(struct reader *r, struct archive *a, struct pbc_error *err)
{
    const struct pbc_frames_head *head = &r->job->head;
    struct archive_entry *e;
    uint32_t members = 0;
    int rc = 0;
    int got;

    if (archive_read_open(a, r, NULL, next_block, NULL) != ARCHIVE_OK)
        return pbc_archive_failed(a, NULL, err);
    while (rc == 0 && (got = archive_read_next_header(a, &e)) != ARCHIVE_EOF) {
        if (got != ARCHIVE_OK && got != ARCHIVE_WARN)
            return pbc_archive_failed(a, NULL, err);
        members++;
        rc = read_member(r, a, e, err);
    }
    /* What tar takes for an end in the middle would hide the rest from other readers. */
    if (rc == 0 && (!r->ended || (uint64_t)archive_read_header_position(a) != head->raw))
        rc = pbc_fail(err, PBC_EXIT_REFUSED, "corrupt: an end mark in the middle of the archive");
    if (rc == 0 && members != head->members)
        rc = pbc_fail(err, PBC_EXIT_REFUSED, "corrupt: a frame has %u members, its header says %u",
                      members, head->members);
    return rc;
}

int pbc_hand_unpack(struct pbc_hand *h, struct pbc_job *job, struct pbc_error *err)
{
    struct reader r = {.hand = h, .job = job};
    struct archive *a = NULL;
    int rc;

    if (h->zstd == NULL && (h->zstd = ZSTD_createDStream()) == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory to unpack");
    ZSTD_DCtx_reset(h->zstd, ZSTD_reset_session_only);
    ZSTD_DCtx_setParameter(h->zstd, ZSTD_d_windowLogMax, PBC_FRAMES_WINDOW_LOG);
    /* ZSTD_d_stableOutBuffer, by the name that zstd.h always has: what is decoded in one go needs
     * no window and no copy out of it. A library that does not know it is slower, no more. */
    (void)ZSTD_DCtx_setParameter(h->zstd, ZSTD_d_experimentalParam2, is_whole(job));
    if (job->head.flags & PBC_FRAMES_END) {
        rc = read_end(&r, err);
    } else {
        a = archive_read_new();
        if (a == NULL || archive_read_support_format_tar(a) != ARCHIVE_OK)
            rc = pbc_fail(err, PBC_EXIT_FAILED, "no memory to read the archive");
        else
            rc = read_members(&r, a, err);
        archive_read_free(a);
    }
    pbc_slice_free(r.slice);
    if (r.rc == 0)
        return rc;
    /* What libarchive or the writer made of it is a consequence. */
    if (r.rc == -1)
        *err = r.err;
    return r.rc;
}
