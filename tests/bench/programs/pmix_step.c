/* pmix_step - the least that an application of a PMIx step does: PMIx_Init, one fence over all
 * ranks, PMIx_Finalize. What the staging step is measured against.
 *
 *     srun --mpi=pmix -N48 --ntasks-per-node=1 pmix_step
 *
 * It pauses before it begins, as pbcast-stage does (PBC_PAUSE_MS, default by the same
 * function): Slurm's PMIx start-up may lose the message of a rank that is faster than its daemons.
 * Exit status: 0, 1 failed, 6 the fence did not end in time (run it again).
 */
#include "tree.h"

#include <pmix.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define START_SECONDS 20
#define EXIT_AGAIN    6

static void start_lost(int sig)
{
    (void)sig;
    _exit(EXIT_AGAIN);
}

static void pause_ms(long ms)
{
    struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    nanosleep(&ts, NULL);
}

int main(void)
{
    const char *pause = getenv("PBC_PAUSE_MS");
    const char *tasks = getenv("SLURM_STEP_NUM_TASKS");
    pmix_proc_t me, all;
    pmix_status_t rc;

    pause_ms(pause != NULL ? atol(pause)
                           : (long)pbc_tree_pause(tasks != NULL ? (uint32_t)atol(tasks) : 1));
    signal(SIGALRM, start_lost);
    alarm(START_SECONDS);
    rc = PMIx_Init(&me, NULL, 0);
    if (rc != PMIX_SUCCESS) {
        fprintf(stderr, "pmix_step: PMIx_Init: %s\n", PMIx_Error_string(rc));
        return 1;
    }
    PMIX_LOAD_PROCID(&all, me.nspace, PMIX_RANK_WILDCARD);
    rc = PMIx_Fence(&all, 1, NULL, 0);
    if (rc != PMIX_SUCCESS) {
        fprintf(stderr, "pmix_step: PMIx_Fence: %s\n", PMIx_Error_string(rc));
        return 1;
    }
    PMIx_Finalize(NULL, 0);
    return 0;
}
