/* stream.h - another way for the stream of a run, BEGIN to DONE, than the tree's connections.
 *
 * A transport (coord.h) carries what the root gives to it to all others, in order. It has a thread
 * of its own; this is what lies between that thread and the run. Answers, verdicts and failures go
 * over the tree in any case. docs/protocol.md, section 5, has the bytes.
 */
#ifndef PBC_STREAM_H
#define PBC_STREAM_H

#include "chunk.h"
#include "error.h"

/* Frames go together in blocks of at most so many bytes. */
#define PBC_BLOCK_FRAMES 32u
#define PBC_STREAM_BLOCK (PBC_BLOCK_FRAMES * (PBC_FRAME_HEADER + PBC_CHUNK_BYTES))
/* And so many blocks are under way at a time. */
#define PBC_STREAM_WINDOW 4u

struct pbc_stream;

/* `chunks` is where DATA goes that comes. NULL without memory. */
struct pbc_stream *pbc_stream_new(struct pbc_pool *chunks);

/* Free it. All that it held is given back. Not before pbc_stream_ended. */
void pbc_stream_free(struct pbc_stream *s);

/* --- the run's side -------------------------------------------------------------------------- */

/* Readable when a frame has come, or the transport has failed. */
int pbc_stream_fd(const struct pbc_stream *s);

/* Root: the next frame. Takes over the reference, also when it fails (-1, without memory). */
int pbc_stream_send(struct pbc_stream *s, struct pbc_chunk *c);

/* Others: the next frame, with its reference, or NULL if there is none now. */
struct pbc_chunk *pbc_stream_next(struct pbc_stream *s);

/* 1 with err if the transport has failed. */
int pbc_stream_failed(struct pbc_stream *s, struct pbc_error *err);

/* The run needs no more of it: what is left is dropped. */
void pbc_stream_stop(struct pbc_stream *s);

/* 1 once the transport has let go of it. */
int pbc_stream_ended(const struct pbc_stream *s);

/* --- the transport's side -------------------------------------------------------------------- */

/* Root: add frames that wait to the `len` bytes of a block; its new length. *ret_send is set to 1
 * when the block is to go: none of the largest frames would fit any more, or DONE is in it. */
size_t pbc_stream_fill(struct pbc_stream *s, uint8_t *block, size_t len, int *ret_send);

/* Others: take the frames of a block that has come, from *at on. 1 when all are taken (or dropped,
 * if the run has stopped), 0 if a chunk must be waited for, -1 with err (PBC_EXIT_PEER) if these
 * are no frames of a stream. */
int pbc_stream_take(struct pbc_stream *s, const uint8_t *block, size_t len, size_t *at,
                    struct pbc_error *err);

/* 1 once the run has stopped. */
int pbc_stream_stopped(const struct pbc_stream *s);

/* It has failed. Only the first time counts. */
void pbc_stream_fail(struct pbc_stream *s, const struct pbc_error *err);

/* The transport's last word. */
void pbc_stream_end(struct pbc_stream *s);

#endif
