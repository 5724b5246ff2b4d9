#include "decode.h"

#include <stdlib.h>
#include <string.h>

#if defined(PBC_HAVE_ISAL)
#include <isa-l/igzip_lib.h>
#elif defined(PBC_HAVE_ZLIB)
#include <zlib.h>
#endif
#ifdef PBC_HAVE_ZSTD
#include <zstd.h>
#include <zstd_errors.h>
#endif

#if defined(PBC_HAVE_ISAL) || defined(PBC_HAVE_ZLIB)
#define PBC_HAVE_GZIP
#endif

/* Frames of `zstd --ultra` and `--long=27` fit; more would be a decompression bomb's window. */
#define ZSTD_WINDOW_LOG_MAX 27

struct pbc_decoder {
    enum pbc_format format;
    int between; /* at the end of a member or frame, or before the first */
    int padding; /* only zeros may follow */
    int any;     /* a member or frame has been seen */
#if defined(PBC_HAVE_ISAL)
    struct inflate_state gz;
#elif defined(PBC_HAVE_ZLIB)
    z_stream gz;
#endif
#ifdef PBC_HAVE_ZSTD
    ZSTD_DStream *zst;
#endif
};

int pbc_decoder_exists(enum pbc_format format)
{
#ifdef PBC_HAVE_GZIP
    if (format == PBC_FORMAT_GZIP)
        return 1;
#endif
#ifdef PBC_HAVE_ZSTD
    if (format == PBC_FORMAT_ZSTD)
        return 1;
#endif
    (void)format;
    return 0;
}

/* --- one gzip member ------------------------------------------------------------------------
 * gz_step decodes as pbc_decode does, and sets *ended behind the member's checksum. NULL, or what
 * is wrong with the stream. */

#if defined(PBC_HAVE_ISAL)
static int gz_start(struct pbc_decoder *d)
{
    isal_inflate_init(&d->gz);
    d->gz.crc_flag = ISAL_GZIP;
    return 0;
}

static void gz_again(struct pbc_decoder *d)
{
    isal_inflate_reset(&d->gz);
    d->gz.crc_flag = ISAL_GZIP;
}

static void gz_stop(struct pbc_decoder *d)
{
    (void)d;
}

static const char *gz_step(struct pbc_decoder *d, const uint8_t *in, size_t len, size_t *used,
                           uint8_t *out, size_t size, size_t *made, int *ended)
{
    int rc;

    d->gz.next_in = (uint8_t *)(uintptr_t)(in + *used);
    d->gz.avail_in = (uint32_t)(len - *used);
    d->gz.next_out = out + *made;
    d->gz.avail_out = (uint32_t)(size - *made);
    rc = isal_inflate(&d->gz);
    *used = len - d->gz.avail_in;
    *made = size - d->gz.avail_out;
    *ended = d->gz.block_state == ISAL_BLOCK_FINISH;
    if (rc == ISAL_DECOMP_OK || rc == ISAL_END_INPUT)
        return NULL;
    return rc == ISAL_INCORRECT_CHECKSUM ? "the gzip checksum is wrong" : "not a valid gzip stream";
}
#elif defined(PBC_HAVE_ZLIB)
static int gz_start(struct pbc_decoder *d)
{
    return inflateInit2(&d->gz, 16 + MAX_WBITS) == Z_OK ? 0 : -1; /* 16: gzip */
}

static void gz_again(struct pbc_decoder *d)
{
    inflateReset(&d->gz);
}

static void gz_stop(struct pbc_decoder *d)
{
    inflateEnd(&d->gz);
}

static const char *gz_step(struct pbc_decoder *d, const uint8_t *in, size_t len, size_t *used,
                           uint8_t *out, size_t size, size_t *made, int *ended)
{
    int rc;

    d->gz.next_in = (uint8_t *)(uintptr_t)(in + *used);
    d->gz.avail_in = (uInt)(len - *used);
    d->gz.next_out = out + *made;
    d->gz.avail_out = (uInt)(size - *made);
    rc = inflate(&d->gz, Z_NO_FLUSH);
    *used = len - d->gz.avail_in;
    *made = size - d->gz.avail_out;
    *ended = rc == Z_STREAM_END;
    if (rc == Z_OK || rc == Z_STREAM_END || rc == Z_BUF_ERROR)
        return NULL;
    return d->gz.msg != NULL && strstr(d->gz.msg, "check") != NULL ? "the gzip checksum is wrong"
                                                                   : "not a valid gzip stream";
}
#endif

struct pbc_decoder *pbc_decoder_new(enum pbc_format format)
{
    struct pbc_decoder *d = calloc(1, sizeof(*d));

