/* mpi_type.h - how the agents of a step meet: types of srun's --mpi (srun(1)). */
#ifndef PBC_MPI_TYPE_H
#define PBC_MPI_TYPE_H

#include <stddef.h>

#define PBC_MPI_AUTO     "auto" /* no type of srun's: to be chosen */
#define PBC_MPI_TYPE_MAX 32     /* bytes of a type's name */

/* The agent that meets by PMIx is meant, not one of MPI's. */
int pbc_mpi_is_pmix(const char *type);

/* The type to start agents with, of what Slurm offers, in `ret`: "pmix", else the first pmix_vN,
 * else "pmi2"; -1 for none. `list` is what `srun --mpi=list` prints: a type a line, with blanks
 * before it, among lines of several words, of which one ends in the versions of PMIx: "...
 * available: pmix_v4,pmix_v5". Not cray_shasta, which every Slurm offers and few can use. */
int pbc_mpi_choose(const char *list, char ret[PBC_MPI_TYPE_MAX]);

/* The types in `list` as "none, pmi2", as many as fit in `size` bytes; "nothing" for none. */
void pbc_mpi_offered(const char *list, char *ret, size_t size);

#endif
