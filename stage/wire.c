#include "wire.h"

#include "cursor.h"

#include <sodium.h>
#include <string.h>

static const uint8_t magic[8] = {'P', 'B', 'C', 'A', 'S', 'T', '\r', '\n'};

void pbc_frame_encode(const struct pbc_frame *f, uint8_t out[PBC_FRAME_HEADER])
{
    struct cursor c = {.out = out};

    put_uint(&c, f->type, 1);
    put_uint(&c, f->bundle, 1);
    put_uint(&c, 0, 2);
    put_uint(&c, f->length, 4);
    put_uint(&c, f->aux, 8);
    put(&c, f->tag, sizeof(f->tag));
}

enum { UP = 1, DOWN = 2, BUNDLE = 4, TAG = 8 };

static const struct kind {
    uint8_t type;
    uint8_t is;
    uint32_t most; /* bytes */
} kinds[] = {
    {PBC_FRAME_PING, UP | DOWN, 0},
    {PBC_FRAME_CHECK, DOWN, PBC_SMALL_MAX},
    {PBC_FRAME_BEGIN, DOWN | BUNDLE, PBC_SMALL_MAX},
    {PBC_FRAME_DATA, DOWN | BUNDLE | TAG, PBC_CHUNK_BYTES},
    {PBC_FRAME_END, DOWN | BUNDLE, PBC_SMALL_MAX},
    {PBC_FRAME_DONE, DOWN, 0},
    {PBC_FRAME_COMMIT, DOWN, 0},
    {PBC_FRAME_ABORT, DOWN, PBC_SMALL_MAX},
    {PBC_FRAME_LEAF, DOWN, PBC_SMALL_MAX},
    {PBC_FRAME_MOVE, DOWN, PBC_SMALL_MAX},
    {PBC_FRAME_HAVE, UP, PBC_SMALL_MAX},
    {PBC_FRAME_PROGRESS, UP, 0},
    {PBC_FRAME_READY, UP, PBC_SMALL_MAX},
    {PBC_FRAME_COMMITTED, UP, 0},
    {PBC_FRAME_FAILED, UP, PBC_SMALL_MAX},
    {PBC_FRAME_LEFT, UP, 0},
    {PBC_FRAME_CLAIM, UP, PBC_SMALL_MAX},
};

static const struct kind *kind_of(uint8_t type)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (kinds[i].type == type)
            return &kinds[i];
    }
    return NULL;
}

int pbc_frame_decode(const uint8_t in[PBC_FRAME_HEADER], int from_parent, struct pbc_frame *out,
                     struct pbc_error *err)
{
    struct cursor c = {.in = in, .len = PBC_FRAME_HEADER};
    const struct kind *kind;
    struct pbc_frame f;
    uint64_t reserved;

    f.type = (uint8_t)get_uint(&c, 1);
    f.bundle = (uint8_t)get_uint(&c, 1);
    reserved = get_uint(&c, 2);
    f.length = (uint32_t)get_uint(&c, 4);
    f.aux = get_uint(&c, 8);
    get(&c, f.tag, sizeof(f.tag));

    kind = kind_of(f.type);
    if (kind == NULL || !(kind->is & (from_parent ? DOWN : UP)))
        return pbc_fail(err, PBC_EXIT_PEER, "unexpected frame type %u", f.type);
    if (reserved != 0 || (!(kind->is & TAG) && !sodium_is_zero(f.tag, sizeof(f.tag))))
        return pbc_fail(err, PBC_EXIT_PEER, "frame with reserved bits set");
    if (f.length > kind->most)
        return pbc_fail(err, PBC_EXIT_PEER,
                        "frame of type %u with %u bytes, at most %u are allowed", f.type, f.length,
                        kind->most);
    if (f.bundle >= (kind->is & BUNDLE ? PBC_BUNDLES_MAX : 1))
        return pbc_fail(err, PBC_EXIT_PEER, "frame of type %u for bundle %u", f.type, f.bundle);
    *out = f;
    return 0;
}

/* --- record -------------------------------------------------------------------------------- */

void pbc_record_encode(const struct pbc_record *r, uint8_t out[PBC_RECORD_BYTES])
{
    struct cursor c = {.out = out};
    char node[PBC_NODE_MAX] = "";

    memcpy(node, r->node, strnlen(r->node, sizeof(node) - 1));
    put_uint(&c, PBC_WIRE_VERSION, 4);
    put_uint(&c, r->family, 1);
    put(&c, r->address, sizeof(r->address));
    put_uint(&c, r->port, 2);
    put_uint(&c, r->arity, 1);
    put(&c, r->key, sizeof(r->key));
    put(&c, node, sizeof(node));
}

int pbc_record_decode(const uint8_t in[PBC_RECORD_BYTES], struct pbc_record *r,
                      struct pbc_error *err)
{
    struct cursor c = {.in = in, .len = PBC_RECORD_BYTES};
    uint32_t version = (uint32_t)get_uint(&c, 4);

