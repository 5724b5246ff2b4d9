#include "unpack_pipe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#ifdef PBC_HAVE_ZSTD
#include "unpack_crew.h"

static int new_crew(struct pbc_unpack *u)
{
    u->crew = pbc_crew_new(u, u->conf.workers);
    return u->crew == NULL ? -1 : 0;
}

static void stop_crew(struct pbc_unpack *u)
{
    if (u->crew != NULL)
        pbc_crew_stop(u->crew);
}

static void free_crew(struct pbc_unpack *u)
{
    pbc_crew_free(u->crew);
}
#else
static int new_crew(struct pbc_unpack *u)
{
    u->crew = NULL;
    return 0;
}

static void stop_crew(struct pbc_unpack *u)
{
    (void)u;
}

static void free_crew(struct pbc_unpack *u)
{
    (void)u;
}
#endif

/* --- state --------------------------------------------------------------------------------- */

static void settle(struct pbc_unpack *u, enum pbc_unpack_state state, const struct pbc_error *err)
{
    pthread_mutex_lock(&u->lock);
    if (u->state == PBC_UNPACK_RUNNING) {
        u->state = state;
        if (err != NULL)
            u->error = *err;
        eventfd_write(u->fd, 1);
        pthread_cond_broadcast(&u->settled);
    }
    pthread_mutex_unlock(&u->lock);
    if (state == PBC_UNPACK_FAILED) {
        stop_crew(u);
        pbc_fifo_close(&u->arrived);
        pbc_fifo_close(&u->plain);
        pbc_pool_close(u->blocks);
    }
}

/* About what the whole set needs unpacked, when `taken` bytes of memory are used for what is there:
 * as much more as the archives are longer than what was read of them; at least what this bundle
 * says of itself, and the files that are begun. */
static uint64_t forecast(struct pbc_unpack *u, unsigned bundle, uint64_t taken)
{
    const struct pbc_meta *m = &u->result[bundle].meta;
    uint64_t read = atomic_load(&u->pushed);
    struct pbc_writer_count count;
    uint64_t waiting;
    double need = (double)taken;

    pthread_mutex_lock(&u->arrived.lock);
    waiting = (uint64_t)u->arrived.count * PBC_CHUNK_BYTES;
    pthread_mutex_unlock(&u->arrived.lock);
    /* The first bytes say little of the rest. */
    read = read > waiting ? read - waiting : 0;
    if (read > u->conf.archives / 16 && u->conf.archives > read)
        need *= (double)u->conf.archives / (double)read;
    pbc_writer_counts(u->writer, &count);
    if (u->conf.base != NULL) /* it was there before, as links */
        count.bytes -= u->conf.base->bytes < count.bytes ? u->conf.base->bytes : count.bytes;
    if (m->has_bytes && need < (double)m->bytes)
        need = (double)m->bytes;
    if (need < (double)count.bytes)
        need = (double)count.bytes;
    return need < (double)UINT64_MAX / 2 ? (uint64_t)need : UINT64_MAX / 2;
}

/* With what to ask for, where it is memory that lacks. */
static void fail(struct pbc_unpack *u, unsigned bundle, const struct pbc_error *why)
{
    struct pbc_memory_room room;
    struct pbc_error err;
    uint64_t used, before;

    if (why->code != PBC_EXIT_NOSPACE || !pbc_writer_lacks_memory(u->writer, &room)) {
        settle(u, PBC_UNPACK_FAILED, why);
        return;
    }
    used = room.limit - room.free;
    before = u->before[room.level];
    pbc_memory_short(&room, before + u->conf.own,
                     forecast(u, bundle, used > before ? used - before : 0),
                     pbc_writer_memory_reserve(&u->conf.limits), why->text, &err);
    settle(u, PBC_UNPACK_FAILED, &err);
}

