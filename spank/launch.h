/* launch.h - start the staging step and wait for its verdict. */
#ifndef PBC_LAUNCH_H
#define PBC_LAUNCH_H

#include "bundle.h"
#include "error.h"
#include "site.h"

#include <stdint.h>

struct pbc_launch {
    const struct pbc_site *site;
    const struct pbc_bundles *bundles; /* probed */
    uint32_t job;
    uint32_t leader;    /* of a heterogeneous job, whose component `job` is; 0 = it is none */
    uint32_t component; /* its number there */
    const char *set;
    const char *nodes; /* host list expression */
    uint32_t count;    /* of nodes */
    int verbose;
    int in_client;          /* srun: its signals end the staging */
    const char *slurm_conf; /* SLURM_CONF of this process; NULL = none */
};

struct pbc_meeting;

/* The staging step's command and its environment: NULL terminated, for pbc_words_free; NULL without
 * memory. The user's environment takes no part in it: his SLURM_*, SRUN_*, PMIX_* and LD_* cannot
 * change where or how the step runs. */
char **pbc_launch_argv(const struct pbc_launch *l, const struct pbc_meeting *m, unsigned pause_ms,
                       int progress);
char **pbc_launch_env(const struct pbc_launch *l);
void pbc_words_free(char **words);

#define PBC_LAUNCH_TRIES 3

/* Stage. 0 when every node has the set; else -1 with err, after the step has ended. Lines for the
 * user go to standard error; `err` holds the cause. */
int pbc_launch(const struct pbc_launch *l, struct pbc_error *err);

/* A directory PBC_MARK_FAILED<step> beside the sets says that the staging for that step has failed
 * in another component: its tasks are not to start. */
#define PBC_MARK_FAILED "failed."

/* Make that directory on the nodes of `l`, whose `set` and `bundles` are not used. */
int pbc_launch_mark(const struct pbc_launch *l, uint32_t step, struct pbc_error *err);

#endif
