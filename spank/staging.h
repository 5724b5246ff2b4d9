/* staging.h - in srun, after its step was made and before its tasks are launched: the nodes of the
 * step get what was asked for.
 */
#ifndef PBC_STAGING_H
#define PBC_STAGING_H

#include "request.h"

struct spank_handle;

/* Stage `r` on the nodes of the step of `sp`. `components` is the number of components that srun
 * was called with: if there are several, all that take part in the step are staged. The tasks get
 * the name of the set in their environment. An error is told to the user; the result is then -1, or
 * 0 where srun must launch the tasks all the same: those fail before they run (pbc_step_task). */
int pbc_staging(struct spank_handle *sp, struct pbc_request *r, unsigned components);

#endif
