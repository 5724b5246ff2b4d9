/* The payloads of frames: round trips, and refusal of all that an agent would not have written. */
#include "engine_support.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define SET "0123456789abcdef0123456789abcdef"

static const uint8_t key[PBC_KEY_BYTES] = {9};
static const struct pbc_msg_check of_set = {.set = SET, .bundles = 5};

/* A message of each kind, its encoding, and a decoder that says whether it took it. */
static uint32_t make_check(uint8_t *out)
{
    struct pbc_msg_check m = {.set = SET, .bundles = PBC_BUNDLES_MAX, .bytes = UINT64_MAX};

    for (unsigned i = 0; i + 1 < PBC_BUNDLES_MAX; i++)
        memcpy(m.base[i], SET, sizeof(m.base[i]));
    return pbc_check_encode(&m, out);
}

static int take_check(const uint8_t *in, uint32_t len, struct pbc_error *err)
{
    struct pbc_msg_check m;
    uint8_t again[PBC_SMALL_MAX];

    if (pbc_check_decode(in, len, &m, err) != 0)
        return -1;
    assert_int_equal(pbc_check_encode(&m, again), len);
    assert_memory_equal(in, again, len);
    return 0;
}

static uint32_t make_begin(uint8_t *out)
{
    struct pbc_msg_begin m = {.format = PBC_FORMAT_LZ4, .bytes = 1ull << 40};

    memset(m.path, 'p', sizeof(m.path) - 1);
    return pbc_begin_encode(&m, out);
}

static int take_begin(const uint8_t *in, uint32_t len, struct pbc_error *err)
{
    struct pbc_msg_begin m;
    uint8_t again[PBC_SMALL_MAX];

    if (pbc_begin_decode(in, len, &m, err) != 0)
        return -1;
    assert_int_equal(pbc_begin_encode(&m, again), len);
    assert_memory_equal(in, again, len);
    return 0;
}

static uint32_t make_end(uint8_t *out)
{
    struct pbc_msg_end m = {.bytes = 12345};

    memset(m.digest, 0x5a, sizeof(m.digest));
    return pbc_end_encode(&m, &of_set, 3, key, out);
}

static int take_end(const uint8_t *in, uint32_t len, struct pbc_error *err)
{
    struct pbc_msg_end m;
    uint8_t again[PBC_SMALL_MAX];

    if (pbc_end_decode(in, len, &of_set, 3, key, &m, err) != 0)
        return -1;
    assert_int_equal(pbc_end_encode(&m, &of_set, 3, key, again), len);
    assert_memory_equal(in, again, len);
    return 0;
}

static uint32_t make_have(uint8_t *out)
{
    struct pbc_msg_have m = {
        .nodes = 7, .have = 6, .free = 1, .bases = 5, .tightest = "node-with-a-name"};

    return pbc_have_encode(&m, out);
}

static int take_have(const uint8_t *in, uint32_t len, struct pbc_error *err)
{
    struct pbc_msg_have m;
    uint8_t again[PBC_SMALL_MAX];

    if (pbc_have_decode(in, len, &m, err) != 0)
        return -1;
    assert_int_equal(pbc_have_encode(&m, again), len);
    assert_memory_equal(in, again, len);
    return 0;
}

static uint32_t make_ready(uint8_t *out)
{
    struct pbc_msg_ready m = {
        .nodes = 1, .files = 2, .bytes = 3, .slowest_us = 4, .slow = 2, .slow_node = "n3"};

    memset(m.slowest, 's', sizeof(m.slowest) - 1);
    return pbc_ready_encode(&m, out);
}

static int take_ready(const uint8_t *in, uint32_t len, struct pbc_error *err)
{
    struct pbc_msg_ready m;
    uint8_t again[PBC_SMALL_MAX];

    if (pbc_ready_decode(in, len, &m, err) != 0)
        return -1;
    assert_int_equal(pbc_ready_encode(&m, again), len);
    assert_memory_equal(in, again, len);
    return 0;
}

