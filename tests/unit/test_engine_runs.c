/* Runs of the real agent on 1 to 40 nodes of this machine: what arrives. */
#include "engine_nodes.h"

#include <dirent.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void every_node_gets_the_same_tree(struct nodes *n, unsigned size)
{
    struct run_options o = {.bundles = {make_tree_bundle(n, "source", "b.tgz", "-z")}};
    struct run r;
    char words[64];

    run_all(n, &r, size, &o);
    snprintf(words, sizeof(words), "on %u node%s in", size, size == 1 ? "" : "s");
    assert_run(&r, 0, words);
    assert_staged(n, size, o.bundles, in(n->dir, "source"));
}

static void one_node_alone_gets_the_tree(void **state)
{
    every_node_gets_the_same_tree(*state, 1);
}

static void two_nodes_get_the_same_tree(void **state)
{
    every_node_gets_the_same_tree(*state, 2);
}

static void five_nodes_get_the_same_tree(void **state)
{
    every_node_gets_the_same_tree(*state, 5);
}

static void sixteen_nodes_get_the_same_tree(void **state)
{
    every_node_gets_the_same_tree(*state, 16);
}

static void forty_nodes_get_the_same_tree(void **state)
{
    every_node_gets_the_same_tree(*state, 40);
}

static void a_bundle_larger_than_all_buffers_arrives(void **state)
{
    struct nodes *n = *state;
    struct run_options o = {.bundles = {make_large_bundle(n, "large.tar", 80)}};
    struct run r;

    run_all(n, &r, 3, &o);
    assert_run(&r, 0, "80 files, 80 MiB on 3 nodes");
    make_dir(in(n->dir, "source"), 0755);
    assert_int_equal(chdir(in(n->dir, "source")), 0);
    assert_int_equal(system("tar -xf ../large.tar"), 0);
    assert_int_equal(chdir("/"), 0);
    assert_staged(n, 3, o.bundles, in(n->dir, "source"));
}

#ifndef PBC_TWO_TREES /* which all runs ask for there */
static void the_shape_can_be_asked_for(void **state)
{
    static const char *const asked[][2] = {{"--verbose 2 --tree 1", " a tree of arity 1,"},
                                           {"--verbose 2 --tree 3", " a tree of arity 3,"},
                                           {"--verbose 2 --tree two", " two trees,"}};
    struct nodes *n = *state;
    struct run r;

    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
        struct run_options o = {.args = asked[i][0]};
        char source[16], name[16];
        char *words;

        snprintf(source, sizeof(source), "source%zu", i);
        snprintf(name, sizeof(name), "b%zu.tgz", i);
        o.bundles[0] = make_tree_bundle(n, source, name, "-z");
        run_all(n, &r, 6, &o);
        words = run_words(&r, 0);
        assert_non_null(strstr(words, asked[i][1]));
        free(words);
        assert_staged(n, 6, o.bundles, in(n->dir, source));
    }
}
#endif

static void two_nodes_have_one_tree_whatever_is_asked_for(void **state)
{
    struct nodes *n = *state;
    struct run_options o = {.args = "--verbose 2 --tree two",
                            .bundles = {make_tree_bundle(n, "source", "b.tgz", "-z")}};
    struct run r;
    char *words;

    run_all(n, &r, 2, &o);
    words = run_words(&r, 0);
    assert_non_null(strstr(words, " a tree of arity 1,"));
    free(words);
    assert_staged(n, 2, o.bundles, in(n->dir, "source"));
}

/* MPI carries them by a shape of its own. */
#if !defined(PBC_TWO_TREES) && !defined(PBC_CARRIED)
/* A large bundle goes from node to node, a small one to many at once. */
static void the_shape_of_the_tree_follows_the_size_of_the_bundles(void **state)
{
    struct nodes *n = *state;
    struct run_options o = {.args = "--verbose 2"};
    struct bytes tar = {0};
    struct run r;
    char *words;

    o.bundles[0] = make_large_bundle(n, "large.tar", 100);
    run_all(n, &r, 6, &o);
    words = run_words(&r, 0);
    assert_non_null(strstr(words, "through a tree of arity 1,"));
    free(words);
    tar_add(&tar, (struct member){.name = "f", .data = "x", .len = 1});
    tar_end(&tar);
    o.bundles[0] = make_bundle(n, "small.tar", PBC_FORMAT_TAR, &tar);
    bytes_free(&tar);
    run_all(n, &r, 6, &o);
    words = run_words(&r, 0);
    assert_non_null(strstr(words, "through a tree of arity 5,"));
    free(words);
}
#endif

