#include "chunk.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

/* Buffers come out of pieces of this size, each a huge page where the kernel gives one: with small
 * pages a relay spends a fifth of its time on the first touch of its buffers. */
#define SLAB_BYTES (2u << 20)

struct pbc_pool {
    pthread_mutex_t lock;
    pthread_cond_t freed;
    struct pbc_chunk *free;
    uint8_t *slab;       /* what is left of the newest */
    unsigned slab_holds; /* buffers */
    unsigned made;       /* chunks allocated so far */
    unsigned most;
    size_t size;
    int wanted; /* pbc_pool_try found none: tell the descriptor */
    int closed;
    int fd;
};

int pbc_pool_fd(const struct pbc_pool *pool)
{
    return pool->fd;
}

void pbc_pool_limit(struct pbc_pool *pool, unsigned count)
{
    pthread_mutex_lock(&pool->lock);
    pool->most = count;
    pthread_mutex_unlock(&pool->lock);
}

/* With the lock held: one more than there are. */
static struct pbc_chunk *make(struct pbc_pool *p)
{
    struct pbc_chunk *c = calloc(1, sizeof(*c));

    if (c == NULL)
        return NULL;
    if (p->slab_holds == 0) {
        unsigned n = p->size < SLAB_BYTES ? (unsigned)(SLAB_BYTES / p->size) : 1;

        if (n > p->most - p->made)
            n = p->most - p->made;
        c->slab = aligned_alloc(SLAB_BYTES, (n * p->size + SLAB_BYTES - 1) & ~(SLAB_BYTES - 1ul));
        if (c->slab == NULL) {
            free(c);
            return NULL;
        }
        (void)madvise(c->slab, n * p->size, MADV_HUGEPAGE);
        p->slab = c->slab;
        p->slab_holds = n;
    }
    c->data = p->slab;
    p->slab += p->size;
    p->slab_holds--;
    c->pool = p;
    p->made++;
    return c;
}

/* With the lock held. */
static struct pbc_chunk *take(struct pbc_pool *p)
{
    struct pbc_chunk *c = p->free;

    if (p->closed)
        return NULL;
    if (c != NULL) {
        p->free = c->next_free;
    } else if (p->made < p->most) {
        c = make(p);
    }
    if (c != NULL)
        atomic_store(&c->refs, 1);
    return c;
}

struct pbc_chunk *pbc_pool_try(struct pbc_pool *pool)
{
    struct pbc_chunk *c;

    pthread_mutex_lock(&pool->lock);
    c = take(pool);
    if (c == NULL)
        pool->wanted = 1;
    pthread_mutex_unlock(&pool->lock);
    return c;
}

struct pbc_chunk *pbc_pool_wait(struct pbc_pool *pool)
{
    struct pbc_chunk *c;

    pthread_mutex_lock(&pool->lock);
    while ((c = take(pool)) == NULL && !pool->closed)
        pthread_cond_wait(&pool->freed, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
    return c;
}

void pbc_pool_close(struct pbc_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->closed = 1;
    pthread_cond_broadcast(&pool->freed);
    pthread_mutex_unlock(&pool->lock);
}

void pbc_pool_free(struct pbc_pool *pool)
{
    if (pool == NULL)
        return;
    while (pool->free != NULL) {
        struct pbc_chunk *c = pool->free;

        pool->free = c->next_free;
        free(c->slab);
        free(c);
    }
    close(pool->fd);
    pthread_cond_destroy(&pool->freed);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

struct pbc_pool *pbc_pool_new(unsigned count, size_t size)
{
    struct pbc_pool *p = calloc(1, sizeof(*p));

    if (p == NULL)
        return NULL;
    p->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (p->fd < 0) {
        free(p);
        return NULL;
    }
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->freed, NULL);
    p->most = count;
    p->size = size;
    p->free = make(p);
    if (p->free == NULL) {
        pbc_pool_free(p);
        return NULL;
    }
    return p;
}

struct pbc_chunk *pbc_chunk_small(uint8_t type, uint8_t bundle, const void *payload, uint32_t len)
{
    struct pbc_chunk *c = calloc(1, sizeof(*c) + len);

