/* chunk.h - the memory of an agent: pooled, counted buffers and the queues between its threads.
 *
 * A pool hands out at most `count` buffers of `size` bytes; whoever needs one waits for another
 * to be given back. That is what bounds an agent's memory and slows a sender that is too fast.
 * A chunk that is sent on to several peers and unpacked here is one buffer with several references.
 */
#ifndef PBC_CHUNK_H
#define PBC_CHUNK_H

#include "wire.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct pbc_pool;

struct pbc_chunk {
    struct pbc_pool *pool; /* NULL for pbc_chunk_small */
    struct pbc_chunk *next_free;
    uint8_t *slab; /* the pool's: memory that is freed with this chunk, or NULL */
    atomic_uint refs;
    struct pbc_frame frame;
    uint8_t header[PBC_FRAME_HEADER]; /* `frame` encoded, ready to be sent */
    uint8_t *data;                    /* frame.length bytes */
};

/* A pool whose descriptor (pbc_pool_fd, an eventfd) becomes readable when a chunk is given back
 * after pbc_pool_try had none. Buffers are allocated when first needed, 2 MiB at a time, the first
 * of them at once: there is always one to wait for. NULL without memory. */
struct pbc_pool *pbc_pool_new(unsigned count, size_t size);
int pbc_pool_fd(const struct pbc_pool *pool);
/* At most `count` from now on; no more than that must have been handed out yet. */
void pbc_pool_limit(struct pbc_pool *pool, unsigned count);
/* A chunk with one reference, or NULL if none is free (or no memory is left). */
struct pbc_chunk *pbc_pool_try(struct pbc_pool *pool);
/* The same, but wait. NULL once the pool is closed. */
struct pbc_chunk *pbc_pool_wait(struct pbc_pool *pool);
/* Wake all who wait; no chunk is handed out any more. */
void pbc_pool_close(struct pbc_pool *pool);
/* Free it. All chunks must have been given back. */
void pbc_pool_free(struct pbc_pool *pool);

/* A chunk outside any pool for a control frame: `len` bytes copied from `payload` (zeros if
 * that is NULL). NULL without memory. */
struct pbc_chunk *pbc_chunk_small(uint8_t type, uint8_t bundle, const void *payload, uint32_t len);

/* Set the frame of a chunk and encode its header. */
void pbc_chunk_set(struct pbc_chunk *c, struct pbc_frame frame);

struct pbc_chunk *pbc_chunk_ref(struct pbc_chunk *c);
void pbc_chunk_unref(struct pbc_chunk *c); /* NULL is fine */

/* A queue of chunks between threads. It owns a reference to each chunk in it. It has no limit of
 * its own: the pool is the limit. */
struct pbc_fifo {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct pbc_chunk **ring;
    size_t size;
    size_t head;
    size_t count;
    int closed;
};

int pbc_fifo_init(struct pbc_fifo *f);
/* Takes over the caller's reference, also when it fails: -1 when the queue is closed or no memory
 * is left; the chunk is then released. */
int pbc_fifo_push(struct pbc_fifo *f, struct pbc_chunk *c);
/* The same, but it is the next to be taken. */
int pbc_fifo_push_first(struct pbc_fifo *f, struct pbc_chunk *c);
/* Add references to all that is in `from`, but for the first `skip`, to `to`, in order: -1 without
 * memory. The caller is the only one who takes from `from`. */
int pbc_fifo_copy(struct pbc_fifo *to, struct pbc_fifo *from, size_t skip);
/* The oldest chunk, waiting for one. NULL once the queue is closed, even if chunks are left. */
struct pbc_chunk *pbc_fifo_pop(struct pbc_fifo *f);
/* The oldest chunk or NULL at once. */
struct pbc_chunk *pbc_fifo_try(struct pbc_fifo *f);
/* Release what is in it. */
void pbc_fifo_empty(struct pbc_fifo *f);
/* Release what is in it, wake who waits, take nothing more. */
void pbc_fifo_close(struct pbc_fifo *f);
void pbc_fifo_destroy(struct pbc_fifo *f);

#endif
