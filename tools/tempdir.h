/* tempdir.h - a directory for the time of a command, in TMPDIR or /tmp. */
#ifndef PBC_TEMPDIR_H
#define PBC_TEMPDIR_H

#include "bundle.h"
#include "error.h"

struct pbc_tempdir {
    char path[PBC_PATH_MAX]; /* "" if there is none */
};

int pbc_tempdir_make(struct pbc_tempdir *t, struct pbc_error *err);

/* With all that is in it. Fine if it was not made (all zeros). */
void pbc_tempdir_remove(struct pbc_tempdir *t);

#endif