    if (c == NULL)
        return NULL;
    atomic_store(&c->refs, 1);
    c->data = (uint8_t *)(c + 1);
    if (payload != NULL && len > 0)
        memcpy(c->data, payload, len);
    pbc_chunk_set(c, (struct pbc_frame){.type = type, .bundle = bundle, .length = len});
    return c;
}

void pbc_chunk_set(struct pbc_chunk *c, struct pbc_frame frame)
{
    c->frame = frame;
    pbc_frame_encode(&frame, c->header);
}

struct pbc_chunk *pbc_chunk_ref(struct pbc_chunk *c)
{
    atomic_fetch_add(&c->refs, 1);
    return c;
}

void pbc_chunk_unref(struct pbc_chunk *c)
{
    struct pbc_pool *p;

    if (c == NULL || atomic_fetch_sub(&c->refs, 1) != 1)
        return;
    p = c->pool;
    if (p == NULL) {
        free(c);
        return;
    }
    pthread_mutex_lock(&p->lock);
    c->next_free = p->free;
    p->free = c;
    pthread_cond_signal(&p->freed);
    if (p->wanted) {
        p->wanted = 0;
        eventfd_write(p->fd, 1);
    }
    pthread_mutex_unlock(&p->lock);
}

int pbc_fifo_init(struct pbc_fifo *f)
{
    memset(f, 0, sizeof(*f));
    f->size = 64;
    f->ring = malloc(f->size * sizeof(struct pbc_chunk *));
    if (f->ring == NULL)
        return -1;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->filled, NULL);
    return 0;
}

/* With the lock held: room for one more. */
static int grow(struct pbc_fifo *f)
{
    struct pbc_chunk **ring;

    if (f->count < f->size)
        return 0;
    ring = malloc(2 * f->size * sizeof(struct pbc_chunk *));
    if (ring == NULL)
        return -1;
    for (size_t i = 0; i < f->count; i++)
        ring[i] = f->ring[(f->head + i) % f->size];
    free(f->ring);
    f->ring = ring;
    f->head = 0;
    f->size *= 2;
    return 0;
}

static int add(struct pbc_fifo *f, struct pbc_chunk *c, int in_front)
{
    int rc = -1;

    pthread_mutex_lock(&f->lock);
    if (!f->closed && grow(f) == 0) {
        if (in_front)
            f->head = (f->head + f->size - 1) % f->size;
        f->ring[(f->head + (in_front ? 0 : f->count)) % f->size] = c;
        f->count++;
        pthread_cond_signal(&f->filled);
        rc = 0;
    }
    pthread_mutex_unlock(&f->lock);
    if (rc != 0)
        pbc_chunk_unref(c);
    return rc;
}

int pbc_fifo_push(struct pbc_fifo *f, struct pbc_chunk *c)
{
    return add(f, c, 0);
}

int pbc_fifo_push_first(struct pbc_fifo *f, struct pbc_chunk *c)
{
    return add(f, c, 1);
}

int pbc_fifo_copy(struct pbc_fifo *to, struct pbc_fifo *from, size_t skip)
{
    /* Never both locks at once: another may copy the other way. */
    for (size_t i = skip;; i++) {
        struct pbc_chunk *c = NULL;

        pthread_mutex_lock(&from->lock);
        if (i < from->count)
            c = pbc_chunk_ref(from->ring[(from->head + i) % from->size]);
        pthread_mutex_unlock(&from->lock);
        if (c == NULL)
            return 0;
        if (pbc_fifo_push(to, c) != 0)
            return -1;
    }
}

/* With the lock held. */
static struct pbc_chunk *first(struct pbc_fifo *f)
{
    struct pbc_chunk *c;

    if (f->closed || f->count == 0)
        return NULL;
    c = f->ring[f->head];
    f->head = (f->head + 1) % f->size;
    f->count--;
    return c;
}

struct pbc_chunk *pbc_fifo_pop(struct pbc_fifo *f)
{
    struct pbc_chunk *c;

    pthread_mutex_lock(&f->lock);
    while (f->count == 0 && !f->closed)
        pthread_cond_wait(&f->filled, &f->lock);
    c = first(f);
    pthread_mutex_unlock(&f->lock);
    return c;
}

struct pbc_chunk *pbc_fifo_try(struct pbc_fifo *f)
{
    struct pbc_chunk *c;

    pthread_mutex_lock(&f->lock);
    c = first(f);
    pthread_mutex_unlock(&f->lock);
    return c;
}

void pbc_fifo_empty(struct pbc_fifo *f)
{
    struct pbc_chunk *c;

    while ((c = pbc_fifo_try(f)) != NULL)
        pbc_chunk_unref(c);
}

void pbc_fifo_close(struct pbc_fifo *f)
{
    pthread_mutex_lock(&f->lock);
    f->closed = 1;
    while (f->count > 0) {
        pbc_chunk_unref(f->ring[f->head]);
        f->head = (f->head + 1) % f->size;
        f->count--;
    }
    pthread_cond_broadcast(&f->filled);
    pthread_mutex_unlock(&f->lock);
}

void pbc_fifo_destroy(struct pbc_fifo *f)
{
    if (f->ring == NULL)
        return;
    pbc_fifo_close(f);
    pthread_cond_destroy(&f->filled);
    pthread_mutex_destroy(&f->lock);
    free(f->ring);
    f->ring = NULL;
}
