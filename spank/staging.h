/* staging.h - in srun, after its step was made and before its tasks are launched: the nodes of the
 * step get what was asked for.
 */
#ifndef PBC_STAGING_H
#define PBC_STAGING_H

#include "request.h"

struct spank_handle;

/* Stage `r` for the step of `sp`, for all components that have a part of it if `components`, those
 * that srun was called with, are several. The tasks get the name of the set. Says what fails: -1,
 * or 0 where srun has to launch the tasks, which then fail before they run (pbc_step_task). */
int pbc_staging(struct spank_handle *sp, struct pbc_request *r, unsigned components);

#endif
