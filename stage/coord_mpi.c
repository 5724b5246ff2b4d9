#include "coord.h"
#include "stream_mpi.h"

#include <errno.h>
#include <mpi.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* How long MPI_Init may take: seconds, and one more for each 50 tasks. */
#define START_SECONDS 30
#define END_SECONDS   4 /* the agent goes on without its end; a peer that died holds it up */

enum phase { STARTING, STARTED, MEETING, MET, CARRYING, ENDING, ENDED };

/* All calls of MPI are made by one thread of ours, since none of them has a limit in time. The
 * caller waits for its phases, and leaves it behind where one does not come. */
struct mpi {
    pthread_mutex_t lock;
    pthread_cond_t turned;
    enum phase phase;
    int rc;      /* MPI's, of the phase that came */
    int crowded; /* the most agents that share a node */
    int rank;
    int size;
    unsigned char record[PBC_RECORD_MAX]; /* ours */
    size_t len;
    unsigned char *all; /* size records */
    struct pbc_stream *stream;
    unsigned stall;
    int lost; /* a phase did not come: the thread goes on using this */
};

static void turn(struct mpi *m, enum phase phase, int rc)
{
    pthread_mutex_lock(&m->lock);
    m->phase = phase;
    m->rc = rc;
    pthread_cond_broadcast(&m->turned);
    pthread_mutex_unlock(&m->lock);
}

/* MPI's thread: wait for what is asked for next. */
static enum phase next(struct mpi *m, enum phase from)
{
    enum phase phase;

    pthread_mutex_lock(&m->lock);
    while (m->phase == from)
        pthread_cond_wait(&m->turned, &m->lock);
    phase = m->phase;
    pthread_mutex_unlock(&m->lock);
    return phase;
}

static int start(struct mpi *m)
{
    MPI_Comm node;
    int given, here = 1;
    int rc = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &given);

    if (rc != MPI_SUCCESS)
        return rc;
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, &m->rank);
    MPI_Comm_size(MPI_COMM_WORLD, &m->size);
    rc = MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
    if (rc == MPI_SUCCESS)
        rc = MPI_Comm_size(node, &here);
    if (rc == MPI_SUCCESS)
        rc = MPI_Comm_free(&node);
    if (rc == MPI_SUCCESS) /* all of them are to know */
        rc = MPI_Allreduce(&here, &m->crowded, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    return rc;
}

/* Open MPI's mpirun takes a process that ends without MPI_Finalize for one that has crashed. Slurm
 * and Hydra do not, and there MPICH over UCX may never come back from it: its last barrier is
 * PMI's, in which peers make no progress that others still wait for (MPICH 4.0.2, UCX 1.13, TCP
 * between 4 nodes: in 5 of 12 runs of a program that did nothing else). */
static int finish(void)
{
#ifdef OPEN_MPI
    return MPI_Finalize();
#else
    return MPI_SUCCESS;
#endif
}

static void *mpi_thread(void *arg)
{
    struct mpi *m = arg;
    int rc = 0;

    turn(m, STARTED, start(m));
    if (next(m, STARTED) == MEETING) {
        /* The count is that of one rank: no communicator is large enough to make it overflow. */
        turn(m, MET,
             MPI_Allgather(m->record, (int)m->len, MPI_BYTE, m->all, (int)m->len, MPI_BYTE,
                           MPI_COMM_WORLD));
        if (next(m, MET) == CARRYING) {
            rc = pbc_stream_mpi(m->stream, m->rank, m->stall);
            next(m, CARRYING);
        }
    }
    turn(m, ENDED, rc == 0 ? finish() : MPI_SUCCESS);
    return NULL;
}

/* Ask for `wanted` (or nothing, if that is where it is) and wait for `until`. 0, or -1 if that did
 * not come in time. */
static int await(struct mpi *m, enum phase wanted, enum phase until, unsigned seconds)
{
    struct timespec end;
    int rc = 0;

    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += seconds;
    pthread_mutex_lock(&m->lock);
    if (m->phase < wanted) {
        m->phase = wanted;
        pthread_cond_broadcast(&m->turned);
    }
    while (m->phase < until && rc == 0) {
        if (pthread_cond_timedwait(&m->turned, &m->lock, &end) == ETIMEDOUT && m->phase < until)
            rc = -1;
    }
    pthread_mutex_unlock(&m->lock);
    m->lost = rc != 0;
    return rc;
}