static uint32_t make_move(uint8_t *out)
{
    struct pbc_msg_move m = {.family = 6, .address = {1, 2}, .port = 0x1234, .node = "n7"};

    return pbc_move_encode(&m, out);
}

static int take_move(const uint8_t *in, uint32_t len, struct pbc_error *err)
{
    struct pbc_msg_move m;
    uint8_t again[PBC_SMALL_MAX];

    if (pbc_move_decode(in, len, &m, err) != 0)
        return -1;
    assert_int_equal(pbc_move_encode(&m, again), len);
    assert_memory_equal(in, again, len);
    return 0;
}

static uint32_t make_claim(uint8_t *out)
{
    struct pbc_msg_claim m = {.lane = 1, .node = "n8"};

    return pbc_claim_encode(&m, out);
}

static int take_claim(const uint8_t *in, uint32_t len, struct pbc_error *err)
{
    struct pbc_msg_claim m;
    uint8_t again[PBC_SMALL_MAX];

    if (pbc_claim_decode(in, len, &m, err) != 0)
        return -1;
    assert_int_equal(pbc_claim_encode(&m, again), len);
    assert_memory_equal(in, again, len);
    return 0;
}

static uint32_t make_failed(uint8_t *out)
{
    struct pbc_msg_failed m = {.node = "n1"};

    pbc_fail(&m.error, PBC_EXIT_AGAIN, "why it failed");
    return pbc_failed_encode(&m, out);
}

static int take_failed(const uint8_t *in, uint32_t len, struct pbc_error *err)
{
    struct pbc_msg_failed m;

    return pbc_failed_decode(in, len, &m, err);
}

static const struct {
    const char *name;
    uint32_t (*make)(uint8_t *out);
    int (*take)(const uint8_t *in, uint32_t len, struct pbc_error *err);
} kinds[] = {
    {"CHECK", make_check, take_check}, {"BEGIN", make_begin, take_begin},
    {"END", make_end, take_end},       {"HAVE", make_have, take_have},
    {"READY", make_ready, take_ready}, {"MOVE", make_move, take_move},
    {"CLAIM", make_claim, take_claim}, {"FAILED", make_failed, take_failed},
};
#define NKINDS (sizeof(kinds) / sizeof(kinds[0]))

/* Decode from memory of exactly this size, so that a sanitizer sees each byte read beyond it. */
static int take(size_t kind, const uint8_t *in, uint32_t len, struct pbc_error *err)
{
    uint8_t *exact = malloc(len > 0 ? len : 1);
    int rc;

    assert_non_null(exact);
    memcpy(exact, in, len);
    rc = kinds[kind].take(exact, len, err);
    free(exact);
    return rc;
}

static void every_message_is_decoded_to_what_was_encoded(void **state)
{
    uint8_t wire[PBC_SMALL_MAX];
    struct pbc_error err;

    (void)state;
    for (size_t k = 0; k < NKINDS; k++) {
        uint32_t len = kinds[k].make(wire);

        assert_in_range(len, 1, PBC_SMALL_MAX);
        if (take(k, wire, len, &err) != 0)
            fail_msg("%s: %s", kinds[k].name, err.text);
    }
}

static void every_truncation_of_a_message_is_refused(void **state)
{
    uint8_t wire[PBC_SMALL_MAX];
    struct pbc_error err;

    (void)state;
    for (size_t k = 0; k < NKINDS; k++) {
        uint32_t len = kinds[k].make(wire);

        for (uint32_t n = 0; n < len; n++) {
            if (take(k, wire, n, &err) == 0)
                fail_msg("%u of the %u bytes of %s are accepted", n, len, kinds[k].name);
            assert_error(&err, PBC_EXIT_PEER, kinds[k].name);
        }
    }
}

