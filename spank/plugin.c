/* Slurm's hooks and who does their work. Nothing else. */

#include <stdint.h>
#include <sys/types.h>
#include <unistd.h>

#include <slurm/spank.h>

#include "context.h"
#include "options.h"
#include "slurm_port.h"

#define PBC_EXPORT __attribute__((visibility("default")))

#pragma GCC visibility push(default)
SPANK_PLUGIN(pbcast, 1)
#pragma GCC visibility pop

/* Slurm loads a plugin that is listed twice in plugstack.conf once, and calls each hook once a
 * line. Only the first of these calls counts. In the epilog there is no init to count the lines,
 * and to remove twice does no harm. */
static unsigned listed;

static int repeated(unsigned *calls)
{
    return listed > 1 && (*calls)++ % listed != 0;
}

PBC_EXPORT int slurm_spank_init(spank_t sp, int ac, char *argv[])
{
    enum pbc_context ctx = pbc_slurm_context();

    if (++listed > 1) {
        if (ctx != PBC_CTX_STEPD)
            pbc_slurm_error("listed %u times in plugstack.conf; the first line counts", listed);
        return 0;
    }
    switch (ctx) {
    case PBC_CTX_SRUN:
    case PBC_CTX_ALLOCATOR:
        return pbc_options_register(sp) < 0 ? -1 : pbc_submit_init();
    case PBC_CTX_STEPD:
        if (pbc_options_register(sp) == 0)
            return 0;
        /* The tasks could run unstaged; a node out of service would be worse. */
        pbc_slurm_error("slurmstepd does not take the options of pbcast");
        return pbc_slurm_init_fails_the_job() ? -1 : 0;
    case PBC_CTX_SLURMD:
        return pbc_sweep(ac, argv);
    default:
        return 0;
    }
}

PBC_EXPORT int slurm_spank_init_post_opt(spank_t sp, int ac, char *argv[])
{
    static unsigned calls;
    enum pbc_context ctx = pbc_slurm_context();

    (void)sp;
    if (repeated(&calls) || (ctx != PBC_CTX_SRUN && ctx != PBC_CTX_ALLOCATOR))
        return 0;
    return pbc_submit_options(ac, argv);
}

PBC_EXPORT int slurm_spank_local_user_init(spank_t sp, int ac, char *argv[])
{
    static unsigned calls;

    (void)ac;
    (void)argv;
    return repeated(&calls) ? 0 : pbc_submit_stage(sp);
}

PBC_EXPORT int slurm_spank_task_init_privileged(spank_t sp, int ac, char *argv[])
{
    static unsigned calls;

    return repeated(&calls) ? 0 : pbc_step_privileged(sp, ac, argv);
}

PBC_EXPORT int slurm_spank_task_init(spank_t sp, int ac, char *argv[])
{
    static unsigned calls;

    /* This is the process of the task. If a hook fails Slurm ends it with status 1, after two lines
     * for each task of the step, in which ours drowns; or runs it all the same, from the shared
     * file system, if plugstack.conf has us as optional. */
    if (!repeated(&calls) && pbc_step_task(sp, ac, argv) < 0)
        _exit(1);
    return 0;
}

PBC_EXPORT int slurm_spank_job_epilog(spank_t sp, int ac, char *argv[])
{
    return pbc_epilog(sp, ac, argv);
}
