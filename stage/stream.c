#include "stream.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct pbc_stream {
    struct pbc_pool *chunks;
    struct pbc_fifo queue;  /* root: to be sent; others: what has come */
    struct pbc_chunk *next; /* root: the first that did not fit into a block */
    int fd;
    atomic_int stopped;
    atomic_int ended;
    pthread_mutex_t lock; /* what follows */
    int failed;
    struct pbc_error error;
};

struct pbc_stream *pbc_stream_new(struct pbc_pool *chunks)
{
    struct pbc_stream *s = calloc(1, sizeof(*s));

    if (s == NULL)
        return NULL;
    s->chunks = chunks;
    s->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->fd < 0 || pbc_fifo_init(&s->queue) != 0) {
        if (s->fd >= 0)
            close(s->fd);
        free(s);
        return NULL;
    }
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

void pbc_stream_free(struct pbc_stream *s)
{
    pbc_chunk_unref(s->next);
    pbc_fifo_destroy(&s->queue);
    pthread_mutex_destroy(&s->lock);
    close(s->fd);
    free(s);
}

/* --- the run's side -------------------------------------------------------------------------- */

int pbc_stream_fd(const struct pbc_stream *s)
{
    return s->fd;
}

int pbc_stream_send(struct pbc_stream *s, struct pbc_chunk *c)
{
    return pbc_fifo_push(&s->queue, c);
}

struct pbc_chunk *pbc_stream_next(struct pbc_stream *s)
{
    return pbc_fifo_try(&s->queue);
}

int pbc_stream_failed(struct pbc_stream *s, struct pbc_error *err)
{
    int failed;

    pthread_mutex_lock(&s->lock);
    failed = s->failed;
    if (failed)
        *err = s->error;
    pthread_mutex_unlock(&s->lock);
    return failed;
}

void pbc_stream_stop(struct pbc_stream *s)
{
    atomic_store(&s->stopped, 1);
    pbc_fifo_close(&s->queue);
}

int pbc_stream_ended(const struct pbc_stream *s)
{
    return atomic_load(&s->ended);
}

/* --- the transport's side -------------------------------------------------------------------- */

size_t pbc_stream_fill(struct pbc_stream *s, uint8_t *block, size_t len, int *ret_send)
{
    for (;;) {
        struct pbc_chunk *c = s->next != NULL ? s->next : pbc_fifo_try(&s->queue);
        size_t need;

        s->next = NULL;
        if (c == NULL)
            break;
        need = PBC_FRAME_HEADER + c->frame.length;
        if (need > PBC_STREAM_BLOCK - len) {
            s->next = c;
            break;
        }
        memcpy(block + len, c->header, PBC_FRAME_HEADER);
        if (c->frame.length > 0)
            memcpy(block + len + PBC_FRAME_HEADER, c->data, c->frame.length);
        len += need;
        *ret_send |= c->frame.type == PBC_FRAME_DONE;
        pbc_chunk_unref(c);
    }
    *ret_send |= PBC_STREAM_BLOCK - len < PBC_FRAME_HEADER + PBC_CHUNK_BYTES;
    return len;
}

/* The header of the frame at *at, of which the whole must be there. */
static int look(const uint8_t *block, size_t len, size_t at, struct pbc_frame *f,
                struct pbc_error *err)
{
    if (len - at < PBC_FRAME_HEADER)
        return pbc_fail(err, PBC_EXIT_PEER, "protocol error: a block ends within a header");
    if (pbc_frame_decode(block + at, 1, f, err) != 0)
        return -1;
    if (f->type < PBC_FRAME_BEGIN || f->type > PBC_FRAME_DONE)
        return pbc_fail(err, PBC_EXIT_PEER, "protocol error: a block with a frame of type %u",
                        f->type);
    if (f->length > len - at - PBC_FRAME_HEADER)
        return pbc_fail(err, PBC_EXIT_PEER, "protocol error: a block ends within a frame");
    return 0;
}

int pbc_stream_take(struct pbc_stream *s, const uint8_t *block, size_t len, size_t *at,
                    struct pbc_error *err)
{
    size_t from = *at;
    int rc = 1;

    while (*at < len && !pbc_stream_stopped(s)) {
        struct pbc_frame f;
        struct pbc_chunk *c;

        if (look(block, len, *at, &f, err) != 0)
            return -1;
        c = f.type == PBC_FRAME_DATA ? pbc_pool_try(s->chunks)
                                     : pbc_chunk_small(f.type, f.bundle, NULL, f.length);
        if (c == NULL && f.type != PBC_FRAME_DATA)
            return pbc_fail(err, PBC_EXIT_FAILED, "no memory for a frame");
        if (c == NULL) {
            rc = 0;
            break;
        }
        pbc_chunk_set(c, f);
        if (f.length > 0)
            memcpy(c->data, block + *at + PBC_FRAME_HEADER, f.length);
        if (pbc_fifo_push(&s->queue, c) != 0 && !pbc_stream_stopped(s))
            return pbc_fail(err, PBC_EXIT_FAILED, "no memory for a frame");
        *at += PBC_FRAME_HEADER + f.length;
    }
    if (*at > from)
        eventfd_write(s->fd, 1);
    return rc;
}

int pbc_stream_stopped(const struct pbc_stream *s)
{
    return atomic_load(&s->stopped);
}

void pbc_stream_fail(struct pbc_stream *s, const struct pbc_error *err)
{
    pthread_mutex_lock(&s->lock);
    if (!s->failed)
        s->error = *err;
    s->failed = 1;
    pthread_mutex_unlock(&s->lock);
    eventfd_write(s->fd, 1);
}

void pbc_stream_end(struct pbc_stream *s)
{
    atomic_store(&s->ended, 1);
}
