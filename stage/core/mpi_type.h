/* mpi_type.h - how the agents of a step meet: types of srun's --mpi (srun(1)). */
#ifndef PBC_MPI_TYPE_H
#define PBC_MPI_TYPE_H

#include <stddef.h>

#define PBC_MPI_AUTO "auto" /* no type of srun's: to be chosen */

/* The agent that meets by PMIx is meant, not one of MPI's. */
int pbc_mpi_is_pmix(const char *type);

/* The type to start agents with, of what Slurm offers: "pmix", else "pmi2", NULL for none. `list`
 * is what `srun --mpi=list` prints: a type a line, with blanks before it, among lines of several
 * words. Not cray_shasta, which every Slurm offers and few can use. */
const char *pbc_mpi_choose(const char *list);

/* The types in `list` as "none, pmi2", as many as fit in `size` bytes; "nothing" for none. */
void pbc_mpi_offered(const char *list, char *ret, size_t size);

#endif
