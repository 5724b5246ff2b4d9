/* frames_make.h - a tar archive becomes a bundle of independent frames (frames.h). */
#ifndef PBC_FRAMES_MAKE_H
#define PBC_FRAMES_MAKE_H

#include "error.h"

#include <stdint.h>

#define PBC_FRAMES_LEVEL     3  /* of zstd */
#define PBC_FRAMES_LEVEL_MAX 19 /* its windows are what PBC_FRAMES_WINDOW_LOG allows */

struct pbc_frames_made {
    uint64_t members;
    uint64_t frames;
    uint64_t raw;    /* bytes of tar */
    uint64_t packed; /* bytes of the bundle */
    char *in_order;  /* NULL; or the member because of which the members stay in their order, and
                        are unpacked one frame after the other; to be freed */
};

/* Read the archive `in`, a regular file in a format of pbc_format_sniff, twice, and put the bundle
 * at `out`, by rename once it is whole. The same archive gives the same bytes.
 * -1 with PBC_EXIT_REFUSED for what pbcast-stage would refuse whatever it is unpacked over. */
int pbc_frames_make(const char *in, const char *out, int level, struct pbc_frames_made *ret,
                    struct pbc_error *err);

#endif