static void the_same_set_again_is_already_staged(void **state)
{
    struct nodes *n = *state;
    struct run_options o = {.bundles = {make_tree_bundle(n, "source", "b.tar.zst", "--zstd")}};
    struct run r;
    struct stat before, after;

    run_all(n, &r, 5, &o);
    assert_run(&r, 0, "staged 1 bundle, ");
    assert_int_equal(stat(node_tree(n, 3, o.bundles), &before), 0);
    run_all(n, &r, 5, &o);
    assert_run(&r, 0, "1 bundle already staged on 5 nodes");
    assert_int_equal(stat(node_tree(n, 3, o.bundles), &after), 0);
    assert_true(before.st_ino == after.st_ino);
    assert_staged(n, 5, o.bundles, in(n->dir, "source"));
}

/* Nodes that have it pass it on, whether they are the root, in between or at the end. */
static void only_nodes_without_the_set_unpack_it(void **state)
{
    static const unsigned without[][3] = {{0, 2, 4}, {1, 3, 99}, {4, 99, 99}, {0, 99, 99}};
    struct nodes *n = *state;
    struct run_options o = {.bundles = {make_tree_bundle(n, "source", "b.tar", "")}};
    struct run r;

    run_all(n, &r, 5, &o);
    for (size_t i = 0; i < 4; i++) {
        ino_t inode[5] = {0};

        for (unsigned k = 0; k < 5; k++) {
            const char *tree = node_tree(n, k, o.bundles);
            char manifest[4200];
            struct stat st;

            snprintf(manifest, sizeof(manifest), "%s.manifest", tree);
            if (k == without[i][0] || k == without[i][1] || k == without[i][2]) {
                assert_int_equal(unlink(manifest), 0);
            } else {
                assert_int_equal(stat(tree, &st), 0);
                inode[k] = st.st_ino;
            }
        }
        run_all(n, &r, 5, &o);
        assert_run(&r, 0, "staged 1 bundle, ");
        assert_staged(n, 5, o.bundles, in(n->dir, "source"));
        for (unsigned k = 0; k < 5; k++) {
            struct stat st;

            assert_int_equal(stat(node_tree(n, k, o.bundles), &st), 0);
            if (inode[k] != 0)
                assert_true(st.st_ino == inode[k]);
        }
    }
}

static void bundles_overlay_each_other_in_their_order(void **state)
{
    struct nodes *n = *state;
    struct bytes tar = {0};
    struct run_options o = {0};
    struct run r;

    o.bundles[0] = make_tree_bundle(n, "source", "first.tgz", "-z");
    tar_add(&tar, (struct member){.name = "lib/text", .data = "second", .len = 6, .mtime = 5});
    tar_add(&tar, (struct member){.name = "bin/python3", .data = "new", .len = 3, .mtime = 6});
    tar_add(&tar, (struct member){.name = "lib/python3/up/new", .data = "n", .len = 1, .mtime = 7});
    tar_end(&tar);
    o.bundles[1] = make_bundle(n, "second.tar.xz", PBC_FORMAT_XZ, &tar);
    tar.len = 0;
    tar_add(&tar, (struct member){.name = "lib/text", .data = "third", .len = 5, .mtime = 8});
    tar_end(&tar);
    o.bundles[2] = make_bundle(n, "third.tar.lz4", PBC_FORMAT_LZ4, &tar);
    bytes_free(&tar);
    run_all(n, &r, 4, &o);
    assert_run(&r, 0, "staged 3 bundles");
    assert_int_equal(chdir(in(n->dir, "source")), 0);
    assert_int_equal(system("printf third >lib/text; touch -d @8 lib/text; rm bin/python3; "
                            "printf new >bin/python3; chmod 644 bin/python3; "
                            "touch -d @6 bin/python3; printf n >lib/new; touch -d @7 lib/new"),
                     0);
    assert_int_equal(chdir("/"), 0);
    assert_staged(n, 4, o.bundles, in(n->dir, "source"));
}

