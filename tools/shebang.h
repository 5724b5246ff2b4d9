/* shebang.h - scripts of a plan find their interpreter in the staged tree. */
#ifndef PBC_SHEBANG_H
#define PBC_SHEBANG_H

#include "plan.h"

/* Scripts in the plan (sorted; executable) whose interpreter is bin/X in one of the plan's roots,
 * is packed, and is bin/X of the bundle or has a namesake there, as in a venv's base, begin with
 * "/usr/bin/env X" instead, so that it is found on the PATH of the staged tree. So do those of
 * `interpreter` (NULL: none), which is not in the bundle. */
int pbc_shebang_settle(struct pbc_plan *p, const char *interpreter, struct pbc_error *err);

#endif