    if (d == NULL)
        return NULL;
    d->format = format;
    d->between = 1;
#ifdef PBC_HAVE_GZIP
    if (format == PBC_FORMAT_GZIP && gz_start(d) != 0) {
        free(d);
        return NULL;
    }
#endif
#ifdef PBC_HAVE_ZSTD
    if (format == PBC_FORMAT_ZSTD) {
        d->zst = ZSTD_createDStream();
        if (d->zst == NULL) {
            free(d);
            return NULL;
        }
        ZSTD_DCtx_setParameter(d->zst, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
    }
#endif
    return d;
}

#ifdef PBC_HAVE_GZIP
static int skip_zeros(struct pbc_decoder *d, const uint8_t *in, size_t len, size_t *used,
                      struct pbc_error *err)
{
    while (*used < len && in[*used] == 0)
        ++*used;
    if (*used < len)
        return pbc_fail(err, PBC_EXIT_REFUSED, "corrupt: something follows the gzip stream");
    d->padding = 1;
    return 0;
}

static int decode_gzip(struct pbc_decoder *d, const uint8_t *in, size_t len, size_t *used,
                       uint8_t *out, size_t size, size_t *made, struct pbc_error *err)
{
    const char *wrong;
    int ended;

    if (d->padding)
        return skip_zeros(d, in, len, used, err);
    if (d->between) {
        if (*used == len)
            return 0;
        if (d->any && in[*used] == 0)
            return skip_zeros(d, in, len, used, err);
        if (d->any)
            gz_again(d);
        d->between = 0;
        d->any = 1;
    }
    wrong = gz_step(d, in, len, used, out, size, made, &ended);
    if (wrong != NULL)
        return pbc_fail(err, PBC_EXIT_REFUSED, "corrupt: %s", wrong);
    if (ended) {
        d->between = 1;
        return *used < len;
    }
    return *used < len || *made == size;
}
#endif

#ifdef PBC_HAVE_ZSTD
static int decode_zstd(struct pbc_decoder *d, const uint8_t *in, size_t len, size_t *used,
                       uint8_t *out, size_t size, size_t *made, struct pbc_error *err)
{
    ZSTD_inBuffer src = {.src = in, .size = len, .pos = *used};
    ZSTD_outBuffer dst = {.dst = out, .size = size, .pos = *made};
    size_t rc;

    if (d->between && *used == len)
        return 0;
    rc = ZSTD_decompressStream(d->zst, &dst, &src);
    *used = src.pos;
    *made = dst.pos;
    if (ZSTD_isError(rc) && ZSTD_getErrorCode(rc) == ZSTD_error_frameParameter_windowTooLarge)
        return pbc_fail(err, PBC_EXIT_REFUSED,
                        "to unpack it takes more than 128 MiB of memory at a time: compress it "
                        "anew, with less than zstd --long=28");
    if (ZSTD_isError(rc) && ZSTD_getErrorCode(rc) == ZSTD_error_memory_allocation)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory to decode");
    if (ZSTD_isError(rc))
        return pbc_fail(err, PBC_EXIT_REFUSED, "corrupt: not a valid zstd stream (%s)",
                        ZSTD_getErrorName(rc));
    d->any = 1;
    d->between = rc == 0;
    return src.pos < len || dst.pos == size;
}
#endif

int pbc_decode(struct pbc_decoder *d, const uint8_t *in, size_t len, size_t *used, uint8_t *out,
               size_t size, size_t *made, struct pbc_error *err)
{
#ifdef PBC_HAVE_GZIP
    if (d->format == PBC_FORMAT_GZIP)
        return decode_gzip(d, in, len, used, out, size, made, err);
#endif
#ifdef PBC_HAVE_ZSTD
    if (d->format == PBC_FORMAT_ZSTD)
        return decode_zstd(d, in, len, used, out, size, made, err);
#endif
    (void)in, (void)len, (void)used, (void)out, (void)size, (void)made;
    return pbc_fail(err, PBC_EXIT_FAILED, "no decoder for %s", pbc_format_name(d->format));
}

int pbc_decode_end(struct pbc_decoder *d, struct pbc_error *err)
{
    if (!d->any || !d->between)
        return pbc_fail(err, PBC_EXIT_REFUSED, "truncated: the %s stream ends in the middle",
                        pbc_format_name(d->format));
    return 0;
}

void pbc_decoder_free(struct pbc_decoder *d)
{
    if (d == NULL)
        return;
#ifdef PBC_HAVE_GZIP
    if (d->format == PBC_FORMAT_GZIP)
        gz_stop(d);
#endif
#ifdef PBC_HAVE_ZSTD
    ZSTD_freeDStream(d->zst);
#endif
    free(d);
}
