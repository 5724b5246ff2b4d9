/* convert.h - a tar archive becomes a bundle of independent frames (frames.h). */
#ifndef PBC_CONVERT_H
#define PBC_CONVERT_H

#include "error.h"
#include "members.h"
#include "progress.h"

#define PBC_ZSTD_LEVEL     3  /* of frames, unless another is asked for */
#define PBC_ZSTD_LEVEL_MAX 19 /* its windows are what PBC_FRAMES_WINDOW_LOG allows */

struct pbc_converted {
    struct pbc_members_figures figures;
    char *in_order; /* NULL; or the member because of which the members stay in their order, and are
                       unpacked one frame after the other; to be freed */
};

/* Read the archive `in`, a regular file in a format of pbc_format_sniff, twice, and put the bundle
 * at `out`, by rename once it is whole. The same archive gives the same bytes.
 * `progress` may be NULL. -1 with PBC_EXIT_REFUSED for what pbcast-stage would refuse whatever it
 * is unpacked over. */
int pbc_convert(const char *in, const char *out, int level, struct pbc_progress *progress,
                struct pbc_converted *ret, struct pbc_error *err);

#endif
