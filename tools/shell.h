/* shell.h - changes of an environment as a text that a shell carries out. */
#ifndef PBC_SHELL_H
#define PBC_SHELL_H

#include <stdbool.h>
#include <stdio.h>

enum pbc_shell {
    PBC_SHELL_BASH, /* and every other that knows export and unset: sh, dash, ksh, zsh */
    PBC_SHELL_FISH,
    PBC_SHELL_CSH, /* and tcsh */
    PBC_SHELL_JSON,
};

/* 0 with *ret; -1 for another name than bash, fish, csh, json. */
int pbc_shell_from_name(const char *name, enum pbc_shell *ret);

/* One of many changes, in order: `first` and `last` say where in them. The shell gives the variable
 * exactly this value, or none with NULL. Names are those of pbc_variable_allowed and PBCAST_*.
 * Json is an object of names with strings or null; bytes that are not UTF-8 become lone surrogates,
 * U+DC80 to U+DCFF, as in Python. */
void pbc_shell_write(FILE *out, enum pbc_shell shell, const char *name, const char *value,
                     bool first, bool last);

#endif
