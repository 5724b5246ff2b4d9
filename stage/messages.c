/* The payloads of frames (wire.h). */
#include "wire.h"

#include "cursor.h"

#include <sodium.h>
#include <string.h>

uint32_t pbc_check_encode(const struct pbc_msg_check *m, uint8_t *out)
{
    struct cursor c = {.out = out};

    put(&c, m->set, PBC_SET_ID_LEN);
    put_uint(&c, m->bundles, 4);
    put_uint(&c, m->bytes, 8);
    for (uint32_t i = 0; i + 1 < m->bundles && i + 1 < PBC_BUNDLES_MAX; i++)
        put(&c, m->base[i], PBC_SET_ID_LEN);
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
    for (uint32_t i = 0; !c.bad && i + 1 < m->bundles; i++) {
        get(&c, m->base[i], PBC_SET_ID_LEN);
        m->base[i][PBC_SET_ID_LEN] = '\0';
        if (!pbc_set_id_valid(m->base[i]))
            c.bad = 1;
    }
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
    for (uint32_t i = 0; i + 1 < check->bundles && i + 1 < PBC_BUNDLES_MAX; i++)
        crypto_auth_hmacsha256_update(&st, (const uint8_t *)check->base[i], PBC_SET_ID_LEN);
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
    put_uint(&c, m->bases, 8);
    return c.at;
}

int pbc_have_decode(const uint8_t *in, uint32_t len, struct pbc_msg_have *m, struct pbc_error *err)
{
    struct cursor c = {.in = in, .len = len};

    m->nodes = (uint32_t)get_uint(&c, 4);
    m->have = (uint32_t)get_uint(&c, 4);
    m->free = get_uint(&c, 8);
    get_text(&c, m->tightest, sizeof(m->tightest));
    m->bases = get_uint(&c, 8);
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

uint32_t pbc_move_encode(const struct pbc_msg_move *m, uint8_t *out)
{
    struct cursor c = {.out = out};

    put_uint(&c, m->family, 1);
    put(&c, m->address, sizeof(m->address));
    put_uint(&c, m->port, 2);
    put_text(&c, m->node);
    return c.at;
}

int pbc_move_decode(const uint8_t *in, uint32_t len, struct pbc_msg_move *m, struct pbc_error *err)
{
    struct cursor c = {.in = in, .len = len};

    m->family = (uint8_t)get_uint(&c, 1);
    get(&c, m->address, sizeof(m->address));
    m->port = (uint16_t)get_uint(&c, 2);
    get_text(&c, m->node, sizeof(m->node));
    if (m->family != 4 && m->family != 6)
        c.bad = 1;
    return finish(&c, "MOVE", err);
}

uint32_t pbc_claim_encode(const struct pbc_msg_claim *m, uint8_t *out)
{
    struct cursor c = {.out = out};

    put_uint(&c, m->lane, 1);
    put_text(&c, m->node);
    return c.at;
}

int pbc_claim_decode(const uint8_t *in, uint32_t len, struct pbc_msg_claim *m,
                     struct pbc_error *err)
{
    struct cursor c = {.in = in, .len = len};

    m->lane = (uint8_t)get_uint(&c, 1);
    get_text(&c, m->node, sizeof(m->node));
    return finish(&c, "CLAIM", err);
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
