#include "decode.h"

#include <stdlib.h>

#ifdef PBC_HAVE_ISAL
#include <isa-l/igzip_lib.h>
#endif
#ifdef PBC_HAVE_ZSTD
#include <zstd.h>
#endif

/* Frames of `zstd --ultra` and `--long=27` fit; more would be a decompression bomb's window. */
#define ZSTD_WINDOW_LOG_MAX 27

struct pbc_decoder {
    enum pbc_format format;
    int between; /* at the end of a member or frame, or before the first */
    int padding; /* only zeros may follow */
    int any;     /* a member or frame has been seen */
#ifdef PBC_HAVE_ISAL
    struct inflate_state gz;
#endif
#ifdef PBC_HAVE_ZSTD
    ZSTD_DStream *zst;
#endif
};

int pbc_decoder_exists(enum pbc_format format)
{
#ifdef PBC_HAVE_ISAL
    if (format == PBC_FORMAT_GZIP)
        return 1;
#endif
#ifdef PBC_HAVE_ZSTD
    if (format == PBC_FORMAT_ZSTD)
        return 1;
#endif
    return 0;
}

struct pbc_decoder *pbc_decoder_new(enum pbc_format format)
{
    struct pbc_decoder *d = calloc(1, sizeof(*d));

    if (d == NULL)
        return NULL;
    d->format = format;
    d->between = 1;
#ifdef PBC_HAVE_ISAL
    if (format == PBC_FORMAT_GZIP) {
        isal_inflate_init(&d->gz);
        d->gz.crc_flag = ISAL_GZIP;
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

#ifdef PBC_HAVE_ISAL
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
    int rc;

    if (d->padding)
        return skip_zeros(d, in, len, used, err);
    if (d->between) {
        if (*used == len)
            return 0;
        if (d->any && in[*used] == 0)
            return skip_zeros(d, in, len, used, err);
        if (d->any) {
            isal_inflate_reset(&d->gz);
            d->gz.crc_flag = ISAL_GZIP;
        }
        d->between = 0;
        d->any = 1;
    }
    d->gz.next_in = (uint8_t *)(uintptr_t)(in + *used);
    d->gz.avail_in = (uint32_t)(len - *used);
    d->gz.next_out = out + *made;
    d->gz.avail_out = (uint32_t)(size - *made);
    rc = isal_inflate(&d->gz);
    *used = len - d->gz.avail_in;
    *made = size - d->gz.avail_out;
    if (rc != ISAL_DECOMP_OK && rc != ISAL_END_INPUT)
        return pbc_fail(err, PBC_EXIT_REFUSED, "corrupt: %s",
                        rc == ISAL_INCORRECT_CHECKSUM ? "the gzip checksum is wrong"
                                                      : "not a valid gzip stream");
    if (d->gz.block_state == ISAL_BLOCK_FINISH) {
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
#ifdef PBC_HAVE_ISAL
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
#ifdef PBC_HAVE_ZSTD
    ZSTD_freeDStream(d->zst);
#endif
    free(d);
}
