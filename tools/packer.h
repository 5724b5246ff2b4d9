/* packer.h - tar, as it is written, becomes the bytes of a bundle: frames with their headers
 * (frames.h), a gzip file, or the tar itself.
 *
 * A frame of a single large member goes to the sink as it is compressed, and its header after it,
 * where the sink can do that; the memory does not depend on the size of members then.
 */
#ifndef PBC_PACKER_H
#define PBC_PACKER_H

#include "error.h"
#include "sink.h"

#include <stddef.h>
#include <stdint.h>

#define PBC_PACKER_HELD_MAX  (64u << 20) /* bytes of a frame in memory, for a sink without patch */
#define PBC_PACKER_FIRST_MAX (8u << 20)  /* bytes of tar in the first member, see below */

enum pbc_codec { PBC_CODEC_FRAMES, PBC_CODEC_GZIP, PBC_CODEC_TAR };

struct pbc_packer;

/* `sink` is copied, what it writes to is borrowed. `level` is that of zstd or gzip. NULL without
 * memory. */
struct pbc_packer *pbc_packer_new(const struct pbc_sink *sink, enum pbc_codec codec, int level);

/* Before all else: `tar` is one whole member, whose place in the bundle has a length that depends
 * on `len` alone, and which may be replaced by another of the same length at any time before the
 * end, if the sink has patch. Its frame is ORDERED. */
int pbc_packer_first(struct pbc_packer *p, const void *tar, size_t len, struct pbc_error *err);
int pbc_packer_replace_first(struct pbc_packer *p, const void *tar, size_t len,
                             struct pbc_error *err);

/* Bytes of tar for the frame that is open. */
int pbc_packer_bytes(struct pbc_packer *p, const void *data, size_t len, struct pbc_error *err);
/* They make one member more. */
void pbc_packer_member(struct pbc_packer *p);

/* Bytes of tar in the frame that is open; 0 where there are no frames. */
uint64_t pbc_packer_raw(const struct pbc_packer *p);

/* End the frame, if there is anything in it. `flags` as in frames.h; with PBC_FRAMES_END the bundle
 * is complete. */
int pbc_packer_cut(struct pbc_packer *p, unsigned flags, struct pbc_error *err);

/* What has been made. */
void pbc_packer_figures(const struct pbc_packer *p, uint64_t *frames, uint64_t *raw,
                        uint64_t *packed);

void pbc_packer_free(struct pbc_packer *p); /* NULL is fine */

#endif
