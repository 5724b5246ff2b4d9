#include "unpack_crew.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

/* Stacks count as the agent's data, and some sites make a user's very large. */
#define STACK_BYTES (512u << 10)

/* Why nobody waits for ever. The decode thread waits for jobs to be done (for room, or because
 * order demands it) only between two frames, when every frame that was begun is wholly handed over:
 * the workers need nothing more from it to end those. Anywhere else it waits for chunks alone.
 * Those come as long as the pool has one, and all that are out of it are slices of jobs: of whole
 * frames, which the workers end by themselves, oldest first, or of the frame that is being handed
 * over, which is the youngest, so that a worker gets to it at last, and whose slices are given back
 * as they come. A worker waits for slices of that last frame only. */
struct pbc_crew {
    struct pbc_unpack *u;
    unsigned most;
    unsigned count;
    pthread_t thread[PBC_CREW_MAX];
    struct pbc_hand hand[PBC_CREW_MAX];

    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t work;  /* a job or slice has come */
    pthread_cond_t done;  /* a job is done */
    struct pbc_job *jobs; /* not done, oldest first */
    struct pbc_job **last;
    unsigned undone;
    unsigned untaken;
    unsigned idle; /* workers that wait for a job */
    int stopped;
};

static unsigned processors(void)
{
    cpu_set_t set;
    long n;

    if (sched_getaffinity(0, sizeof(set), &set) == 0)
        n = CPU_COUNT(&set);
    else
        n = sysconf(_SC_NPROCESSORS_ONLN); /* more than a cpu_set_t can tell */
    if (n < 1)
        return 1;
    return n < PBC_CREW_MAX ? (unsigned)n : PBC_CREW_MAX;
}

struct pbc_crew *pbc_crew_new(struct pbc_unpack *u, unsigned workers)
{
    struct pbc_crew *c = calloc(1, sizeof(*c));

    if (c == NULL)
        return NULL;
    c->u = u;
    c->most = workers == 0 ? processors() : workers;
    if (c->most > PBC_CREW_MAX)
        c->most = PBC_CREW_MAX;
    c->last = &c->jobs;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->work, NULL);
    pthread_cond_init(&c->done, NULL);
    return c;
}

void pbc_slice_free(struct pbc_slice *s)
{
    if (s == NULL)
        return;
    pbc_chunk_unref(s->chunk);
    free(s);
}

static void free_slices(struct pbc_job *job)
{
    struct pbc_slice *s;

    while ((s = job->first) != NULL) {
        job->first = s->next;
        pbc_slice_free(s);
    }
    job->last = &job->first;
}

/* --- workers ------------------------------------------------------------------------------- */

static struct pbc_job *take_job(struct pbc_crew *c)
{
    struct pbc_job *job = NULL;

    pthread_mutex_lock(&c->lock);
    c->idle++;
    while (c->untaken == 0 && !c->stopped)
        pthread_cond_wait(&c->work, &c->lock);
    c->idle--;
    if (!c->stopped) {
        for (job = c->jobs; job->taken;)
            job = job->next;
        job->taken = 1;
        c->untaken--;
    }
    pthread_mutex_unlock(&c->lock);
    return job;
}

static void end_job(struct pbc_crew *c, struct pbc_job *job)
{
    struct pbc_job **at = &c->jobs;

    pthread_mutex_lock(&c->lock);
    while (*at != job)
        at = &(*at)->next;
    *at = job->next;
    if (c->last == &job->next)
        c->last = at;
    c->undone--;
    pthread_cond_signal(&c->done);
    pthread_mutex_unlock(&c->lock);
    free_slices(job);
    free(job);
}

struct pbc_slice *pbc_crew_slice(struct pbc_crew *c, struct pbc_job *job)
{
    struct pbc_slice *s = NULL;

    pthread_mutex_lock(&c->lock);
    while (job->first == NULL && !c->stopped)
        pthread_cond_wait(&c->work, &c->lock);
    if (!c->stopped) {
        s = job->first;
        job->first = s->next;
        if (job->first == NULL)
            job->last = &job->first;
    }
    pthread_mutex_unlock(&c->lock);
    return s;
}

