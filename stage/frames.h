/* frames.h - the headers of a bundle that is made of independent frames: encoding, no I/O.
 *
 * Such a bundle is an ordinary .tar.zst that is cut between members. Before each zstd frame stands
 * a skippable one, which zstd passes over, with a header of ours: how long the frame is, and
 * whether its members may be unpacked beside those of other frames. docs/protocol.md is the
 * specification.
 */
#ifndef PBC_FRAMES_H
#define PBC_FRAMES_H

#include "error.h"
#include "wire.h"

#include <stdint.h>

#define PBC_FRAMES_VERSION    1
#define PBC_FRAMES_HEADER     68         /* bytes, those of the skippable frame included */
#define PBC_FRAMES_RAW        (2u << 20) /* a frame of several members has about as much of tar */
#define PBC_FRAMES_END_MAX    (1u << 20) /* most bytes of zeros that end the archive */
#define PBC_FRAMES_WINDOW_LOG 23 /* of zstd's window, so that N workers' memory is bounded */

enum {
    PBC_FRAMES_ORDERED = 1, /* after all frames before it, and before all after it */
    PBC_FRAMES_END = 2,     /* the end-of-archive mark and nothing else; nothing follows */
};

struct pbc_frames_head {
    uint8_t flags;
    uint64_t packed;                  /* bytes of the zstd frame that follows */
    uint64_t raw;                     /* bytes of tar in it */
    uint32_t members;                 /* at least 1; 0 in the END frame */
    uint8_t digest[PBC_DIGEST_BYTES]; /* of the zstd frame */
};

void pbc_frames_encode(const struct pbc_frames_head *h, uint8_t out[PBC_FRAMES_HEADER]);

/* 1 if this is a header of this version, whatever it says. At the start of a zstd bundle that
 * decides how the bundle is read. */
int pbc_frames_known(const uint8_t in[PBC_FRAMES_HEADER]);

/* -1 with PBC_EXIT_REFUSED for anything that pbc_frames_encode would not have written for a frame
 * as docs/protocol.md has it. */
int pbc_frames_decode(const uint8_t in[PBC_FRAMES_HEADER], struct pbc_frames_head *h,
                      struct pbc_error *err);

#endif
