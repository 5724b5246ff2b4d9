/* child.h - run one program to its end inside srun or a task of slurmstepd.
 *
 * srun has several threads when it happens: nothing but async-signal-safe calls between fork and
 * exec, no handler or mask left changed, no child reaped but our own.
 */
#ifndef PBC_CHILD_H
#define PBC_CHILD_H

#include "clock.h"
#include "error.h"
#include "output.h"

struct pbc_child {
    char *const *argv; /* argv[0] is the absolute path */
    char *const *envp;
    unsigned seconds;  /* after which it is ended */
    uint32_t await;    /* agents to wait for: once `output` has counted so many, the child reads
                          "pbcast: go" from its standard input; 0: that is /dev/null */
    int catch_signals; /* end it when this process is told to end (srun; not in a task, which the
                          same signal ends) */
    struct pbc_output *output;
    struct pbc_clock *clock; /* goes on from one child to the next; NULL: its own */
};

enum pbc_child_end {
    PBC_CHILD_EXITED,      /* by itself */
    PBC_CHILD_AGAIN,       /* stopped: output asked for another try, or not all agents came */
    PBC_CHILD_TIMEOUT,     /* stopped: out of time */
    PBC_CHILD_INTERRUPTED, /* stopped: by a signal to this process */
};

/* Start, feed the output, wait. *ret_status is as waitpid gives it. -1 with err when it could not
 * be started. */
int pbc_child_run(const struct pbc_child *c, enum pbc_child_end *ret_end, int *ret_status,
                  struct pbc_error *err);

#endif
