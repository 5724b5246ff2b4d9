/* agent.h - pbcast-stage: its command line and its life around a run (run.h). */
#ifndef PBC_AGENT_H
#define PBC_AGENT_H

#include "coord.h"
#include "source.h"

/* How to meet the others of a step with `tasks` tasks. */
typedef int pbc_coord_open(struct pbc_coord *c, uint32_t tasks, const struct pbc_start *start,
                           struct pbc_error *err);

/* main() of an agent that meets the others by `meet`, and packs directories by `pack` (NULL: not at
 * all). The result is an exit code. */
int pbc_agent_main(int argc, char *argv[], pbc_coord_open *meet, pbc_source_pack *pack);

#endif
