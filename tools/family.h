/* family.h - the processes that descend from this one. */
#ifndef PBC_TOOL_FAMILY_H
#define PBC_TOOL_FAMILY_H

#include <sys/types.h>

/* From now on those whose parent has ended are children of this process. */
void pbc_family_keep(void);

/* Send `sig` once to each, but for `spare`, and to those that they make meanwhile. How many have
 * got it; 0 too if /proc cannot be read. */
unsigned pbc_family_signal(pid_t spare, int sig);

#endif
