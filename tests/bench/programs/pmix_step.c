/* pmix_step - the least that an application of a PMIx step does: PMIx_Init, one fence over all
 * ranks, PMIx_Finalize. What the staging step is measured against.
 *
 *     srun --mpi=pmix -N48 --ntasks-per-node=1 pmix_step
 *
 * The fence begins when all have started, as that of pbcast-stage does (stage/start.h): Slurm's
 * PMIx start-up may lose the message of a rank that is faster than its daemons elsewhere. Exit
 * status: 0, 1 failed, 6 the fence did not end in time (run it again).
 */
#include "start.h"

#include <pmix.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define START_SECONDS 20
#define EXIT_AGAIN    6
#define UNTOLD_MS     300

static void start_lost(int sig)
{
    (void)sig;
    _exit(EXIT_AGAIN);
}

int main(void)
{
    struct pbc_start start;
    pmix_proc_t me, all;
    pmix_status_t rc;

    pbc_start_begin(&start, 1);
    start.untold_ms = UNTOLD_MS;
    signal(SIGALRM, start_lost);
    alarm(START_SECONDS);
    rc = PMIx_Init(&me, NULL, 0);
    if (rc != PMIX_SUCCESS) {
        fprintf(stderr, "pmix_step: PMIx_Init: %s\n", PMIx_Error_string(rc));
        return 1;
    }
    PMIX_LOAD_PROCID(&all, me.nspace, PMIX_RANK_WILDCARD);
    pbc_start_await(&start);
    rc = PMIx_Fence(&all, 1, NULL, 0);
    if (rc != PMIX_SUCCESS) {
        fprintf(stderr, "pmix_step: PMIx_Fence: %s\n", PMIx_Error_string(rc));
        return 1;
    }
    PMIx_Finalize(NULL, 0);
    return 0;
}
