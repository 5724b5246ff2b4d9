/* sink.h - where the bytes of a bundle go: a file, or whatever sends them on. */
#ifndef PBC_SINK_H
#define PBC_SINK_H

#include "error.h"

#include <stddef.h>
#include <stdint.h>

struct pbc_sink {
    /* Append `len` bytes. 0, or -1 with err. */
    int (*write)(void *arg, const void *data, size_t len, struct pbc_error *err);
    /* Replace `len` bytes that were written at offset `at`. NULL where what is written is gone:
     * then a frame is held in memory until its header is known, and must not be larger than
     * PBC_PACKER_HELD_MAX (packer.h). */
    int (*patch)(void *arg, uint64_t at, const void *data, size_t len, struct pbc_error *err);
    void *arg;
};

#endif
