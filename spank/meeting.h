/* meeting.h - how the agents of a staging step meet: by PMIx where Slurm offers it, else by MPI. */
#ifndef PBC_MEETING_H
#define PBC_MEETING_H

#include "launch.h"
#include "mpi_type.h"

struct pbc_meeting {
    char mpi[PBC_MPI_TYPE_MAX]; /* for srun's --mpi */
    const char *agent;          /* of the site */
};

/* Choose it: what the site's mpi= says; with mpi=auto what `srun --mpi=list` offers, which is run
 * with `env` and takes milliseconds. On one node there is nobody to meet. The choice is printed
 * from verbosity 2 on. PBC_EXIT_REFUSED, with what to do, when the agents cannot meet here. */
int pbc_meeting(const struct pbc_launch *l, char **env, struct pbc_meeting *ret,
                struct pbc_error *err);

#endif
