/* rewrite.h - a placeholder in a file's contents becomes the path of the staged tree, as the data
 * passes.
 *
 * Text: every occurrence is replaced, and the file gets shorter or longer. Binary: within a string
 * that NUL ends what follows an occurrence moves up, and NULs fill the room up to where the string
 * ended, so that everything else stays where it was. Neither needs the whole file in memory. That
 * is how conda's own installer treats the files of its packages ("Making packages relocatable" in
 * conda-build's documentation).
 */
#ifndef PBC_REWRITE_H
#define PBC_REWRITE_H

#include "writer.h"

#include <stdbool.h>

struct pbc_rewriter;

/* For the file that is open in `w`. `from` is not empty; with `binary` `to` must not be longer.
 * Both are borrowed. NULL without memory. */
struct pbc_rewriter *pbc_rewriter_new(struct pbc_writer *w, bool binary, const char *from,
                                      const char *to);

/* The next data of the file, as for pbc_writer_data. */
int pbc_rewriter_data(struct pbc_rewriter *r, uint64_t offset, const void *data, size_t len,
                      struct pbc_error *err);

/* There is no more; before pbc_writer_close. */
int pbc_rewriter_end(struct pbc_rewriter *r, struct pbc_error *err);

void pbc_rewriter_free(struct pbc_rewriter *r); /* NULL is fine */

#endif