void pbc_unpack_fail(struct pbc_unpack *u, unsigned bundle, const struct pbc_error *err)
{
    const char *path = u->result[bundle].path;
    struct pbc_error named;

    /* Room for what to ask for. */
    if (err->code == PBC_EXIT_NOSPACE)
        pbc_fail(&named, err->code, "%.300s%s: %.300s", path, strlen(path) > 300 ? "..." : "",
                 err->text);
    else
        pbc_fail(&named, err->code, "%s: %s", path, err->text);
    fail(u, bundle, &named);
}

void pbc_unpack_fail_before(struct pbc_unpack *u, const struct pbc_error *err)
{
    fail(u, 0, err);
}

void pbc_unpack_no_memory(struct pbc_unpack *u)
{
    struct pbc_error err;

    pbc_fail(&err, PBC_EXIT_FAILED, "no memory to unpack");
    pbc_unpack_fail_before(u, &err);
}

void pbc_unpack_done(struct pbc_unpack *u)
{
    settle(u, PBC_UNPACK_DONE, NULL);
}

void pbc_unpack_writes(struct pbc_unpack *u)
{
    pthread_mutex_lock(&u->lock);
    u->unwritten++;
    pthread_mutex_unlock(&u->lock);
}

void pbc_unpack_wrote(struct pbc_unpack *u)
{
    pthread_mutex_lock(&u->lock);
    u->unwritten--;
    pthread_cond_broadcast(&u->settled);
    pthread_mutex_unlock(&u->lock);
}

int pbc_unpack_wait_written(struct pbc_unpack *u)
{
    int rc;

    pthread_mutex_lock(&u->lock);
    while (u->unwritten > 0 && u->state == PBC_UNPACK_RUNNING && !u->stopped)
        pthread_cond_wait(&u->settled, &u->lock);
    rc = u->unwritten == 0 ? 0 : PBC_STOPPED;
    pthread_mutex_unlock(&u->lock);
    return rc;
}

enum pbc_unpack_state pbc_unpack_state(struct pbc_unpack *u, struct pbc_error *err)
{
    enum pbc_unpack_state state;

    pthread_mutex_lock(&u->lock);
    state = u->state;
    if (state == PBC_UNPACK_FAILED)
        *err = u->error;
    pthread_mutex_unlock(&u->lock);
    return state;
}

/* --- libarchive over chunks ---------------------------------------------------------------- */

la_ssize_t pbc_pieces_next(struct archive *a, void *arg, const void **ret)
{
    struct pbc_pieces *p = arg;

    if (p->ended)
        return 0;
    pbc_chunk_unref(p->current);
    p->current = pbc_fifo_pop(p->from);
    if (p->current == NULL) {
        if (a != NULL)
            archive_set_error(a, ECANCELED, "stopped");
        return ARCHIVE_FATAL;
    }
    if (p->current->frame.type == PBC_FRAME_END) {
        p->ended = 1;
        return 0;
    }
    *ret = p->current->data;
    return (la_ssize_t)p->current->frame.length;
}

int pbc_archive_failed(struct archive *a, const char *member, struct pbc_error *err)
{
    const char *words = archive_error_string(a);

    if (words == NULL)
        words = "unreadable";
    if (archive_errno(a) == ENOMEM)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory to read the archive");
    if (member != NULL)
        return pbc_fail(err, PBC_EXIT_REFUSED, "corrupt or truncated at member '%s': %s", member,
                        words);
    return pbc_fail(err, PBC_EXIT_REFUSED, "corrupt, truncated or not a tar archive: %s", words);
}

/* --- outside ------------------------------------------------------------------------------- */

static int spawn(struct pbc_unpack *u, void *(*fn)(void *))
{
    if (pthread_create(&u->thread[u->threads], NULL, fn, u) != 0)
        return -1;
    u->threads++;
    return 0;
}

struct pbc_unpack *pbc_unpack_start(const struct pbc_unpack_conf *conf, struct pbc_error *err)
{
    struct pbc_unpack *u = calloc(1, sizeof(*u));

