#include "conn.h"

#include "net.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* Frames handled before the other connections get their turn. */
#define FRAMES_A_TURN 8

static struct pbc_conn *new_conn(int fd, const uint8_t *key, uint64_t now)
{
    struct pbc_conn *c = calloc(1, sizeof(*c));

    if (c == NULL) {
        close(fd);
        return NULL;
    }
    c->fd = fd;
    c->key = key;
    c->heard = now;
    c->spoke = now;
    if (pbc_fifo_init(&c->urgent) != 0 || pbc_fifo_init(&c->stream) != 0) {
        pbc_conn_close(c);
        return NULL;
    }
    pbc_net_tune(fd);
    return c;
}

struct pbc_conn *pbc_conn_accepted(int fd, uint32_t rank, const uint8_t *key, uint64_t now)
{
    struct pbc_conn *c = new_conn(fd, key, now);

    if (c != NULL) {
        c->state = PBC_CONN_HELLO;
        c->hs.parent = rank;
    }
    return c;
}

struct pbc_conn *pbc_conn_dialled(int fd, uint32_t rank, uint32_t parent, const uint8_t *key,
                                  uint64_t now)
{
    struct pbc_conn *c = new_conn(fd, key, now);

    if (c != NULL) {
        c->state = PBC_CONN_CONNECTING;
        c->to_parent = 1;
        c->hs.child = rank;
        c->hs.parent = parent;
    }
    return c;
}

void pbc_conn_close(struct pbc_conn *c)
{
    if (c == NULL)
        return;
    close(c->fd);
    pbc_chunk_unref(c->in);
    pbc_chunk_unref(c->out);
    pbc_fifo_destroy(&c->urgent);
    pbc_fifo_destroy(&c->stream);
    free(c);
}

int pbc_conn_pending(const struct pbc_conn *c)
{
    return c->out != NULL || c->urgent.count > 0 || c->stream.count > 0;
}

short pbc_conn_events(const struct pbc_conn *c)
{
    if (c->state == PBC_CONN_CONNECTING)
        return POLLOUT;
    return (short)((c->starved ? 0 : POLLIN) |
                   (c->state == PBC_CONN_OPEN && pbc_conn_pending(c) ? POLLOUT : 0));
}

int pbc_conn_send(struct pbc_conn *c, struct pbc_chunk *chunk)
{
    return pbc_fifo_push(&c->stream, chunk);
}

int pbc_conn_send_urgent(struct pbc_conn *c, uint8_t type, uint64_t aux, const void *payload,
                         uint32_t len)
{
    struct pbc_chunk *chunk = pbc_chunk_small(type, 0, payload, len);

    if (chunk == NULL)
        return -1;
    pbc_chunk_set(chunk, (struct pbc_frame){.type = type, .length = len, .aux = aux});
    return pbc_fifo_push(&c->urgent, chunk);
}

void pbc_conn_drop_stream(struct pbc_conn *c)
{
    pbc_fifo_empty(&c->stream);
}

static int broken(const char *what, struct pbc_error *err)
{
    return pbc_fail_errno(err, PBC_EXIT_PEER, "%s", what);
}

/* --- handshake ----------------------------------------------------------------------------- */

/* The messages are small and the first on the connection: they fit into the socket's buffer. */
static int write_small(struct pbc_conn *c, const uint8_t *p, size_t len, struct pbc_error *err)
{
    if (send(c->fd, p, len, MSG_NOSIGNAL) != (ssize_t)len)
        return broken("cannot send the handshake", err);
    return 0;
}

/* Read up to `len` bytes of a fixed message. 1 when it is there, 0 when not yet. */
static int read_small(struct pbc_conn *c, size_t len, struct pbc_error *err)
{
    ssize_t n = recv(c->fd, c->head + c->got, len - c->got, 0);

    if (n == 0)
        return pbc_fail(err, PBC_EXIT_PEER, "the peer closed the connection");
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : broken("the connection broke", err);
    c->got += (size_t)n;
    if (c->got < len)
        return 0;
    c->got = 0;
    return 1;
}

static int shake(struct pbc_conn *c, struct pbc_error *err)
{
    uint8_t msg[PBC_CHALLENGE_BYTES];
    socklen_t len = sizeof(int);
    int failed = 0;
    int rc;

    switch (c->state) {
    case PBC_CONN_CONNECTING:
        if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &failed, &len) != 0 || failed != 0) {
            errno = failed != 0 ? failed : errno;
            return broken("cannot connect", err);
        }
        pbc_hello_make(&c->hs, msg);
        c->state = PBC_CONN_CHALLENGE;
        return write_small(c, msg, PBC_HELLO_BYTES, err);
    case PBC_CONN_CHALLENGE:
        rc = read_small(c, PBC_CHALLENGE_BYTES, err);
        if (rc != 1)
            return rc;
        if (pbc_challenge_take(&c->hs, c->key, c->head, err) != 0)
            return -1;
        pbc_proof_make(&c->hs, c->key, msg);
        c->state = PBC_CONN_OPEN;
        return write_small(c, msg, PBC_PROOF_BYTES, err);
    case PBC_CONN_HELLO:
        rc = read_small(c, PBC_HELLO_BYTES, err);
        if (rc != 1)
            return rc;
        if (pbc_hello_take(&c->hs, c->head, err) != 0)
            return -1;
        pbc_challenge_make(&c->hs, c->key, msg);
        c->state = PBC_CONN_PROOF;
        return write_small(c, msg, PBC_CHALLENGE_BYTES, err);
    case PBC_CONN_PROOF:
        rc = read_small(c, PBC_PROOF_BYTES, err);
        if (rc != 1)
            return rc;
        c->state = PBC_CONN_OPEN;
        return pbc_proof_take(&c->hs, c->key, c->head, err);
    case PBC_CONN_OPEN:
        break;
    }
    return 0;
}

