/* stop.h - SIGINT, SIGTERM and SIGHUP end a command in its own way: with nothing left behind. */
#ifndef PBC_STOP_H
#define PBC_STOP_H

#include "error.h"

/* From now on these signals are only noted. System calls are interrupted by them. */
void pbc_stop_catch(void);

/* -1 with PBC_EXIT_FAILED if one has come; to be called wherever a command takes long. */
int pbc_stopped(struct pbc_error *err);

/* The signal that has come, 0 if none. */
int pbc_stop_signal(void);

/* End this process by the signal that has come, if any, as if it had not been caught. */
void pbc_stop_end(void);

#endif
