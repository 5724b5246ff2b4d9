/* pbcast-stage-mpich, pbcast-stage-openmpi: the agent for a Slurm without PMIx, and for mpirun. */
#include "agent.h"
#include "pack_dir.h"

#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* How many agents mpirun has started, NULL if it was not mpirun. The variables of another MPI's
 * launcher count if there are none of this one's: MPI_Init will then find that something is wrong.
 * Else they are of who has started the job script. */
static const char *size_by_mpirun(void)
{
    const char *openmpi = getenv("OMPI_COMM_WORLD_SIZE");
    const char *pmi = getenv("PMI_SIZE");
    const char *hydra = getenv("MPI_LOCALNRANKS") != NULL ? pmi : NULL;

#ifdef OPEN_MPI
    return openmpi != NULL ? openmpi : hydra;
#else
    return pmi != NULL ? hydra : openmpi; /* without the rest of Hydra's it is srun --mpi=pmi2 */
#endif
}

/* mpirun's processes have the variables of its own node, or of the step of its daemons. What is
 * said there of a step is not about the agents. */
static void forget_step_of_mpirun(void)
{
    static const char *const step[] = {"SLURMD_NODENAME", "SLURM_STEP_NODELIST",
                                       "SLURM_STEP_TASKS_PER_NODE"};
    const char *size = size_by_mpirun();

    if (size == NULL)
        return;
    for (size_t i = 0; i < sizeof(step) / sizeof(step[0]); i++)
        unsetenv(step[i]);
    setenv("SLURM_STEP_NUM_TASKS", size, 1);
}

static int meet(struct pbc_coord *c, uint32_t tasks, const struct pbc_start *start,
                struct pbc_error *err)
{
    (void)start; /* for PMIx */
    return tasks > 1 ? pbc_coord_mpi(c, tasks, err) : pbc_coord_solo(c, err);
}

int main(int argc, char *argv[])
{
    int rc;

    forget_step_of_mpirun();
#ifdef PBC_HAVE_PACK
    rc = pbc_agent_main(argc, argv, meet, pbc_pack_dir);
#else
    rc = pbc_agent_main(argc, argv, meet, NULL);
#endif
    fflush(NULL);
    _exit(rc); /* MPI's thread may be left in a call that does not end */
}
