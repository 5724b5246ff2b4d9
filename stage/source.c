#include "source.h"

#include "io.h"
#include "tag.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define STOP_STEPS                                                                                 \
    100 /* of 2 ms: a thread that has not stopped by then hangs in the file system                 \
         */

enum state { PROBING, PROBED, READING, STOPPED };

struct pbc_source {
    struct pbc_bundles *list;
    struct pbc_pool *pool;
    const uint8_t *key;
    uint8_t tag_key[PBC_KEY_BYTES];
    int alone;
    pbc_source_pack *pack;
    struct pbc_fifo queue;
    pthread_t thread;
    int fd;

    pthread_mutex_t lock; /* what follows */
    pthread_cond_t changed;
    enum state state;
    struct pbc_msg_check check; /* once it is READING */
    unsigned first;
    int failed;
    int ended;
    struct pbc_error error;
    double seconds;
    uint64_t bytes;
};

static double now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int queue(struct pbc_source *s, struct pbc_chunk *c)
{
    if (c == NULL || pbc_fifo_push(&s->queue, c) != 0)
        return -1;
    eventfd_write(s->fd, 1);
    return 0;
}

static int queue_small(struct pbc_source *s, uint8_t type, unsigned bundle, const void *payload,
                       uint32_t len, struct pbc_error *err)
{
    if (queue(s, pbc_chunk_small(type, (uint8_t)bundle, payload, len)) != 0)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory to send");
    return 0;
}

/* Fill `c` from the file: less than PBC_CHUNK_BYTES only at its end. */
static ssize_t fill(struct pbc_source *s, int fd, struct pbc_chunk *c)
{
    double start = now();
    ssize_t len = pbc_io_read(fd, c->data, PBC_CHUNK_BYTES);

    if (len < 0)
        return -1;
    pthread_mutex_lock(&s->lock);
    s->seconds += now() - start;
    s->bytes += (uint64_t)len;
    pthread_mutex_unlock(&s->lock);
    return len;
}

/* The digest that the site has pinned. Nothing is published before END. */
static int check_digest(const struct pbc_bundle *b, const uint8_t digest[PBC_DIGEST_BYTES],
                        struct pbc_error *err)
{
    char hex[PBC_DIGEST_LEN + 1];

    sodium_bin2hex(hex, sizeof(hex), digest, PBC_DIGEST_BYTES);
    if (strcmp(hex, b->digest) == 0)
        return 0;
    return pbc_fail(err, PBC_EXIT_REFUSED,
                    "%s: its digest is %s, and the catalogue asks for %s: the file was replaced or "
                    "damaged, or the catalogue is out of date; tell the administrator",
                    b->path, hex, b->digest);
}

/* A bundle on its way. */
struct stream {
    struct pbc_source *s;
    unsigned index;
    struct pbc_msg_end end;
    int pinned; /* a digest is costly: only where somebody asks for it */
    crypto_generichash_state digest;
    struct pbc_chunk *chunk; /* of a directory: not full yet */
    size_t len;
};

static int stream_begin(struct stream *t, struct pbc_source *s, unsigned index,
                        struct pbc_error *err)
{
    const struct pbc_bundle *b = &s->list->item[index];
    struct pbc_msg_begin begin = {.format = b->format, .bytes = b->size};
    uint8_t payload[PBC_SMALL_MAX];

    memset(t, 0, sizeof(*t));
    t->s = s;
    t->index = index;
    t->pinned = b->digest[0] != '\0';
    if (t->pinned)
        crypto_generichash_init(&t->digest, NULL, 0, PBC_DIGEST_BYTES);
    memcpy(begin.path, b->path, strlen(b->path) + 1);
    return queue_small(s, PBC_FRAME_BEGIN, index, payload, pbc_begin_encode(&begin, payload), err);
}

/* Takes over the chunk. */
static int stream_chunk(struct stream *t, struct pbc_chunk *c, size_t len, struct pbc_error *err)
{
    struct pbc_source *s = t->s;
    struct pbc_frame f = {.type = PBC_FRAME_DATA,
                          .bundle = (uint8_t)t->index,
                          .length = (uint32_t)len,
                          .aux = t->end.bytes};

    if (t->pinned)
        crypto_generichash_update(&t->digest, c->data, len);
    if (!s->alone)
        pbc_tag_make(s->tag_key, &f, c->data);
    pbc_chunk_set(c, f);
    t->end.bytes += len;
    return queue(s, c) == 0 ? 0 : pbc_fail(err, PBC_EXIT_FAILED, "stopped");
}

