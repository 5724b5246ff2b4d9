/* agent_options.h - what an agent is told, by its command line and the job's environment. */
#ifndef PBC_AGENT_OPTIONS_H
#define PBC_AGENT_OPTIONS_H

#include "run.h"
#include "wire.h"

struct pbc_agent_options {
    struct pbc_run_conf conf;
    struct pbc_bundles bundles;
    struct pbc_bundle said[PBC_BUNDLES_MAX]; /* --digest, --profile, --variable */
    unsigned long most_said;
    unsigned long pause_ms;
    int has_pause;
    int has_fence;
    int hold;
    int wants_mpi;
    unsigned long tasks; /* of the step, by the environment */
    char host[PBC_NODE_MAX];
};

/* Read them into *o, which must stay where it is while `conf` is in use, with the defaults of what
 * they do not say. 0; 1 if only the help or the version was asked for, which is printed; -1 with
 * err, PBC_EXIT_USAGE but for a failure of the system. `conf` lacks `pack`, and `fence` unless
 * has_fence. */
int pbc_agent_options(struct pbc_agent_options *o, int argc, char *argv[], struct pbc_error *err);

#endif
