/* child.h - other programs that a command runs. */
#ifndef PBC_TOOL_CHILD_H
#define PBC_TOOL_CHILD_H

#include "error.h"

#include <stddef.h>
#include <sys/types.h>

struct pbc_child {
    pid_t pid;
    int in;  /* to its standard input, -1 */
    int out; /* from its standard output, -1 */
};

enum {
    PBC_CHILD_IN = 1,    /* with a pipe to its standard input; else that is /dev/null */
    PBC_CHILD_OUT = 2,   /* with a pipe from its standard output; else that is our standard error */
    PBC_CHILD_QUIET = 4, /* its standard error is /dev/null */
};

/* Start argv[0], looked for in PATH, with `env` as its environment (NULL: ours). No shell is
 * between. -1 with PBC_EXIT_REFUSED if there is no such program. */
int pbc_child_start(struct pbc_child *c, char *const argv[], char *const env[], unsigned flags,
                    struct pbc_error *err);

/* Close the pipes, wait for its end: the exit status, 128 + n for signal n. A child that is still
 * there when this command is told to stop is ended, with what it has started. -1 with err. */
int pbc_child_wait(struct pbc_child *c, struct pbc_error *err);

/* End it, without a word. Fine if it has not been started (all zeros) or has been waited for. */
void pbc_child_end(struct pbc_child *c);

/* Run it to its end and give back what it writes to standard output, malloced and NUL terminated,
 * at most `max` bytes. NULL with err when it fails (`what` says what it was for). */
char *pbc_child_output(char *const argv[], char *const env[], size_t max, const char *what,
                       size_t *ret_len, struct pbc_error *err);

/* If there is one; -1 stands for none, and is what it becomes. */
void pbc_close_fd(int *fd);

/* All bytes, or -1 with errno, which is 0 at an early end. */
int pbc_read_full(int fd, void *buf, size_t len);
int pbc_write_full(int fd, const void *buf, size_t len);

#endif
