/* The protocol between agents: what is encoded is decoded, and nothing else is. */
#include "engine_support.h"

#include <sodium.h>
#include <string.h>

static const uint8_t key[PBC_KEY_BYTES] = {1, 2, 3};

/* ---- frame headers ---- */

static const struct {
    uint8_t type;
    int down; /* may come from a parent */
    int up;
    uint32_t most;
} types[] = {
    {PBC_FRAME_PING, 1, 1, 0},
    {PBC_FRAME_CHECK, 1, 0, PBC_SMALL_MAX},
    {PBC_FRAME_BEGIN, 1, 0, PBC_SMALL_MAX},
    {PBC_FRAME_DATA, 1, 0, PBC_CHUNK_BYTES},
    {PBC_FRAME_END, 1, 0, PBC_SMALL_MAX},
    {PBC_FRAME_DONE, 1, 0, 0},
    {PBC_FRAME_COMMIT, 1, 0, 0},
    {PBC_FRAME_ABORT, 1, 0, PBC_SMALL_MAX},
    {PBC_FRAME_LEAF, 1, 0, PBC_SMALL_MAX},
    {PBC_FRAME_MOVE, 1, 0, PBC_SMALL_MAX},
    {PBC_FRAME_HAVE, 0, 1, PBC_SMALL_MAX},
    {PBC_FRAME_PROGRESS, 0, 1, 0},
    {PBC_FRAME_READY, 0, 1, PBC_SMALL_MAX},
    {PBC_FRAME_COMMITTED, 0, 1, 0},
    {PBC_FRAME_FAILED, 0, 1, PBC_SMALL_MAX},
    {PBC_FRAME_LEFT, 0, 1, 0},
    {PBC_FRAME_CLAIM, 0, 1, PBC_SMALL_MAX},
};
#define NTYPES (sizeof(types) / sizeof(types[0]))

static int decode_header(struct pbc_frame f, int from_parent, struct pbc_frame *out)
{
    uint8_t wire[PBC_FRAME_HEADER];
    struct pbc_error err;
    int rc;

    pbc_frame_encode(&f, wire);
    rc = pbc_frame_decode(wire, from_parent, out, &err);
    if (rc != 0)
        assert_int_equal(err.code, PBC_EXIT_PEER);
    return rc;
}

static void a_header_is_what_was_encoded(void **state)
{
    (void)state;
    for (size_t i = 0; i < NTYPES; i++) {
        struct pbc_frame f = {
            .type = types[i].type, .length = types[i].most, .aux = 1ull << 63 | 7};
        struct pbc_frame out;

        if (f.type >= PBC_FRAME_BEGIN && f.type <= PBC_FRAME_END)
            f.bundle = PBC_BUNDLES_MAX - 1;
        assert_int_equal(decode_header(f, types[i].down, &out), 0);
        assert_int_equal(out.type, f.type);
        assert_int_equal(out.bundle, f.bundle);
        assert_int_equal(out.length, f.length);
        assert_true(out.aux == f.aux);
    }
}

static void a_frame_from_the_wrong_side_is_refused(void **state)
{
    struct pbc_frame out;

    (void)state;
    for (unsigned t = 0; t < 256; t++) {
        int down = 0;
        int up = 0;

        for (size_t i = 0; i < NTYPES; i++) {
            if (types[i].type == t) {
                down = types[i].down;
                up = types[i].up;
            }
        }
        assert_int_equal(decode_header((struct pbc_frame){.type = (uint8_t)t}, 1, &out),
                         down ? 0 : -1);
        assert_int_equal(decode_header((struct pbc_frame){.type = (uint8_t)t}, 0, &out),
                         up ? 0 : -1);
    }
}

static void a_frame_longer_than_its_type_allows_is_refused(void **state)
{
    struct pbc_frame out;

    (void)state;
    for (size_t i = 0; i < NTYPES; i++) {
        struct pbc_frame f = {.type = types[i].type, .length = types[i].most + 1};

        assert_int_equal(decode_header(f, types[i].down, &out), -1);
        f.length = UINT32_MAX;
        assert_int_equal(decode_header(f, types[i].down, &out), -1);
    }
}

