/* held.h - tell agents that wait for each other (stage/start.h) when all are here. */
#ifndef PBC_HELD_H
#define PBC_HELD_H

#include <stdbool.h>
#include <sys/types.h>

/* Wait for the end of the launcher `pid`: its waitpid status, or -1 with errno. `out` is its
 * standard output: "pbcast: here" is counted, and other lines pass to ours. When `nodes` have said
 * it, "pbcast: go" goes to `in`, a socket. `err` is its standard error, whose lines pass to ours:
 * where srun says that an agent could not start, or has ended, before all were here, the others
 * would wait for it in vain, and the launcher is ended by SIGTERM; *ret_vain tells. So it is when
 * this command is told to stop (step.h). Closes all
 * three. Who else keeps them open is not waited for. */
int pbc_held_wait(pid_t pid, unsigned long nodes, int in, int out, int err, bool *ret_vain);

#endif
