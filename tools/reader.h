/* reader.h - the members of an archive that is to be made into frames, as libarchive has them.
 */
#ifndef PBC_READER_H
#define PBC_READER_H

#include "error.h"

#include <archive.h>
#include <archive_entry.h>

struct pbc_reader;

/* Open and look at the archive. NULL with err. */
struct pbc_reader *pbc_reader_open(const char *path, struct pbc_error *err);

/* The next member, which is one that bundles may have, and belongs to the reader: 1, or 0 after the
 * last, when all of the file has been read and was sound, or -1. */
int pbc_reader_next(struct pbc_reader *r, struct archive_entry **ret, struct pbc_error *err);

/* From now on members are given out that bundles may not have. */
void pbc_reader_take_all(struct pbc_reader *r);

/* What the member has, in pieces in order with gaps where it is sparse: 1, 0 at its end, -1. */
int pbc_reader_data(struct pbc_reader *r, const void **data, size_t *len, int64_t *offset,
                    struct pbc_error *err);

/* Once more from the first member. */
int pbc_reader_again(struct pbc_reader *r, struct pbc_error *err);

void pbc_reader_free(struct pbc_reader *r); /* NULL is fine */

#endif
