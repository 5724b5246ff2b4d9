/* conda.h - the files of a conda environment that know where it lies.
 *
 * conda-meta/<package>.json lists the files of each package that were built with a long placeholder
 * as their prefix, which installing replaced by that of the environment: everywhere in text; in
 * binary files within strings, which kept their room by NULs ("Making packages relocatable" in the
 * documentation of conda-build). Here that is taken back, so that each node can do it again.
 */
#ifndef PBC_CONDA_H
#define PBC_CONDA_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PBC_CONDA_RECORD_MAX (64u << 20) /* bytes of one record */

struct pbc_conda_file {
    const char *path; /* relative to the prefix, of plain parts */
    const char *placeholder;
    bool binary;
};

/* Call `take` for each file of a record that had a placeholder. -1 when it gives back -1, or with
 * PBC_EXIT_REFUSED if `text` is no such record, or names a path outside the prefix. */
int pbc_conda_record(const char *text, size_t len,
                     int (*take)(void *arg, const struct pbc_conda_file *f, struct pbc_error *err),
                     void *arg, struct pbc_error *err);

/* `data` with `to` in place of `prefix`: a new buffer, malloced, NULL without memory. *count is how
 * often; 0 is no error. */
uint8_t *pbc_conda_restore_text(const uint8_t *data, size_t len, const char *prefix, const char *to,
                                size_t *ret_len, size_t *count);

/* The same in place for a binary file that was built with a placeholder of `room` bytes, at least
 * as many as `prefix` and `to` have. *stuck is how many strings lack the room that they once had,
 * and stay as they are. */
void pbc_conda_restore_binary(uint8_t *data, size_t len, const char *prefix, const char *to,
                              size_t room, size_t *count, size_t *stuck);

#endif
