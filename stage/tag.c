#include "tag.h"

#include <sodium.h>
#include <string.h>

void pbc_tag_key(const uint8_t run[PBC_KEY_BYTES], uint8_t ret[PBC_KEY_BYTES])
{
    static const char label[] = "pbcast data";

    _Static_assert(crypto_auth_hmacsha256_BYTES == PBC_KEY_BYTES, "a MAC makes a key");
    crypto_auth_hmacsha256(ret, (const uint8_t *)label, sizeof(label) - 1, run);
}

static void tag(const uint8_t key[PBC_KEY_BYTES], const struct pbc_frame *f, const uint8_t *data,
                uint8_t ret[PBC_TAG_BYTES])
{
    uint8_t head[PBC_FRAME_HEADER];
    uint8_t nonce[crypto_stream_chacha20_ietf_NONCEBYTES] = {0};
    uint8_t once[crypto_onetimeauth_KEYBYTES];
    crypto_onetimeauth_state st;

    _Static_assert(crypto_onetimeauth_BYTES == PBC_TAG_BYTES, "Poly1305");
    pbc_frame_encode(f, head);
    nonce[3] = f->bundle;
    memcpy(nonce + 4, head + 8, 8); /* aux, the offset */
    crypto_stream_chacha20_ietf(once, sizeof(once), nonce, key);
    crypto_onetimeauth_init(&st, once);
    crypto_onetimeauth_update(&st, head, PBC_FRAME_HEADER - PBC_TAG_BYTES);
    crypto_onetimeauth_update(&st, data, f->length);
    crypto_onetimeauth_final(&st, ret);
}

void pbc_tag_make(const uint8_t key[PBC_KEY_BYTES], struct pbc_frame *f, const uint8_t *data)
{
    tag(key, f, data, f->tag);
}

int pbc_tag_check(const uint8_t key[PBC_KEY_BYTES], const struct pbc_frame *f, const uint8_t *data,
                  struct pbc_error *err)
{
    uint8_t want[PBC_TAG_BYTES];

    tag(key, f, data, want);
    if (sodium_memcmp(want, f->tag, sizeof(want)) == 0)
        return 0;
    return pbc_fail(err, PBC_EXIT_PEER, "bundle %u at byte %llu: not what the root node sent",
                    f->bundle, (unsigned long long)f->aux);
}
