#include "source.h"

#include "tag.h"

#include <errno.h>
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
    size_t len = 0;
    double start = now();

    while (len < PBC_CHUNK_BYTES) {
        ssize_t n = read(fd, c->data + len, PBC_CHUNK_BYTES - len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        len += (size_t)n;
    }
    pthread_mutex_lock(&s->lock);
    s->seconds += now() - start;
    s->bytes += len;
    pthread_mutex_unlock(&s->lock);
    return (ssize_t)len;
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

static int send_bundle(struct pbc_source *s, unsigned index, int fd, struct pbc_error *err)
{
    const struct pbc_bundle *b = &s->list->item[index];
    struct pbc_msg_begin begin = {.format = b->format, .bytes = b->size};
    struct pbc_msg_end end = {0};
    uint8_t payload[PBC_SMALL_MAX];
    int pinned = b->digest[0] != '\0'; /* a digest is costly: only where somebody asks for it */
    crypto_generichash_state st;
    ssize_t n;

    if (pbc_bundle_unchanged(b, fd, err) != 0)
        return -1;
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    memcpy(begin.path, b->path, strlen(b->path) + 1);
    if (queue_small(s, PBC_FRAME_BEGIN, index, payload, pbc_begin_encode(&begin, payload), err) !=
        0)
        return -1;
    crypto_generichash_init(&st, NULL, 0, PBC_DIGEST_BYTES);
    do {
        struct pbc_frame f = {.type = PBC_FRAME_DATA, .bundle = (uint8_t)index, .aux = end.bytes};
        struct pbc_chunk *c = pbc_pool_wait(s->pool);

        if (c == NULL)
            return pbc_fail(err, PBC_EXIT_FAILED, "stopped");
        n = fill(s, fd, c);
        if (n < 0) {
            pbc_chunk_unref(c);
            return pbc_fail_errno(err, PBC_EXIT_REFUSED, "cannot read %s", b->path);
        }
        if (n == 0 || (uint64_t)n > b->size - end.bytes) {
            pbc_chunk_unref(c);
            break;
        }
        if (pinned)
            crypto_generichash_update(&st, c->data, (size_t)n);
        f.length = (uint32_t)n;
        if (!s->alone)
            pbc_tag_make(s->tag_key, &f, c->data);
        pbc_chunk_set(c, f);
        end.bytes += (uint64_t)n;
        if (queue(s, c) != 0)
            return pbc_fail(err, PBC_EXIT_FAILED, "stopped");
    } while (end.bytes < b->size);
    if (end.bytes != b->size)
        return pbc_fail(err, PBC_EXIT_REFUSED,
                        "%s: changed while it was being staged; submit again once it is complete",
                        b->path);
    if (pbc_bundle_unchanged(b, fd, err) != 0)
        return -1;
    if (pinned) {
        crypto_generichash_final(&st, end.digest, sizeof(end.digest));
        if (check_digest(b, end.digest, err) != 0)
            return -1;
    }
    return queue_small(s, PBC_FRAME_END, index, payload,
                       pbc_end_encode(&end, &s->check, (uint8_t)index, s->key, payload), err);
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
    for (unsigned i = s->first; rc == 0 && i < s->list->count; i++) {
        int fd = open(s->list->item[i].path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

        if (fd < 0) {
            rc = pbc_fail_errno(&err, PBC_EXIT_REFUSED, "cannot open %s", s->list->item[i].path);
            break;
        }
        rc = send_bundle(s, i, fd, &err);
        close(fd);
    }
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
                                    const uint8_t *key, int alone, struct pbc_error *err)
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
