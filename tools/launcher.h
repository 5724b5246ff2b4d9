/* launcher.h - what starts one agent on each node of a job, and which agent fits it. */
#ifndef PBC_LAUNCHER_H
#define PBC_LAUNCHER_H

#include "bundle.h"
#include "error.h"

enum pbc_launcher_kind {
    PBC_LAUNCHER_NONE, /* one node: the agent itself */
    PBC_LAUNCHER_SRUN,
    PBC_LAUNCHER_OPENMPI, /* mpirun of Open MPI */
    PBC_LAUNCHER_HYDRA,   /* mpirun of MPICH */
};

struct pbc_launcher {
    enum pbc_launcher_kind kind;
    char program[PBC_PATH_MAX]; /* srun, mpirun, ... */
    char mpi[32];               /* srun's --mpi */
    char agent[PBC_PATH_MAX];   /* pbcast-stage... beside this program, else of PATH */
};

/* How to start agents on `nodes` nodes. `wanted` is a type of srun's --mpi; the name of an mpirun
 * or mpiexec; or NULL, to look what is there: srun with PMIx, srun with PMI-2 and MPICH's agent,
 * mpirun with the agent of its MPI. PBC_EXIT_REFUSED with what is missing when there is none. */
int pbc_launcher_choose(const char *wanted, unsigned long nodes, struct pbc_launcher *ret,
                        struct pbc_error *err);

/* Of the MPI whose `mpirun --version` printed `text`: PBC_LAUNCHER_NONE for one that is not known.
 */
enum pbc_launcher_kind pbc_launcher_of(const char *text);

#endif
