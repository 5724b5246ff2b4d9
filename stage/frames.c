#include "frames.h"

#include <string.h>

#define TAR_BLOCK 512
#define SIZE_MAX_ ((uint64_t)1 << 62) /* sums of two do not overflow */

/* RFC 8878, 3.1.2: a skippable frame's magic number and the length of its payload, both little
 * endian; then what tells ours from others. */
static const uint8_t start[] = {0x50, 0x2a, 0x4d, 0x18, PBC_FRAMES_HEADER - 8, 0, 0, 0,
                                'P',  'B',  'C',  'F',  PBC_FRAMES_VERSION};

/* Offsets. */
enum {
    FLAGS = sizeof(start),
    RESERVED = 14,
    PACKED = 16,
    RAW = 24,
    MEMBERS = 32,
    DIGEST = 36,
};
_Static_assert(DIGEST + PBC_DIGEST_BYTES == PBC_FRAMES_HEADER, "the header's fields fill it");

static void put(uint8_t *out, uint64_t v, unsigned bytes)
{
    for (unsigned i = bytes; i-- > 0; v >>= 8)
        out[i] = (uint8_t)v;
}

static uint64_t get(const uint8_t *in, unsigned bytes)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < bytes; i++)
        v = v << 8 | in[i];
    return v;
}

void pbc_frames_encode(const struct pbc_frames_head *h, uint8_t out[PBC_FRAMES_HEADER])
{
    memcpy(out, start, sizeof(start));
    out[FLAGS] = h->flags;
    put(out + RESERVED, 0, 2);
    put(out + PACKED, h->packed, 8);
    put(out + RAW, h->raw, 8);
    put(out + MEMBERS, h->members, 4);
    memcpy(out + DIGEST, h->digest, sizeof(h->digest));
}

int pbc_frames_known(const uint8_t in[PBC_FRAMES_HEADER])
{
    return memcmp(in, start, sizeof(start)) == 0;
}

static int plausible(const struct pbc_frames_head *h)
{
    if (h->packed == 0 || h->packed > SIZE_MAX_ || h->raw > SIZE_MAX_ || h->raw % TAR_BLOCK != 0)
        return 0;
    if (h->flags == (PBC_FRAMES_ORDERED | PBC_FRAMES_END))
        return h->members == 0 && h->raw >= 2 * TAR_BLOCK && h->raw <= PBC_FRAMES_END_MAX;
    return (h->flags & ~PBC_FRAMES_ORDERED) == 0 && h->members > 0 &&
           h->members <= h->raw / TAR_BLOCK;
}

int pbc_frames_decode(const uint8_t in[PBC_FRAMES_HEADER], struct pbc_frames_head *h,
                      struct pbc_error *err)
{
    if (!pbc_frames_known(in))
        return pbc_fail(err, PBC_EXIT_REFUSED,
                        "corrupt: a frame's header is missing where the one before it ends");
    h->flags = in[FLAGS];
    h->packed = get(in + PACKED, 8);
    h->raw = get(in + RAW, 8);
    h->members = (uint32_t)get(in + MEMBERS, 4);
    memcpy(h->digest, in + DIGEST, sizeof(h->digest));
    if (get(in + RESERVED, 2) != 0 || !plausible(h))
        return pbc_fail(err, PBC_EXIT_REFUSED, "corrupt: a frame's header makes no sense");
    return 0;
}
