/* compile.h - compiled Python modules for those that lack one.
 *
 * A compiled module counts while it has the magic number of the interpreter, and the time and size
 * of its source (or a hash instead): PEP 552; the Python documentation, "Cached bytecode
 * invalidation". What is missing or stale is compiled by the bundle's own interpreter into the
 * bundle, with the time of the source, which unpacking restores. Nothing is written beside the
 * source.
 */
#ifndef PBC_COMPILE_H
#define PBC_COMPILE_H

#include "progress.h"
#include "walk.h"

struct pbc_compiled {
    uint64_t made;   /* compiled modules that were missing or stale */
    uint64_t failed; /* sources that do not compile, which is not an error: some never did */
    char first[256]; /* of these */
};

/* For every *.py of the plan, sorted before and after, by `interpreter` (a path, or a name in PATH)
 * whose version is 3. With `own` only for those that this interpreter imports by itself: below
 * pythonX.Y/ of its version, or python3/. Names that the walk excludes are not made. */
int pbc_compile(struct pbc_walk *w, const char *interpreter, bool own, struct pbc_compiled *ret,
                struct pbc_error *err);

#endif
