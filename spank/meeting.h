/* meeting.h - by what the agents of a staging step meet: PMIx where Slurm offers it, else MPI. */
#ifndef PBC_MEETING_H
#define PBC_MEETING_H

#include "launch.h"
#include "mpi_type.h"

struct pbc_meeting {
    char mpi[PBC_MPI_TYPE_MAX]; /* for srun's --mpi */
    const char *agent;          /* of the site */
};

/* As the site says; where it leaves it open (mpi=auto), by what `srun --mpi=list` offers, which is
 * run with `env` and takes milliseconds. One node alone meets nobody. What was found is printed
 * from verbosity 2 on. PBC_EXIT_REFUSED with what to do when the agents cannot meet here. */
int pbc_meeting(const struct pbc_launch *l, char **env, struct pbc_meeting *ret,
                struct pbc_error *err);

#endif
