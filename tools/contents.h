/* contents.h - the digest of what a bundle holds, whatever it is compressed with:
 * docs/bundle-format.md. For each member but those below .pbcast/, in the bundle's order:
 * kind, mode, name, target, size, and then the data of a regular file.
 */
#ifndef PBC_CONTENTS_H
#define PBC_CONTENTS_H

#include "meta.h"

#include <sodium.h>
#include <stddef.h>
#include <stdint.h>

struct pbc_contents {
    crypto_generichash_state state;
};

void pbc_contents_begin(struct pbc_contents *c);

/* `kind` is one of 'd', 'l', 'f' and 'h'; `name` of plain parts; `target` is that of a link, else
 * ""; `size` that of a regular file, else 0. */
void pbc_contents_member(struct pbc_contents *c, char kind, unsigned mode, const char *name,
                         const char *target, uint64_t size);
void pbc_contents_data(struct pbc_contents *c, const void *data, size_t len);
void pbc_contents_end(struct pbc_contents *c, char hex[PBC_META_DIGEST_LEN + 1]);

#endif
