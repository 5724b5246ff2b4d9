#include "contents.h"

#include <string.h>

static void number(struct pbc_contents *c, uint64_t v)
{
    uint8_t bytes[8];

    for (unsigned i = 8; i-- > 0; v >>= 8)
        bytes[i] = (uint8_t)v;
    pbc_contents_data(c, bytes, sizeof(bytes));
}

static void text(struct pbc_contents *c, const char *t)
{
    number(c, strlen(t));
    pbc_contents_data(c, t, strlen(t));
}

void pbc_contents_begin(struct pbc_contents *c)
{
    crypto_generichash_init(&c->state, NULL, 0, PBC_META_DIGEST_LEN / 2);
}

void pbc_contents_member(struct pbc_contents *c, char kind, unsigned mode, const char *name,
                         const char *target, uint64_t size)
{
    number(c, (unsigned char)kind);
    number(c, mode);
    text(c, name);
    text(c, target);
    number(c, size);
}

void pbc_contents_data(struct pbc_contents *c, const void *data, size_t len)
{
    crypto_generichash_update(&c->state, data, len);
}

void pbc_contents_end(struct pbc_contents *c, char hex[PBC_META_DIGEST_LEN + 1])
{
    uint8_t digest[PBC_META_DIGEST_LEN / 2];

    crypto_generichash_final(&c->state, digest, sizeof(digest));
    sodium_bin2hex(hex, PBC_META_DIGEST_LEN + 1, digest, sizeof(digest));
}
