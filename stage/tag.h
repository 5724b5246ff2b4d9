/* tag.h - the proof that a DATA frame is the root's.
 *
 * Poly1305 (RFC 8439, 2.5) over the first 16 bytes of the frame's header and the data, with a key
 * for this frame alone: the first 32 bytes of ChaCha20 (2.6) under a key that is derived from the
 * run's, with bundle and offset for a nonce. A node checks it before it passes the data on. A
 * digest of the whole would cost several times as much, and would come too late for that.
 */
#ifndef PBC_TAG_H
#define PBC_TAG_H

#include "wire.h"

/* The key for tags that belongs to the key of a run. */
void pbc_tag_key(const uint8_t run[PBC_KEY_BYTES], uint8_t ret[PBC_KEY_BYTES]);

/* Set f->tag for the f->length bytes at `data`. A run must not have two frames of one bundle and
 * offset. */
void pbc_tag_make(const uint8_t key[PBC_KEY_BYTES], struct pbc_frame *f, const uint8_t *data);

/* -1 with PBC_EXIT_PEER if it is not what pbc_tag_make has made of the same. */
int pbc_tag_check(const uint8_t key[PBC_KEY_BYTES], const struct pbc_frame *f, const uint8_t *data,
                  struct pbc_error *err);

#endif
