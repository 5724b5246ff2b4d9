/* decode.h - a compressed stream that arrives in pieces.
 *
 * gzip through ISA-L and zstd through libzstd, where the build found them: both are faster than
 * what libarchive links to, and run in a thread of their own. Without ISA-L zlib does it, as
 * libarchive does not look at gzip's checksum. Everything else is passed on as it is and decoded by
 * libarchive's filters.
 */
#ifndef PBC_DECODE_H
#define PBC_DECODE_H

#include "bundle.h"
#include "error.h"

#include <stddef.h>
#include <stdint.h>

struct pbc_decoder;

/* 1 if this build decodes `format` here, 0 if libarchive's filter must. */
int pbc_decoder_exists(enum pbc_format format);

/* NULL without memory. */
struct pbc_decoder *pbc_decoder_new(enum pbc_format format);

/* Decode from in[*used..len) to out[*made..size) as far as it goes; both counts advance. Returns 1
 * if more output may be had without more input, 0 if it wants input, -1 for a corrupt stream
 * (PBC_EXIT_REFUSED). Several gzip members or zstd frames in a row are one stream; zeros after the
 * last gzip member are ignored, as gzip(1) does. */
int pbc_decode(struct pbc_decoder *d, const uint8_t *in, size_t len, size_t *used, uint8_t *out,
               size_t size, size_t *made, struct pbc_error *err);

/* At the end of input: -1 if the stream stops in the middle. */
int pbc_decode_end(struct pbc_decoder *d, struct pbc_error *err);

void pbc_decoder_free(struct pbc_decoder *d);

#endif
