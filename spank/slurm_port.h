/* slurm_port.h - every call of the plugin into Slurm. Unit tests replace this file's functions.
 *
 * Nothing else in the plugin includes a Slurm header, but for plugin.c, whose hooks Slurm calls.
 */
#ifndef PBC_SLURM_PORT_H
#define PBC_SLURM_PORT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct spank_handle; /* what spank_t points to */
struct spank_option;

/* Where a hook runs. */
enum pbc_context {
    PBC_CTX_OTHER,
    PBC_CTX_SRUN,      /* srun */
    PBC_CTX_ALLOCATOR, /* sbatch, salloc, scrontab */
    PBC_CTX_STEPD,     /* slurmstepd */
    PBC_CTX_SLURMD,    /* slurmd */
};

/* What kind of step a hook of slurmstepd or srun belongs to. */
enum pbc_step_kind {
    PBC_STEP_NORMAL,
    PBC_STEP_BATCH,
    PBC_STEP_INTERACTIVE,
    PBC_STEP_EXTERN,
};

struct pbc_step {
    uint32_t job;
    uint32_t step;
    enum pbc_step_kind kind;
    uid_t uid;
    gid_t gid;
};

enum pbc_context pbc_slurm_context(void);

/* 1 in scrontab, which reads options of plugins like sbatch and then forgets them. */
int pbc_slurm_is_scrontab(void);

/* 1 if a failure of slurm_spank_init in slurmstepd fails the job, 0 if it takes the node out of
 * service. */
int pbc_slurm_init_fails_the_job(void);

/* Job, step and owner of a hook in srun or slurmstepd. -1 when Slurm does not say. */
int pbc_slurm_step(struct spank_handle *sp, struct pbc_step *out);

/* Job of a hook in job_script context, where there is no more than that. */
int pbc_slurm_job(struct spank_handle *sp, uint32_t *job);

/* Index of the hook's task on its node, and in its step; 0 when Slurm does not say. */
int pbc_slurm_local_task(struct spank_handle *sp);
uint32_t pbc_slurm_global_task(struct spank_handle *sp);

/* The variable's whole value in the step's environment, which the caller frees; NULL when it is not
 * there or memory is short. */
char *pbc_slurm_getenv(struct spank_handle *sp, const char *name);
int pbc_slurm_setenv(struct spank_handle *sp, const char *name, const char *value);
int pbc_slurm_unsetenv(struct spank_handle *sp, const char *name);

/* Register a long option with an argument, which may be left out if `optional`; `cb` gets `val`,
 * the text and whether it runs in slurmstepd. Only in slurm_spank_init. */
int pbc_slurm_register(struct spank_handle *sp, const char *name, const char *arginfo,
                       const char *usage, int optional, int val,
                       int (*cb)(int val, const char *optarg, int remote));

/* One line to the user (srun, sbatch, salloc, slurmstepd) or to the daemon's log, with the
 * program's own prefix; the plugin's name is put before the text. */
void pbc_slurm_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void pbc_slurm_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The node list of a step, which the caller frees, and its number of nodes. Asks slurmctld. NULL
 * with errno. */
char *pbc_slurm_step_nodes(uint32_t job, uint32_t step, uint32_t *ret_count);

/* 1 if errno after that is slurmctld's answer that there is no such step, 0 for any other failure.
 */
int pbc_slurm_no_such_step(void);

/* A component of a heterogeneous job: a job of its own. */
struct pbc_component {
    uint32_t job;
    uint32_t leader; /* the first component's job, by which srun knows all; 0: no such job */
    uint32_t number; /* from 0, as --het-group counts */
};

/* The components of the job that `job` belongs to, malloced; one if it is no heterogeneous job.
 * Asks slurmctld. NULL with errno. */
struct pbc_component *pbc_slurm_components(uint32_t job, size_t *ret_count);

/* The words for errno after these: Slurm has numbers of its own. */
const char *pbc_slurm_reason(void);

/* 1 if this srun was called with --jobid, for an allocation that there is already. Slurm tells no
 * plugin before the step is made: it is seen by the command line, where a word of the program's own
 * may look like it. */
int pbc_slurm_jobid_given(void);

/* The partition of a job, which the caller frees. Asks slurmctld. NULL when it does not say. */
char *pbc_slurm_job_partition(uint32_t job);

/* Hosts in a host list expression; -1 if it is none. */
int pbc_slurm_hosts_count(const char *hosts);

/* 1 if every host of `part` is one of `all`. */
int pbc_slurm_hosts_within(const char *part, const char *all);

/* Seconds that a step's credential lives (AuthInfo=cred_expire, slurm.conf(5)); 120 where slurmctld
 * does not say. Asks slurmctld. */
int pbc_slurm_cred_expire(void);

enum pbc_job_state {
    PBC_JOB_UNKNOWN, /* no answer, or no judgement possible now */
    PBC_JOB_HERE,    /* it runs on this node, or may come here */
    PBC_JOB_GONE,    /* it has ended, or runs on other nodes only */
};

/* What slurmctld says of a job that has a directory on the node `node`. */
enum pbc_job_state pbc_slurm_job_state(uint32_t job, const char *node);

#endif
