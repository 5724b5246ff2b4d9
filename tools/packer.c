#include "packer.h"

#include "frames.h"

#include <limits.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#define OUT_BYTES (256u << 10)

struct pbc_packer {
    struct pbc_sink sink;
    enum pbc_codec codec;
    uint64_t at; /* bytes that the sink has */
    uint64_t frames;
    uint64_t raw; /* bytes of tar in complete frames */
    size_t first; /* bytes of tar in the first member, 0 if there is none */

    z_stream gzip;
    int gzip_open;

    ZSTD_CCtx *zstd;
    uint8_t *held; /* tar that is not compressed yet, at most PBC_FRAMES_RAW bytes */
    size_t held_len;
    /* What comes of it: room for a header, then the frame or as much of it as the sink has not. */
    uint8_t *out;
    size_t out_len;
    size_t out_size;

    /* The frame that is open. */
    int begun;         /* the sink has a part of it */
    uint64_t begun_at; /* where its header is */
    struct pbc_frames_head head;
    crypto_generichash_state digest;
};

static void begin(struct pbc_packer *p)
{
    p->held_len = 0;
    p->out_len = PBC_FRAMES_HEADER;
    p->begun = 0;
    memset(&p->head, 0, sizeof(p->head));
    crypto_generichash_init(&p->digest, NULL, 0, PBC_DIGEST_BYTES);
}

static int open_zstd(struct pbc_packer *p, int level)
{
    p->out_size = PBC_FRAMES_HEADER + ZSTD_compressBound(PBC_FRAMES_RAW) + OUT_BYTES;
    p->zstd = ZSTD_createCCtx();
    p->held = malloc(PBC_FRAMES_RAW);
    p->out = malloc(p->out_size);
    if (p->zstd == NULL || p->held == NULL || p->out == NULL)
        return -1;
    ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_checksumFlag, 1);
    begin(p);
    return 0;
}

