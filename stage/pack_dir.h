/* pack_dir.h - directories that the agent packs on the fly, by the packer of pbcast(1). */
#ifndef PBC_PACK_DIR_H
#define PBC_PACK_DIR_H

#include "source.h"

/* pbc_source_pack. A mirror is packed as it is. A user base goes over the interpreter's own
 * packages, and is told to Python as its user base, so that it is found wherever the interpreter
 * looks for its own (PEP 370). Refused is what a bundle cannot have: links out of the directory,
 * devices, set-id files. */
int pbc_pack_dir(const struct pbc_bundle *b, pbc_source_write *write, void *arg,
                 struct pbc_error *err);

#endif
