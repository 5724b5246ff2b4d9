#include "support.h"

#include "tree.h"

#include <math.h>
#include <stdlib.h>

/* All that must hold in a tree of `size` ranks. */
static void above_are_the_ranks_on_the_way_to_the_root(void **state)
{
    (void)state;
    for (uint32_t i = 1; i <= 5; i++) {
        uint32_t arity = i == 5 ? PBC_TREE_TWO : i;

        for (uint32_t rank = 0; rank < 60; rank++) {
            for (uint32_t above = 0; above < 60; above++) {
                int on_the_way = 0;

                for (int64_t at = pbc_tree_parent(arity, rank); at >= 0;
                     at = pbc_tree_parent(arity, (uint32_t)at))
                    on_the_way |= at == above;
                assert_int_equal(pbc_tree_is_above(arity, above, rank), on_the_way);
            }
        }
    }
}

static void check_tree(uint32_t arity, uint32_t size)
{
    uint32_t *depth = calloc(size, sizeof(*depth));
    uint32_t *below = calloc(size, sizeof(*below));
    uint32_t deepest = 0, children = 0;

    assert_non_null(depth);
    assert_non_null(below);
    for (uint32_t rank = 0; rank < size; rank++) {
        int64_t parent = pbc_tree_parent(arity, rank);
        uint32_t first = 0, count = pbc_tree_children(arity, size, rank, &first);

        if (rank == 0) {
            assert_int_equal(parent, -1);
        } else {
            uint32_t siblings_first, siblings;

            assert_true(parent >= 0 && parent < (int64_t)rank);
            siblings = pbc_tree_children(arity, size, (uint32_t)parent, &siblings_first);
            assert_true(rank >= siblings_first && rank - siblings_first < siblings);
            depth[rank] = depth[parent] + 1;
            if (depth[rank] > deepest)
                deepest = depth[rank];
        }
        assert_true(count <= (arity == PBC_TREE_TWO ? 2 : arity));
        children += count;
        for (uint32_t i = 0; i < count; i++) {
            assert_true(first + i < size);
            assert_int_equal(pbc_tree_parent(arity, first + i), rank);
        }
    }
    /* with the checks above: each rank but the root is the child of exactly one */
    assert_int_equal(children, size - 1);
    assert_int_equal(pbc_tree_depth(arity, size), deepest);
    for (uint32_t rank = size; rank-- > 0;) {
        below[rank]++;
        assert_int_equal(pbc_tree_subtree(arity, size, rank), below[rank]);
        if (rank > 0)
            below[pbc_tree_parent(arity, rank)] += below[rank];
    }
    assert_int_equal(below[0], size);
    free(depth);
    free(below);
}

static void every_rank_but_the_root_has_one_parent_whose_child_it_is(void **state)
{
    (void)state;
    for (uint32_t size = 1; size <= 2000; size++) {
        for (uint32_t arity = 1; arity <= PBC_ARITY_MAX; arity++)
            check_tree(arity, size);
        check_tree(PBC_TREE_TWO, size);
    }
}

static void the_same_holds_in_large_trees(void **state)
{
    static const uint32_t sizes[] = {2001,  4095,  4096,  4097,  9408,
                                     16383, 65536, 87381, 99999, 100000};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (uint32_t arity = 1; arity <= PBC_ARITY_MAX; arity++)
            check_tree(arity, sizes[i]);
        check_tree(PBC_TREE_TWO, sizes[i]);
    }
}

static uint32_t children_in(unsigned lane, uint32_t size, uint32_t rank)
{
    uint32_t first;

    return pbc_tree_children(PBC_TREE_TWO, size, pbc_tree_place(lane, size, rank), &first);
}

static void of_two_trees_no_rank_sends_more_than_it_gets(void **state)
{
    (void)state;
    assert_int_equal(pbc_tree_lanes(PBC_TREE_TWO), 2);
    for (uint32_t arity = 1; arity <= PBC_ARITY_MAX; arity++)
        assert_int_equal(pbc_tree_lanes(arity), 1);
    for (uint32_t size = 2; size <= 2000; size++) {
        assert_int_equal(children_in(0, size, 0), 1);
        assert_int_equal(children_in(1, size, 0), 1);
        for (uint32_t rank = 1; rank < size; rank++) {
            uint32_t in_first = children_in(0, size, rank), in_second = children_in(1, size, rank);

            /* two halves at most, and in one tree */
            assert_true(in_first == 0 || in_second == 0);
            assert_true(in_first + in_second <= 2);
        }
    }
}

