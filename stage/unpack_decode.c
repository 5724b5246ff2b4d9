#include "decode.h"
#include "unpack_crew.h"
#include "unpack_pipe.h"

#include <string.h>

/* What the thread keeps: the block that is being filled. */
struct out {
    struct pbc_unpack *u;
    struct pbc_chunk *block;
    size_t made;
};

/* The first bytes of a bundle. */
struct head {
    uint8_t bytes[PBC_FRAMES_HEADER];
    size_t len;
};

/* To the write thread. Takes over the reference. */
static int hand_on(struct pbc_unpack *u, struct pbc_chunk *c)
{
    return pbc_fifo_push(&u->plain, c) == 0 ? 0 : PBC_STOPPED;
}

static int want_block(struct out *o)
{
    if (o->block == NULL)
        o->block = pbc_pool_wait(o->u->blocks);
    return o->block == NULL ? PBC_STOPPED : 0;
}

/* Pass the block on, if there is anything in it. */
static int emit(struct out *o)
{
    struct pbc_chunk *block = o->block;

    if (o->made == 0)
        return 0;
    block->frame = (struct pbc_frame){.type = PBC_FRAME_DATA, .length = (uint32_t)o->made};
    o->block = NULL;
    o->made = 0;
    return hand_on(o->u, block);
}

static int decode_bytes(struct out *o, struct pbc_decoder *d, const uint8_t *in, size_t len,
                        struct pbc_error *err)
{
    size_t used = 0;
    int more;

    do {
        if (want_block(o) != 0)
            return PBC_STOPPED;
        more = pbc_decode(d, in, len, &used, o->block->data, PBC_BLOCK_BYTES, &o->made, err);
        if (more < 0)
            return -1;
        if (o->made == PBC_BLOCK_BYTES && emit(o) != 0)
            return PBC_STOPPED;
    } while (more);
    return 0;
}

/* Each of these decodes one bundle up to its END, which it leaves in p->current. */

