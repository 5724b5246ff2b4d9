/* mpi_bcast - what MPI would do as transport: the bytes of a file from rank 0 to all by MPI_Ibcast
 * in chunks, several of them under way at a time, so that no count is large and the tree is a
 * pipeline. What arrives is thrown away.
 *
 *     srun --mpi=pmi2 -N8 --ntasks-per-node=1 mpi_bcast FILE
 *
 * Rank 0 prints the seconds from a barrier before the first chunk to one after the last.
 */
#include <fcntl.h>
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK  (256 << 10)
#define FLYING 8 /* chunks */

static int read_chunk(int fd, char *buf, size_t len)
{
    while (len > 0) {
        ssize_t n = read(fd, buf, len);

        if (n <= 0)
            return -1;
        buf += n;
        len -= (size_t)n;
    }
    return 0;
}

int main(int argc, char *argv[])
{
    MPI_Request request[FLYING];
    uint64_t size = 0, chunks;
    struct stat st;
    double began;
    char *buf;
    int rank, fd = -1;

    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (rank == 0) {
        fd = argc == 2 ? open(argv[1], O_RDONLY) : -1;
        if (fd < 0 || fstat(fd, &st) < 0) {
            fprintf(stderr, "usage: mpi_bcast FILE\n");
            MPI_Abort(MPI_COMM_WORLD, 1);
        }
        size = (uint64_t)st.st_size;
    }
    MPI_Bcast(&size, 1, MPI_UINT64_T, 0, MPI_COMM_WORLD);
    buf = malloc((size_t)FLYING * CHUNK);
    if (buf == NULL)
        MPI_Abort(MPI_COMM_WORLD, 1);
    for (int i = 0; i < FLYING; i++)
        request[i] = MPI_REQUEST_NULL;
    chunks = (size + CHUNK - 1) / CHUNK;
    MPI_Barrier(MPI_COMM_WORLD);
    began = MPI_Wtime();
    for (uint64_t i = 0; i < chunks; i++) {
        size_t slot = i % FLYING;
        size_t len = i + 1 < chunks ? CHUNK : (size_t)(size - i * CHUNK);

        MPI_Wait(&request[slot], MPI_STATUS_IGNORE);
        if (rank == 0 && read_chunk(fd, buf + slot * CHUNK, len) < 0) {
            perror("mpi_bcast: read");
            MPI_Abort(MPI_COMM_WORLD, 1);
        }
        MPI_Ibcast(buf + slot * CHUNK, (int)len, MPI_BYTE, 0, MPI_COMM_WORLD, &request[slot]);
    }
    MPI_Waitall(FLYING, request, MPI_STATUSES_IGNORE);
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank == 0)
        printf("mpi_bcast: %.3f s\n", MPI_Wtime() - began);
    fflush(stdout);
    free(buf);
    _exit(0); /* MPI_Finalize of MPICH over UCX may hang, see stage/coord_mpi.c */
}
