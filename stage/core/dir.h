/* dir.h - directories that are packed on the fly: how much is in them, and whether it is still the
 * same.
 */
#ifndef PBC_DIR_H
#define PBC_DIR_H

#include "error.h"

#include <stdint.h>

#define PBC_DIR_ENTRIES 500000 /* most in one directory that is packed on the fly */
#define PBC_DIR_DEPTH   128    /* as members of a bundle */

/* glob(7) of names that are not packed on the fly, unless named as a part: what Slurm calls the
 * output of a batch job. It grows while the job's directory is packed, and with each line that is
 * printed. */
#define PBC_DIR_LEFT_OUT "slurm-[0-9]*.out"

struct pbc_dir_sum {
    uint64_t files;
    uint64_t bytes;  /* of regular files */
    uint64_t hi, lo; /* over name, kind, mode, size, time and target of all that is in it */
};

/* Walk the directory `dir`, or its `parts` (relative names with ':' between them; NULL: all), but
 * for PBC_DIR_LEFT_OUT. Follows no link. Refused (PBC_EXIT_REFUSED): what is not there or cannot be
 * read, more than `max` bytes (0: no limit), with the largest parts named, more than
 * PBC_DIR_ENTRIES entries, devices, fifos, sockets, absolute links out of `dir`. */
int pbc_dir_look(const char *dir, const char *parts, uint64_t max, struct pbc_dir_sum *ret,
                 struct pbc_error *err);

/* PBC_EXIT_USAGE unless each part is relative and of plain names. A '/' behind a part, which shells
 * add, is taken away. */
int pbc_dir_check_parts(char *parts, struct pbc_error *err);

/* What of a Python user base (PEP 370) is packed: bin, and lib/pythonX.Y as far as they are there.
 * Malloced. NULL with PBC_EXIT_REFUSED if nothing is installed in it. */
char *pbc_dir_userbase_parts(const char *dir, struct pbc_error *err);

#endif
