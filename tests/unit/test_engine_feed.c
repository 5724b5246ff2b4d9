/* A node that cannot keep pace delays itself, and nobody goes without. */
#include "engine_nodes.h"

#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIB 12

#ifdef PBC_HASTY /* which goes round others as well */
#define A_SLOW_NODE "slow nodes"
#else
#define A_SLOW_NODE "a slow node (node2)"
#endif

static void unpack_source(struct nodes *n, const char *bundle)
{
    char command[1024];

    snprintf(command, sizeof(command), "mkdir '%s/source' && tar -C '%s/source' -xf '%s'", n->dir,
             n->dir, bundle);
    assert_int_equal(system(command), 0);
}

/* The link to `victim` is slow: a chain of `size` nodes goes round it. */
static void run_with_slow_link(struct nodes *n, struct run *r, unsigned size, unsigned victim)
{
    struct proxy *p = proxy_new(0, 3 << 20);
    struct run_options o = {
        .bundles = {make_large_bundle(n, "large.tar", MIB)}, .odd = victim, .via = p};

    unpack_source(n, o.bundles[0]);
    run_start(n, r, size, &o);
    proxy_to(p, r->meet, victim - 1);
    run_wait(r, 100);
    assert_run(r, 0, "staged 1 bundle, ");
    assert_staged(n, size, o.bundles, in(n->dir, "source"));
    proxy_free(p);
}

static void a_slow_node_is_gone_round_and_named(void **state)
{
    struct run r;
    char *words;

    run_with_slow_link(*state, &r, 6, 2);
    words = run_words(&r, 0);
    if (strstr(words, "went round " A_SLOW_NODE) == NULL)
        fail_msg("not in '%s'", words);
    free(words);
}

#ifndef PBC_TWO_TREES /* in which none is last in both */
static void a_slow_last_node_is_left_alone(void **state)
{
    struct run r;
    char *words;

    run_with_slow_link(*state, &r, 4, 3);
    words = run_words(&r, 0);
    assert_null(strstr(words, "(node3"));
    free(words);
}

#endif

/* With the hasty agent every node of the way is passed by, again and again, by nodes that are
 * passed by themselves. */
static void many_bundles_arrive_whole_whoever_is_slow(void **state)
{
    struct nodes *n = *state;
    struct run_options o = {.args = "--verbose 2"};
    struct run r;

    for (unsigned i = 0; i < 6; i++) {
        char name[16];

        snprintf(name, sizeof(name), "m%u.tar", i);
        o.bundles[i] = make_large_bundle(n, name, 2 + i);
    }
    unpack_source(n, o.bundles[5]);
    for (unsigned size = 2; size <= 14; size += 3) {
        run_all(n, &r, size, &o);
        for (unsigned i = 0; i < size; i++)
            assert_int_equal(r.status[i], 0);
        assert_staged(n, size, o.bundles, in(n->dir, "source"));
        assert_int_equal(unlink(o.bundles[0]), 0); /* another set for the next */
        o.bundles[0] = make_large_bundle(n, "m0.tar", 1);
    }
}

#if !defined(PBC_TWO_TREES) || !defined(PBC_HASTY) /* which goes round the slow link at once */
static void a_node_killed_while_it_is_gone_round_is_named(void **state)
{
    struct nodes *n = *state;
    struct proxy *p = proxy_new(0, 1 << 20);
    struct run_options o = {
        .bundles = {make_large_bundle(n, "large.tar", MIB)}, .odd = 2, .via = p};
    struct run r;

    run_start(n, &r, 6, &o);
    proxy_to(p, r.meet, 1);
    run_wait_unpacking(&r, 5); /* which gets it by node3, and that by node1 */
    sleep(1);
    kill(r.pid[3], SIGKILL);
    run_wait(&r, 60);
    assert_int_equal(r.status[3], -SIGKILL);
    for (unsigned i = 0; i < 6; i++) {
        char *words = run_words(&r, i);

        if (i != 3)
            assert_int_equal(r.status[i], PBC_EXIT_PEER);
        if (i == 0)
            assert_non_null(strstr(words, "node node3: "));
        else
            assert_string_equal(words, "");
        free(words);
    }
    proxy_free(p);
}

/* Those that are gone round hear of it from two nodes, whichever is first. */
static void a_run_stopped_while_a_node_is_gone_round_ends_alike_on_all(void **state)
{
    struct nodes *n = *state;
    struct proxy *p = proxy_new(0, 3 << 20);
    struct run_options o = {.bundles = {make_large_bundle(n, "large.tar", 96)}, .odd = 2, .via = p};
    struct run r;

    run_start(n, &r, 6, &o);
    proxy_to(p, r.meet, 1);
    run_wait_unpacking(&r, 5);
    sleep(1);
    kill(r.pid[0], SIGTERM);
    run_wait(&r, 60);
    assert_run(&r, PBC_EXIT_FAILED, "stopped by signal");
    assert_nothing_staged(n, 6);
    proxy_free(p);
}
#endif

#define TEST(name) cmocka_unit_test_setup_teardown(name, nodes_setup, nodes_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_slow_node_is_gone_round_and_named),
#ifndef PBC_TWO_TREES
        TEST(a_slow_last_node_is_left_alone),
#endif
        TEST(many_bundles_arrive_whole_whoever_is_slow),
#if !defined(PBC_TWO_TREES) || !defined(PBC_HASTY)
        TEST(a_node_killed_while_it_is_gone_round_is_named),
        TEST(a_run_stopped_while_a_node_is_gone_round_ends_alike_on_all),
#endif
    };

    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