static void the_second_tree_is_the_first_of_other_ranks(void **state)
{
    (void)state;
    for (uint32_t size = 1; size <= 300; size++) {
        uint8_t seen[300] = {0};

        for (uint32_t rank = 0; rank < size; rank++) {
            uint32_t place = pbc_tree_place(1, size, rank);

            assert_true(place < size);
            assert_int_equal(seen[place]++, 0);
            assert_int_equal(pbc_tree_place(1, size, place), rank);
            assert_int_equal(pbc_tree_place(0, size, rank), rank);
        }
        assert_int_equal(pbc_tree_place(1, size, 0), 0);
    }
}

static void nothing_overflows_at_two_to_the_31_ranks(void **state)
{
    const uint32_t size = (uint32_t)1 << 31;
    uint32_t first;

    (void)state;
    assert_int_equal(pbc_tree_depth(1, size), size - 1);
    assert_int_equal(pbc_tree_depth(2, size), 31);
    assert_int_equal(pbc_tree_depth(8, size), 11);
    for (uint32_t arity = 1; arity <= PBC_ARITY_MAX; arity++) {
        assert_int_equal(pbc_tree_subtree(arity, size, 0), size);
        assert_int_equal(pbc_tree_subtree(arity, size, size - 1), 1);
        assert_int_equal(pbc_tree_children(arity, size, size - 1, &first), 0);
        assert_int_equal(pbc_tree_parent(arity, size - 1), (size - 2) / arity);
    }
    assert_int_equal(pbc_tree_depth(PBC_TREE_TWO, size), 31);
    assert_int_equal(pbc_tree_subtree(PBC_TREE_TWO, size, 0), size);
    assert_int_equal(pbc_tree_subtree(PBC_TREE_TWO, size, 1), size - 1);
    assert_int_equal(pbc_tree_subtree(PBC_TREE_TWO, size, size - 1), 1);
    assert_int_equal(pbc_tree_children(PBC_TREE_TWO, size, size - 1, &first), 0);
    assert_int_equal(pbc_tree_parent(PBC_TREE_TWO, size - 1), size / 2 - 1);
    assert_int_equal(pbc_tree_children(8, size, size / 8 - 1, &first), 7);
    assert_int_equal(first, size - 7);
    assert_int_equal(pbc_tree_children(2, UINT32_MAX, UINT32_MAX - 1, &first), 0);
    assert_int_equal(pbc_tree_subtree(UINT32_MAX, UINT32_MAX, 0), UINT32_MAX);
}

static void degenerate_trees_have_answers(void **state)
{
    uint32_t first;

    (void)state;
    assert_int_equal(pbc_tree_depth(2, 0), 0);
    assert_int_equal(pbc_tree_depth(2, 1), 0);
    assert_int_equal(pbc_tree_children(2, 1, 0, &first), 0);
    assert_int_equal(pbc_tree_subtree(2, 5, 5), 0);
    assert_int_equal(pbc_tree_depth(PBC_TREE_TWO, 1), 0);
    assert_int_equal(pbc_tree_depth(PBC_TREE_TWO, 2), 1);
    assert_int_equal(pbc_tree_children(PBC_TREE_TWO, 1, 0, &first), 0);
    assert_int_equal(pbc_tree_subtree(PBC_TREE_TWO, 5, 5), 0);
    assert_int_equal(pbc_tree_parent(0, 3), 2); /* arity 0 is a chain */
}

#define CHUNK (1 << 16)

/* The formula of tree.h. */
static double predicted(uint32_t k, uint32_t size, uint64_t bytes, double latency)
{
    double hops = (double)pbc_tree_depth(k, size) - 1;

    if (k == PBC_TREE_TWO)
        return (double)bytes / PBC_LINK_RATE + hops * (2.0 * CHUNK / PBC_LINK_RATE + latency) +
               latency + PBC_TREE_SECOND;
    return k * (double)bytes / PBC_LINK_RATE +
           hops * (k * (double)CHUNK / PBC_LINK_RATE + latency) + latency;
}

