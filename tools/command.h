/* command.h - the commands of pbcast(1). */
#ifndef PBC_COMMAND_H
#define PBC_COMMAND_H

#include "error.h"

#define PBC_EXIT_WARNINGS 7 /* of check, beside those of error.h */

struct pbc_command {
    const char *name;
    const char *words; /* what it does, for the list of commands */
    /* argv[0] is the command's name. Gives back the exit status. */
    int (*run)(int argc, char *argv[]);
};

int pbc_cmd_bundle(int argc, char *argv[]);
int pbc_cmd_check(int argc, char *argv[]);
int pbc_cmd_convert(int argc, char *argv[]);
int pbc_cmd_inspect(int argc, char *argv[]);
int pbc_cmd_stage(int argc, char *argv[]);

/* One line to standard error, and the exit status of the error. */
int pbc_complain(const struct pbc_error *err);

/* The same for a mistake in the command line of `command`: PBC_EXIT_USAGE. */
int pbc_complain_usage(const char *command, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* A line to standard error that is no error. */
void pbc_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* "1.5 GiB", "12 bytes"; valid until the fourth call after this one. */
const char *pbc_size_words(unsigned long long bytes);

#endif
