#include "wire.h"

#include <sodium.h>
#include <string.h>

static const uint8_t magic[8] = {'P', 'B', 'C', 'A', 'S', 'T', '\r', '\n'};

/* A cursor over a message. Reading past the end sets `bad` and gives zeros. */
struct cursor {
    uint8_t *out;
    const uint8_t *in;
    uint32_t at;
    uint32_t len;
    int bad;
};

static void put(struct cursor *c, const void *from, uint32_t n)
{
    memcpy(c->out + c->at, from, n);
    c->at += n;
}

static void put_uint(struct cursor *c, uint64_t v, unsigned bytes)
{
    for (unsigned i = bytes; i-- > 0;)
        c->out[c->at++] = (uint8_t)(v >> (8 * i));
}

/* A string: two bytes of length, then its bytes. */
static void put_text(struct cursor *c, const char *s)
{
    uint32_t n = (uint32_t)strlen(s);

    put_uint(c, n, 2);
    put(c, s, n);
}

static void get(struct cursor *c, void *to, uint32_t n)
{
    if (c->bad || c->len - c->at < n) {
        c->bad = 1;
        memset(to, 0, n);
        return;
    }
    memcpy(to, c->in + c->at, n);
    c->at += n;
}

static uint64_t get_uint(struct cursor *c, unsigned bytes)
{
    uint8_t b[8];
    uint64_t v = 0;

    get(c, b, bytes);
    for (unsigned i = 0; i < bytes; i++)
        v = v << 8 | b[i];
    return v;
}

static void get_text(struct cursor *c, char *to, uint32_t size)
{
    uint32_t n = (uint32_t)get_uint(c, 2);

    to[0] = '\0';
    if (c->bad || n >= size) {
        c->bad = 1;
        return;
    }
    get(c, to, n);
    to[c->bad ? 0 : n] = '\0';
    if (strlen(to) != (c->bad ? 0 : n))
        c->bad = 1;
}

static int finish(const struct cursor *c, const char *what, struct pbc_error *err)
{
    if (c->bad || c->at != c->len)
        return pbc_fail(err, PBC_EXIT_PEER, "malformed %s message", what);
    return 0;
}

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
    {PBC_FRAME_LEAF, DOWN, 0},
    {PBC_FRAME_MOVE, DOWN, 0},
    {PBC_FRAME_HAVE, UP, PBC_SMALL_MAX},
    {PBC_FRAME_PROGRESS, UP, 0},
    {PBC_FRAME_READY, UP, PBC_SMALL_MAX},
    {PBC_FRAME_COMMITTED, UP, 0},
    {PBC_FRAME_FAILED, UP, PBC_SMALL_MAX},
    {PBC_FRAME_LEFT, UP, 0},
    {PBC_FRAME_CLAIM, UP, 0},
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

/* --- payloads ------------------------------------------------------------------------------ */

uint32_t pbc_check_encode(const struct pbc_msg_check *m, uint8_t *out)
{
    struct cursor c = {.out = out};

    put(&c, m->set, PBC_SET_ID_LEN);
    put_uint(&c, m->bundles, 4);
    put_uint(&c, m->bytes, 8);
    return c.at;
}

int pbc_check_decode(const uint8_t *in, uint32_t len, struct pbc_msg_check *m,
                     struct pbc_error *err)
{
    struct cursor c = {.in = in, .len = len};

    get(&c, m->set, PBC_SET_ID_LEN);
    m->set[PBC_SET_ID_LEN] = '\0';
    m->bundles = (uint32_t)get_uint(&c, 4);
    m->bytes = get_uint(&c, 8);
    if (!pbc_set_id_valid(m->set) || m->bundles == 0 || m->bundles > PBC_BUNDLES_MAX)
        c.bad = 1;
    return finish(&c, "CHECK", err);
}

uint32_t pbc_begin_encode(const struct pbc_msg_begin *m, uint8_t *out)
{
    struct cursor c = {.out = out};

    put_uint(&c, (uint64_t)m->format, 1);
    put_uint(&c, m->bytes, 8);
    put_text(&c, m->path);
    return c.at;
}

int pbc_begin_decode(const uint8_t *in, uint32_t len, struct pbc_msg_begin *m,
                     struct pbc_error *err)
{
    struct cursor c = {.in = in, .len = len};
    uint64_t format = get_uint(&c, 1);

    m->bytes = get_uint(&c, 8);
    get_text(&c, m->path, sizeof(m->path));
    if (format == PBC_FORMAT_UNKNOWN || format > PBC_FORMAT_LZ4)
        c.bad = 1;
    m->format = (enum pbc_format)format;
    return finish(&c, "BEGIN", err);
}

