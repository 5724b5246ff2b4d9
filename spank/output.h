/* output.h - what of the staging step's output reaches the user.
 *
 * Agents write lines that begin with "pbcast: ":
 *
 *     pbcast: error: ...      the first one is kept as the cause
 *     pbcast: again: ...      asks for another try, if no error came before it
 *     pbcast: progress: ...   rewritten in place on a terminal
 *     pbcast: here            counted
 *     pbcast: ...             passes at once
 *
 * Whatever else the step says (srun, slurmstepd, PMIx) is noise: kept within a bound, and shown
 * only where it is needed to understand a failure. It is searched for agents that could not be
 * started, and for whether another try may help.
 */
#ifndef PBC_OUTPUT_H
#define PBC_OUTPUT_H

#include "error.h"

#include <stddef.h>
#include <stdint.h>

#define PBC_LINE_MAX  1536 /* a longer line is cut */
#define PBC_NOISE_MAX 4096

#define PBC_OUTPUT_ALL 3 /* the verbosity that hides nothing */

struct pbc_output {
    int fd; /* where lines go */
    int verbose;
    int tty;
    char line[PBC_LINE_MAX + 1]; /* not yet ended */
    size_t len;
    char error[PBC_ERROR_MAX]; /* text of the first error line; "" = none */
    int again;
    char why[PBC_ERROR_MAX]; /* text of the last line that asked for another try; "" = none */
    uint32_t here;           /* agents that have started, and wait for the others */
    int unlaunched; /* slurmstepd could not start the step on some node, for a reason of its own */
    char unreached[PBC_ERROR_MAX]; /* the first node that srun could not send the step to, and its
                                      reason: "n7: ..."; "" = none */
    int no_mpi;                    /* srun does not know, or cannot load, the plugin of --mpi */
    int unstarted; /* some agent cannot run on its node: the others would wait for ever */
    int lost;      /* srun says that an agent has ended, and not well */
    int ending;    /* we are ending the step: what agents say now is not the cause */
    char noise[PBC_NOISE_MAX];
    size_t noise_len;
    size_t noise_lost; /* lines beyond the bound */
    size_t shown;      /* columns of the progress line on the terminal */
};

void pbc_output_init(struct pbc_output *o, int fd, int verbose);

/* Take `len` bytes of the step's output, cut anywhere. */
void pbc_output_feed(struct pbc_output *o, const char *data, size_t len);

/* The output has ended: take an unfinished last line, erase progress. */
void pbc_output_finish(struct pbc_output *o);

/* Write the noise, one "pbcast: | " before each line. */
void pbc_output_noise(struct pbc_output *o);

#endif
