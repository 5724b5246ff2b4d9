/* start.h - when the agents of a step may begin to meet by PMIx.
 *
 * Not before all have started: Slurm's daemons lose the connection of a peer that is faster than
 * they are, and never try it again ("Slurm's PMIx start-up race" in docs/architecture.md). Who has
 * started the step can tell: each agent says "pbcast: here" on its standard output, and when all
 * have, "pbcast: go" goes to the standard input of all.
 */
#ifndef PBC_START_H
#define PBC_START_H

#include "error.h"

#include <stdint.h>

struct pbc_start {
    uint64_t began;     /* ms, CLOCK_MONOTONIC */
    int told_by;        /* "pbcast: go" comes from this descriptor; -1: nobody will tell */
    unsigned pause_ms;  /* not before so long after the start, told or not, */
    unsigned untold_ms; /* and where nobody tells not before this */
};

/* Begin now. With `hold` say that this agent is here, on standard output, and be told by standard
 * input. Where the first cannot be done nobody will tell. */
void pbc_start_begin(struct pbc_start *s, int hold);

/* Wait until the agents may meet: 0. That somebody tells is waited for 30 s; then it is tried, and
 * who is missing will show. Anything else than "pbcast: go", and the end of what is read, mean that
 * nobody will tell. -1 if the agent is to end. */
int pbc_start_await(const struct pbc_start *s);

/* 1 if a blocked SIGINT, SIGTERM, SIGHUP or SIGUSR1 has come to end the agent. All of its threads
 * must block them. */
int pbc_start_stopped(void);

#endif
