/* context.h - the hooks' work, one file per place where they run. All return 0 or -1: positive
 * values pass unnoticed before Slurm 25.05. `argc` and `argv` are the words of the plugstack line.
 */
#ifndef PBC_CONTEXT_H
#define PBC_CONTEXT_H

#include "error.h"
#include "site.h"

struct spank_handle;

/* The site's settings; -1 after one line to the user. */
int pbc_hook_site(int argc, char *const argv[], struct pbc_site *site);

/* srun, sbatch, salloc (submit.c). */
int pbc_submit_init(void);
int pbc_submit_options(int argc, char *const argv[]); /* init_post_opt */
int pbc_submit_stage(struct spank_handle *sp);        /* local_user_init */

/* A task's process in slurmstepd (step.c). */
int pbc_step_privileged(struct spank_handle *sp, int argc, char *const argv[]); /* as root */
int pbc_step_task(struct spank_handle *sp, int argc, char *const argv[]);       /* as the user */

/* Removal (epilog.c). */
int pbc_epilog(struct spank_handle *sp, int argc, char *const argv[]);
int pbc_sweep(int argc, char *const argv[]); /* slurmd has started */

#endif