static void end_mac(const struct pbc_msg_end *m, const struct pbc_msg_check *check, uint8_t bundle,
                    const uint8_t key[PBC_KEY_BYTES], uint8_t mac[PBC_MAC_BYTES])
{
    static const char label[] = "pbcast end";
    uint8_t head[13];
    struct cursor c = {.out = head};
    crypto_auth_hmacsha256_state st;

    put_uint(&c, check->bundles, 4);
    put_uint(&c, bundle, 1);
    put_uint(&c, m->bytes, 8);
    crypto_auth_hmacsha256_init(&st, key, PBC_KEY_BYTES);
    crypto_auth_hmacsha256_update(&st, (const uint8_t *)label, sizeof(label) - 1);
    crypto_auth_hmacsha256_update(&st, (const uint8_t *)check->set, PBC_SET_ID_LEN);
    crypto_auth_hmacsha256_update(&st, head, sizeof(head));
    crypto_auth_hmacsha256_update(&st, m->digest, PBC_DIGEST_BYTES);
    crypto_auth_hmacsha256_final(&st, mac);
}

uint32_t pbc_end_encode(const struct pbc_msg_end *m, const struct pbc_msg_check *check,
                        uint8_t bundle, const uint8_t key[PBC_KEY_BYTES], uint8_t *out)
{
    struct cursor c = {.out = out};

    put_uint(&c, m->bytes, 8);
    put(&c, m->digest, PBC_DIGEST_BYTES);
    end_mac(m, check, bundle, key, out + c.at);
    return c.at + PBC_MAC_BYTES;
}

int pbc_end_decode(const uint8_t *in, uint32_t len, const struct pbc_msg_check *check,
                   uint8_t bundle, const uint8_t key[PBC_KEY_BYTES], struct pbc_msg_end *m,
                   struct pbc_error *err)
{
    struct cursor c = {.in = in, .len = len};
    uint8_t got[PBC_MAC_BYTES];
    uint8_t want[PBC_MAC_BYTES];

    m->bytes = get_uint(&c, 8);
    get(&c, m->digest, PBC_DIGEST_BYTES);
    get(&c, got, sizeof(got));
    if (finish(&c, "END", err) != 0)
        return -1;
    end_mac(m, check, bundle, key, want);
    if (sodium_memcmp(got, want, sizeof(want)) != 0)
        return pbc_fail(err, PBC_EXIT_PEER, "the digest of bundle %u was not made by the root node",
                        bundle);
    return 0;
}

uint32_t pbc_have_encode(const struct pbc_msg_have *m, uint8_t *out)
{
    struct cursor c = {.out = out};

    put_uint(&c, m->nodes, 4);
    put_uint(&c, m->have, 4);
    put_uint(&c, m->free, 8);
    put_text(&c, m->tightest);
    return c.at;
}

int pbc_have_decode(const uint8_t *in, uint32_t len, struct pbc_msg_have *m, struct pbc_error *err)
{
    struct cursor c = {.in = in, .len = len};

    m->nodes = (uint32_t)get_uint(&c, 4);
    m->have = (uint32_t)get_uint(&c, 4);
    m->free = get_uint(&c, 8);
    get_text(&c, m->tightest, sizeof(m->tightest));
    if (m->nodes == 0 || m->have > m->nodes)
        c.bad = 1;
    return finish(&c, "HAVE", err);
}

uint32_t pbc_ready_encode(const struct pbc_msg_ready *m, uint8_t *out)
{
    struct cursor c = {.out = out};

    put_uint(&c, m->nodes, 4);
    put_uint(&c, m->files, 8);
    put_uint(&c, m->bytes, 8);
    put_uint(&c, m->slowest_us, 8);
    put_text(&c, m->slowest);
    put_uint(&c, m->slow, 4);
    put_text(&c, m->slow_node);
    return c.at;
}

int pbc_ready_decode(const uint8_t *in, uint32_t len, struct pbc_msg_ready *m,
                     struct pbc_error *err)
{
    struct cursor c = {.in = in, .len = len};

    m->nodes = (uint32_t)get_uint(&c, 4);
    m->files = get_uint(&c, 8);
    m->bytes = get_uint(&c, 8);
    m->slowest_us = get_uint(&c, 8);
    get_text(&c, m->slowest, sizeof(m->slowest));
    m->slow = (uint32_t)get_uint(&c, 4);
    get_text(&c, m->slow_node, sizeof(m->slow_node));
    if (m->nodes == 0)
        c.bad = 1;
    return finish(&c, "READY", err);
}

uint32_t pbc_failed_encode(const struct pbc_msg_failed *m, uint8_t *out)
{
    struct cursor c = {.out = out};

    put_uint(&c, (uint64_t)m->error.code, 1);
    put_text(&c, m->node);
    put_text(&c, m->error.text);
    return c.at;
}

int pbc_failed_decode(const uint8_t *in, uint32_t len, struct pbc_msg_failed *m,
                      struct pbc_error *err)
{
    struct cursor c = {.in = in, .len = len};
    uint64_t code = get_uint(&c, 1);
    char text[PBC_ERROR_MAX];

    get_text(&c, m->node, sizeof(m->node));
    get_text(&c, text, sizeof(text));
    if (code == PBC_EXIT_OK || code > PBC_EXIT_AGAIN)
        c.bad = 1;
    /* Through pbc_fail, which cleans what a peer sent of control characters. */
    pbc_fail(&m->error, (enum pbc_exit)code, "%s", text);
    return finish(&c, "FAILED", err);
}
