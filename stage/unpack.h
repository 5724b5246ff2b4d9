/* unpack.h - from chunks of archives, as they arrive, to files: the pipeline of one node.
 *
 *     push -> [decode] -> [parse and write]
 *
 * Each bracket is a thread, with a queue before it. `decode` undoes the compression (decode.h); the
 * other is libarchive's tar reader over our own writer (writer.h). That what is pushed is what the
 * root has read is the caller's care (tag.h).
 * What bounds the memory: the pool that the chunks come from, and PBC_BLOCKS blocks of decoded
 * data.
 *
 * A bundle of independent frames (frames.h) goes another way from `decode` on: several workers
 * decode, parse and write a frame each (unpack_crew.h has their bound), after all bundles before it
 * are written, and before any after it is.
 */
#ifndef PBC_UNPACK_H
#define PBC_UNPACK_H

#include "base.h"
#include "chunk.h"
#include "meta.h"
#include "writer.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define PBC_BLOCKS      8
#define PBC_BLOCK_BYTES (1u << 20)

struct pbc_unpack;

struct pbc_unpack_conf {
    int rootfd;              /* where to; borrowed */
    char root[PBC_PATH_MAX]; /* the path that the tree will have: for what bundles have rewritten */
    const struct pbc_base *base; /* the tree to begin with; borrowed; NULL: an empty one */
    struct pbc_writer_limits limits;
    unsigned bundles;  /* of the set; those of the base do not come */
    uint64_t archives; /* bytes of all of the set, for guesses; 0: not known */
    uint64_t own;      /* bytes that the agent itself may come to need, for the same */
    unsigned workers;  /* most for a bundle of frames; 0: one for each processor */
};

/* What is known of one bundle when the pipeline is done. */
struct pbc_unpacked {
    char path[PBC_PATH_MAX];
    uint64_t archive_bytes;
    uint8_t digest[PBC_DIGEST_BYTES]; /* as the root sent it */
    uint64_t files;
    bool has_meta;
    struct pbc_meta meta; /* what the bundle says of itself, .pbcast/bundle.conf */
    atomic_int begun;     /* private: a member has come that is no directory */
};

enum pbc_unpack_state { PBC_UNPACK_RUNNING, PBC_UNPACK_DONE, PBC_UNPACK_FAILED };

/* NULL with err. */
struct pbc_unpack *pbc_unpack_start(const struct pbc_unpack_conf *conf, struct pbc_error *err);

/* Hand over the next BEGIN, DATA, END or DONE chunk with the caller's reference. Never waits; after
 * a failure the chunk is dropped. */
void pbc_unpack_push(struct pbc_unpack *u, struct pbc_chunk *c);

/* Readable once the state is not PBC_UNPACK_RUNNING any more. */
int pbc_unpack_fd(const struct pbc_unpack *u);

/* With PBC_UNPACK_FAILED `err` says why, bundle and member named. */
enum pbc_unpack_state pbc_unpack_state(struct pbc_unpack *u, struct pbc_error *err);

/* After PBC_UNPACK_DONE. */
const struct pbc_unpacked *pbc_unpack_result(const struct pbc_unpack *u, unsigned bundle);
void pbc_unpack_counts(const struct pbc_unpack *u, struct pbc_writer_count *ret);

/* Stop wherever it is, wait for the threads and free. NULL is fine. */
void pbc_unpack_free(struct pbc_unpack *u);

#endif