static int stream_end(struct stream *t, struct pbc_error *err)
{
    struct pbc_source *s = t->s;
    uint8_t payload[PBC_SMALL_MAX];

    if (t->pinned) {
        crypto_generichash_final(&t->digest, t->end.digest, sizeof(t->end.digest));
        if (check_digest(&s->list->item[t->index], t->end.digest, err) != 0)
            return -1;
    }
    return queue_small(s, PBC_FRAME_END, t->index, payload,
                       pbc_end_encode(&t->end, &s->check, (uint8_t)t->index, s->key, payload), err);
}

static int send_archive(struct pbc_source *s, unsigned index, int fd, struct pbc_error *err)
{
    const struct pbc_bundle *b = &s->list->item[index];
    struct stream t;
    ssize_t n;

    if (pbc_bundle_unchanged(b, fd, err) != 0)
        return -1;
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    if (stream_begin(&t, s, index, err) != 0)
        return -1;
    do {
        struct pbc_chunk *c = pbc_pool_wait(s->pool);

        if (c == NULL)
            return pbc_fail(err, PBC_EXIT_FAILED, "stopped");
        n = fill(s, fd, c);
        if (n < 0) {
            pbc_chunk_unref(c);
            return pbc_fail_errno(err, PBC_EXIT_REFUSED, "cannot read %s", b->path);
        }
        if (n == 0 || (uint64_t)n > b->size - t.end.bytes) {
            pbc_chunk_unref(c);
            break;
        }
        if (stream_chunk(&t, c, (size_t)n, err) != 0)
            return -1;
    } while (t.end.bytes < b->size);
    if (t.end.bytes != b->size)
        return pbc_fail(err, PBC_EXIT_REFUSED,
                        "%s: changed while it was being staged; submit again once it is complete",
                        b->path);
    if (pbc_bundle_unchanged(b, fd, err) != 0)
        return -1;
    return stream_end(&t, err);
}

/* pbc_source_write: what is packed goes on in full chunks. */
static int write_packed(void *arg, const void *data, size_t len, struct pbc_error *err)
{
    struct stream *t = arg;
    const uint8_t *p = data;

    while (len > 0) {
        size_t n;

        if (t->chunk == NULL && (t->chunk = pbc_pool_wait(t->s->pool)) == NULL)
            return pbc_fail(err, PBC_EXIT_FAILED, "stopped");
        n = PBC_CHUNK_BYTES - t->len < len ? PBC_CHUNK_BYTES - t->len : len;
        memcpy(t->chunk->data + t->len, p, n);
        t->len += n;
        p += n;
        len -= n;
        if (t->len == PBC_CHUNK_BYTES) {
            struct pbc_chunk *c = t->chunk;

            t->chunk = NULL;
            t->len = 0;
            if (stream_chunk(t, c, PBC_CHUNK_BYTES, err) != 0)
                return -1;
        }
    }
    return 0;
}

static int send_directory(struct pbc_source *s, unsigned index, struct pbc_error *err)
{
    const struct pbc_bundle *b = &s->list->item[index];
    struct pbc_error why;
    struct stream t;
    double start = now();
    int rc;

    if (s->pack == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "this agent cannot pack directories: %s", b->path);
    if (stream_begin(&t, s, index, err) != 0)
        return -1;
    rc = s->pack(b, write_packed, &t, &why);
    if (rc != 0)
        pbc_fail(err, why.code, "%s: %s", b->path, why.text);
    if (rc == 0 && t.len > 0) {
        rc = stream_chunk(&t, t.chunk, t.len, err);
        t.chunk = NULL;
    }
    pbc_chunk_unref(t.chunk);
    /* Files were the same before and after each was read; now all of them together. */
    if (rc == 0)
        rc = pbc_bundle_same_dir(b, err);
    pthread_mutex_lock(&s->lock);
    s->seconds += now() - start;
    s->bytes += t.end.bytes;
    pthread_mutex_unlock(&s->lock);
    return rc == 0 ? stream_end(&t, err) : -1;
}

