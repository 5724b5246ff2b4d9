/* Blocks of frames go to all by MPI_Ibcast, several of them under way at a time, so that no count
 * is large and the stream is a pipeline whatever tree MPI makes. Before each goes a broadcast of
 * its length, since all ranks must give the same count; a length of 0 is the stream's end.
 *
 * MPI moves nothing while it is not called, and has no call that sleeps: its MPI_Wait turns in a
 * loop. So this thread asks, and naps a part of the time that it has waited already: what comes
 * soon is seen soon, and waiting for long costs next to nothing. */
#include "stream_mpi.h"

#include "clock.h"

#include <mpi.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#define NAP_PART  8       /* of the time waited */
#define NAP_NS    200000  /* at most, while the stream moves */
#define STEPS_NS  1600000 /* and by all nodes together: a block may pass them one by one */
#define IDLE_PART 512     /* and beyond that */
#define IDLE_NS   5000000 /* at most */
#define YIELD_NS  5000    /* a nap so short is none */
#define SLACK_NS  1000    /* by which the kernel may lengthen a nap */

/* Does MPI_Finalize follow? If not (coord_mpi.c) nobody needs the stream's end: a run that is over
 * just leaves. */
#ifdef OPEN_MPI
#define FINALIZES 1
#else
#define FINALIZES 0
#endif

enum { LENGTH, BLOCK };

/* What came of a turn, besides -1. Who has no chunk for what has come is slow itself, not MPI. */
enum { NOTHING, MOVED, STARVED };

struct slot {
    uint8_t length[4]; /* big endian */
    uint8_t *block;
    size_t len;
    size_t taken;           /* bytes of it that have become frames */
    MPI_Request request[2]; /* LENGTH, BLOCK */
};

struct transport {
    struct pbc_stream *stream;
    struct slot slot[PBC_STREAM_WINDOW];
    unsigned first;  /* the oldest block under way */
    unsigned flying; /* how many */
    int asked;       /* others: the next length is under way, or has come */
    int told_end;    /* root: the end is under way */
    int over;        /* the end has come everywhere below */
    uint64_t moved;  /* ns: when something last moved */
    uint64_t stall;  /* ns */
    uint64_t nap;    /* ns: the longest while the stream moves */
};

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

int pbc_mpi_failed(const char *what, int rc, enum pbc_exit code, struct pbc_error *err)
{
    char text[MPI_MAX_ERROR_STRING] = "unknown error";
    char *line;
    int len;

    MPI_Error_string(rc, text, &len);
    /* MPICH adds the calls that led there, the innermost last. */
    for (size_t n = strlen(text); n > 0 && text[n - 1] == '\n'; n--)
        text[n - 1] = '\0';
    line = strrchr(text, '\n');
    return pbc_fail(err, code, "%s: %s", what, line != NULL ? line + 1 : text);
}

static int failed(int rc, struct pbc_error *err)
{
    return pbc_mpi_failed("MPI failed to carry the bundles (--transport tcp does without)", rc,
                          PBC_EXIT_PEER, err);
}

static struct slot *nth(struct transport *t, unsigned i)
{
    return &t->slot[(t->first + i) % PBC_STREAM_WINDOW];
}

static int begin(void *bytes, size_t len, MPI_Request *request)
{
    return MPI_Ibcast(bytes, (int)len, MPI_BYTE, 0, MPI_COMM_WORLD, request);
}

/* Is the block through? What has ended is MPI_REQUEST_NULL, which is no error to ask for. */
static int is_done(struct slot *s, int *ret)
{
    MPI_Status ignored[2]; /* MPI_STATUSES_IGNORE of MPICH is an array of no size to gcc */

    return MPI_Testall(2, s->request, ret, ignored);
}

static int oldest_done(struct transport *t, int *ret)
{
    *ret = 0;
    return t->flying == 0 ? MPI_SUCCESS : is_done(nth(t, 0), ret);
}

static void forget_oldest(struct transport *t)
{
    nth(t, 0)->len = nth(t, 0)->taken = 0;
    t->first = (t->first + 1) % PBC_STREAM_WINDOW;
    t->flying--;
}

/* --- root ---------------------------------------------------------------------------------- */

static int send_end(struct transport *t)
{
    struct slot *s = nth(t, t->flying);

    memset(s->length, 0, sizeof(s->length));
    t->told_end = 1;
    t->flying++;
    return begin(s->length, sizeof(s->length), &s->request[LENGTH]);
}

static int send_block(struct transport *t, struct slot *s)
{
    int rc;

    for (unsigned i = 0; i < 4; i++)
        s->length[i] = (uint8_t)(s->len >> 8 * (3 - i));
    rc = begin(s->length, sizeof(s->length), &s->request[LENGTH]);
    if (rc == MPI_SUCCESS)
        rc = begin(s->block, s->len, &s->request[BLOCK]);
    t->flying++;
    return rc;
}

static int serve_root(struct transport *t, struct pbc_error *err)
{
    struct slot *s;
    int done, send = 0;
    int rc = oldest_done(t, &done);

    if (rc == MPI_SUCCESS && done) {
        forget_oldest(t);
        t->over = t->told_end && t->flying == 0;
        return MOVED;
    }
    if (rc == MPI_SUCCESS && t->flying < PBC_STREAM_WINDOW && !t->told_end) {
        s = nth(t, t->flying);
        s->len = pbc_stream_fill(t->stream, s->block, s->len, &send);
        if (pbc_stream_stopped(t->stream)) {
            rc = send_end(t);
            return rc == MPI_SUCCESS ? MOVED : failed(rc, err);
        }
        /* Half a block waits for more while others are under way. */
        if (s->len > 0 && (send || t->flying == 0)) {
            rc = send_block(t, s);
            return rc == MPI_SUCCESS ? MOVED : failed(rc, err);
        }
    }
    return rc == MPI_SUCCESS ? NOTHING : failed(rc, err);
}

