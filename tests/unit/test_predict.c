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

static struct pbc_sim_result run(uint32_t size, uint32_t arity, const struct pbc_sim *p)
{
    struct pbc_sim_result r;

    assert_int_equal(pbc_simulate(size, arity, p, &r), 0);
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

        assert_near(run(sizes[i], 1, &p).done, (double)p.bytes / RATE + (n - 2) * CHUNK / RATE +
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
            assert_near(run(size, k, &p).sent,
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
    assert_near(run(1, 1, &p).done, (double)p.bytes / 5e7 + CHUNK / 2e8);
    p.read_rate = 5e8;
    p.unpack_rate = 2e7;
    assert_near(run(1, 1, &p).done, CHUNK / 5e8 + (double)p.bytes / 2e7);
}

static void slow_unpacking_everywhere_delays_the_last_node_by_its_way_only(void **state)
{
    struct pbc_sim p = plain(200);
    double first = 7 * (CHUNK / RATE + p.latency + p.hop);

    (void)state;
    p.pool = 256;
    p.unpack_rate = RATE / 4;
    assert_near(run(8, 1, &p).done, first + (double)p.bytes / p.unpack_rate);
}

static void few_buffers_hold_the_sender_to_the_pace_of_unpacking(void **state)
{
    struct pbc_sim p = plain(200);
    double fast, held;

    (void)state;
    p.unpack_rate = RATE / 4;
    p.pool = 256;
    fast = run(8, 1, &p).sent;
    p.pool = 16;
    held = run(8, 1, &p).sent;
    assert_true(fast < 1.1 * (double)p.bytes / RATE);
    assert_true(held > 0.9 * (double)(p.bytes - 16 * CHUNK) / p.unpack_rate);
}

static void with_one_buffer_a_node_takes_a_chunk_when_the_last_has_been_sent_on(void **state)
{
    struct pbc_sim p = plain(200);
    double hop = CHUNK / RATE + p.latency + p.hop;

    (void)state;
    p.pool = 1;
    assert_near(run(3, 1, &p).sent, 199 * (hop + CHUNK / RATE) + 2 * hop);
    p.read_rate = RATE;
    assert_near(run(2, 1, &p).sent, 199 * 2 * CHUNK / RATE + CHUNK / RATE + hop);
    /* two: the root reads into one while it sends the other */
    p.pool = 2;
    assert_near(run(2, 1, &p).sent, 200 * CHUNK / RATE + hop);
}

static void a_slow_node_delays_those_below_it_but_not_with_handover_and_room(void **state)
{
    struct pbc_sim p = plain(200);
    double alone = run(16, 1, &p).fast_sent;
    struct pbc_sim_result r;

    (void)state;
    p.slow_rank = 5;
    p.slow_factor = 10;
    p.pool = 256;
    r = run(16, 1, &p);
    assert_int_equal(r.slow_nodes, 1);
    assert_true(r.fast_sent > 9 * alone);
    p.handover = 1;
    r = run(16, 1, &p);
    assert_int_equal(r.degree, 2);
    assert_true(r.sent > 9 * alone);
    assert_true(r.fast_sent < 1.4 * alone);
    /* without room for all that the slow node has not yet taken, the others wait for it */
    p.pool = 32;
    r = run(16, 1, &p);
    assert_true(r.fast_sent > 5 * alone);
}

static void every_slow_node_counts_and_the_seed_chooses(void **state)
{
    struct pbc_sim p = plain(20);
    uint32_t slow;

    (void)state;
    p.slow_share = 0.1;
    p.slow_factor = 2;
    slow = run(2000, 2, &p).slow_nodes;
    assert_in_range(slow, 120, 280);
    assert_int_equal(run(2000, 2, &p).slow_nodes, slow);
    p.slow_share = 1;
    assert_int_equal(run(2000, 2, &p).slow_nodes, 1999);
}

/* ---- two trees ---- */

static void two_trees_take_the_rate_of_the_links_and_a_short_way(void **state)
{
    (void)state;
    for (uint32_t size = 3; size <= 1000; size = size < 40 ? size + 1 : 2 * size + 1) {
        struct pbc_sim p = plain(500);
        struct pbc_sim_result r = run(size, PBC_TREE_TWO, &p);
        double depth = pbc_tree_depth(PBC_TREE_TWO, size);
        double rest = r.sent - (double)p.bytes / RATE - (p.latency + p.hop);

        /* T(two trees) of core/tree.h, and at each node a chunk of the other tree before it */
        assert_true(rest > 0);
        assert_true(rest <= (depth - 1) * (3 * (double)CHUNK / RATE + p.latency + p.hop));
        assert_int_equal(r.degree, 2);
    }
}

static void the_chunks_of_two_trees_are_unpacked_in_order(void **state)
{
    struct pbc_sim p = plain(201);
    double depth = pbc_tree_depth(PBC_TREE_TWO, 100);
    double rest;

    (void)state;
    p.pool = 256;
    p.unpack_rate = RATE / 4;
    /* both trees from the root to one node, a chunk of each in turn */
    assert_near(run(2, PBC_TREE_TWO, &p).done,
                CHUNK / RATE + p.latency + p.hop + (double)p.bytes / p.unpack_rate);
    rest = run(100, PBC_TREE_TWO, &p).done - (double)p.bytes / p.unpack_rate;
    assert_true(rest > 0);
    assert_true(rest <= depth * (3 * (double)CHUNK / RATE + p.latency + p.hop));
    /* as fast as the links, it is done soon after both: no tree is left for the other's end */
    p.unpack_rate = RATE;
    rest = run(100, PBC_TREE_TWO, &p).done - (double)p.bytes / RATE;
    assert_true(rest <= (depth + 1) * (3 * (double)CHUNK / RATE + p.latency + p.hop));
}

static void in_two_trees_a_slow_leaf_of_both_delays_itself_only(void **state)
{
    struct pbc_sim p = plain(200);
    struct pbc_sim_result alone, r;

    (void)state;
    p.pool = 512;
    p.unpack_rate = RATE;
    alone = run(32, PBC_TREE_TWO, &p);
    p.slow_rank = 16; /* the last of those without children in the one and the other */
    p.slow_factor = 10;
    r = run(32, PBC_TREE_TWO, &p);
    assert_int_equal(r.slow_nodes, 1);
    assert_true(r.done > 9 * alone.done);
    assert_true(r.fast_done < 1.05 * alone.done);
}

static void in_two_trees_those_below_a_slow_node_are_fed_in_each_from_above_it(void **state)
{
    struct pbc_sim p = plain(200);
    double alone = run(32, PBC_TREE_TWO, &p).fast_sent;

    (void)state;
    p.slow_factor = 10;
    for (p.slow_rank = 1; p.slow_rank < 32; p.slow_rank++) {
        struct pbc_sim_result r;

        if (p.slow_rank == 16)
            continue; /* nobody is below it */
        p.pool = 512;
        p.handover = 0;
        assert_true(run(32, PBC_TREE_TWO, &p).fast_sent > 9 * alone);
        p.handover = 1;
        r = run(32, PBC_TREE_TWO, &p);
        assert_true(r.sent > 9 * alone);
        /* who goes round it sends the half to three, not two, and to it */
        assert_true(r.fast_sent < 1.75 * alone);
        assert_in_range(r.degree, 3, 4);
        /* without room for what it has not yet taken they wait */
        p.pool = 32;
        assert_true(run(32, PBC_TREE_TWO, &p).fast_sent > 5 * alone);
    }
}

static void two_trees_with_the_fewest_buffers_do_not_wait_for_each_other(void **state)
{
    (void)state;
    for (uint32_t size = 1; size <= 40; size++) {
        for (uint32_t pool = 2; pool <= 5; pool++) {
            for (int seed = 1; seed <= 8; seed++) {
                struct pbc_sim p = plain(40);

                p.pool = pool;
                p.unpack_rate = seed % 2 == 0 ? RATE / 2 : 0;
                p.read_rate = RATE;
                p.slow_share = seed <= 2 ? 0 : 0.2;
                p.slow_factor = 7;
                p.handover = seed >= 6;
                p.seed = (uint64_t)seed;
                run(size, PBC_TREE_TWO, &p);
            }
        }
    }
}

static void parameters_without_sense_are_refused(void **state)
{
    struct pbc_sim_result r;
    struct pbc_sim p = plain(10);

    (void)state;
    assert_int_equal(pbc_simulate(0, 2, &p, &r), -1);
    assert_int_equal(pbc_simulate(4, 0, &p, &r), -1);
    p.pool = 1;
    assert_int_equal(pbc_simulate(4, 2, &p, &r), 0);
    assert_int_equal(pbc_simulate(4, PBC_TREE_TWO, &p, &r), -1); /* of two trees */
    p = plain(10);
    p.rate = NAN;
    assert_int_equal(pbc_simulate(4, 2, &p, &r), -1);
    p = plain(10);
    p.chunk = 0;
    assert_int_equal(pbc_simulate(4, 2, &p, &r), -1);
    p = plain(10);
    p.window = 0;
    assert_int_equal(pbc_simulate(4, 2, &p, &r), -1);
    p = plain(0);
    assert_int_equal(pbc_simulate(4, 2, &p, &r), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chain_takes_its_closed_form),
        cmocka_unit_test(a_full_tree_takes_what_its_header_predicts),
        cmocka_unit_test(a_node_alone_takes_the_slower_of_reading_and_unpacking),
        cmocka_unit_test(slow_unpacking_everywhere_delays_the_last_node_by_its_way_only),
        cmocka_unit_test(few_buffers_hold_the_sender_to_the_pace_of_unpacking),
        cmocka_unit_test(with_one_buffer_a_node_takes_a_chunk_when_the_last_has_been_sent_on),
        cmocka_unit_test(a_slow_node_delays_those_below_it_but_not_with_handover_and_room),
        cmocka_unit_test(every_slow_node_counts_and_the_seed_chooses),
        cmocka_unit_test(two_trees_take_the_rate_of_the_links_and_a_short_way),
        cmocka_unit_test(the_chunks_of_two_trees_are_unpacked_in_order),
        cmocka_unit_test(in_two_trees_a_slow_leaf_of_both_delays_itself_only),
        cmocka_unit_test(in_two_trees_those_below_a_slow_node_are_fed_in_each_from_above_it),
        cmocka_unit_test(two_trees_with_the_fewest_buffers_do_not_wait_for_each_other),
        cmocka_unit_test(parameters_without_sense_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
