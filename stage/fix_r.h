/* fix_r.h - R's start-up script knows only one place for R.
 *
 * bin/R assigns R_HOME_DIR, R_SHARE_DIR, R_INCLUDE_DIR and R_DOC_DIR from what was configured, and
 * ignores an R_HOME of the environment (R's src/scripts/R.sh.in). In a staged tree those lines must
 * name the tree.
 */
#ifndef PBC_FIX_R_H
#define PBC_FIX_R_H

#include "error.h"

/* Put the paths below `root`, where the tree will lie, into the copies of the script in the tree:
 * in `rhome`/bin/R and bin/R. Each becomes a new file: others may have links to the old one. -1
 * with err. */
int pbc_fix_r(int treefd, const char *rhome, const char *root, struct pbc_error *err);

#endif
