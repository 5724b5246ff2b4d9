/* trusted.h - read a file of the site that decides over others: nobody but root may have written
 * it.
 */
#ifndef PBC_TRUSTED_H
#define PBC_TRUSTED_H

#include "error.h"

#include <stddef.h>

/* Read the regular file `path` (absolute) of at most `max` bytes. Every directory on the way to it,
 * every symbolic link that is met (they are followed, 40 at most, each target from "/" or from the
 * link's own directory) and the file itself must belong to root; directories and file must not be
 * writable for group or others, sticky or not. Each component is opened from the one before, so
 * that what was checked is what is read. The text, with a NUL after it, is malloced; its length in
 * *ret_len. NULL with PBC_EXIT_FAILED: what, its owner and mode, and what to do. */
char *pbc_trusted_read(const char *path, size_t max, size_t *ret_len, struct pbc_error *err);

#endif
