/* output.h - a file that is there whole or not at all. */
#ifndef PBC_OUTPUT_H
#define PBC_OUTPUT_H

#include "error.h"
#include "sink.h"

#include <stdint.h>

struct pbc_output;

/* A new file beside `path`, under the name <path>.XXXXXX. NULL with err: PBC_EXIT_REFUSED if `path`
 * is something that a file cannot replace. */
struct pbc_output *pbc_output_open(const char *path, struct pbc_error *err);

/* What writes to it; lives as long as the output. */
struct pbc_sink pbc_output_sink(struct pbc_output *o);

/* Put it at its path, replacing what is there. */
int pbc_output_commit(struct pbc_output *o, struct pbc_error *err);

/* Remove it unless it was committed, and free. NULL is fine. */
void pbc_output_free(struct pbc_output *o);

#endif
