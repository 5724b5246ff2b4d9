/* variable.h - environment variables that a bundle states: in its .pbcast/bundle.conf (meta.h) and,
 * for the whole set, in the manifest of a node.
 *
 * In both a line is one of `set=NAME=VALUE`, `prepend=NAME=VALUE`, `append=NAME=VALUE` and
 * `unset=NAME`, with what a line cannot hold escaped (text.h). `@ROOT@` in a value stands for the
 * staged tree. A list (prepend, append) is joined by ':'.
 */
#ifndef PBC_VARIABLE_H
#define PBC_VARIABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define PBC_VARIABLES_MAX      512   /* in one list */
#define PBC_VARIABLE_NAME_MAX  128   /* bytes of a name */
#define PBC_VARIABLE_VALUE_MAX 32768 /* bytes of a value; Linux has a limit of 128 KiB */

enum pbc_env_kind { PBC_ENV_SET, PBC_ENV_UNSET, PBC_ENV_PREPEND, PBC_ENV_APPEND };

struct pbc_variable {
    enum pbc_env_kind kind;
    char *name;
    char *value; /* NULL with PBC_ENV_UNSET */
};

struct pbc_variables {
    size_t count;
    struct pbc_variable *item;
};

/* Whether a bundle may touch a variable of this name: letters, digits and '_', no digit first, and
 * none of those that Slurm, PMI, PMIx and pbcast speak to each other with (SLURM*, SPANK_*, PMI_*,
 * PMI2_*, PMIX_*, PBCAST_*), nor LD_PRELOAD and LD_AUDIT, which would reach into every program. */
bool pbc_variable_allowed(const char *name);

/* Append one. 0; -1 with errno EPERM (a name that is not allowed), EINVAL (a value out of form),
 * E2BIG (too many) or ENOMEM. `value` is NULL with PBC_ENV_UNSET only. */
int pbc_variables_add(struct pbc_variables *list, enum pbc_env_kind kind, const char *name,
                      const char *value);

/* The kind of a line by its key, "set" and so on. -1 for another word. */
int pbc_variable_kind(const char *key, enum pbc_env_kind *ret);

/* Append what follows `set=` and so on in a line, which is changed by it. Errors as above. */
int pbc_variables_read(struct pbc_variables *list, enum pbc_env_kind kind, char *text);

/* One line each, `prefix` before it. */
void pbc_variables_write(FILE *out, const char *prefix, const struct pbc_variables *list);

/* Whether every item could be added: what a writer checks. */
bool pbc_variables_valid(const struct pbc_variables *list);

/* `value` with the tree `root` in place of each @ROOT@. Malloced; NULL without memory. */
char *pbc_variable_expand(const char *value, const char *root);

void pbc_variables_free(struct pbc_variables *list);

#endif
