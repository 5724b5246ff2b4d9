/* What is changed on its way from the root node is found by the node that it comes to. */
#include "engine_nodes.h"

#include "tag.h"

#include <sodium.h>
#include <string.h>

static void a_byte_changed_on_the_way_fails_the_run(void **state)
{
    /* The challenge has 64 bytes, CHECK follows. The others are somewhere in the data, and in END
     * and DONE. */
    static const uint64_t at[] = {200000, 1000001, 2000003};
    struct nodes *n = *state;
    struct run_options o = {.bundles = {make_large_bundle(n, "large.tar", 4)}, .odd = 2};

    for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
        struct proxy *p = proxy_new(at[i], 0);
        struct run r;

        o.via = p;
        run_start(n, &r, 4, &o);
        proxy_to(p, r.meet, 1);
        run_wait(&r, 60);
        assert_run(&r, PBC_EXIT_PEER, "node node2: bundle 0 at byte ");
        assert_nothing_staged(n, 4);
        proxy_free(p);
    }
}

static void a_link_that_does_no_harm_does_none(void **state)
{
    struct nodes *n = *state;
    struct proxy *p = proxy_new(0, 0);
    struct run_options o = {
        .bundles = {make_tree_bundle(n, "source", "some.tgz", "-z")}, .odd = 2, .via = p};
    struct run r;

    run_start(n, &r, 4, &o);
    proxy_to(p, r.meet, 1);
    run_wait(&r, 60);
    assert_run(&r, 0, "staged 1 bundle, ");
    assert_staged(n, 4, o.bundles, in(n->dir, "source"));
    proxy_free(p);
}

/* ---- tags ---- */

static const uint8_t key[PBC_KEY_BYTES] = {7};

static int check(struct pbc_frame f, const uint8_t *data, const uint8_t k[PBC_KEY_BYTES])
{
    struct pbc_error err;
    int rc = pbc_tag_check(k, &f, data, &err);

    if (rc != 0)
        assert_error(&err, PBC_EXIT_PEER, "not what the root node sent");
    return rc;
}

static void a_tag_is_of_one_frame_and_its_data_only(void **state)
{
    uint8_t data[1000] = {1, 2, 3};
    uint8_t other[PBC_KEY_BYTES] = {8};
    struct pbc_frame f = {.type = PBC_FRAME_DATA, .bundle = 3, .length = 1000, .aux = 65536};
    struct pbc_frame g;

    (void)state;
    pbc_tag_make(key, &f, data);
    assert_int_equal(check(f, data, key), 0);
    assert_int_equal(check(f, data, other), -1);
    for (unsigned bit = 0; bit < 8 * sizeof(data); bit += 7) {
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(check(f, data, key), -1);
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (unsigned bit = 0; bit < 8 * PBC_TAG_BYTES; bit++) {
        g = f;
        g.tag[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(check(g, data, key), -1);
    }
    g = f;
    g.length = 999;
    assert_int_equal(check(g, data, key), -1);
    g = f;
    g.bundle = 2;
    assert_int_equal(check(g, data, key), -1);
    g = f;
    g.aux = 0;
    assert_int_equal(check(g, data, key), -1);
}

static void the_key_of_tags_is_not_that_of_the_run(void **state)
{
    uint8_t derived[PBC_KEY_BYTES];

    (void)state;
    pbc_tag_key(key, derived);
    assert_memory_not_equal(derived, key, sizeof(key));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tag_is_of_one_frame_and_its_data_only),
        cmocka_unit_test(the_key_of_tags_is_not_that_of_the_run),
        cmocka_unit_test_setup_teardown(a_byte_changed_on_the_way_fails_the_run, nodes_setup,
                                        nodes_teardown),
        cmocka_unit_test_setup_teardown(a_link_that_does_no_harm_does_none, nodes_setup,
                                        nodes_teardown),
    };

    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
