/* trace.h - what strace(1) says of a command: which files it opened or asked for.
 *
 * The lines of `strace -f -qq -y -xx -e trace=%file,...`: a process id, a system call whose strings
 * are all hexadecimal escapes, and its result. Calls that are cut by those of other processes
 * ("<unfinished ...>", "<... resumed>") are put together again. Names come from the command: any
 * bytes.
 */
#ifndef PBC_TRACE_H
#define PBC_TRACE_H

#include "bundle.h"

#include <stdbool.h>

/* The options of strace for that, without -o and the command. NULL ends them. */
extern const char *const pbc_trace_options[];

struct pbc_trace;

struct pbc_trace_event {
    int pid;
    const char *program; /* that the process runs; "" not known */
    bool exec;           /* it was started as a program */
    bool opened;         /* opened or started; else asked for: stat, access, or in vain */
    bool failed;
    char path[PBC_PATH_MAX]; /* absolute, plain parts; with `opened` what the kernel made of it */
};

/* `cwd`: where the command begins. NULL without memory. */
struct pbc_trace *pbc_trace_new(const char *cwd);

/* One line, without its newline, which is changed. 1 with *ev; 0 for a line that names no file;
 * -1 without memory. What is not such a line is ignored. */
int pbc_trace_line(struct pbc_trace *t, char *line, struct pbc_trace_event *ev);

/* Processes seen. */
unsigned pbc_trace_processes(const struct pbc_trace *t);

/* The process that came first, which is the command; 0 before that. */
int pbc_trace_command(const struct pbc_trace *t);

void pbc_trace_free(struct pbc_trace *t);

#endif