static void reserved_bits_and_bundles_beyond_the_limit_are_refused(void **state)
{
    struct pbc_frame f = {.type = PBC_FRAME_DATA, .length = 1};
    struct pbc_frame out;
    struct pbc_error err;
    uint8_t wire[PBC_FRAME_HEADER];

    (void)state;
    for (unsigned bit = 0; bit < 16; bit++) {
        pbc_frame_encode(&f, wire);
        wire[2 + bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(pbc_frame_decode(wire, 1, &out, &err), -1);
        assert_error(&err, PBC_EXIT_PEER, "reserved");
    }
    f.bundle = PBC_BUNDLES_MAX;
    assert_int_equal(decode_header(f, 1, &out), -1);
    f.bundle = 255;
    assert_int_equal(decode_header(f, 1, &out), -1);
}

static void a_bundle_is_refused_where_a_frame_has_none(void **state)
{
    struct pbc_frame out;

    (void)state;
    for (size_t i = 0; i < NTYPES; i++) {
        struct pbc_frame f = {.type = types[i].type, .bundle = 1};
        int has_one = f.type >= PBC_FRAME_BEGIN && f.type <= PBC_FRAME_END;

        assert_int_equal(decode_header(f, types[i].down, &out), has_one ? 0 : -1);
    }
}

/* ---- records ---- */

static void a_record_is_what_was_encoded(void **state)
{
    struct pbc_record in = {.family = 6, .port = 65535, .arity = 8, .node = "node[7]"};
    struct pbc_record out;
    struct pbc_error err;
    uint8_t wire[PBC_RECORD_BYTES];
    uint8_t again[PBC_RECORD_BYTES];

    (void)state;
    memset(in.address, 0xab, sizeof(in.address));
    memset(in.key, 0xcd, sizeof(in.key));
    pbc_record_encode(&in, wire);
    assert_int_equal(pbc_record_decode(wire, &out, &err), 0);
    assert_int_equal(out.family, 6);
    assert_int_equal(out.port, 65535);
    assert_int_equal(out.arity, 8);
    assert_string_equal(out.node, "node[7]");
    pbc_record_encode(&out, again);
    assert_memory_equal(wire, again, sizeof(wire));
}

static void a_record_of_another_version_is_refused(void **state)
{
    struct pbc_record r = {.family = 4};
    struct pbc_error err;
    uint8_t wire[PBC_RECORD_BYTES];

    (void)state;
    for (unsigned bit = 0; bit < 32; bit++) {
        pbc_record_encode(&r, wire);
        wire[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(pbc_record_decode(wire, &r, &err), -1);
        assert_error(&err, PBC_EXIT_PEER, "version");
    }
}

static void the_node_of_a_record_ends_whatever_was_sent(void **state)
{
    struct pbc_record r = {.family = 4};
    struct pbc_error err;
    uint8_t wire[PBC_RECORD_BYTES];

    (void)state;
    pbc_record_encode(&r, wire);
    memset(wire + PBC_RECORD_BYTES - PBC_NODE_MAX, 'n', PBC_NODE_MAX);
    if (pbc_record_decode(wire, &r, &err) == 0)
        assert_int_equal(strlen(r.node), PBC_NODE_MAX - 1);
}

/* ---- handshake ---- */

enum { HELLO, CHALLENGE, PROOF, MESSAGES };
static const size_t message_bytes[MESSAGES] = {PBC_HELLO_BYTES, PBC_CHALLENGE_BYTES,
                                               PBC_PROOF_BYTES};

/* Shake hands with one bit of one message flipped. 0 if both ends agree to go on. */
static int shake(int message, size_t bit, const uint8_t *parent_key)
{
    struct pbc_handshake child = {.child = 5, .parent = 2};
    struct pbc_handshake parent = {.parent = 2};
    struct pbc_error err;
    uint8_t wire[PBC_CHALLENGE_BYTES];
    uint8_t flip = (uint8_t)(1u << bit % 8);

    pbc_hello_make(&child, wire);
    wire[message == HELLO ? bit / 8 : 0] ^= message == HELLO ? flip : 0;
    if (pbc_hello_take(&parent, wire, &err) != 0)
        return HELLO + 1;
    pbc_challenge_make(&parent, parent_key, wire);
    wire[message == CHALLENGE ? bit / 8 : 0] ^= message == CHALLENGE ? flip : 0;
    if (pbc_challenge_take(&child, key, wire, &err) != 0)
        return CHALLENGE + 1;
    pbc_proof_make(&child, key, wire);
    wire[message == PROOF ? bit / 8 : 0] ^= message == PROOF ? flip : 0;
    if (pbc_proof_take(&parent, parent_key, wire, &err) != 0)
        return PROOF + 1;
    assert_int_equal(parent.child, 5);
    return 0;
}

static void both_ends_that_know_the_key_agree(void **state)
{
    (void)state;
    assert_int_equal(shake(MESSAGES, 0, key), 0);
}

static void a_flipped_bit_anywhere_in_the_handshake_is_refused(void **state)
{
    (void)state;
    for (int m = 0; m < MESSAGES; m++) {
        for (size_t bit = 0; bit < 8 * message_bytes[m]; bit++) {
            if (shake(m, bit, key) == 0)
                fail_msg("message %d with bit %zu flipped is accepted", m, bit);
        }
    }
}

static void a_parent_with_another_key_is_refused_before_the_child_proves_itself(void **state)
{
    uint8_t other[PBC_KEY_BYTES];

    (void)state;
    for (size_t bit = 0; bit < 8 * sizeof(other); bit++) {
        memcpy(other, key, sizeof(other));
        other[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(shake(MESSAGES, 0, other), CHALLENGE + 1);
    }
}

static void a_challenge_is_no_proof(void **state)
{
    struct pbc_handshake hs = {.child = 1};
    struct pbc_error err;
    uint8_t wire[PBC_CHALLENGE_BYTES];

    (void)state;
    randombytes_buf(hs.child_nonce, sizeof(hs.child_nonce));
    pbc_challenge_make(&hs, key, wire);
    assert_int_equal(pbc_proof_take(&hs, key, wire + PBC_NONCE_BYTES, &err), -1);
    assert_error(&err, PBC_EXIT_PEER, "key");
}

static void a_proof_for_another_parent_or_of_another_connection_is_refused(void **state)
{
    struct pbc_handshake hs = {.child = 3, .parent = 1};
    struct pbc_handshake other;
    struct pbc_error err;
    uint8_t wire[PBC_PROOF_BYTES];

    (void)state;
    pbc_proof_make(&hs, key, wire);
    assert_int_equal(pbc_proof_take(&hs, key, wire, &err), 0);
    other = hs;
    other.parent = 0;
    assert_int_equal(pbc_proof_take(&other, key, wire, &err), -1);
    other = hs;
    other.child = 4;
    assert_int_equal(pbc_proof_take(&other, key, wire, &err), -1);
    other = hs;
    other.parent_nonce[31] ^= 1;
    assert_int_equal(pbc_proof_take(&other, key, wire, &err), -1);
}

static void nonces_differ_from_connection_to_connection(void **state)
{
    struct pbc_handshake hs = {0};
    uint8_t a[PBC_HELLO_BYTES];
    uint8_t b[PBC_HELLO_BYTES];

    (void)state;
    pbc_hello_make(&hs, a);
    pbc_hello_make(&hs, b);
    assert_memory_not_equal(a, b, sizeof(a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_is_what_was_encoded),
        cmocka_unit_test(a_frame_from_the_wrong_side_is_refused),
        cmocka_unit_test(a_frame_longer_than_its_type_allows_is_refused),
        cmocka_unit_test(reserved_bits_and_bundles_beyond_the_limit_are_refused),
        cmocka_unit_test(a_bundle_is_refused_where_a_frame_has_none),
        cmocka_unit_test(a_record_is_what_was_encoded),
        cmocka_unit_test(a_record_of_another_version_is_refused),
        cmocka_unit_test(the_node_of_a_record_ends_whatever_was_sent),
        cmocka_unit_test(both_ends_that_know_the_key_agree),
        cmocka_unit_test(a_flipped_bit_anywhere_in_the_handshake_is_refused),
        cmocka_unit_test(a_parent_with_another_key_is_refused_before_the_child_proves_itself),
        cmocka_unit_test(a_challenge_is_no_proof),
        cmocka_unit_test(a_proof_for_another_parent_or_of_another_connection_is_refused),
        cmocka_unit_test(nonces_differ_from_connection_to_connection),
    };

    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