static uint32_t chosen(uint32_t size, uint64_t bytes)
{
    return pbc_tree_arity(size, bytes, CHUNK, PBC_LINK_RATE, PBC_LINK_LATENCY);
}

static void the_shape_has_the_least_predicted_time(void **state)
{
    static const uint32_t sizes[] = {3, 4, 8, 16, 48, 100, 1000, 4096, 9408, 100000};
    static const uint64_t bytes[] = {1, 1 << 20, 100 << 20, (uint64_t)5 << 30};
    static const double latencies[] = {0, 1e-6, 1e-4, 1e-2};

    (void)state;
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        for (size_t b = 0; b < sizeof(bytes) / sizeof(bytes[0]); b++) {
            for (size_t l = 0; l < sizeof(latencies) / sizeof(latencies[0]); l++) {
                uint32_t k = pbc_tree_arity(sizes[s], bytes[b], CHUNK, PBC_LINK_RATE, latencies[l]);
                double time = predicted(k, sizes[s], bytes[b], latencies[l]);

                assert_true((k >= 1 && k <= PBC_ARITY_MAX) || k == PBC_TREE_TWO);
                for (uint32_t other = 1; other <= PBC_ARITY_MAX; other++)
                    assert_true(time <= predicted(other, sizes[s], bytes[b], latencies[l]));
                assert_true(time <= predicted(PBC_TREE_TWO, sizes[s], bytes[b], latencies[l]));
            }
        }
    }
}

static void large_bundles_on_few_nodes_go_down_a_chain(void **state)
{
    (void)state;
    assert_int_equal(chosen(16, (uint64_t)2 << 30), 1);
}

static void large_bundles_on_many_nodes_go_down_two_trees(void **state)
{
    (void)state;
    for (uint32_t size = 1000; size < 200000; size *= 2)
        assert_int_equal(chosen(size, 100 << 20), PBC_TREE_TWO);
}

static void small_bundles_go_down_one_tree(void **state)
{
    (void)state;
    for (uint32_t size = 16; size < 200000; size *= 2)
        assert_in_range(chosen(size, 1 << 20), 2, PBC_ARITY_MAX);
}

static void nonsense_figures_give_a_usable_arity(void **state)
{
    (void)state;
    assert_in_range(pbc_tree_arity(0, 1, 1, 1, 1), 1, PBC_ARITY_MAX);
    assert_in_range(pbc_tree_arity(1, 1, 1, 1, 1), 1, PBC_ARITY_MAX);
    assert_in_range(pbc_tree_arity(100, 1, 1, 0, 1), 1, PBC_ARITY_MAX);
    assert_in_range(pbc_tree_arity(100, 1, 1, -1, 1), 1, PBC_ARITY_MAX);
    assert_in_range(pbc_tree_arity(100, 1, 1, NAN, 1), 1, PBC_ARITY_MAX);
    assert_in_range(pbc_tree_arity(100, 1, 1, INFINITY, NAN), 1, PBC_ARITY_MAX);
    assert_in_range(pbc_tree_arity(100, UINT64_MAX, UINT32_MAX, 1e-300, 1e300), 1, PBC_ARITY_MAX);
    assert_in_range(pbc_tree_arity(UINT32_MAX, 1, 1, 1, 0), 1, PBC_ARITY_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(above_are_the_ranks_on_the_way_to_the_root),
        cmocka_unit_test(every_rank_but_the_root_has_one_parent_whose_child_it_is),
        cmocka_unit_test(the_same_holds_in_large_trees),
        cmocka_unit_test(of_two_trees_no_rank_sends_more_than_it_gets),
        cmocka_unit_test(the_second_tree_is_the_first_of_other_ranks),
        cmocka_unit_test(nothing_overflows_at_two_to_the_31_ranks),
        cmocka_unit_test(degenerate_trees_have_answers),
        cmocka_unit_test(the_shape_has_the_least_predicted_time),
        cmocka_unit_test(large_bundles_on_few_nodes_go_down_a_chain),
        cmocka_unit_test(large_bundles_on_many_nodes_go_down_two_trees),
        cmocka_unit_test(small_bundles_go_down_one_tree),
        cmocka_unit_test(nonsense_figures_give_a_usable_arity),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
