/* pbcast-stage-local: the real agent, whose peers are other processes of this machine.
 *
 * They meet in a directory: PBC_LOCAL_DIR, with a file for the record of each PBC_LOCAL_RANK of
 * PBC_LOCAL_SIZE. PBC_LOCAL_RECORD=bad: this one's record is of no use to the others.
 * PBC_LOCAL_PORT: where this one finds the rank PBC_LOCAL_OTHER, instead of at its own port.
 * PBC_LOCAL_MEMORY: take 2 GiB of memory before they meet, as an MPI may, and try for as much
 * after.
 *
 * With PBC_LOCAL_MPI the stand-in for MPI in mpi/ carries the bundles.
 */
#include "agent.h"
#include "pack_dir.h"
#include "wire.h"
#ifdef PBC_LOCAL_MPI
#include "stream_mpi.h"

#include <pthread.h>
#include <time.h>
#endif

#ifdef PBC_HAVE_PACK
#define PACK pbc_pack_dir
#else
#define PACK NULL
#endif

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *record_path(uint32_t rank, const char *suffix, char path[4096])
{
    snprintf(path, 4096, "%s/%u%s", getenv("PBC_LOCAL_DIR"), rank, suffix);
    return path;
}

static int put(uint32_t rank, const void *record, size_t len)
{
    char temporary[4096];
    char path[4096];
    FILE *f = fopen(record_path(rank, ".new", temporary), "w");

    if (f == NULL)
        return -1;
    if (fwrite(record, len, 1, f) != 1 || fclose(f) != 0)
        return -1;
    return rename(temporary, record_path(rank, ".record", path));
}

static int take_memory(void)
{
    return mmap(NULL, (size_t)2 << 30, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) == MAP_FAILED
               ? -1
               : 0;
}

static int exchange(struct pbc_coord *c, const void *record, size_t len, unsigned seconds,
                    struct pbc_error *err)
{
    char path[4096];
    /* Thousands that look often leave no processor to those who have yet to start. */
    const unsigned nap_us = 2000 + 50 * c->size;
    uint64_t waited_us = 0;

    if (getenv("PBC_LOCAL_MEMORY") != NULL && take_memory() == 0)
        return pbc_fail(err, PBC_EXIT_FAILED, "nothing bounds memory");
    if (put(c->rank, record, getenv("PBC_LOCAL_RECORD") != NULL ? len - 1 : len) != 0)
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "%s", record_path(c->rank, "", path));
    for (uint32_t i = 0; i < c->size; i++) {
        while (access(record_path(i, ".record", path), F_OK) != 0) {
            if (waited_us > (uint64_t)1000000 * seconds)
                return pbc_fail(err, PBC_EXIT_AGAIN, "the %u nodes did not meet within %u s",
                                c->size, seconds);
            usleep(nap_us);
            waited_us += nap_us;
        }
    }
    return 0;
}

static int get(struct pbc_coord *c, uint32_t rank, void *record, size_t len, struct pbc_error *err)
{
    char path[4096];
    char more;
    FILE *f = fopen(record_path(rank, ".record", path), "r");
    int rc;

    (void)c;
    if (f == NULL)
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "%s", path);
    rc = fread(record, len, 1, f) == 1 && fread(&more, 1, 1, f) == 0 ? 0 : -1;
    fclose(f);
    if (rc == 0 && getenv("PBC_LOCAL_PORT") != NULL &&
        rank == (uint32_t)atoi(getenv("PBC_LOCAL_OTHER"))) {
        struct pbc_record rec;

        rc = pbc_record_decode(record, &rec, err);
        rec.port = (uint16_t)atoi(getenv("PBC_LOCAL_PORT"));
        pbc_record_encode(&rec, record);
    }
    return rc == 0 ? 0 : pbc_fail(err, PBC_EXIT_PEER, "the record of rank %u is malformed", rank);
}

#ifdef PBC_LOCAL_MPI
#define CARRY         carry
#define CLOSE_SECONDS 4 /* as coord_mpi.c */

static struct {
    pthread_t thread;
    struct pbc_stream *stream;
    int rank;
    unsigned stall;
} carrier;

static void *carry_thread(void *arg)
{
    (void)arg;
    (void)pbc_stream_mpi(carrier.stream, carrier.rank, carrier.stall);
    return NULL;
}

static void carry(struct pbc_coord *c, struct pbc_stream *s, unsigned stall)
{
    carrier.stream = s;
    carrier.rank = (int)c->rank;
    carrier.stall = stall;
    if (pthread_create(&carrier.thread, NULL, carry_thread, NULL) != 0)
        abort();
}

static void done(struct pbc_coord *c)
{
    struct timespec until;

    (void)c;
    if (carrier.stream == NULL)
        return;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += CLOSE_SECONDS;
    (void)pthread_timedjoin_np(carrier.thread, NULL, &until);
}
#else
#define CARRY NULL

static void done(struct pbc_coord *c)
{
    (void)c;
}
#endif

static int coord_dir(struct pbc_coord *c, uint32_t tasks, const struct pbc_start *start,
                     struct pbc_error *err)
{
    const char *rank = getenv("PBC_LOCAL_RANK");
    const char *size = getenv("PBC_LOCAL_SIZE");

    (void)start;
    if (tasks == 1)
        return pbc_coord_solo(c, err);
    if (rank == NULL || size == NULL || getenv("PBC_LOCAL_DIR") == NULL)
        return pbc_fail(err, PBC_EXIT_USAGE, "PBC_LOCAL_DIR, _RANK and _SIZE must be set");
    if (getenv("PBC_LOCAL_MEMORY") != NULL && take_memory() != 0)
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "no memory for MPI");
    *c = (struct pbc_coord){.rank = (uint32_t)atoi(rank),
                            .size = (uint32_t)atoi(size),
                            .exchange = exchange,
                            .get = get,
                            .carry = CARRY,
                            .close = done};
    return 0;
}

int main(int argc, char *argv[])
{
    int rc = pbc_agent_main(argc, argv, coord_dir, PACK);

#ifdef PBC_LOCAL_MPI
    _exit(rc); /* a thread may be left behind in MPI */
#endif
    return rc;
}