/* --- frames -------------------------------------------------------------------------------- */

/* A chunk for the frame in c->frame. 0 if it must wait for one. */
static int get_chunk(struct pbc_conn *c, struct pbc_pool *chunks, struct pbc_error *err)
{
    c->in = c->frame.type == PBC_FRAME_DATA
                ? pbc_pool_try(chunks)
                : pbc_chunk_small(c->frame.type, 0, NULL, c->frame.length);
    c->starved = c->in == NULL && c->frame.type == PBC_FRAME_DATA;
    if (c->in == NULL && !c->starved)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory for a frame");
    if (c->in != NULL)
        pbc_chunk_set(c->in, c->frame);
    return c->in != NULL;
}

/* Read one step. 1 when a whole frame is in c->in, 0 when there is nothing more to read now. */
static int receive(struct pbc_conn *c, struct pbc_pool *chunks, uint64_t now, struct pbc_error *err)
{
    if (c->in == NULL && !c->starved) {
        int rc = read_small(c, PBC_FRAME_HEADER, err);

        if (rc != 1)
            return rc;
        c->heard = now;
        c->known = 1;
        if (pbc_frame_decode(c->head, c->to_parent, &c->frame, err) != 0)
            return -1;
    }
    if (c->in == NULL) {
        int rc = get_chunk(c, chunks, err);

        if (rc != 1)
            return rc;
    }
    while (c->got < c->frame.length) {
        ssize_t n = recv(c->fd, c->in->data + c->got, c->frame.length - c->got, 0);

        if (n == 0)
            return pbc_fail(err, PBC_EXIT_PEER, "the peer closed the connection");
        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : broken("the connection broke", err);
        c->heard = now;
        c->got += (size_t)n;
    }
    c->got = 0;
    return 1;
}

static int send_some(struct pbc_conn *c, uint64_t now, struct pbc_error *err)
{
    for (int i = 0; i < FRAMES_A_TURN; i++) {
        struct iovec iov[2];
        struct msghdr msg = {.msg_iov = iov};
        size_t total;
        ssize_t n;

        if (c->out == NULL && (c->out = pbc_fifo_try(&c->urgent)) == NULL)
            c->out = pbc_fifo_try(&c->stream);
        if (c->out == NULL)
            return 0;
        total = PBC_FRAME_HEADER + c->out->frame.length;
        if (c->sent < PBC_FRAME_HEADER)
            iov[msg.msg_iovlen++] = (struct iovec){.iov_base = c->out->header + c->sent,
                                                   .iov_len = PBC_FRAME_HEADER - c->sent};
        if (c->out->frame.length > 0) {
            size_t at = c->sent < PBC_FRAME_HEADER ? 0 : c->sent - PBC_FRAME_HEADER;

            iov[msg.msg_iovlen++] =
                (struct iovec){.iov_base = c->out->data + at, .iov_len = c->out->frame.length - at};
        }
        n = sendmsg(c->fd, &msg, MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : broken("the connection broke", err);
        c->spoke = now;
        c->sent += (size_t)n;
        if (c->sent < total)
            return 0;
        pbc_chunk_unref(c->out);
        c->out = NULL;
        c->sent = 0;
    }
    return 0;
}

int pbc_conn_io(struct pbc_conn *c, short revents, struct pbc_pool *chunks, uint64_t now,
                pbc_conn_handler *handle, void *arg, struct pbc_error *err)
{
    if (c->state != PBC_CONN_OPEN) {
        int rc = revents == 0 ? 0 : shake(c, err);

        /* Until then a stranger's time runs, however much he says. */
        if (c->state == PBC_CONN_OPEN)
            c->heard = now;
        return rc;
    }
    /* POLLHUP and POLLERR show in what recv says, after what is still to be read. */
    if (revents & (POLLIN | POLLHUP | POLLERR) || c->starved) {
        for (int i = 0; i < FRAMES_A_TURN; i++) {
            int rc = receive(c, chunks, now, err);
            struct pbc_chunk *chunk = c->in;

            if (rc < 0)
                return -1;
            if (rc == 0)
                break;
            c->in = NULL;
            if (c->frame.type == PBC_FRAME_PING)
                pbc_chunk_unref(chunk);
            else if (handle(arg, c, chunk, err) != 0)
                return -1;
        }
        /* While we do not listen, silence means nothing. */
        if (c->starved)
            c->heard = now;
    }
    return send_some(c, now, err);
}
