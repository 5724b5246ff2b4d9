/* observe.h - a command under strace(1).
 *
 * strace needs no privilege for the user's own processes, follows children and threads, knows every
 * architecture, and stops only at the system calls in question (--seccomp-bpf). fanotify needs
 * root, and seccomp's notifications do not say how a call ended.
 */
#ifndef PBC_OBSERVE_H
#define PBC_OBSERVE_H

#include "leaks.h"

/* Run the command with the environment `vars`, its program found in the PATH of that, and add all
 * that it and its children open to `l`. Its standard streams are ours. *ret_status: 0, its exit
 * status, or 128 and the signal that ended it. -1 when it could not be observed. */
int pbc_observe(char *const *command, char *const *vars, const char *cwd, struct pbc_leaks *l,
                unsigned *ret_processes, int *ret_status, struct pbc_error *err);

#endif
