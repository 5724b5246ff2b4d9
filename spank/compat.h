/* compat.h - differences between the Slurm releases that the plugin is built for (22.05 to 26.05).
 * Included by slurm_port.c alone.
 */
#ifndef PBC_COMPAT_H
#define PBC_COMPAT_H

#include <stdint.h> /* spank.h uses its types and does not include it before 23.02 */
#include <sys/types.h>

#include <slurm/slurm.h>
#include <slurm/slurm_errno.h>
#include <slurm/slurm_version.h>
#include <slurm/spank.h>

#ifndef SLURM_EXTERN_CONT
#define SLURM_EXTERN_CONT (0xfffffffc)
#endif
#ifndef SLURM_BATCH_SCRIPT
#define SLURM_BATCH_SCRIPT (0xfffffffb)
#endif
#ifndef SLURM_INTERACTIVE_STEP
#define SLURM_INTERACTIVE_STEP (0xfffffffa)
#endif

/* hostlist_t was a pointer to the structure and is the structure since 23.11. */
#if SLURM_VERSION_NUMBER >= SLURM_VERSION_NUM(23, 11, 0)
typedef hostlist_t *pbc_hostlist;
#else
typedef hostlist_t pbc_hostlist;
#endif

/* Since 25.05 a plugin can say that a failed slurm_spank_init fails the job and leaves the node in
 * service; before it is always the node's failure. */
#if SLURM_VERSION_NUMBER >= SLURM_VERSION_NUM(25, 5, 0)
#define PBC_COMPAT_INIT_FAILURE ESPANK_JOB_FAILURE
#endif

/* A step id with members that nobody set, as Slurm wants it. 25.11 added a member that is 0 when it
 * is not known, not NO_VAL. */
static inline slurm_step_id_t pbc_compat_step_id(uint32_t job, uint32_t step)
{
#ifdef SLURM_STEP_ID_INITIALIZER
    slurm_step_id_t id = SLURM_STEP_ID_INITIALIZER;
#else
    slurm_step_id_t id = {.step_het_comp = NO_VAL};
#endif
    id.job_id = job;
    id.step_id = step;
    return id;
}

/* slurm_load_job takes a step id since 26.05. */
static inline int pbc_compat_load_job(job_info_msg_t **resp, uint32_t job)
{
#if SLURM_VERSION_NUMBER >= SLURM_VERSION_NUM(26, 5, 0)
    return slurm_load_job(resp, pbc_compat_step_id(job, NO_VAL), 0);
#else
    return slurm_load_job(resp, job, 0);
#endif
}

/* What slurm_load_ctl_conf has given: the function was renamed in 26.05. */
static inline void pbc_compat_free_conf(slurm_conf_t *conf)
{
#if SLURM_VERSION_NUMBER >= SLURM_VERSION_NUM(26, 5, 0)
    slurm_free_conf(conf);
#else
    slurm_free_ctl_conf(conf);
#endif
}

#endif
