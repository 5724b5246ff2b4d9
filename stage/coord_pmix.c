#include "clock.h"
#include "coord.h"

#include <pmix.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define RECORD_KEY "pbcast.record"
#define TICK_NS    200000000 /* how often a signal is looked for */

struct pmix {
    pmix_proc_t self;
    struct pbc_start start;
    int lost; /* a fence did not end: the library's threads are still in it */
};

/* A fence's result. It outlives a caller that has given up waiting, hence the two owners. */
struct fence {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    int done;
    pmix_status_t status;
    atomic_int owners;
};

static void fence_drop(struct fence *f)
{
    if (atomic_fetch_sub(&f->owners, 1) == 1) {
        pthread_cond_destroy(&f->ended);
        pthread_mutex_destroy(&f->lock);
        free(f);
    }
}

static void fence_ended(pmix_status_t status, void *arg)
{
    struct fence *f = arg;

    pthread_mutex_lock(&f->lock);
    f->done = 1;
    f->status = status;
    pthread_cond_signal(&f->ended);
    pthread_mutex_unlock(&f->lock);
    fence_drop(f);
}

static int pmix_failed(const char *what, pmix_status_t rc, struct pbc_error *err)
{
    return pbc_fail(err, PBC_EXIT_FAILED,
                    "%s: %s; was the step started with --mpi=pmix by a Slurm that has PMIx?", what,
                    PMIx_Error_string(rc));
}

/* With the lock held: wait for a moment. */
static void wait_some(struct fence *f)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += TICK_NS;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    (void)pthread_cond_timedwait(&f->ended, &f->lock, &until);
}

/* All processes of the namespace, with their data. PMIX_ERR_TIMEOUT after `seconds`, or when the
 * agent is to end. */
static pmix_status_t fence(struct pmix *p, unsigned seconds)
{
    struct fence *f = calloc(1, sizeof(*f));
    pmix_proc_t all;
    pmix_info_t collect;
    bool yes = true;
    struct pbc_clock clock = {0};
    uint64_t end = pbc_clock_ms(&clock) + (uint64_t)seconds * 1000;
    pmix_status_t rc;

    if (f == NULL)
        return PMIX_ERR_NOMEM;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->ended, NULL);
    atomic_init(&f->owners, 2);
    PMIX_LOAD_PROCID(&all, p->self.nspace, PMIX_RANK_WILDCARD);
    PMIX_INFO_LOAD(&collect, PMIX_COLLECT_DATA, &yes, PMIX_BOOL);
    rc = PMIx_Fence_nb(&all, 1, &collect, 1, fence_ended, f);
    if (rc == PMIX_OPERATION_SUCCEEDED || rc != PMIX_SUCCESS) {
        fence_drop(f);
        fence_drop(f);
        return rc == PMIX_OPERATION_SUCCEEDED ? PMIX_SUCCESS : rc;
    }
    pthread_mutex_lock(&f->lock);
    while (!f->done && pbc_clock_ms(&clock) <= end && !pbc_start_stopped())
        wait_some(f);
    rc = f->done ? f->status : PMIX_ERR_TIMEOUT;
    pthread_mutex_unlock(&f->lock);
    fence_drop(f);
    return rc;
}

static int exchange(struct pbc_coord *c, const void *record, size_t len, unsigned seconds,
                    struct pbc_error *err)
{
    struct pmix *p = c->state;
    pmix_value_t value;
    pmix_status_t rc;

    PMIX_VALUE_CONSTRUCT(&value);
    value.type = PMIX_BYTE_OBJECT;
    value.data.bo.bytes = (char *)(uintptr_t)record;
    value.data.bo.size = len;
    rc = PMIx_Put(PMIX_GLOBAL, RECORD_KEY, &value);
    if (rc == PMIX_SUCCESS)
        rc = PMIx_Commit();
    if (rc != PMIX_SUCCESS)
        return pmix_failed("PMIx did not take this node's record", rc, err);
    if (pbc_start_await(&p->start) != 0)
        return pbc_fail(err, PBC_EXIT_FAILED, "staging was stopped before all nodes had started");
    rc = fence(p, seconds);
    p->lost = rc == PMIX_ERR_TIMEOUT;
    if (p->lost && pbc_start_stopped())
        return pbc_fail(err, PBC_EXIT_FAILED, "staging was stopped before all nodes had met");
    if (p->lost)
        return pbc_fail(err, PBC_EXIT_AGAIN,
                        "Slurm's PMIx did not bring the %u nodes together within %u s", c->size,
                        seconds);
    if (rc != PMIX_SUCCESS)
        return pmix_failed("the PMIx fence failed", rc, err);
    return 0;
}

static int get(struct pbc_coord *c, uint32_t rank, void *record, size_t len, struct pbc_error *err)
{
    struct pmix *p = c->state;
    pmix_proc_t peer;
    pmix_value_t *value = NULL;
    pmix_status_t rc;

    PMIX_LOAD_PROCID(&peer, p->self.nspace, rank);
    rc = PMIx_Get(&peer, RECORD_KEY, NULL, 0, &value);
    if (rc != PMIX_SUCCESS)
        return pmix_failed("PMIx has no record of a peer", rc, err);
    if (value->type != PMIX_BYTE_OBJECT || value->data.bo.size != len) {
        PMIX_VALUE_RELEASE(value);
        return pbc_fail(err, PBC_EXIT_PEER,
                        "rank %u runs another version of pbcast-stage, or is no agent", rank);
    }
    memcpy(record, value->data.bo.bytes, len);
    PMIX_VALUE_RELEASE(value);
    return 0;
}

static void done(struct pbc_coord *c)
{
    struct pmix *p = c->state;

    if (p != NULL && !p->lost)
        PMIx_Finalize(NULL, 0);
    if (p != NULL && !p->lost)
        free(p);
    c->state = NULL;
}

/* PMIx_Init, whose threads are to leave signals to the run, and to pbc_start_await. */
static pmix_status_t init(pmix_proc_t *self)
{
    sigset_t all, before;
    pmix_status_t rc;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = PMIx_Init(self, NULL, 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

int pbc_coord_pmix(struct pbc_coord *c, const struct pbc_start *start, struct pbc_error *err)
{
    struct pmix *p = calloc(1, sizeof(*p));
    pmix_proc_t job;
    pmix_value_t *value = NULL;
    pmix_status_t rc;

    memset(c, 0, sizeof(*c));
    if (p == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory for PMIx");
    p->start = *start;
    rc = init(&p->self);
    if (rc != PMIX_SUCCESS) {
        free(p);
        return pmix_failed("PMIx_Init", rc, err);
    }
    PMIX_LOAD_PROCID(&job, p->self.nspace, PMIX_RANK_WILDCARD);
    rc = PMIx_Get(&job, PMIX_JOB_SIZE, NULL, 0, &value);
    if (rc != PMIX_SUCCESS || value->type != PMIX_UINT32) {
        PMIx_Finalize(NULL, 0);
        free(p);
        return pmix_failed("PMIx does not tell the number of processes", rc, err);
    }
    c->rank = p->self.rank;
    c->size = value->data.uint32;
    PMIX_VALUE_RELEASE(value);
    c->state = p;
    c->exchange = exchange;
    c->get = get;
    c->close = done;
    return 0;
}