static void a_message_with_something_after_it_is_refused(void **state)
{
    uint8_t wire[PBC_SMALL_MAX + 1];
    struct pbc_error err;

    (void)state;
    for (size_t k = 0; k < NKINDS; k++) {
        uint32_t len = kinds[k].make(wire);

        wire[len] = 0;
        assert_int_equal(take(k, wire, len + 1, &err), -1);
        assert_error(&err, PBC_EXIT_PEER, kinds[k].name);
    }
}

/* take() compares with the encoding of what was decoded: a flip is either refused or meant. */
static void a_flipped_bit_is_refused_or_another_valid_message(void **state)
{
    uint8_t wire[PBC_SMALL_MAX];
    struct pbc_error err;

    (void)state;
    for (size_t k = 0; k < NKINDS; k++) {
        uint32_t len = kinds[k].make(wire);

        for (uint32_t bit = 0; bit < 8 * len; bit++) {
            wire[bit / 8] ^= (uint8_t)(1u << bit % 8);
            take(k, wire, len, &err);
            wire[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        assert_int_equal(take(k, wire, len, &err), 0);
    }
}

static void every_flipped_bit_of_an_end_is_refused(void **state)
{
    uint8_t wire[PBC_SMALL_MAX];
    uint32_t len = make_end(wire);
    struct pbc_error err;

    (void)state;
    for (uint32_t bit = 0; bit < 8 * len; bit++) {
        wire[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (take_end(wire, len, &err) == 0)
            fail_msg("END with bit %u flipped is accepted", bit);
        assert_error(&err, PBC_EXIT_PEER, "not made by the root");
        wire[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void an_end_of_another_set_bundle_or_key_is_refused(void **state)
{
    uint8_t other[PBC_KEY_BYTES] = {8};
    struct pbc_msg_check set = of_set;
    uint8_t wire[PBC_SMALL_MAX];
    uint32_t len = make_end(wire);
    struct pbc_msg_end m;
    struct pbc_error err;

    (void)state;
    assert_int_equal(pbc_end_decode(wire, len, &set, 3, key, &m, &err), 0);
    assert_int_equal(pbc_end_decode(wire, len, &set, 2, key, &m, &err), -1);
    assert_int_equal(pbc_end_decode(wire, len, &set, 3, other, &m, &err), -1);
    set.bundles--;
    assert_int_equal(pbc_end_decode(wire, len, &set, 3, key, &m, &err), -1);
    set.bundles++;
    set.set[0] = 'f';
    assert_int_equal(pbc_end_decode(wire, len, &set, 3, key, &m, &err), -1);
    set = of_set;
    set.base[3][31] = 'f'; /* it would extend another */
    assert_int_equal(pbc_end_decode(wire, len, &set, 3, key, &m, &err), -1);
}

static void values_out_of_range_are_refused(void **state)
{
    struct pbc_msg_check check = {.set = SET, .bundles = 1};
    struct pbc_msg_begin begin = {.format = PBC_FORMAT_TAR, .path = "/b"};
    struct pbc_msg_have have = {.nodes = 1};
    struct pbc_msg_ready ready = {.nodes = 0};
    struct pbc_msg_failed failed = {.error = {.code = PBC_EXIT_OK}};
    uint8_t w[PBC_SMALL_MAX];
    struct pbc_error err;

    (void)state;
    check.bundles = 0;
    assert_int_equal(take_check(w, pbc_check_encode(&check, w), &err), -1);
    check.bundles = PBC_BUNDLES_MAX + 1;
    assert_int_equal(take_check(w, pbc_check_encode(&check, w), &err), -1);
    check.bundles = 1;
    check.set[5] = 'X';
    assert_int_equal(take_check(w, pbc_check_encode(&check, w), &err), -1);
    check = (struct pbc_msg_check){.set = SET, .bundles = 2, .base = {SET}};
    assert_int_equal(take_check(w, pbc_check_encode(&check, w), &err), 0);
    assert_int_equal(take_check(w, pbc_check_encode(&check, w) - 1, &err), -1);
    check.base[0][5] = 'X';
    assert_int_equal(take_check(w, pbc_check_encode(&check, w), &err), -1);
    begin.format = PBC_FORMAT_UNKNOWN;
    assert_int_equal(take_begin(w, pbc_begin_encode(&begin, w), &err), -1);
    begin.format = (enum pbc_format)(PBC_FORMAT_LZ4 + 1);
    assert_int_equal(take_begin(w, pbc_begin_encode(&begin, w), &err), -1);
    have.have = 2;
    assert_int_equal(take_have(w, pbc_have_encode(&have, w), &err), -1);
    have.nodes = have.have = 0;
    assert_int_equal(take_have(w, pbc_have_encode(&have, w), &err), -1);
    assert_int_equal(take_ready(w, pbc_ready_encode(&ready, w), &err), -1);
    assert_int_equal(take_failed(w, pbc_failed_encode(&failed, w), &err), -1);
    failed.error.code = (enum pbc_exit)(PBC_EXIT_AGAIN + 1);
    assert_int_equal(take_failed(w, pbc_failed_encode(&failed, w), &err), -1);
}

static void a_text_that_is_too_long_or_has_a_nul_is_refused(void **state)
{
    struct pbc_msg_have have = {.nodes = 1, .tightest = "abc"};
    uint8_t w[PBC_SMALL_MAX];
    struct pbc_error err;
    uint32_t len = pbc_have_encode(&have, w);

    (void)state;
    w[len - 8 - 2] = '\0'; /* bases come after it */
    assert_int_equal(take_have(w, len, &err), -1);
    memset(w + 18, 'x', PBC_NODE_MAX); /* nodes, have, free, length: 4 + 4 + 8 + 2 */
    w[16] = (uint8_t)(PBC_NODE_MAX >> 8);
    w[17] = (uint8_t)PBC_NODE_MAX;
    assert_int_equal(take_have(w, 18 + PBC_NODE_MAX + 8, &err), -1);
    w[16] = (uint8_t)((PBC_NODE_MAX - 1) >> 8);
    w[17] = (uint8_t)(PBC_NODE_MAX - 1);
    assert_int_equal(take_have(w, 18 + PBC_NODE_MAX - 1 + 8, &err), 0);
}

static void a_failure_reaches_the_root_in_full_and_clean(void **state)
{
    struct pbc_msg_failed in = {.error = {.code = PBC_EXIT_NOSPACE}};
    struct pbc_msg_failed out;
    uint8_t w[PBC_SMALL_MAX];
    struct pbc_error err;

    (void)state;
    memset(in.node, 'n', sizeof(in.node) - 1);
    memset(in.error.text, 't', sizeof(in.error.text) - 1);
    in.error.text[7] = '\033';
    assert_int_equal(pbc_failed_decode(w, pbc_failed_encode(&in, w), &out, &err), 0);
    assert_int_equal(out.error.code, PBC_EXIT_NOSPACE);
    assert_string_equal(out.node, in.node);
    in.error.text[7] = '?'; /* a terminal's escape sequences do not come through */
    assert_string_equal(out.error.text, in.error.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_is_decoded_to_what_was_encoded),
        cmocka_unit_test(every_truncation_of_a_message_is_refused),
        cmocka_unit_test(a_message_with_something_after_it_is_refused),
        cmocka_unit_test(a_flipped_bit_is_refused_or_another_valid_message),
        cmocka_unit_test(every_flipped_bit_of_an_end_is_refused),
        cmocka_unit_test(an_end_of_another_set_bundle_or_key_is_refused),
        cmocka_unit_test(values_out_of_range_are_refused),
        cmocka_unit_test(a_text_that_is_too_long_or_has_a_nul_is_refused),
        cmocka_unit_test(a_failure_reaches_the_root_in_full_and_clean),
    };

    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
