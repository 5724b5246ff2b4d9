/* frames_pack.h - tar, as it is written, becomes frames with their headers in a file.
 *
 * A frame of a single large member goes to the file as it is compressed, and its header after it;
 * the memory does not depend on the size of members.
 */
#ifndef PBC_FRAMES_PACK_H
#define PBC_FRAMES_PACK_H

#include "error.h"

#include <stddef.h>
#include <stdint.h>

struct pbc_packer;

/* Write to `fd`, which is borrowed, from its start. NULL without memory. */
struct pbc_packer *pbc_packer_new(int fd, int level);

/* Bytes of tar for the frame that is open. */
int pbc_packer_bytes(struct pbc_packer *p, const void *data, size_t len, struct pbc_error *err);
/* They make one member more. */
void pbc_packer_member(struct pbc_packer *p);

/* Bytes of tar in the frame that is open. */
uint64_t pbc_packer_raw(const struct pbc_packer *p);

/* End the frame, if there is anything in it. `flags` as in frames.h. */
int pbc_packer_cut(struct pbc_packer *p, unsigned flags, struct pbc_error *err);

/* What is in the file. */
void pbc_packer_figures(const struct pbc_packer *p, uint64_t *frames, uint64_t *raw,
                        uint64_t *packed);

void pbc_packer_free(struct pbc_packer *p); /* NULL is fine */

#endif
