/* held.h - tell agents that wait for each other (stage/start.h) when all are here. */
#ifndef PBC_HELD_H
#define PBC_HELD_H

#include <sys/types.h>

/* Wait for the end of the launcher `pid`: its waitpid status, or -1 with errno. `out` is its
 * standard output: "pbcast: here" is counted, and other lines pass to ours. When `nodes` have said
 * it, "pbcast: go" goes to `in`, a socket. Closes both. Who else keeps `out` open is not waited
 * for. */
int pbc_held_wait(pid_t pid, unsigned long nodes, int in, int out);

#endif
