/* The simulation of tests/bench/predict against closed forms. */
#include "support.h"

#include "simulate.h"
#include "tree.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK 100000u
#define RATE  1e8

static struct pbc_sim plain(uint32_t chunks)
{
    return (struct pbc_sim){.bytes = (uint64_t)chunks * CHUNK,
                            .chunk = CHUNK,
                            .rate = RATE,
                            .latency = 3e-4,
                            .hop = 1e-4,
                            .pool = 64,
                            .window = 16,
                            .slow_factor = 1,
                            .seed = 1};
}

static struct pbc_sim_result run_heap(uint32_t size, uint32_t arity, const struct pbc_sim *p)
{
    struct pbc_sim_result r;
    struct pbc_shape s;

    assert_int_equal(pbc_shape_heap(&s, size, arity), 0);
    assert_int_equal(pbc_simulate(&s, p, &r), 0);
    pbc_shape_free(&s);
    return r;
}

static void assert_near(double got, double wanted)
{
    if (fabs(got - wanted) > 1e-9 * fabs(wanted) + 1e-12)
        fail_msg("%.12f, not %.12f", got, wanted);
}

static void a_chain_takes_its_closed_form(void **state)
{
    static const uint32_t sizes[] = {2, 3, 8, 48, 1000};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct pbc_sim p = plain(200);
        double n = sizes[i];

        assert_near(run_heap(sizes[i], 1, &p).done, (double)p.bytes / RATE +
                                                        (n - 2) * CHUNK / RATE +
                                                        (n - 1) * (p.latency + p.hop));
    }
}

static void a_full_tree_takes_what_its_header_predicts(void **state)
{
    (void)state;
    for (uint32_t k = 1; k <= 4; k++) {
        for (uint32_t depth = 1; depth <= 5; depth++) {
            struct pbc_sim p = plain(150);
            uint32_t size = 1, level = 1;

            p.hop = 0;
            for (uint32_t d = 0; d < depth; d++)
                size += level *= k;
            /* T(k) of core/tree.h */
            assert_near(run_heap(size, k, &p).sent,
                        k * (double)p.bytes / RATE +
                            (depth - 1.0) * (k * (double)CHUNK / RATE + p.latency) + p.latency);
        }
    }
}

static void a_node_alone_takes_the_slower_of_reading_and_unpacking(void **state)
{
    struct pbc_sim p = plain(100);

    (void)state;
    p.read_rate = 5e7;
    p.unpack_rate = 2e8;
    assert_near(run_heap(1, 1, &p).done, (double)p.bytes / 5e7 + CHUNK / 2e8);
    p.read_rate = 5e8;
    p.unpack_rate = 2e7;
    assert_near(run_heap(1, 1, &p).done, CHUNK / 5e8 + (double)p.bytes / 2e7);
}

static void slow_unpacking_everywhere_delays_the_last_node_by_its_way_only(void **state)
{
    struct pbc_sim p = plain(200);
    double first = 7 * (CHUNK / RATE + p.latency + p.hop);

    (void)state;
    p.pool = 256;
    p.unpack_rate = RATE / 4;
    assert_near(run_heap(8, 1, &p).done, first + (double)p.bytes / p.unpack_rate);
}

static void few_buffers_hold_the_sender_to_the_pace_of_unpacking(void **state)
{
    struct pbc_sim p = plain(200);
    double fast, held;

    (void)state;
    p.unpack_rate = RATE / 4;
    p.pool = 256;
    fast = run_heap(8, 1, &p).sent;
    p.pool = 16;
    held = run_heap(8, 1, &p).sent;
    assert_true(fast < 1.1 * (double)p.bytes / RATE);
    assert_true(held > 0.9 * (double)(p.bytes - 16 * CHUNK) / p.unpack_rate);
}

static void a_slow_node_delays_those_below_it_but_not_with_handover_and_room(void **state)
{
    struct pbc_sim p = plain(200);
    double alone = run_heap(16, 1, &p).fast_sent;
    struct pbc_sim_result r;

    (void)state;
    p.slow_rank = 5;
    p.slow_factor = 10;
    p.pool = 256;
    r = run_heap(16, 1, &p);
    assert_int_equal(r.slow_nodes, 1);
    assert_true(r.fast_sent > 9 * alone);
    p.handover = 1;
    r = run_heap(16, 1, &p);
    assert_int_equal(r.degree, 2);
    assert_true(r.sent > 9 * alone);
    assert_true(r.fast_sent < 1.4 * alone);
    /* without room for all that the slow node has not yet taken, the others wait for it */
    p.pool = 32;
    r = run_heap(16, 1, &p);
    assert_true(r.fast_sent > 5 * alone);
}