static int exchange(struct pbc_coord *c, const void *record, size_t len, unsigned seconds,
                    struct pbc_error *err)
{
    struct mpi *m = c->state;

    m->all = calloc(c->size, len);
    if (m->all == NULL || len > sizeof(m->record))
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory for the records of %u nodes", c->size);
    memcpy(m->record, record, len);
    m->len = len;
    if (await(m, MEETING, MET, seconds) != 0)
        return pbc_fail(err, PBC_EXIT_AGAIN, "MPI did not bring the %u nodes together within %u s",
                        c->size, seconds);
    return m->rc == MPI_SUCCESS
               ? 0
               : pbc_mpi_failed("MPI's exchange failed", m->rc, PBC_EXIT_FAILED, err);
}

static int get(struct pbc_coord *c, uint32_t rank, void *record, size_t len, struct pbc_error *err)
{
    const struct mpi *m = c->state;

    if (rank >= c->size || len != m->len)
        return pbc_fail(err, PBC_EXIT_PEER, "MPI has no record of rank %u", rank);
    memcpy(record, m->all + (size_t)rank * len, len);
    return 0;
}

static void carry(struct pbc_coord *c, struct pbc_stream *s, unsigned stall)
{
    struct mpi *m = c->state;

    m->stream = s;
    m->stall = stall;
    turn(m, CARRYING, MPI_SUCCESS);
}

static void done(struct pbc_coord *c)
{
    struct mpi *m = c->state;

    if (m == NULL || m->lost || await(m, ENDING, ENDED, END_SECONDS) != 0)
        return;
    c->state = NULL;
    free(m->all);
    free(m);
}

int pbc_coord_mpi(struct pbc_coord *c, uint32_t tasks, struct pbc_error *err)
{
    unsigned seconds = START_SECONDS + tasks / 50;
    struct mpi *m = calloc(1, sizeof(*m));
    sigset_t all, before;
    pthread_condattr_t attr;
    pthread_t thread;
    int rc;

    memset(c, 0, sizeof(*c));

    if (m == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory for MPI");
#ifdef OPEN_MPI
    /* A chain, if Open MPI's own broadcast is used: else it takes a tree, the root of which sends
     * all log(n) times, or among four n - 1 times. Whoever has set it knows better. */
    (void)setenv("OMPI_MCA_coll_libnbc_ibcast_algorithm", "3", 0);
#endif
    pthread_mutex_init(&m->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&m->turned, &attr);
    pthread_condattr_destroy(&attr);
    /* Signals are for the run, not for threads that MPI may leave behind. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&thread, NULL, mpi_thread, m);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        free(m);
        errno = rc;
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot start MPI's thread");
    }
    pthread_detach(thread);
    c->state = m;
    c->exchange = exchange;
    c->get = get;
    c->carry = carry;
    c->close = done;
    if (await(m, STARTING, STARTED, seconds) != 0)
        return pbc_fail(err, PBC_EXIT_AGAIN,
                        "MPI_Init did not end within %u s: an agent could not start, or MPI cannot "
                        "reach all nodes",
                        seconds);
    if (m->rc != MPI_SUCCESS)
        return pbc_fail(err, PBC_EXIT_FAILED, "MPI_Init failed with %d", m->rc);
    c->rank = (uint32_t)m->rank;
    c->size = (uint32_t)m->size;
    if (c->size < tasks)
        rc = pbc_fail(
            err, PBC_EXIT_USAGE,
            "%u agents were started, but MPI knows of %u: the launcher and the MPI that this "
            "agent was built with do not understand each other",
            tasks, c->size);
    else if (m->crowded > 1)
        rc = pbc_fail(err, PBC_EXIT_USAGE,
                      "%d agents on one node: start one on each (srun --ntasks-per-node=1, Open "
                      "MPI's mpirun --map-by ppr:1:node, MPICH's -ppn 1)",
                      m->crowded);
    if (rc != 0)
        done(c);
    return rc;
}
