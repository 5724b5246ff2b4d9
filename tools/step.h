/* step.h - the programs that pbcast stage starts: a launcher, or an agent itself. */
#ifndef PBC_TOOL_STEP_H
#define PBC_TOOL_STEP_H

#include "bundle.h"
#include "error.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PBC_STEP_WORDS (64 + PBC_BUNDLES_MAX)

/* A command line; all zeros is an empty one. */
struct pbc_step {
    char *word[PBC_STEP_WORDS];
    size_t count;
    int failed;
};

/* One word more. That there was no memory or room for it shows when it is to be started. */
void pbc_step_add(struct pbc_step *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void pbc_step_free(struct pbc_step *w);

/* Start it: its pid, or -1 with err. Its standard streams are those of `fd`; -1: empty, and ours.
 * `apart`: what is sent to our process group does not reach it. */
pid_t pbc_step_start(struct pbc_step *w, const int fd[3], int apart, struct pbc_error *err);

/* Its waitpid status when it has ended, or -1 with errno. When this command is told to stop
 * (stop.h) so is it, as below. */
int pbc_step_wait(pid_t pid);

/* For those who wait otherwise: all zeros, to be called now and then. SIGINT reaches the agents, by
 * srun --disable-status too, and they clean up; who has not ended for it gets SIGTERM, at which
 * srun kills them. */
struct pbc_step_stop {
    int sent;
    uint64_t next; /* ms, pbc_now_ms */
};
void pbc_step_stop(pid_t pid, struct pbc_step_stop *s);

#endif