static void *worker(void *arg)
{
    struct pbc_hand *h = arg;
    struct pbc_job *job;

    while ((job = take_job(h->crew)) != NULL) {
        struct pbc_error err;
        int rc = pbc_hand_unpack(h, job, &err);

        if (rc == -1)
            pbc_unpack_fail(h->u, job->bundle, &err);
        end_job(h->crew, job);
        /* Nothing may be written after a failure; PBC_STOPPED is the consequence of one. */
        if (rc != 0)
            break;
    }
    return NULL;
}

static void free_hand(struct pbc_hand *h)
{
    pbc_writer_free(h->writer);
    ZSTD_freeDStream(h->zstd);
    free(h->block);
    memset(h, 0, sizeof(*h));
}

static int start(struct pbc_crew *c, struct pbc_hand *h)
{
    pthread_attr_t attr;
    int rc = pthread_attr_init(&attr);

    if (rc != 0)
        return -1;
    rc = pthread_attr_setstacksize(&attr, STACK_BYTES);
    if (rc == 0)
        rc = pthread_create(&c->thread[c->count], &attr, worker, h);
    pthread_attr_destroy(&attr);
    return rc == 0 ? 0 : -1;
}

/* One worker more. */
static int hire(struct pbc_crew *c)
{
    struct pbc_hand *h = &c->hand[c->count];

    h->u = c->u;
    h->crew = c;
    h->writer = pbc_writer_join(c->u->writer);
    h->block = malloc(PBC_CREW_WHOLE);
    if (h->writer == NULL || h->block == NULL || start(c, h) != 0) {
        free_hand(h);
        return -1;
    }
    c->count++;
    return 0;
}

void pbc_crew_stop(struct pbc_crew *c)
{
    pthread_mutex_lock(&c->lock);
    c->stopped = 1;
    for (struct pbc_job *job = c->jobs; job != NULL; job = job->next)
        free_slices(job);
    pthread_cond_broadcast(&c->work);
    pthread_cond_broadcast(&c->done);
    pthread_mutex_unlock(&c->lock);
}

void pbc_crew_free(struct pbc_crew *c)
{
    if (c == NULL)
        return;
    for (unsigned i = 0; i < c->count; i++) {
        pthread_join(c->thread[i], NULL);
        free_hand(&c->hand[i]);
    }
    while (c->jobs != NULL) {
        struct pbc_job *job = c->jobs;

        c->jobs = job->next;
        free_slices(job);
        free(job);
    }
    pthread_cond_destroy(&c->done);
    pthread_cond_destroy(&c->work);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

/* --- for the decode thread ----------------------------------------------------------------- */

int pbc_crew_wait(struct pbc_crew *c, unsigned most)
{
    int rc;

    pthread_mutex_lock(&c->lock);
    while (c->undone >= most && !c->stopped)
        pthread_cond_wait(&c->done, &c->lock);
    rc = c->stopped ? PBC_STOPPED : 0;
    pthread_mutex_unlock(&c->lock);
    return rc;
}

int pbc_crew_give_job(struct pbc_crew *c, struct pbc_job *job, struct pbc_error *err)
{
    int more;

    pthread_mutex_lock(&c->lock);
    job->next = NULL;
    *c->last = job;
    c->last = &job->next;
    c->undone++;
    c->untaken++;
    more = c->untaken > c->idle && c->count < c->most;
    pthread_cond_broadcast(&c->work);
    pthread_mutex_unlock(&c->lock);
    if (more && hire(c) != 0 && c->count == 0)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory to unpack");
    return 0;
}

void pbc_crew_rest(struct pbc_crew *c)
{
    for (unsigned i = 0; i < c->count; i++) {
        ZSTD_freeDStream(c->hand[i].zstd);
        c->hand[i].zstd = NULL;
    }
}

int pbc_crew_give_slice(struct pbc_crew *c, struct pbc_job *job, struct pbc_slice *s)
{
    int rc = PBC_STOPPED;

    pthread_mutex_lock(&c->lock);
    if (!c->stopped) {
        *job->last = s;
        job->last = &s->next;
        s = NULL;
        rc = 0;
        pthread_cond_broadcast(&c->work);
    }
    pthread_mutex_unlock(&c->lock);
    pbc_slice_free(s);
    return rc;
}