/* Nanoseconds since 1970 in 64 bits end in 2262; files may be younger. */
static void a_bundle_from_the_far_future_is_staged(void **state)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 14000000000}};
    struct nodes *n = *state;
    struct run_options o = {.bundles = {make_tree_bundle(n, "source", "b.tar", "")}};
    struct run r;

    assert_int_equal(utimensat(AT_FDCWD, o.bundles[0], times, 0), 0);
    run_all(n, &r, 2, &o);
    assert_run(&r, 0, "staged 1 bundle, ");
    assert_staged(n, 2, o.bundles, in(n->dir, "source"));
}

static void two_runs_of_the_same_set_at_the_same_time_both_succeed(void **state)
{
    struct nodes *n = *state;
    struct run_options o = {.bundles = {make_tree_bundle(n, "source", "b.tar.bz2", "-j")}};
    struct run_options turned = o;
    struct run r[3];

    turned.turned = 1; /* another node is its root */
    run_start(n, &r[0], 4, &o);
    run_start(n, &r[1], 4, &o);
    run_start(n, &r[2], 4, &turned);
    for (int i = 0; i < 3; i++) {
        run_wait(&r[i], 120);
        assert_run(&r[i], 0, "staged");
    }
    assert_staged(n, 4, o.bundles, in(n->dir, "source"));
}

static void two_runs_of_different_sets_at_the_same_time_both_succeed(void **state)
{
    struct nodes *n = *state;
    struct run_options a = {.bundles = {make_tree_bundle(n, "one", "a.tgz", "-z")}};
    struct run_options b = {.bundles = {make_tree_bundle(n, "two", "b.tar", "")}};
    struct run ra, rb;

    run_start(n, &ra, 4, &a);
    run_start(n, &rb, 4, &b);
    run_wait(&ra, 120);
    run_wait(&rb, 120);
    assert_run(&ra, 0, "staged 1 bundle, ");
    assert_run(&rb, 0, "staged 1 bundle, ");
    assert_staged(n, 4, a.bundles, in(n->dir, "one"));
    assert_staged(n, 4, b.bundles, in(n->dir, "two"));
}

/* The root answers the user; others may be asked for more, and stay silent. */
static void the_summary_tells_the_phases_when_asked(void **state)
{
    struct nodes *n = *state;
    struct run_options o = {.args = "--verbose 2",
                            .bundles = {make_tree_bundle(n, "source", "b.tgz", "-z")}};
    struct run r;
    char *words;

    run_all(n, &r, 3, &o);
    words = run_words(&r, 0);
    assert_non_null(strstr(words, "slowest node node"));
    assert_non_null(strstr(words, "0 of 3 nodes had the set, 0 connections refused"));
    free(words);
    o.args = "--verbose 0";
    run_all(n, &r, 3, &o);
    words = run_words(&r, 0);
    assert_string_equal(words, "");
    free(words);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, nodes_setup, nodes_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_node_alone_gets_the_tree),
        TEST(two_nodes_get_the_same_tree),
        TEST(five_nodes_get_the_same_tree),
        TEST(sixteen_nodes_get_the_same_tree),
        TEST(forty_nodes_get_the_same_tree),
        TEST(a_bundle_larger_than_all_buffers_arrives),
#if !defined(PBC_TWO_TREES) && !defined(PBC_CARRIED)
        TEST(the_shape_of_the_tree_follows_the_size_of_the_bundles),
#endif
#ifndef PBC_TWO_TREES
        TEST(the_shape_can_be_asked_for),
#endif
        TEST(two_nodes_have_one_tree_whatever_is_asked_for),
        TEST(the_same_set_again_is_already_staged),
        TEST(only_nodes_without_the_set_unpack_it),
        TEST(bundles_overlay_each_other_in_their_order),
        TEST(a_bundle_from_the_far_future_is_staged),
        TEST(two_runs_of_the_same_set_at_the_same_time_both_succeed),
        TEST(two_runs_of_different_sets_at_the_same_time_both_succeed),
        TEST(the_summary_tells_the_phases_when_asked),
    };

    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