static void every_slow_node_counts_and_the_seed_chooses(void **state)
{
    struct pbc_sim p = plain(20);
    uint32_t slow;

    (void)state;
    p.slow_share = 0.1;
    p.slow_factor = 2;
    slow = run_heap(2000, 2, &p).slow_nodes;
    assert_in_range(slow, 120, 280);
    assert_int_equal(run_heap(2000, 2, &p).slow_nodes, slow);
    p.slow_share = 1;
    assert_int_equal(run_heap(2000, 2, &p).slow_nodes, 1999);
}

/* ---- two trees ---- */

static void check_two_trees(uint32_t size)
{
    struct pbc_shape s;

    assert_int_equal(pbc_shape_two_trees(&s, size), 0);
    for (unsigned t = 0; t < 2; t++) {
        uint32_t roots = 0;

        for (uint32_t v = 1; v < size; v++) {
            int64_t at = v;
            uint32_t steps = 0;

            roots += s.parent[t][v] == 0;
            while (at > 0 && steps++ <= size)
                at = s.parent[t][at];
            assert_int_equal(at, 0); /* no circle */
        }
        assert_int_equal(roots, size > 1);
        assert_int_equal(s.first[t][size], size - 1);
    }
    for (uint32_t v = 1; v < size; v++) {
        uint32_t a = s.first[0][v + 1] - s.first[0][v], b = s.first[1][v + 1] - s.first[1][v];

        /* each byte of half of the bundle to each of at most two children: all of it once */
        if (a + b > 2)
            fail_msg("of %u: rank %u has %u and %u children", size, v, a, b);
    }
    /* the height of such a tree, and the link from the root */
    assert_true(pbc_shape_depth(&s) <= 2 + (uint32_t)ceil(log2(size + 1)));
    pbc_shape_free(&s);
}

static void two_trees_share_the_sending_evenly(void **state)
{
    (void)state;
    for (uint32_t size = 1; size <= 600; size++)
        check_two_trees(size);
    check_two_trees(5310);
    check_two_trees(9408);
    check_two_trees(100000);
}

static void two_trees_reach_the_rate_of_the_links(void **state)
{
    struct pbc_sim p = plain(2000);
    struct pbc_sim_result r;
    struct pbc_shape s;
    double depth;

    (void)state;
    assert_int_equal(pbc_shape_two_trees(&s, 1000), 0);
    assert_int_equal(pbc_simulate(&s, &p, &r), 0);
    depth = pbc_shape_depth(&s);
    pbc_shape_free(&s);
    assert_true(r.sent >= (double)p.bytes / RATE);
    /* two chunks at each level, as each node sends for two */
    assert_true(r.sent <= (double)p.bytes / RATE + depth * (4 * CHUNK / RATE + p.latency + p.hop));
    assert_int_equal(r.degree, 2);
}

static void parameters_without_sense_are_refused(void **state)
{
    struct pbc_sim_result r;
    struct pbc_shape s;
    struct pbc_sim p;

    (void)state;
    assert_int_equal(pbc_shape_two_trees(&s, 4), 0);
    p = plain(10);
    p.rate = NAN;
    assert_int_equal(pbc_simulate(&s, &p, &r), -1);
    p = plain(10);
    p.chunk = 0;
    assert_int_equal(pbc_simulate(&s, &p, &r), -1);
    p = plain(10);
    p.pool = 1; /* of two streams */
    assert_int_equal(pbc_simulate(&s, &p, &r), -1);
    p = plain(10);
    p.window = 0;
    assert_int_equal(pbc_simulate(&s, &p, &r), -1);
    p = plain(0);
    assert_int_equal(pbc_simulate(&s, &p, &r), -1);
    pbc_shape_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chain_takes_its_closed_form),
        cmocka_unit_test(a_full_tree_takes_what_its_header_predicts),
        cmocka_unit_test(a_node_alone_takes_the_slower_of_reading_and_unpacking),
        cmocka_unit_test(slow_unpacking_everywhere_delays_the_last_node_by_its_way_only),
        cmocka_unit_test(few_buffers_hold_the_sender_to_the_pace_of_unpacking),
        cmocka_unit_test(a_slow_node_delays_those_below_it_but_not_with_handover_and_room),
        cmocka_unit_test(every_slow_node_counts_and_the_seed_chooses),
        cmocka_unit_test(two_trees_share_the_sending_evenly),
        cmocka_unit_test(two_trees_reach_the_rate_of_the_links),
        cmocka_unit_test(parameters_without_sense_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
