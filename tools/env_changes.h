/* env_changes.h - what a piece of shell changes of the environment. */
#ifndef PBC_ENV_CHANGES_H
#define PBC_ENV_CHANGES_H

#include "error.h"
#include "variable.h"

#include <stddef.h>

/* Run `text` in bash between two looks at the environment, with `argument` words as "$@", and fill
 * in what has changed: `value` of prepend and append is what was added. Variables that belong to
 * shells and module systems themselves are left out. What the text prints goes to standard error.
 * -1 with PBC_EXIT_REFUSED if it fails. */
int pbc_env_changes(const char *text, char *const *argument, size_t arguments, const char *what,
                    struct pbc_variables *ret, struct pbc_error *err);

/* Two environments, as env -0 prints them. Pure. -1 without memory. */
int pbc_env_compare(const char *before, size_t before_len, const char *after, size_t after_len,
                    struct pbc_variables *ret);

/* `value` with "@ROOT@" in place of the directory `prefix` and what lies below it. Malloced, NULL
 * without memory. */
char *pbc_env_in_tree(const char *value, const char *prefix);

#endif
