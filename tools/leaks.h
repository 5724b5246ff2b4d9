/* leaks.h - which files a command still opens outside the staged tree, by mount and cause. */
#ifndef PBC_LEAKS_H
#define PBC_LEAKS_H

#include "cause.h"
#include "error.h"
#include "mounts.h"
#include "trace.h"

#include <stdio.h>

struct pbc_leaks;

/* All borrowed. NULL without memory. */
struct pbc_leaks *pbc_leaks_new(const struct pbc_command_facts *facts,
                                const struct pbc_mounts *mounts);

/* One event more; of a script that was started, the interpreter in its first line is one too. -1
 * without memory. */
int pbc_leaks_add(struct pbc_leaks *l, const struct pbc_trace_event *ev);

/* Requests to staged files, for the report. */
unsigned long pbc_leaks_staged(const struct pbc_leaks *l);

/* How many files count as leaks: on shared file systems those that were opened or looked for in
 * vain; with `all` also those that were opened on the node's own, but for what the loader and libc
 * need, and what programs outside the tree open. */
unsigned long pbc_leaks_count(const struct pbc_leaks *l, bool all);

/* The list, by mount, cause and number of requests, what was opened first: with `names` every file,
 * else a few of each. Programs and libraries that were opened are read for their library paths. -1
 * without memory. */
int pbc_leaks_write(struct pbc_leaks *l, FILE *out, bool names);

void pbc_leaks_free(struct pbc_leaks *l);

#endif