/* `head` is what has been read already, by peek. */
static int by_decoder(struct out *o, struct pbc_pieces *p, enum pbc_format format,
                      const struct head *head, struct pbc_error *err)
{
    struct pbc_decoder *d = pbc_decoder_new(format);
    int rc;

    if (d == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory to decode");
    rc = decode_bytes(o, d, head->bytes, head->len, err);
    while (rc == 0 && !p->ended) {
        const void *ignored;

        if (p->current != NULL)
            rc =
                decode_bytes(o, d, p->current->data + p->at, p->current->frame.length - p->at, err);
        p->at = 0;
        if (rc == 0 && pbc_pieces_next(NULL, p, &ignored) < 0)
            rc = PBC_STOPPED;
    }
    if (rc == 0)
        rc = pbc_decode_end(d, err);
    pbc_decoder_free(d);
    return rc;
}

int pbc_add_filter(struct archive *a, enum pbc_format format)
{
    switch (format) {
    case PBC_FORMAT_GZIP:
        return archive_read_support_filter_gzip(a);
    case PBC_FORMAT_BZIP2:
        return archive_read_support_filter_bzip2(a);
    case PBC_FORMAT_XZ:
        return archive_read_support_filter_xz(a);
    case PBC_FORMAT_ZSTD:
        return archive_read_support_filter_zstd(a);
    case PBC_FORMAT_LZ4:
        return archive_read_support_filter_lz4(a);
    default:
        return ARCHIVE_FATAL;
    }
}

static int by_filter(struct out *o, struct pbc_pieces *p, enum pbc_format format,
                     struct pbc_error *err)
{
    struct archive *a = archive_read_new();
    struct archive_entry *e;
    int rc = 0;

    if (a == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory to decode");
    if (pbc_add_filter(a, format) != ARCHIVE_OK || archive_read_support_format_raw(a) != ARCHIVE_OK)
        rc = pbc_fail(err, PBC_EXIT_REFUSED, "the libarchive of this node cannot read %s",
                      pbc_format_name(format));
    else if (archive_read_open(a, p, NULL, pbc_pieces_next, NULL) != ARCHIVE_OK ||
             archive_read_next_header(a, &e) != ARCHIVE_OK)
        rc = pbc_archive_failed(a, NULL, err);
    while (rc == 0) {
        la_ssize_t n;

        rc = want_block(o);
        if (rc != 0)
            break;
        n = archive_read_data(a, o->block->data + o->made, PBC_BLOCK_BYTES - o->made);
        if (n == 0)
            break;
        if (n < 0) {
            rc = pbc_archive_failed(a, NULL, err);
        } else {
            o->made += (size_t)n;
            if (o->made == PBC_BLOCK_BYTES)
                rc = emit(o);
        }
    }
    archive_read_free(a);
    if (rc == 0 && !p->ended) {
        /* The filter saw the end of its stream; nothing may follow it. */
        const void *rest;

        if (pbc_pieces_next(NULL, p, &rest) != 0)
            rc = p->current == NULL
                     ? PBC_STOPPED
                     : pbc_fail(err, PBC_EXIT_REFUSED, "corrupt: something follows the %s stream",
                                pbc_format_name(format));
    }
    return rc;
}

/* Plain tar: the chunks themselves go on. */
static int as_it_is(struct out *o, struct pbc_pieces *p)
{
    for (;;) {
        p->current = pbc_fifo_pop(p->from);
        if (p->current == NULL)
            return PBC_STOPPED;
        if (p->current->frame.type == PBC_FRAME_END)
            return 0;
        if (hand_on(o->u, p->current) != 0) {
            p->current = NULL;
            return PBC_STOPPED;
        }
    }
}

/* The first bytes of the bundle, as many as there are; p goes on behind them. */
static int peek(struct pbc_pieces *p, struct head *head)
{
    head->len = 0;
    while (head->len < sizeof(head->bytes)) {
        const void *ignored;
        size_t n;

        if (p->current == NULL || p->at == p->current->frame.length) {
            p->at = 0;
            if (pbc_pieces_next(NULL, p, &ignored) < 0)
                return PBC_STOPPED;
            if (p->ended)
                return 0;
        }
        n = p->current->frame.length - p->at;
        if (n > sizeof(head->bytes) - head->len)
            n = sizeof(head->bytes) - head->len;
        memcpy(head->bytes + head->len, p->current->data + p->at, n);
        p->at += n;
        head->len += n;
    }
    return 0;
}

#ifdef PBC_HAVE_ZSTD
static int by_crew(struct out *o, struct pbc_pieces *p, unsigned bundle, const struct head *head,
                   struct pbc_error *err)
{
    int rc = pbc_unpack_wait_written(o->u);

    return rc != 0 ? rc : pbc_frames_take(o->u, p, bundle, head->bytes, err);
}

static int of_frames(enum pbc_format format, const struct head *head)
{
    return format == PBC_FORMAT_ZSTD && head->len == sizeof(head->bytes) &&
           pbc_frames_known(head->bytes);
}
#else
static int by_crew(struct out *o, struct pbc_pieces *p, unsigned bundle, const struct head *head,
                   struct pbc_error *err)
{
    (void)o, (void)p, (void)bundle, (void)head;
    return pbc_fail(err, PBC_EXIT_FAILED, "built without libzstd");
}

static int of_frames(enum pbc_format format, const struct head *head)
{
    (void)format, (void)head;
    return 0;
}
#endif

/* By the threads after this one. */
static int pass_on(struct out *o, struct pbc_pieces *p, enum pbc_format format,
                   const struct head *head, struct pbc_error *err)
{
    int rc;

    if (format == PBC_FORMAT_TAR)
        rc = as_it_is(o, p);
    else if (pbc_decoder_exists(format))
        rc = by_decoder(o, p, format, head, err);
    else
        rc = by_filter(o, p, format, err);
    if (rc == 0)
        rc = emit(o);
    if (rc == 0) {
        rc = hand_on(o->u, p->current); /* the END */
        p->current = NULL;
    }
    return rc;
}

static int decode_bundle(struct out *o, struct pbc_chunk *begin_chunk, struct pbc_error *err)
{
    struct pbc_pieces p = {.from = &o->u->arrived};
    struct head head = {.len = 0};
    struct pbc_msg_begin begin;
    int rc;

    if (pbc_begin_decode(begin_chunk->data, begin_chunk->frame.length, &begin, err) != 0)
        return -1;
    rc = pbc_decoder_exists(begin.format) ? peek(&p, &head) : 0;
    if (rc == 0 && of_frames(begin.format, &head)) {
        rc = by_crew(o, &p, begin_chunk->frame.bundle, &head, err);
    } else if (rc == 0) {
        pbc_unpack_writes(o->u);
        rc = hand_on(o->u, pbc_chunk_ref(begin_chunk));
        if (rc == 0)
            rc = pass_on(o, &p, begin.format, &head, err);
    }
    pbc_chunk_unref(p.current);
    return rc;
}

void *pbc_decode_thread(void *arg)
{
    struct pbc_unpack *u = arg;
    struct out o = {.u = u};
    struct pbc_chunk *c;
    struct pbc_error err;
    int rc = 0;

    while (rc == 0 && (c = pbc_fifo_pop(&u->arrived)) != NULL) {
        unsigned bundle = c->frame.bundle;

        if (c->frame.type == PBC_FRAME_BEGIN) {
            rc = decode_bundle(&o, c, &err);
            pbc_chunk_unref(c);
        } else { /* DONE */
            rc = hand_on(u, c);
        }
        if (rc == -1)
            pbc_unpack_fail(u, bundle, &err);
    }
    /* A queue refuses what comes after a failure, which is known then, or when it cannot grow. */
    if (rc == PBC_STOPPED)
        pbc_unpack_no_memory(u);
    pbc_chunk_unref(o.block);
    return NULL;
}
