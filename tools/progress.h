/* progress.h - how far a command is: a bar where standard error is a terminal, else a line now and
 * then. Also where a command notices that it was told to stop (stop.h).
 */
#ifndef PBC_PROGRESS_H
#define PBC_PROGRESS_H

#include "error.h"

#include <stdint.h>

struct pbc_progress;

/* NULL without memory, or with `quiet`; NULL is fine for all functions below. */
struct pbc_progress *pbc_progress_new(int quiet);

/* What is done next, in a word or two; of `total` bytes, 0 if that is not known. */
void pbc_progress_phase(struct pbc_progress *p, const char *what, uint64_t total);

/* One thing more was done, or that many bytes more. -1 when the command is to stop. */
int pbc_progress_tick(struct pbc_progress *p, struct pbc_error *err);
int pbc_progress_bytes(struct pbc_progress *p, uint64_t bytes, struct pbc_error *err);

/* Take the bar away; before anything else is printed. */
void pbc_progress_clear(struct pbc_progress *p);
void pbc_progress_free(struct pbc_progress *p);

#endif
