#include "decode.h"
#include "unpack_pipe.h"

#include <string.h>

/* What the thread keeps: the block that is being filled. */
struct out {
    struct pbc_unpack *u;
    struct pbc_chunk *block;
    size_t made;
};

#define STOPPED 1 /* beside 0 and -1: the pipeline is being stopped */

static int want_block(struct out *o)
{
    if (o->block == NULL)
        o->block = pbc_pool_wait(o->u->blocks);
    return o->block == NULL ? STOPPED : 0;
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
    return pbc_fifo_push(&o->u->plain, block) == 0 ? 0 : STOPPED;
}

static int decode_chunk(struct out *o, struct pbc_decoder *d, const struct pbc_chunk *c,
                        struct pbc_error *err)
{
    size_t used = 0;
    int more;

    do {
        if (want_block(o) != 0)
            return STOPPED;
        more = pbc_decode(d, c->data, c->frame.length, &used, o->block->data, PBC_BLOCK_BYTES,
                          &o->made, err);
        if (more < 0)
            return -1;
        if (o->made == PBC_BLOCK_BYTES && emit(o) != 0)
            return STOPPED;
    } while (more);
    return 0;
}

/* Each of these decodes one bundle up to its END, which it leaves in p->current. */

static int by_decoder(struct out *o, struct pbc_pieces *p, enum pbc_format format,
                      struct pbc_error *err)
{
    struct pbc_decoder *d = pbc_decoder_new(format);
    int rc = 0;

    if (d == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory to decode");
    while (rc == 0) {
        p->current = pbc_fifo_pop(p->from);
        if (p->current == NULL) {
            rc = STOPPED;
        } else if (p->current->frame.type == PBC_FRAME_END) {
            rc = pbc_decode_end(d, err);
            break;
        } else {
            rc = decode_chunk(o, d, p->current, err);
            pbc_chunk_unref(p->current);
            p->current = NULL;
        }
    }
    pbc_decoder_free(d);
    return rc;
}

static int add_filter(struct archive *a, enum pbc_format format)
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
    /* ARCHIVE_WARN: libarchive would run an external program, which may not be there. */
    if (add_filter(a, format) != ARCHIVE_OK || archive_read_support_format_raw(a) != ARCHIVE_OK)
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
                     ? STOPPED
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
            return STOPPED;
        if (p->current->frame.type == PBC_FRAME_END)
            return 0;
        if (pbc_fifo_push(&o->u->plain, p->current) != 0) {
            p->current = NULL;
            return STOPPED;
        }
    }
}

static int decode_bundle(struct out *o, const struct pbc_chunk *begin_chunk, struct pbc_error *err)
{
    struct pbc_pieces p = {.from = &o->u->checked};
    struct pbc_msg_begin begin;
    int rc;

    if (pbc_begin_decode(begin_chunk->data, begin_chunk->frame.length, &begin, err) != 0)
        return -1;
    if (begin.format == PBC_FORMAT_TAR)
        rc = as_it_is(o, &p);
    else if (pbc_decoder_exists(begin.format))
        rc = by_decoder(o, &p, begin.format, err);
    else
        rc = by_filter(o, &p, begin.format, err);
    if (rc == 0)
        rc = emit(o);
    if (rc == 0)
        pbc_fifo_push(&o->u->plain, p.current); /* the END */
    else
        pbc_chunk_unref(p.current);
    return rc;
}

void *pbc_decode_thread(void *arg)
{
    struct pbc_unpack *u = arg;
    struct out o = {.u = u};
    struct pbc_chunk *c;
    int rc = 0;

    while (rc == 0 && (c = pbc_fifo_pop(&u->checked)) != NULL) {
        unsigned bundle = c->frame.bundle;
        struct pbc_error err;

        if (c->frame.type == PBC_FRAME_BEGIN) {
            pbc_fifo_push(&u->plain, pbc_chunk_ref(c));
            rc = decode_bundle(&o, c, &err);
            pbc_chunk_unref(c);
        } else { /* DONE */
            pbc_fifo_push(&u->plain, c);
        }
        if (rc == -1)
            pbc_unpack_fail(u, bundle, &err);
    }
    pbc_chunk_unref(o.block);
    return NULL;
}
