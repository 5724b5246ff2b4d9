#include "frames_pack.h"

#include "frames.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#define OUT_BYTES (256u << 10)

struct pbc_packer {
    int fd;
    ZSTD_CCtx *zstd;
    uint8_t *held; /* tar that is not compressed yet, at most PBC_FRAMES_RAW bytes */
    size_t held_len;
    uint8_t *out;

    /* The frame that is open. */
    uint64_t at; /* of its header in the file */
    struct pbc_frames_head head;
    crypto_generichash_state digest;

    uint64_t frames;
    uint64_t raw;
};

static void begin(struct pbc_packer *p)
{
    p->held_len = 0;
    memset(&p->head, 0, sizeof(p->head));
    crypto_generichash_init(&p->digest, NULL, 0, PBC_DIGEST_BYTES);
}

struct pbc_packer *pbc_packer_new(int fd, int level)
{
    struct pbc_packer *p = calloc(1, sizeof(*p));

    if (p == NULL)
        return NULL;
    p->fd = fd;
    p->zstd = ZSTD_createCCtx();
    p->held = malloc(PBC_FRAMES_RAW);
    p->out = malloc(OUT_BYTES);
    if (p->zstd == NULL || p->held == NULL || p->out == NULL) {
        pbc_packer_free(p);
        return NULL;
    }
    ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_checksumFlag, 1);
    begin(p);
    return p;
}

void pbc_packer_free(struct pbc_packer *p)
{
    if (p == NULL)
        return;
    ZSTD_freeCCtx(p->zstd);
    free(p->held);
    free(p->out);
    free(p);
}

static int write_at(struct pbc_packer *p, uint64_t at, const uint8_t *data, size_t len,
                    struct pbc_error *err)
{
    while (len > 0) {
        ssize_t n = pwrite(p->fd, data, len, (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return pbc_fail_errno(
                err, errno == ENOSPC || errno == EDQUOT ? PBC_EXIT_NOSPACE : PBC_EXIT_FAILED,
                "cannot write");
        data += n;
        len -= (size_t)n;
        at += (uint64_t)n;
    }
    return 0;
}

/* Compress what is held. With ZSTD_e_end the zstd frame is complete. */
static int compress(struct pbc_packer *p, ZSTD_EndDirective end, struct pbc_error *err)
{
    ZSTD_inBuffer in = {.src = p->held, .size = p->held_len};
    size_t more;

    do {
        ZSTD_outBuffer out = {.dst = p->out, .size = OUT_BYTES};

        more = ZSTD_compressStream2(p->zstd, &out, &in, end);
        if (ZSTD_isError(more))
            return pbc_fail(err, PBC_EXIT_FAILED, "cannot compress: %s", ZSTD_getErrorName(more));
        crypto_generichash_update(&p->digest, p->out, out.pos);
        if (write_at(p, p->at + PBC_FRAMES_HEADER + p->head.packed, p->out, out.pos, err) != 0)
            return -1;
        p->head.packed += out.pos;
    } while (end == ZSTD_e_end ? more > 0 : in.pos < in.size);
    p->held_len = 0;
    return 0;
}

int pbc_packer_bytes(struct pbc_packer *p, const void *data, size_t len, struct pbc_error *err)
{
    const uint8_t *from = data;

    p->head.raw += len;
    while (len > 0) {
        size_t n = PBC_FRAMES_RAW - p->held_len;

        if (n == 0) {
            if (compress(p, ZSTD_e_continue, err) != 0)
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

void pbc_packer_member(struct pbc_packer *p)
{
    p->head.members++;
}

uint64_t pbc_packer_raw(const struct pbc_packer *p)
{
    return p->head.raw;
}

int pbc_packer_cut(struct pbc_packer *p, unsigned flags, struct pbc_error *err)
{
    uint8_t header[PBC_FRAMES_HEADER];

    if (p->head.raw == 0)
        return 0;
    if (compress(p, ZSTD_e_end, err) != 0)
        return -1;
    crypto_generichash_final(&p->digest, p->head.digest, sizeof(p->head.digest));
    p->head.flags = (uint8_t)flags;
    pbc_frames_encode(&p->head, header);
    if (write_at(p, p->at, header, sizeof(header), err) != 0)
        return -1;
    p->frames++;
    p->raw += p->head.raw;
    p->at += sizeof(header) + p->head.packed;
    begin(p);
    return 0;
}

void pbc_packer_figures(const struct pbc_packer *p, uint64_t *frames, uint64_t *raw,
                        uint64_t *packed)
{
    *frames = p->frames;
    *raw = p->raw;
    *packed = p->at;
}
