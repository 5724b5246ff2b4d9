/* catalog_file.h - the catalogue as those see it who keep it: read without trust in its owner,
 * changed as a whole.
 */
#ifndef PBC_CATALOG_FILE_H
#define PBC_CATALOG_FILE_H

#include "bundle.h"
#include "error.h"

#include <stddef.h>

/* The text of the file, NUL terminated and malloced, at most PBC_CATALOG_MAX bytes. NULL with err,
 * errno ENOENT when it does not exist. */
char *pbc_catalog_text(const char *path, size_t *ret_len, struct pbc_error *err);

/* Put `text` in place of the file by rename, with the modes that it had (0644 if there was none).
 * Refused while another does so, and where the file is no longer `old` (NULL: there was none). */
int pbc_catalog_replace(const char *path, const char *old, const char *text, struct pbc_error *err);

/* `text` without the line default=yes in entries of `name`. Malloced, NULL without memory. */
char *pbc_catalog_without_default(const char *text, const char *name);

/* `text` without the entry `entry`, which is NAME/VERSION; comments stay. Malloced, NULL without
 * memory. */
char *pbc_catalog_without_entry(const char *text, const char *entry);

/* BLAKE2b-256 of a file, as the agent computes it. */
int pbc_file_digest(const char *path, char hex[PBC_DIGEST_LEN + 1], struct pbc_error *err);

#endif
