/* port_fake.h - Slurm as the unit tests of the plugin see it. */
#ifndef PORT_FAKE_H
#define PORT_FAKE_H

#include "support.h"

#include "slurm_port.h"

#define FAKE_ENV_MAX 64

#define FAKE_GZIP "\x1f\x8b\x08\0\0\0\0\0\0\3\3\0\0\0\0\0\0\0\0\0" /* 20 bytes: an empty file */

struct fake {
    enum pbc_context ctx;
    struct pbc_step step;
    int no_step; /* Slurm does not say which step */
    int local_task;
    uint32_t global_task;
    char *env[FAKE_ENV_MAX]; /* of the step: NAME=VALUE */
    const char *no_setenv;   /* spank_setenv of this name fails */
    char log[16384];         /* error lines, each with a newline */
    char info[4096];
    const char *nodes; /* of the step, from slurmctld; NULL: no answer */
    uint32_t count;
    const char *partition;        /* of the job; NULL: no answer */
    struct pbc_component part[3]; /* of the job; none: no answer */
    size_t parts;
    uint32_t no_part;             /* the job of a component that has no part of the step */
    uint32_t no_answer;           /* the job of a component for which slurmctld does not answer */
    int asked;                    /* how often slurmctld was */
    enum pbc_job_state state[16]; /* by job id */
    int registered;
    int register_fails;
    int init_fails_the_job; /* as since Slurm 25.05 */
    int scrontab;
    int jobid_given; /* srun --jobid */
};

extern struct fake fake;

/* Forget all: srun, step 7.0 of this user, no environment. */
void fake_reset(void);
int fake_setup(void **state); /* the same as a cmocka setup; also unsets the plugin's variables */

void fake_setenv(const char *name, const char *value); /* the step's environment */
const char *fake_getenv(const char *name);

/* As if Slurm had met the option. */
int fake_option(const char *name, const char *value, int remote);

void assert_logged(const char *text);
void assert_log_lines(size_t n);

#endif