/* 16: a gzip header (RFC 1952), with neither name nor time. */
static int open_gzip(z_stream *z, int level)
{
    return deflateInit2(z, level, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK ? 0
                                                                                             : -1;
}

struct pbc_packer *pbc_packer_new(const struct pbc_sink *sink, enum pbc_codec codec, int level)
{
    struct pbc_packer *p = calloc(1, sizeof(*p));
    int rc = 0;

    if (p == NULL)
        return NULL;
    p->sink = *sink;
    p->codec = codec;
    if (codec == PBC_CODEC_FRAMES)
        rc = open_zstd(p, level);
    else if (codec == PBC_CODEC_GZIP) {
        rc = open_gzip(&p->gzip, level);
        p->gzip_open = rc == 0;
        p->out_size = OUT_BYTES;
        p->out = malloc(p->out_size);
    }
    if (rc != 0 || (codec != PBC_CODEC_TAR && p->out == NULL)) {
        pbc_packer_free(p);
        return NULL;
    }
    return p;
}

void pbc_packer_free(struct pbc_packer *p)
{
    if (p == NULL)
        return;
    if (p->gzip_open)
        deflateEnd(&p->gzip);
    ZSTD_freeCCtx(p->zstd);
    free(p->held);
    free(p->out);
    free(p);
}

static int emit(struct pbc_packer *p, const void *data, size_t len, struct pbc_error *err)
{
    if (len > 0 && p->sink.write(p->sink.arg, data, len, err) != 0)
        return -1;
    p->at += len;
    return 0;
}

/* --- frames -------------------------------------------------------------------------------- */

/* Give to the sink what there is of an unfinished frame: its header, which is of no use yet, first.
 */
static int spill(struct pbc_packer *p, struct pbc_error *err)
{
    size_t from = p->begun ? PBC_FRAMES_HEADER : 0;

    if (p->out_len == PBC_FRAMES_HEADER)
        return 0;
    if (!p->begun) {
        memset(p->out, 0, PBC_FRAMES_HEADER);
        p->begun = 1;
        p->begun_at = p->at;
    }
    if (emit(p, p->out + from, p->out_len - from, err) != 0)
        return -1;
    p->out_len = PBC_FRAMES_HEADER;
    return 0;
}

static int make_room(struct pbc_packer *p, struct pbc_error *err)
{
    uint8_t *more;
    size_t size;

    if (p->out_size - p->out_len >= OUT_BYTES)
        return 0;
    if (p->sink.patch != NULL)
        return spill(p, err);
    if (p->out_size >= PBC_PACKER_HELD_MAX)
        return pbc_fail(err, PBC_EXIT_REFUSED,
                        "a file has more than %u MiB when compressed, which is too much to be "
                        "packed on the fly: make a bundle of it first",
                        PBC_PACKER_HELD_MAX >> 20);
    size = p->out_size < PBC_PACKER_HELD_MAX / 2 ? 2 * p->out_size : PBC_PACKER_HELD_MAX;
    more = realloc(p->out, size);
    if (more == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory for a frame of %zu bytes", size);
    p->out = more;
    p->out_size = size;
    return 0;
}

/* Compress what is held. With ZSTD_e_end the zstd frame is complete. */
static int compress_held(struct pbc_packer *p, ZSTD_EndDirective end, struct pbc_error *err)
{
    ZSTD_inBuffer in = {.src = p->held, .size = p->held_len};
    size_t more;

    do {
        ZSTD_outBuffer out;

        if (make_room(p, err) != 0)
            return -1;
        out = (ZSTD_outBuffer){.dst = p->out, .size = p->out_size, .pos = p->out_len};
        more = ZSTD_compressStream2(p->zstd, &out, &in, end);
        if (ZSTD_isError(more))
            return pbc_fail(err, PBC_EXIT_FAILED, "cannot compress: %s", ZSTD_getErrorName(more));
        crypto_generichash_update(&p->digest, p->out + p->out_len, out.pos - p->out_len);
        p->head.packed += out.pos - p->out_len;
        p->out_len = out.pos;
    } while (end == ZSTD_e_end ? more > 0 : in.pos < in.size);
    p->held_len = 0;
    return 0;
}

static int frame_bytes(struct pbc_packer *p, const uint8_t *from, size_t len, struct pbc_error *err)
{
    p->head.raw += len;
    while (len > 0) {
        size_t n = PBC_FRAMES_RAW - p->held_len;

        if (n == 0) {
            if (compress_held(p, ZSTD_e_continue, err) != 0)
                return -1;
            continue;
        }
        if (n > len)
            n = len;
        memcpy(p->held + p->held_len, from, n);
        p->held_len += n;
        from += n;
        len -= n;
    }
    return 0;
}

static int frame_cut(struct pbc_packer *p, unsigned flags, struct pbc_error *err)
{
    uint8_t header[PBC_FRAMES_HEADER];

    if (p->head.raw == 0)
        return 0;
    if (compress_held(p, ZSTD_e_end, err) != 0)
        return -1;
    crypto_generichash_final(&p->digest, p->head.digest, sizeof(p->head.digest));
    p->head.flags = (uint8_t)flags;
    pbc_frames_encode(&p->head, header);
    if (p->begun) {
        if (spill(p, err) != 0 ||
            p->sink.patch(p->sink.arg, p->begun_at, header, sizeof(header), err) != 0)
            return -1;
    } else {
        memcpy(p->out, header, sizeof(header));
        if (emit(p, p->out, p->out_len, err) != 0)
            return -1;
    }
    p->frames++;
    p->raw += p->head.raw;
    begin(p);
    return 0;
}

/* --- gzip ---------------------------------------------------------------------------------- */

static int gzip_bytes(struct pbc_packer *p, const uint8_t *from, size_t len, int flush,
                      struct pbc_error *err)
{
    int rc;

    do {
        uInt n = len < UINT_MAX / 2 ? (uInt)len : UINT_MAX / 2;

        p->gzip.next_in = (Bytef *)(uintptr_t)from; /* zlib's field lacks a const */
        p->gzip.avail_in = n;
        from += n;
        len -= n;
        do {
            p->gzip.next_out = p->out;
            p->gzip.avail_out = OUT_BYTES;
            rc = deflate(&p->gzip, len > 0 ? Z_NO_FLUSH : flush);
            if (emit(p, p->out, OUT_BYTES - p->gzip.avail_out, err) != 0)
                return -1;
        } while (p->gzip.avail_out == 0);
    } while (len > 0);
    return rc == Z_STREAM_ERROR ? pbc_fail(err, PBC_EXIT_FAILED, "cannot compress: zlib refuses")
                                : 0;
}

/* --- the first member ---------------------------------------------------------------------- */

static void put_le(uint8_t *out, uint32_t v, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++, v >>= 8)
        out[i] = (uint8_t)v;
}

/* A zstd frame of raw blocks (RFC 8878, 3.1.1): a single segment, its size in four bytes. */
static size_t store_zstd(const uint8_t *tar, size_t len, uint8_t *out)
{
    const size_t block = 128u << 10;
    size_t at = 9;

    put_le(out, 0xfd2fb528, 4);
    out[4] = 0xa0;
    put_le(out + 5, (uint32_t)len, 4);
    do {
        size_t n = len < block ? len : block;

        put_le(out + at, (uint32_t)(n << 3 | (n == len)), 3);
        memcpy(out + at + 3, tar, n);
        at += 3 + n;
        tar += n;
        len -= n;
    } while (len > 0);
    return at;
}

static size_t store_frame(const uint8_t *tar, size_t len, uint8_t *out)
{
    struct pbc_frames_head head = {.flags = PBC_FRAMES_ORDERED, .raw = len, .members = 1};

    head.packed = store_zstd(tar, len, out + PBC_FRAMES_HEADER);
    crypto_generichash(head.digest, sizeof(head.digest), out + PBC_FRAMES_HEADER, head.packed, NULL,
                       0);
    pbc_frames_encode(&head, out);
    return PBC_FRAMES_HEADER + head.packed;
}

/* A gzip member of its own, of stored blocks. */
static size_t store_gzip(const uint8_t *tar, size_t len, uint8_t *out, size_t size)
{
    z_stream z = {0};
    size_t made = 0;

    if (open_gzip(&z, Z_NO_COMPRESSION) != 0)
        return 0;
    z.next_in = (Bytef *)(uintptr_t)tar;
    z.avail_in = (uInt)len;
    z.next_out = out;
    z.avail_out = (uInt)size;
    if (deflate(&z, Z_FINISH) == Z_STREAM_END)
        made = size - z.avail_out;
    deflateEnd(&z);
    return made;
}

/* Malloced. */
static uint8_t *store(const struct pbc_packer *p, const uint8_t *tar, size_t len, size_t *ret_len,
                      struct pbc_error *err)
{
    size_t size = len + len / 1024 + 1024;
    uint8_t *out = malloc(size);

    *ret_len = 0;
    if (out != NULL && p->codec == PBC_CODEC_FRAMES)
        *ret_len = store_frame(tar, len, out);
    else if (out != NULL && p->codec == PBC_CODEC_GZIP)
        *ret_len = store_gzip(tar, len, out, size);
    else if (out != NULL)
        memcpy(out, tar, *ret_len = len);
    if (*ret_len == 0) {
        free(out);
        pbc_fail(err, PBC_EXIT_FAILED, "no memory for the first member");
        return NULL;
    }
    return out;
}

int pbc_packer_first(struct pbc_packer *p, const void *tar, size_t len, struct pbc_error *err)
{
    uint8_t *stored;
    size_t n;
    int rc;

    if (len > PBC_PACKER_FIRST_MAX)
        return pbc_fail(err, PBC_EXIT_REFUSED, "the first member has more than %u MiB",
                        PBC_PACKER_FIRST_MAX >> 20);
    stored = store(p, tar, len, &n, err);
    if (stored == NULL)
        return -1;
    rc = emit(p, stored, n, err);
    free(stored);
    p->first = len;
    p->frames++;
    p->raw += len;
    return rc;
}

int pbc_packer_replace_first(struct pbc_packer *p, const void *tar, size_t len,
                             struct pbc_error *err)
{
    uint8_t *stored;
    size_t n;
    int rc;

    if (len != p->first || p->sink.patch == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "the first member cannot be replaced");
    stored = store(p, tar, len, &n, err);
    if (stored == NULL)
        return -1;
    rc = p->sink.patch(p->sink.arg, 0, stored, n, err);
    free(stored);
    return rc;
}

/* --- all of them --------------------------------------------------------------------------- */

int pbc_packer_bytes(struct pbc_packer *p, const void *data, size_t len, struct pbc_error *err)
{
    if (p->codec == PBC_CODEC_FRAMES)
        return frame_bytes(p, data, len, err);
    p->raw += len;
    if (p->codec == PBC_CODEC_GZIP)
        return gzip_bytes(p, data, len, Z_NO_FLUSH, err);
    return emit(p, data, len, err);
}

void pbc_packer_member(struct pbc_packer *p)
{
    p->head.members++;
}

uint64_t pbc_packer_raw(const struct pbc_packer *p)
{
    return p->codec == PBC_CODEC_FRAMES ? p->head.raw : 0;
}

int pbc_packer_cut(struct pbc_packer *p, unsigned flags, struct pbc_error *err)
{
    if (p->codec == PBC_CODEC_FRAMES)
        return frame_cut(p, flags, err);
    if (p->codec == PBC_CODEC_GZIP && (flags & PBC_FRAMES_END) != 0)
        return gzip_bytes(p, (const uint8_t *)"", 0, Z_FINISH, err);
    return 0;
}

void pbc_packer_figures(const struct pbc_packer *p, uint64_t *frames, uint64_t *raw,
                        uint64_t *packed)
{
    *frames = p->codec == PBC_CODEC_FRAMES ? p->frames : 0;
    *raw = p->raw;
    *packed = p->at;
}