/* --- others -------------------------------------------------------------------------------- */

/* Has the next length come? Then its block is asked for, if there is room. */
static int ask(struct transport *t, struct pbc_error *err)
{
    struct slot *s = nth(t, t->flying);
    int rc = MPI_SUCCESS;
    int done;

    if (t->flying == PBC_STREAM_WINDOW)
        return NOTHING;
    if (!t->asked) {
        rc = begin(s->length, sizeof(s->length), &s->request[LENGTH]);
        t->asked = 1;
        return rc == MPI_SUCCESS ? NOTHING : failed(rc, err);
    }
    rc = MPI_Test(&s->request[LENGTH], &done, MPI_STATUS_IGNORE);
    if (rc != MPI_SUCCESS)
        return failed(rc, err);
    if (!done)
        return NOTHING;
    t->asked = 0;
    for (unsigned i = 0; i < 4; i++)
        s->len = s->len << 8 | s->length[i];
    if (s->len > PBC_STREAM_BLOCK)
        return pbc_fail(err, PBC_EXIT_PEER, "protocol error: a block of %zu bytes by MPI", s->len);
    t->over = s->len == 0;
    if (t->over)
        return MOVED;
    t->flying++;
    rc = begin(s->block, s->len, &s->request[BLOCK]);
    return rc == MPI_SUCCESS ? MOVED : failed(rc, err);
}

static int serve_other(struct transport *t, struct pbc_error *err)
{
    int moved = NOTHING;
    int rc, done;

    /* Once the end is known, what is under way is only passed on. */
    if (!t->over && (moved = ask(t, err)) < 0)
        return -1;
    rc = oldest_done(t, &done);
    if (rc != MPI_SUCCESS)
        return failed(rc, err);
    if (!done)
        return moved;
    rc = pbc_stream_take(t->stream, nth(t, 0)->block, nth(t, 0)->len, &nth(t, 0)->taken, err);
    if (rc == 1)
        forget_oldest(t);
    if (rc != 0)
        return rc < 0 ? -1 : MOVED;
    /* To ask for what is done moves nothing, and others may wait for what comes behind it. */
    rc = is_done(nth(t, t->flying - 1), &done);
    return rc == MPI_SUCCESS ? STARVED : failed(rc, err);
}

/* --- the thread ---------------------------------------------------------------------------- */

static uint64_t how_long(const struct transport *t, uint64_t waited)
{
    uint64_t ns = waited / NAP_PART;

    if (ns > t->nap)
        ns = t->nap + waited / IDLE_PART;
    return ns < IDLE_NS ? ns : IDLE_NS;
}

static void nap(uint64_t ns)
{
    if (ns < YIELD_NS)
        sched_yield();
    else
        nanosleep(&(struct timespec){.tv_nsec = (long)ns}, NULL);
}

static int look_at_time(const struct transport *t, uint64_t waited, struct pbc_error *err)
{
    if (t->flying == 0 || waited < t->stall || pbc_stream_stopped(t->stream))
        return 0;
    return pbc_fail(err, PBC_EXIT_PEER,
                    "MPI has not moved the bundles for %u s; does its network reach all nodes? "
                    "(--transport tcp does without)",
                    (unsigned)(waited / 1000000000));
}

static int carry(struct transport *t, int rank, struct pbc_error *err)
{
    uint64_t looked;

    t->moved = looked = now_ns();
    while (!(t->over && t->flying == 0) && (FINALIZES || !pbc_stream_stopped(t->stream))) {
        int moved = rank == 0 ? serve_root(t, err) : serve_other(t, err);
        uint64_t now = now_ns();

        if (now - looked > PBC_CLOCK_GAP_MS * UINT64_C(1000000)) /* the job was suspended */
            t->moved += now - looked;
        looked = now;
        if (moved < 0 || (moved == NOTHING && look_at_time(t, now - t->moved, err) != 0))
            return -1;
        if (moved != NOTHING)
            t->moved = now;
        if (moved != MOVED)
            nap(moved == STARVED ? NAP_NS : how_long(t, now - t->moved));
    }
    return 0;
}

int pbc_stream_mpi(struct pbc_stream *s, int rank, unsigned stall)
{
    struct transport *t = calloc(1, sizeof(*t) + (size_t)PBC_STREAM_WINDOW * PBC_STREAM_BLOCK);
    struct pbc_error err;
    int size = 1;
    int rc;

    (void)prctl(PR_SET_TIMERSLACK, SLACK_NS); /* of this thread */
    if (t == NULL) {
        rc = pbc_fail(&err, PBC_EXIT_FAILED, "no memory for MPI's buffers");
    } else {
        t->stream = s;
        t->stall = 2 * (uint64_t)stall * 1000000000;
        MPI_Comm_size(MPI_COMM_WORLD, &size);
        t->nap = STEPS_NS / (uint64_t)size < NAP_NS ? STEPS_NS / (uint64_t)size : NAP_NS;
        for (unsigned i = 0; i < PBC_STREAM_WINDOW; i++) {
            t->slot[i].block = (uint8_t *)(t + 1) + (size_t)i * PBC_STREAM_BLOCK;
            t->slot[i].request[LENGTH] = t->slot[i].request[BLOCK] = MPI_REQUEST_NULL;
        }
        rc = carry(t, rank, &err);
        if (t->over && t->flying == 0)
            free(t); /* else MPI may still write there */
    }
    if (rc != 0)
        pbc_stream_fail(s, &err);
    pbc_stream_end(s);
    return rc;
}