    if (u == NULL) {
        pbc_fail(err, PBC_EXIT_FAILED, "no memory to unpack");
        return NULL;
    }
    u->conf = *conf;
    u->conf.limits.own = conf->own;
    if (conf->limits.memory != NULL)
        pbc_memory_used(conf->limits.memory, u->before);
    u->unwritten = conf->base != NULL; /* see pbc_write_thread */
    pthread_mutex_init(&u->lock, NULL);
    pthread_cond_init(&u->settled, NULL);
    u->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    u->result = calloc(conf->bundles, sizeof(*u->result));
    u->writer = pbc_writer_new(conf->rootfd, &u->conf.limits);
    u->blocks = pbc_pool_new(PBC_BLOCKS, PBC_BLOCK_BYTES);
    if (u->fd < 0 || u->result == NULL || u->writer == NULL || u->blocks == NULL ||
        new_crew(u) != 0 || pbc_fifo_init(&u->arrived) != 0 || pbc_fifo_init(&u->plain) != 0 ||
        spawn(u, pbc_write_thread) != 0 || spawn(u, pbc_decode_thread) != 0) {
        pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot start to unpack");
        pbc_unpack_free(u);
        return NULL;
    }
    return u;
}

void pbc_unpack_push(struct pbc_unpack *u, struct pbc_chunk *c)
{
    struct pbc_unpacked *r = &u->result[c->frame.bundle];

    /* Recorded here, in one place; the parts were checked by the caller. */
    if (c->frame.type == PBC_FRAME_BEGIN) {
        struct pbc_msg_begin begin;

        if (pbc_begin_decode(c->data, c->frame.length, &begin, NULL) == 0) {
            memcpy(r->path, begin.path, sizeof(r->path));
            r->archive_bytes = begin.bytes;
        }
    } else if (c->frame.type == PBC_FRAME_DATA) {
        atomic_fetch_add(&u->pushed, c->frame.length);
    } else if (c->frame.type == PBC_FRAME_END && c->frame.length >= 8 + PBC_DIGEST_BYTES) {
        r->archive_bytes = 0; /* what BEGIN has said was a guess if it is packed on the fly */
        for (unsigned i = 0; i < 8; i++)
            r->archive_bytes = r->archive_bytes << 8 | c->data[i];
        memcpy(r->digest, c->data + 8, PBC_DIGEST_BYTES);
    }
    if (pbc_fifo_push(&u->arrived, c) != 0) /* unless it has failed already */
        pbc_unpack_no_memory(u);
}

int pbc_unpack_fd(const struct pbc_unpack *u)
{
    return u->fd;
}

const struct pbc_unpacked *pbc_unpack_result(const struct pbc_unpack *u, unsigned bundle)
{
    return &u->result[bundle];
}

void pbc_unpack_counts(const struct pbc_unpack *u, struct pbc_writer_count *ret)
{
    pbc_writer_counts(u->writer, ret);
}

void pbc_unpack_free(struct pbc_unpack *u)
{
    if (u == NULL)
        return;
    pthread_mutex_lock(&u->lock);
    u->stopped = 1;
    pthread_cond_broadcast(&u->settled);
    pthread_mutex_unlock(&u->lock);
    stop_crew(u);
    if (u->blocks != NULL)
        pbc_pool_close(u->blocks);
    if (u->arrived.ring != NULL)
        pbc_fifo_close(&u->arrived);
    if (u->plain.ring != NULL)
        pbc_fifo_close(&u->plain);
    for (unsigned i = 0; i < u->threads; i++)
        pthread_join(u->thread[i], NULL);
    free_crew(u);
    pbc_fifo_destroy(&u->arrived);
    pbc_fifo_destroy(&u->plain);
    pbc_pool_free(u->blocks);
    pbc_writer_free(u->writer);
    if (u->fd >= 0)
        close(u->fd);
    pthread_cond_destroy(&u->settled);
    pthread_mutex_destroy(&u->lock);
    for (unsigned i = 0; u->result != NULL && i < u->conf.bundles; i++)
        pbc_meta_free(&u->result[i].meta);
    free(u->result);
    free(u);
}