static int send_bundle(struct pbc_source *s, unsigned index, struct pbc_error *err)
{
    const struct pbc_bundle *b = &s->list->item[index];
    int fd, rc;

    if (b->kind != PBC_BUNDLE_ARCHIVE)
        return send_directory(s, index, err);
    fd = open(b->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return pbc_fail_errno(err, PBC_EXIT_REFUSED, "cannot open %s", b->path);
    rc = send_archive(s, index, fd, err);
    close(fd);
    return rc;
}

/* Say that the list is probed, and wait for the word to go on. */
static int wait_to_go(struct pbc_source *s, struct pbc_error *err)
{
    int go;

    pthread_mutex_lock(&s->lock);
    if (s->state == PROBING)
        s->state = PROBED;
    eventfd_write(s->fd, 1);
    while (s->state == PROBED)
        pthread_cond_wait(&s->changed, &s->lock);
    go = s->state == READING;
    pthread_mutex_unlock(&s->lock);
    return go ? 0 : pbc_fail(err, PBC_EXIT_FAILED, "stopped");
}

static void *reader(void *arg)
{
    struct pbc_source *s = arg;
    struct pbc_error err;
    int rc = pbc_bundles_probe(s->list, &err);

    if (rc == 0)
        rc = wait_to_go(s, &err);
    for (unsigned i = s->first; rc == 0 && i < s->list->count; i++)
        rc = send_bundle(s, i, &err);
    if (rc == 0)
        rc = queue_small(s, PBC_FRAME_DONE, 0, NULL, 0, &err);
    pthread_mutex_lock(&s->lock);
    if (rc != 0) {
        s->failed = 1;
        s->error = err;
    }
    s->ended = 1;
    pthread_mutex_unlock(&s->lock);
    if (rc != 0)
        eventfd_write(s->fd, 1);
    return NULL;
}

static void set_state(struct pbc_source *s, enum state state)
{
    pthread_mutex_lock(&s->lock);
    s->state = state;
    pthread_cond_signal(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

int pbc_source_probed(struct pbc_source *s)
{
    int probed;

    pthread_mutex_lock(&s->lock);
    probed = s->state != PROBING;
    pthread_mutex_unlock(&s->lock);
    return probed;
}

void pbc_source_go(struct pbc_source *s, const struct pbc_msg_check *check, unsigned first)
{
    s->first = first;
    s->check = *check; /* the thread waits for the state, and reads it after */
    set_state(s, READING);
}

struct pbc_source *pbc_source_start(struct pbc_bundles *list, struct pbc_pool *pool,
                                    const uint8_t *key, int alone, pbc_source_pack *pack,
                                    struct pbc_error *err)
{
    struct pbc_source *s = calloc(1, sizeof(*s));

    if (s == NULL) {
        pbc_fail(err, PBC_EXIT_FAILED, "no memory to read");
        return NULL;
    }
    s->list = list;
    s->pool = pool;
    s->key = key;
    s->alone = alone;
    s->pack = pack;
    pbc_tag_key(key, s->tag_key);
    s->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    if (s->fd < 0 || pbc_fifo_init(&s->queue) != 0 ||
        pthread_create(&s->thread, NULL, reader, s) != 0) {
        pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot start to read");
        pbc_fifo_destroy(&s->queue);
        if (s->fd >= 0)
            close(s->fd);
        free(s);
        return NULL;
    }
    return s;
}

int pbc_source_fd(const struct pbc_source *s)
{
    return s->fd;
}

struct pbc_chunk *pbc_source_next(struct pbc_source *s)
{
    return pbc_fifo_try(&s->queue);
}

int pbc_source_failed(struct pbc_source *s, struct pbc_error *err)
{
    int failed;

    pthread_mutex_lock(&s->lock);
    failed = s->failed;
    if (failed && err != NULL)
        *err = s->error;
    pthread_mutex_unlock(&s->lock);
    return failed;
}

void pbc_source_figures(struct pbc_source *s, double *seconds, uint64_t *bytes)
{
    pthread_mutex_lock(&s->lock);
    *seconds = s->seconds;
    *bytes = s->bytes;
    pthread_mutex_unlock(&s->lock);
}

int pbc_source_stop(struct pbc_source *s)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    int ended = 0;

    set_state(s, STOPPED);
    pbc_fifo_close(&s->queue);
    for (int i = 0; !ended && i < STOP_STEPS; i++) {
        pthread_mutex_lock(&s->lock);
        ended = s->ended;
        pthread_mutex_unlock(&s->lock);
        if (!ended)
            nanosleep(&pause, NULL);
    }
    return ended;
}

void pbc_source_free(struct pbc_source *s)
{
    if (s == NULL)
        return;
    pbc_fifo_close(&s->queue);
    set_state(s, STOPPED);
    pthread_join(s->thread, NULL);
    pbc_fifo_destroy(&s->queue);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    close(s->fd);
    free(s);
}
