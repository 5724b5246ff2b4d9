/* paper_bcast - the method of Feng & Hand, "Launching Python Applications on Peta-scale Massively
 * Parallel Systems" (SciPy 2016), to measure against: rank 0 reads the archive whole, MPI_Bcast
 * brings it to one rank a node, each writes it to node-local storage and unpacks it there with
 * libarchive in one thread.
 *
 *     srun --mpi=pmix -N8 --ntasks-per-node=1 paper_bcast BUNDLE DIR
 *
 * It departs from the authors' program where that one would look worse than its method: it reads
 * zstd too, restores the times of files (their compiled .pyc stay valid), reads the archive by
 * 1 MiB, and ranks that have finished sleep while they wait, as ranks here may share cores.
 *
 * Prints when it has started, and the seconds of each phase. Exit status: 0 unpacked everywhere,
 * 1 failed, 2 usage, 6 MPI did not start in time (Slurm's PMIx start-up may lose a message: run
 * it again).
 */
#include "start.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <mpi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PIECE         (1L << 30) /* bytes of one MPI_Bcast: its count is an int */
#define READ_BYTES    (1u << 20)
#define UNTOLD_MS     300 /* before MPI_Init, where nobody tells that all have started */
#define START_SECONDS 20  /* after which the start-up counts as lost */
#define EXIT_AGAIN    6
#define WAIT_NS       1000000

static int rank;

static void die(const char *what, const char *why)
{
    fprintf(stderr, "paper_bcast: rank %d: %s: %s\n", rank, what, why);
    MPI_Abort(MPI_COMM_WORLD, 1);
    exit(1);
}

static void start_lost(int sig)
{
    static const char text[] = "paper_bcast: MPI did not start\n";

    (void)sig;
    (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
    _exit(EXIT_AGAIN);
}

/* Begin when all have started, as pbcast-stage does: Slurm's PMIx loses the start-up of ranks that
 * are faster than its daemons elsewhere. */
static void begin_together(void)
{
    struct pbc_start start;

    pbc_start_begin(&start, 1);
    start.untold_ms = UNTOLD_MS;
    pbc_start_await(&start);
}

static void pause_ns(long ns)
{
    struct timespec ts = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};

    nanosleep(&ts, NULL);
}

static void wait_for_all(void)
{
    MPI_Request request;
    int done = 0;

    MPI_Ibarrier(MPI_COMM_WORLD, &request);
    for (;;) {
        MPI_Test(&request, &done, MPI_STATUS_IGNORE);
        if (done)
            return;
        pause_ns(WAIT_NS);
    }
}

static char *allocate(long size)
{
    char *p = malloc((size_t)size + 1);

    if (p == NULL)
        die("memory for the archive", strerror(errno));
    return p;
}

static char *read_whole(const char *path, long *ret_size)
{
    int fd = open(path, O_RDONLY);
    struct stat st;
    char *content;
    long got = 0;

    if (fd < 0 || fstat(fd, &st) != 0)
        die(path, strerror(errno));
    content = allocate(st.st_size);
    while (got < st.st_size) {
        ssize_t n = read(fd, content + got, (size_t)(st.st_size - got));

        if (n <= 0)
            die(path, n < 0 ? strerror(errno) : "it became shorter");
        got += n;
    }
    close(fd);
    *ret_size = got;
    return content;
}

static void write_whole(const char *path, const char *content, long size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    long put = 0;

    while (fd >= 0 && put < size) {
        ssize_t n = write(fd, content + put, (size_t)(size - put));

        if (n < 0)
            die(path, strerror(errno));
        put += n;
    }
    if (fd < 0 || close(fd) != 0)
        die(path, strerror(errno));
}

static char *broadcast(char *content, long *size)
{
    MPI_Bcast(size, 1, MPI_LONG, 0, MPI_COMM_WORLD);
    if (rank != 0)
        content = allocate(*size);
    for (long at = 0; at < *size; at += PIECE) {
        long len = *size - at < PIECE ? *size - at : PIECE;

        MPI_Bcast(content + at, (int)len, MPI_BYTE, 0, MPI_COMM_WORLD);
    }
    return content;
}

static void copy_data(struct archive *from, struct archive *to)
{
    const void *data;
    size_t len;
    la_int64_t offset;
    int rc;

    while ((rc = archive_read_data_block(from, &data, &len, &offset)) == ARCHIVE_OK) {
        if (archive_write_data_block(to, data, len, offset) < ARCHIVE_OK)
            die("unpack", archive_error_string(to));
    }
    if (rc != ARCHIVE_EOF)
        die("unpack", archive_error_string(from));
}

/* In the current directory. Returns the number of members. */
static long unpack(const char *path)
{
    struct archive *from = archive_read_new();
    struct archive *to = archive_write_disk_new();
    struct archive_entry *e;
    long members = 0;
    int rc;

    archive_write_disk_set_options(to, ARCHIVE_EXTRACT_UNLINK | ARCHIVE_EXTRACT_TIME);
    archive_read_support_format_tar(from);
    archive_read_support_filter_all(from);
    if (archive_read_open_filename(from, path, READ_BYTES) != ARCHIVE_OK)
        die(path, archive_error_string(from));
    while ((rc = archive_read_next_header(from, &e)) == ARCHIVE_OK) {
        if (archive_write_header(to, e) != ARCHIVE_OK)
            die(archive_entry_pathname(e), archive_error_string(to));
        copy_data(from, to);
        if (archive_write_finish_entry(to) != ARCHIVE_OK)
            die(archive_entry_pathname(e), archive_error_string(to));
        members++;
    }
    if (rc != ARCHIVE_EOF)
        die(path, archive_error_string(from));
    archive_read_free(from);
    archive_write_close(to);
    archive_write_free(to);
    return members;
}

int main(int argc, char *argv[])
{
    char *content = NULL;
    long size = 0, members;
    double t[5];

    if (argc != 3) {
        fprintf(stderr, "usage: paper_bcast BUNDLE DIR\n");
        return 2;
    }
    begin_together();
    signal(SIGALRM, start_lost);
    alarm(START_SECONDS);
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Barrier(MPI_COMM_WORLD);
    alarm(0);

    t[0] = MPI_Wtime();
    if (rank == 0)
        content = read_whole(argv[1], &size);
    t[1] = MPI_Wtime();
    content = broadcast(content, &size);
    MPI_Barrier(MPI_COMM_WORLD);
    t[2] = MPI_Wtime();

    if ((mkdir(argv[2], 0700) != 0 && errno != EEXIST) || chdir(argv[2]) != 0)
        die(argv[2], strerror(errno));
    write_whole(".bundle", content, size);
    free(content);
    t[3] = MPI_Wtime();
    members = unpack(".bundle");
    unlink(".bundle");
    wait_for_all();
    t[4] = MPI_Wtime();
    if (rank == 0)
        printf("paper_bcast: read %.3f bcast %.3f write %.3f unpack %.3f members %ld\n",
               t[1] - t[0], t[2] - t[1], t[3] - t[2], t[4] - t[3], members);
    MPI_Finalize();
    return 0;
}
