/* shebang.h - scripts of a plan find their interpreter in the staged tree. */
#ifndef PBC_SHEBANG_H
#define PBC_SHEBANG_H

#include "plan.h"

/* Scripts in the plan (sorted; executable) whose interpreter is <root>/bin/X for one of the plan's
 * roots, and in the bundle as bin/X, begin with "/usr/bin/env X" instead, so that it is found on
 * the PATH of the staged tree. So do those of `interpreter` (NULL: none), which is not in the
 * bundle. */
int pbc_shebang_settle(struct pbc_plan *p, const char *interpreter, struct pbc_error *err);

#endif
