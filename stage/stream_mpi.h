/* stream_mpi.h - MPI as the transport of a run's stream (stream.h). */
#ifndef PBC_STREAM_MPI_H
#define PBC_STREAM_MPI_H

#include "stream.h"

/* Carry the stream from rank 0 of MPI_COMM_WORLD to all by MPI_Ibcast, until the run stops it.
 * Called in the one thread that calls MPI, by all ranks. It fails (pbc_stream_fail) if MPI does, or
 * if what is under way does not move for twice `stall` seconds. 0 if MPI_Finalize can be called
 * after it: all ranks have seen the stream's end. `stall` as in run.h. */
int pbc_stream_mpi(struct pbc_stream *s, int rank, unsigned stall);

/* Fill err for a call of MPI that has returned rc: "<what>: <MPI's own words, on one line>". -1. */
int pbc_mpi_failed(const char *what, int rc, enum pbc_exit code, struct pbc_error *err);

#endif
