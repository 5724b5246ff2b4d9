/* coord.h - how the agents of one run find each other: one exchange of a small record each.
 *
 * An implementation tells rank and size, and makes what each rank put in known to all. After the
 * exchange the agents talk over their own connections; one of MPI may carry the bundles as well.
 */
#ifndef PBC_COORD_H
#define PBC_COORD_H

#include "error.h"
#include "start.h"
#include "stream.h"

#include <stddef.h>
#include <stdint.h>

#define PBC_RECORD_MAX 1024

struct pbc_coord {
    uint32_t rank;
    uint32_t size;
    void *state;

    /* Give this rank's record to all and wait until all have given theirs, at most `seconds`.
     * PBC_EXIT_AGAIN if that time is over: the run may be repeated. */
    int (*exchange)(struct pbc_coord *c, const void *record, size_t len, unsigned seconds,
                    struct pbc_error *err);
    /* After the exchange: copy the record of `rank`, which must be of `len` bytes. */
    int (*get)(struct pbc_coord *c, uint32_t rank, void *record, size_t len, struct pbc_error *err);
    /* After the exchange: carry this stream from rank 0 to all until it is stopped, in a thread;
     * all ranks call it. NULL: there is no transport but the tree. `stall` as in run.h. */
    void (*carry)(struct pbc_coord *c, struct pbc_stream *s, unsigned stall);
    /* After the exchange, and once the stream has stopped. */
    void (*close)(struct pbc_coord *c);
};

/* One node alone. */
int pbc_coord_solo(struct pbc_coord *c, struct pbc_error *err);

/* PMIx (https://pmix.org, standard 4): wildcard, data-collecting fence in this step's own
 * namespace, which begins as `start` says. */
int pbc_coord_pmix(struct pbc_coord *c, const struct pbc_start *start, struct pbc_error *err);

/* MPI (https://www.mpi-forum.org, standard 3): MPI_Init, one MPI_Allgather, the stream
 * (stream_mpi.h) and, with Open MPI, MPI_Finalize, in a thread that is left behind where one of
 * them does not end. `tasks` is how many the launcher has started: with fewer in MPI's world, or
 * several on a node, all fail with PBC_EXIT_USAGE. */
int pbc_coord_mpi(struct pbc_coord *c, uint32_t tasks, struct pbc_error *err);

#endif
