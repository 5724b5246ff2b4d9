/* pack.h - a plan becomes a bundle: the one packer of all that makes bundles.
 *
 * One pass over the contents, in pieces; memory for the plan and some MiB, whatever the size of
 * files. The same plan gives the same bytes: owner and group are 0, times are those of the files in
 * whole seconds (what Python compares compiled modules with), and nothing depends on when or where.
 */
#ifndef PBC_PACK_H
#define PBC_PACK_H

#include "members.h"
#include "meta.h"
#include "plan.h"
#include "progress.h"

/* Write a plan that is finished (pbc_plan_finish) to the sink. `meta`, unless NULL, becomes the
 * first member; its figures are filled in here, and where the sink has patch the digest of the
 * contents as well. -1 with PBC_EXIT_REFUSED for a file that has vanished, cannot be read or has
 * changed since it was found (path named), and with the errors of the sink. */
int pbc_pack(struct pbc_plan *plan, struct pbc_meta *meta, const struct pbc_sink *sink,
             enum pbc_codec codec, int level, struct pbc_progress *progress,
             struct pbc_members_figures *ret, struct pbc_error *err);

#endif
