/* What comes over a connection: a byte that says what it is taken for, then the message. Whatever
 * is decoded is encoded to the same bytes again. */
#include "fuzz.h"

#include "wire.h"

#include <string.h>

static const uint8_t key[PBC_KEY_BYTES] = {1, 2, 3};
static const struct pbc_msg_check of_set = {.set = "0123456789abcdef0123456789abcdef",
                                            .bundles = 3};

/* A message of a fixed size, filled up with zeros. */
static void fixed(const uint8_t *data, size_t size, uint8_t *out, size_t want)
{
    memset(out, 0, want);
    memcpy(out, data, size < want ? size : want);
}

static void frame(const uint8_t *data, size_t size, int from_parent)
{
    uint8_t in[PBC_FRAME_HEADER], again[PBC_FRAME_HEADER];
    struct pbc_error err;
    struct pbc_frame f;

    fixed(data, size, in, sizeof(in));
    if (pbc_frame_decode(in, from_parent, &f, &err) != 0) {
        CLAIM(err.code == PBC_EXIT_PEER);
        return;
    }
    CLAIM(f.length <= PBC_CHUNK_BYTES);
    CLAIM(f.bundle < PBC_BUNDLES_MAX);
    pbc_frame_encode(&f, again);
    CLAIM(memcmp(in, again, sizeof(in)) == 0);
}

static void record(const uint8_t *data, size_t size)
{
    uint8_t in[PBC_RECORD_BYTES], again[PBC_RECORD_BYTES];
    struct pbc_record r;
    struct pbc_error err;

    fixed(data, size, in, sizeof(in));
    if (pbc_record_decode(in, &r, &err) != 0) {
        CLAIM(err.code == PBC_EXIT_PEER);
        return;
    }
    CLAIM(memchr(r.node, '\0', sizeof(r.node)) != NULL);
    pbc_record_encode(&r, again); /* but for what follows the NUL of the node */
    CLAIM(memcmp(in, again, sizeof(in) - PBC_NODE_MAX) == 0);
}

/* Nobody who does not know the key gets through. */
static void handshake(const uint8_t *data, size_t size)
{
    struct pbc_handshake hs = {.child = 1, .parent = 0};
    uint8_t in[PBC_CHALLENGE_BYTES];
    struct pbc_error err;

    fixed(data, size, in, sizeof(in));
    (void)pbc_hello_take(&hs, in, &err);
    CLAIM(pbc_challenge_take(&hs, key, in, &err) != 0);
    CLAIM(err.code == PBC_EXIT_PEER);
    CLAIM(pbc_proof_take(&hs, key, in, &err) != 0);
}

#define MESSAGE(what)                                                                              \
    static void what(const uint8_t *data, size_t size)                                             \
    {                                                                                              \
        struct pbc_msg_##what m;                                                                   \
        uint8_t again[PBC_SMALL_MAX];                                                              \
        struct pbc_error err;                                                                      \
                                                                                                   \
        if (pbc_##what##_decode(data, (uint32_t)size, &m, &err) != 0) {                            \
            CLAIM(err.code == PBC_EXIT_PEER);                                                      \
            return;                                                                                \
        }                                                                                          \
        CLAIM(pbc_##what##_encode(&m, again) == size);                                             \
        CLAIM(memcmp(data, again, size) == 0);                                                     \
    }

MESSAGE(check)
MESSAGE(begin)
MESSAGE(have)
MESSAGE(ready)
MESSAGE(move)
MESSAGE(claim)

/* The text comes back cleaned, hence not to the byte. */
static void failed(const uint8_t *data, size_t size)
{
    struct pbc_msg_failed m;
    struct pbc_error err;
    uint8_t again[PBC_SMALL_MAX];

    if (pbc_failed_decode(data, (uint32_t)size, &m, &err) != 0) {
        CLAIM(err.code == PBC_EXIT_PEER);
        return;
    }
    CLAIM(m.error.code != PBC_EXIT_OK && m.error.code <= PBC_EXIT_AGAIN);
    CLAIM(pbc_failed_encode(&m, again) == size);
    for (const char *p = m.error.text; *p != '\0'; p++)
        CLAIM((unsigned char)*p >= 0x20 && *p != 0x7f);
}

static void end(const uint8_t *data, size_t size)
{
    struct pbc_msg_end m, out;
    uint8_t wire[PBC_SMALL_MAX];
    struct pbc_error err;
    uint32_t len;

    CLAIM(pbc_end_decode(data, (uint32_t)size, &of_set, 1, key, &m, &err) != 0);
    CLAIM(err.code == PBC_EXIT_PEER);
    if (size < sizeof(m.digest) + 2)
        return;
    m.bytes = data[0];
    memcpy(m.digest, data + 2, sizeof(m.digest));
    len = pbc_end_encode(&m, &of_set, data[1], key, wire);
    CLAIM(pbc_end_decode(wire, len, &of_set, data[1], key, &out, &err) == 0);
    CLAIM(out.bytes == m.bytes && memcmp(out.digest, m.digest, sizeof(m.digest)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size - 1 > PBC_SMALL_MAX)
        return 0;
    size--;
    switch (*data++ % 12) {
    case 0:
        frame(data, size, 0);
        break;
    case 1:
        frame(data, size, 1);
        break;
    case 2:
        record(data, size);
        break;
    case 3:
        handshake(data, size);
        break;
    case 4:
        check(data, size);
        break;
    case 5:
        begin(data, size);
        break;
    case 6:
        have(data, size);
        break;
    case 7:
        ready(data, size);
        break;
    case 8:
        failed(data, size);
        break;
    case 9:
        move(data, size);
        break;
    case 10:
        claim(data, size);
        break;
    default:
        end(data, size);
        break;
    }
    return 0;
}