    r->family = (uint8_t)get_uint(&c, 1);
    get(&c, r->address, sizeof(r->address));
    r->port = (uint16_t)get_uint(&c, 2);
    r->arity = (uint8_t)get_uint(&c, 1);
    get(&c, r->key, sizeof(r->key));
    get(&c, r->node, sizeof(r->node));
    r->node[sizeof(r->node) - 1] = '\0';
    if (version != PBC_WIRE_VERSION)
        return pbc_fail(err, PBC_EXIT_PEER, "protocol version %u, expected %u", version,
                        PBC_WIRE_VERSION);
    return finish(&c, "record", err);
}

/* --- handshake ----------------------------------------------------------------------------- */

void pbc_hello_make(struct pbc_handshake *hs, uint8_t out[PBC_HELLO_BYTES])
{
    struct cursor c = {.out = out};

    randombytes_buf(hs->child_nonce, sizeof(hs->child_nonce));
    put(&c, magic, sizeof(magic));
    put_uint(&c, PBC_WIRE_VERSION, 4);
    put_uint(&c, hs->child, 4);
    put(&c, hs->child_nonce, PBC_NONCE_BYTES);
}

int pbc_hello_take(struct pbc_handshake *hs, const uint8_t in[PBC_HELLO_BYTES],
                   struct pbc_error *err)
{
    struct cursor c = {.in = in, .len = PBC_HELLO_BYTES};
    uint8_t m[sizeof(magic)];
    uint32_t version;

    get(&c, m, sizeof(m));
    if (memcmp(m, magic, sizeof(m)) != 0)
        return pbc_fail(err, PBC_EXIT_PEER, "a connection that is not pbcast's");
    version = (uint32_t)get_uint(&c, 4);
    if (version != PBC_WIRE_VERSION)
        return pbc_fail(err, PBC_EXIT_PEER, "protocol version %u, expected %u", version,
                        PBC_WIRE_VERSION);
    hs->child = (uint32_t)get_uint(&c, 4);
    get(&c, hs->child_nonce, PBC_NONCE_BYTES);
    return 0;
}

static void proof(const struct pbc_handshake *hs, const char *role,
                  const uint8_t key[PBC_KEY_BYTES], uint8_t mac[PBC_MAC_BYTES])
{
    uint8_t ranks[8];
    struct cursor c = {.out = ranks};
    crypto_auth_hmacsha256_state st;

    put_uint(&c, hs->child, 4);
    put_uint(&c, hs->parent, 4);
    crypto_auth_hmacsha256_init(&st, key, PBC_KEY_BYTES);
    crypto_auth_hmacsha256_update(&st, (const uint8_t *)role, strlen(role));
    crypto_auth_hmacsha256_update(&st, hs->child_nonce, PBC_NONCE_BYTES);
    crypto_auth_hmacsha256_update(&st, hs->parent_nonce, PBC_NONCE_BYTES);
    crypto_auth_hmacsha256_update(&st, ranks, sizeof(ranks));
    crypto_auth_hmacsha256_final(&st, mac);
}

static int proof_equal(const struct pbc_handshake *hs, const char *role,
                       const uint8_t key[PBC_KEY_BYTES], const uint8_t mac[PBC_MAC_BYTES],
                       struct pbc_error *err)
{
    uint8_t want[PBC_MAC_BYTES];

    proof(hs, role, key, want);
    if (sodium_memcmp(want, mac, PBC_MAC_BYTES) != 0)
        return pbc_fail(err, PBC_EXIT_PEER, "a peer that does not know this run's key");
    return 0;
}

void pbc_challenge_make(struct pbc_handshake *hs, const uint8_t key[PBC_KEY_BYTES],
                        uint8_t out[PBC_CHALLENGE_BYTES])
{
    randombytes_buf(hs->parent_nonce, sizeof(hs->parent_nonce));
    memcpy(out, hs->parent_nonce, PBC_NONCE_BYTES);
    proof(hs, "pbcast parent", key, out + PBC_NONCE_BYTES);
}

int pbc_challenge_take(struct pbc_handshake *hs, const uint8_t key[PBC_KEY_BYTES],
                       const uint8_t in[PBC_CHALLENGE_BYTES], struct pbc_error *err)
{
    memcpy(hs->parent_nonce, in, PBC_NONCE_BYTES);
    return proof_equal(hs, "pbcast parent", key, in + PBC_NONCE_BYTES, err);
}

void pbc_proof_make(const struct pbc_handshake *hs, const uint8_t key[PBC_KEY_BYTES],
                    uint8_t out[PBC_PROOF_BYTES])
{
    proof(hs, "pbcast child", key, out);
}

int pbc_proof_take(const struct pbc_handshake *hs, const uint8_t key[PBC_KEY_BYTES],
                   const uint8_t in[PBC_PROOF_BYTES], struct pbc_error *err)
{
    return proof_equal(hs, "pbcast child", key, in, err);
}
