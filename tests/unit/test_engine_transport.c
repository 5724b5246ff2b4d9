/* MPI carries the bundles, the tree the answers: what happens when MPI does not do its part. */
#include "engine_nodes.h"

#include <stdlib.h>
#include <string.h>

#define NODES 4

static void the_summary_says_what_carried_the_bundles(void **state)
{
    struct nodes *n = *state;
    struct run_options o = {.args = "--verbose 2",
                            .bundles = {make_tree_bundle(n, "source", "b.tgz", "-z")}};
    struct run r;
    char *words;

    run_all(n, &r, 3, &o);
    words = run_words(&r, 0);
    assert_non_null(strstr(words, "of archives by MPI, answers through a tree of arity "));
    free(words);
    assert_staged(n, 3, o.bundles, in(n->dir, "source"));
}

static void the_tree_carries_them_when_asked_to(void **state)
{
    struct nodes *n = *state;
    struct run_options o = {.args = "--verbose 2 --transport tcp",
                            .bundles = {make_tree_bundle(n, "source", "b.tgz", "-z")}};
    struct run r;
    char *words;

    run_all(n, &r, 3, &o);
    words = run_words(&r, 0);
    assert_non_null(strstr(words, "of archives through a tree of arity "));
    free(words);
    assert_staged(n, 3, o.bundles, in(n->dir, "source"));
}

/* `rank` has trouble with its fifth broadcast, which is in the middle of the bundle. */
static void with_trouble(void **state, const char *trouble, unsigned rank, const char *words)
{
    struct nodes *n = *state;
    struct run_options o = {.args = "--stall 2",
                            .bundles = {make_large_bundle(n, "large.tar", 24)},
                            .odd = rank,
                            .odd_env = {trouble, "5"}};
    struct run r;

    run_all(n, &r, NODES, &o);
    assert_run(&r, PBC_EXIT_PEER, words);
    assert_nothing_staged(n, NODES);
}

static void a_failure_of_mpi_on_a_node_is_told_once(void **state)
{
    with_trouble(state, "PBC_MPI_FAILS", 2,
                 "node node2: MPI failed to carry the bundles (--transport tcp does without): "
                 "inner(2): the fabric is down");
}

static void a_failure_of_mpi_on_the_root_is_told_once(void **state)
{
    with_trouble(state, "PBC_MPI_FAILS", 0, "node node0: MPI failed to carry the bundles");
}

static void bundles_that_mpi_does_not_move_are_given_up(void **state)
{
    with_trouble(state, "PBC_MPI_HANGS", 0, ": MPI has not moved the bundles for 4 s");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, nodes_setup, nodes_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_summary_says_what_carried_the_bundles),
        TEST(the_tree_carries_them_when_asked_to),
        TEST(a_failure_of_mpi_on_a_node_is_told_once),
        TEST(a_failure_of_mpi_on_the_root_is_told_once),
        TEST(bundles_that_mpi_does_not_move_are_given_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
