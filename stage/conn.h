/* conn.h - one connection between two agents: handshake, frames in, frames out.
 *
 * Non-blocking; driven by poll(2). Before the handshake is done nothing but its three messages of
 * fixed size is read. DATA goes from the socket straight into a chunk of the pool and from there to
 * the next socket: no copy on the way.
 */
#ifndef PBC_CONN_H
#define PBC_CONN_H

#include "chunk.h"
#include "wire.h"

#include <stdint.h>

enum pbc_conn_state {
    PBC_CONN_CONNECTING, /* child: connect(2) is not decided yet */
    PBC_CONN_CHALLENGE,  /* child: HELLO sent, waits for the parent's challenge */
    PBC_CONN_HELLO,      /* parent: waits for HELLO */
    PBC_CONN_PROOF,      /* parent: challenge sent, waits for the proof */
    PBC_CONN_OPEN,
};

struct pbc_conn {
    int fd;
    enum pbc_conn_state state;
    int to_parent; /* the peer is our parent */
    const uint8_t *key;
    struct pbc_handshake hs;
    uint64_t heard; /* ms: when something last arrived, or we last were unable to listen; before
                       the handshake is done: when it began */
    uint64_t spoke; /* ms: when something was last sent */
    int known;      /* a frame has begun to come: child: so the parent has taken the proof */

    uint8_t head[PBC_CHALLENGE_BYTES]; /* a frame's header or a handshake message */
    size_t got;                        /* bytes of it, or of the payload */
    struct pbc_chunk *in;              /* the frame whose payload is being read */
    struct pbc_frame frame;
    int starved; /* no chunk is free for the DATA frame in `frame` */

    struct pbc_fifo urgent; /* PING, ABORT and everything towards the root */
    struct pbc_fifo stream; /* CHECK .. COMMIT */
    struct pbc_chunk *out;
    size_t sent; /* of `out`, header included */
};

/* The parent's side of a descriptor from accept(2), which it takes over. NULL without memory. */
struct pbc_conn *pbc_conn_accepted(int fd, uint32_t rank, const uint8_t *key, uint64_t now);

/* The child's side of a descriptor from pbc_net_connect, likewise. */
struct pbc_conn *pbc_conn_dialled(int fd, uint32_t rank, uint32_t parent, const uint8_t *key,
                                  uint64_t now);

/* The events to poll for. */
short pbc_conn_events(const struct pbc_conn *c);

/* Takes over the chunk. -1 with err ends the run. */
typedef int pbc_conn_handler(void *arg, struct pbc_conn *c, struct pbc_chunk *chunk,
                             struct pbc_error *err);

/* Do what `revents` allow: go on with the handshake, call `handle` for each whole frame but PING,
 * send what is queued. -1 with err (PBC_EXIT_PEER) when the connection is of no more use: closed,
 * broken, or the peer did not keep to the protocol. `chunks` are where DATA goes. */
int pbc_conn_io(struct pbc_conn *c, short revents, struct pbc_pool *chunks, uint64_t now,
                pbc_conn_handler *handle, void *arg, struct pbc_error *err);

/* Queue a frame. Both take over the reference, and drop it if there is no memory (-1). */
int pbc_conn_send(struct pbc_conn *c, struct pbc_chunk *chunk);
int pbc_conn_send_urgent(struct pbc_conn *c, uint8_t type, uint64_t aux, const void *payload,
                         uint32_t len);

/* Forget the stream frames that are not being sent yet. */
void pbc_conn_drop_stream(struct pbc_conn *c);

/* 1 while something waits to be sent. */
int pbc_conn_pending(const struct pbc_conn *c);

/* Close and free. NULL is fine. */
void pbc_conn_close(struct pbc_conn *c);

#endif
