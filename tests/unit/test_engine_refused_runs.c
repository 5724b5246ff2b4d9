/* Runs that must fail: on all nodes, soon, with one line of words, and nothing left behind. */
#include "engine_nodes.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

static void assert_refused(struct nodes *n, unsigned size, const struct run_options *o, int code,
                           const char *words)
{
    struct run r;

    run_start(n, &r, size, o);
    run_wait(&r, 60);
    assert_run(&r, code, words);
    assert_nothing_staged(n, size);
}

static const char *broken_bundle(struct nodes *n, const char *name, enum pbc_format format,
                                 size_t keep, size_t flip)
{
    const char *path;
    struct bytes tar = {0}, data = {0}, packed = {0};

    bytes_noise(&data, 3 << 20, 5);
    tar_add(&tar, (struct member){.name = "lib/f", .data = data.data, .len = data.len});
    tar_add(&tar, (struct member){.name = "lib/g", .data = data.data, .len = data.len});
    tar_end(&tar);
    compress_to(format, tar.data, tar.len, &packed);
    if (keep != 0)
        packed.len = keep;
    if (flip != 0) {
        for (size_t i = 0; i < 16; i++)
            packed.data[flip + i] ^= 0xff;
    }
    path = make_bundle(n, name, PBC_FORMAT_TAR, &packed); /* as it is */
    bytes_free(&tar);
    bytes_free(&data);
    bytes_free(&packed);
    return path;
}

static void a_corrupt_bundle_is_refused_on_all_nodes(void **state)
{
    struct nodes *n = *state;
    struct run_options o = {0};

    o.bundles[0] = broken_bundle(n, "flipped.tgz", PBC_FORMAT_GZIP, 0, 2 << 20);
    assert_refused(n, 5, &o, PBC_EXIT_REFUSED, "flipped.tgz: corrupt");
    o.bundles[0] = broken_bundle(n, "flipped.tar.xz", PBC_FORMAT_XZ, 0, 2 << 20);
    assert_refused(n, 5, &o, PBC_EXIT_REFUSED, "flipped.tar.xz: corrupt");
}

static void a_truncated_bundle_is_refused_on_all_nodes(void **state)
{
    struct nodes *n = *state;
    struct run_options o = {0};

    o.bundles[0] = broken_bundle(n, "cut.tgz", PBC_FORMAT_GZIP, 4 << 20, 0);
    assert_refused(n, 5, &o, PBC_EXIT_REFUSED, "cut.tgz: truncated");
    o.bundles[0] = broken_bundle(n, "cut.tar", PBC_FORMAT_TAR, 512 + (3 << 20), 0);
    assert_refused(n, 5, &o, PBC_EXIT_REFUSED, "cut.tar: truncated");
}

static void a_store_that_two_nodes_share_is_refused(void **state)
{
    struct nodes *n = *state;
    struct bytes tar = {0};
    struct run_options o = {.odd = 1};
    char first[512];

    tar_add(&tar, (struct member){.name = "f", .data = "x", .len = 1});
    tar_end(&tar);
    o.bundles[0] = make_bundle(n, "b.tar", PBC_FORMAT_TAR, &tar);
    snprintf(first, sizeof(first), "--store %s", in(n->dir, "n0/store"));
    o.odd_args = first;
    assert_refused(n, 4, &o, PBC_EXIT_FAILED, "is the same directory as on node0");
    bytes_free(&tar);
}

static void a_good_bundle_before_a_bad_one_is_not_kept(void **state)
{
    struct nodes *n = *state;
    struct run_options o = {0};

    o.bundles[0] = make_tree_bundle(n, "source", "good.tgz", "-z");
    o.bundles[1] = broken_bundle(n, "bad.tgz", PBC_FORMAT_GZIP, 1 << 20, 0);
    assert_refused(n, 4, &o, PBC_EXIT_REFUSED, "bad.tgz: truncated");
}

static void a_hostile_bundle_is_refused_on_all_nodes(void **state)
{
    struct nodes *n = *state;
    struct run_options o = {0};
    struct bytes tar = {0};

    tar_add(&tar, (struct member){.name = "l", .type = '2', .link = "../../outside"});
    tar_add(&tar, (struct member){.name = "l/f", .data = "x", .len = 1});
    tar_end(&tar);
    o.bundles[0] = make_bundle(n, "hostile.tar", PBC_FORMAT_TAR, &tar);
    bytes_free(&tar);
    assert_refused(n, 3, &o, PBC_EXIT_REFUSED, "link out of the tree");
}

/* Which bundle is to blame is not known: the second one only turns the way of the first one's link.
 */
static void a_link_that_leads_out_in_the_end_is_blamed_on_no_bundle(void **state)
{
    struct nodes *n = *state;
    char one[256], two[256];
    struct run_options o = {.bundles = {one, two}};
    struct run r;

    snprintf(one, sizeof(one), "%s/one.tar", n->dir);
    snprintf(two, sizeof(two), "%s/two.tar", n->dir);
    shell(n->dir, "mkdir -p a/p/q b; ln -s p/q a/via; ln -s via/../../x a/link; ln -s . b/via; "
                  "tar -C a -cf one.tar . && tar -C b -cf two.tar .");
    run_all(n, &r, 1, &o);
    assert_run(&r, PBC_EXIT_REFUSED, "node node0: member 'link' is a link out of the tree");
    o.bundles[1] = NULL;
    shell(n->dir, "ln -sfn . a/via; rm -r a/p; tar -C a -cf one.tar via link");
    run_all(n, &r, 1, &o);
    assert_run(&r, PBC_EXIT_REFUSED, "one.tar: member 'link' is a link out of the tree");
    assert_nothing_staged(n, 1);
}

static void a_bundle_that_is_missing_or_no_archive_is_refused(void **state)
{
    struct nodes *n = *state;
    struct run_options o = {.bundles = {"/nonexistent/bundle.tgz"}};

    assert_refused(n, 5, &o, PBC_EXIT_REFUSED, "/nonexistent/bundle.tgz");
    make_file(in(n->dir, "text"), "just text\n", 10);
    o.bundles[0] = in(n->dir, "text");
    assert_refused(n, 5, &o, PBC_EXIT_REFUSED, "is not an archive");
}

static void a_set_that_is_not_the_expected_one_is_refused(void **state)
{
    struct nodes *n = *state;
    struct run_options o = {.args = "--set 00000000000000000000000000000000",
                            .bundles = {make_tree_bundle(n, "source", "b.tar", "")}};

    assert_refused(n, 3, &o, PBC_EXIT_REFUSED, "changed between the check and the staging");
}

static void digest_of(const char *path, char hex[2 * PBC_DIGEST_BYTES + 1])
{
    uint8_t digest[PBC_DIGEST_BYTES];
    struct bytes b = {0};
    char block[4096];
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    while ((n = read(fd, block, sizeof(block))) > 0)
        bytes_add(&b, block, (size_t)n);
    close(fd);
    crypto_generichash(digest, sizeof(digest), b.data, b.len, NULL, 0);
    sodium_bin2hex(hex, 2 * PBC_DIGEST_BYTES + 1, digest, sizeof(digest));
    bytes_free(&b);
}

static void a_bundle_with_another_digest_than_its_pin_is_refused(void **state)
{
    struct nodes *n = *state;
    struct run_options o = {.bundles = {make_tree_bundle(n, "source", "one.tar", ""),
                                        make_tree_bundle(n, "source2", "two.tgz", "-z")}};
    char hex[2 * PBC_DIGEST_BYTES + 1], args[100];
    struct run r;

    digest_of(o.bundles[0], hex);
    snprintf(args, sizeof(args), "--digest 2=%s", hex);
    o.args = args;
    assert_refused(n, 4, &o, PBC_EXIT_REFUSED, "two.tgz: its digest is");
    args[strlen("--digest ")] = '1';
    run_all(n, &r, 4, &o);
    assert_run(&r, 0, "");
}

static void a_bundle_over_the_limits_is_refused(void **state)
{
    struct nodes *n = *state;
    struct run_options o = {.args = "--max-size 1M",
                            .bundles = {make_tree_bundle(n, "source", "b.tgz", "-z")}};

    assert_refused(n, 3, &o, PBC_EXIT_REFUSED, "over the limit of 1048576 bytes");
    o.args = "--max-entries 10";
    assert_refused(n, 3, &o, PBC_EXIT_REFUSED, "one more than the 10");
}

/* ---- a bundle that changes ---- */

static void change_while_read(void **state, int truncate_it)
{
    struct nodes *n = *state;
    struct run_options o = {.bundles = {make_large_bundle(n, "large.tar", 100)}};
    struct run r;
    int fd = open(o.bundles[0], O_WRONLY | O_CLOEXEC);

    run_start(n, &r, 4, &o);
    run_wait_unpacking(&r, 0);
    if (truncate_it)
        assert_int_equal(ftruncate(fd, 60 << 20), 0);
    else
        assert_int_equal(pwrite(fd, "changed", 7, 99 << 20), 7);
    close(fd);
    run_wait(&r, 60);
    assert_run(&r, PBC_EXIT_REFUSED, "large.tar: changed while it was being staged");
    assert_nothing_staged(n, 4);
}

static void a_bundle_written_to_while_it_is_read_is_refused(void **state)
{
    change_while_read(state, 0);
}

static void a_bundle_truncated_while_it_is_read_is_refused(void **state)
{
    change_while_read(state, 1);
}

/* ---- a store that is too small ---- */

static int small_store(struct nodes *n, unsigned node, const char *options)
{
    char path[32];

    if (geteuid() != 0 || unshare(CLONE_NEWNS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return -1;
    snprintf(path, sizeof(path), "n%u", node);
    make_dir(in(n->dir, path), 0755);
    assert_int_equal(mount("tmpfs", in(n->dir, path), "tmpfs", 0, options), 0);
    return 0;
}

static void drop_small_store(struct nodes *n, unsigned node)
{
    char path[32];

    snprintf(path, sizeof(path), "n%u", node);
    assert_int_equal(umount2(in(n->dir, path), MNT_DETACH), 0);
}

static void a_store_smaller_than_the_bundles_is_named_before_anything_is_sent(void **state)
{
    struct nodes *n = *state;
    struct run_options o = {0};

    if (small_store(n, 3, "size=4m,mode=755") != 0)
        skip();
    o.bundles[0] = make_large_bundle(n, "large.tar", 10);
    assert_refused(n, 5, &o, PBC_EXIT_NOSPACE, "node node3: the store is too small");
    drop_small_store(n, 3);
}

static void a_store_that_fills_up_on_the_way_is_named(void **state)
{
    struct nodes *n = *state;
    struct run_options o = {0};
    struct bytes tar = {0}, zeros = {0};

    if (small_store(n, 2, "size=20m,mode=755") != 0)
        skip();
    bytes_fill(&zeros, 'z', 60 << 20);
    tar_add(&tar, (struct member){.name = "lib/big", .data = zeros.data, .len = zeros.len});
    tar_end(&tar);
    o.bundles[0] = make_bundle(n, "big.tgz", PBC_FORMAT_GZIP, &tar);
    bytes_free(&tar);
    bytes_free(&zeros);
    assert_refused(n, 5, &o, PBC_EXIT_NOSPACE, "node node2: ");
    o.args = "--min-free 8M";
    assert_refused(n, 5, &o, PBC_EXIT_NOSPACE, "min_free=8388608");
    drop_small_store(n, 2);
}

/* Of seven files there are the root, store/, 77/, the tree, and three in it. */
static void a_store_without_room_for_the_manifest_stops_all_before_any_has_published(void **state)
{
    struct nodes *n = *state;
    struct run_options o = {0};
    struct bytes tar = {0};

    if (small_store(n, 1, "size=4m,mode=755,nr_inodes=8") != 0)
        skip();
    for (unsigned i = 0; i < 3; i++) {
        char name[8];

        snprintf(name, sizeof(name), "f%u", i);
        tar_add(&tar, (struct member){.name = name, .data = name, .len = 2});
    }
    tar_end(&tar);
    o.bundles[0] = make_bundle(n, "three.tgz", PBC_FORMAT_GZIP, &tar);
    bytes_free(&tar);
    assert_refused(n, 3, &o, PBC_EXIT_NOSPACE, ".manifest: No space left on device");
    drop_small_store(n, 1);
}

/* The application may have filled it meanwhile. */
static void a_full_store_that_has_the_set_needs_no_more_room(void **state)
{
    struct nodes *n = *state;
    struct run_options o = {0};
    struct bytes tar = {0};
    struct run r;
    char path[32];
    int fd;

    if (small_store(n, 1, "size=4m,mode=755,nr_inodes=16") != 0)
        skip();
    tar_add(&tar, (struct member){.name = "f", .data = "x", .len = 1});
    tar_end(&tar);
    o.bundles[0] = make_bundle(n, "b.tgz", PBC_FORMAT_GZIP, &tar);
    bytes_free(&tar);
    run_all(n, &r, 3, &o);
    assert_run(&r, 0, "staged 1 bundle");
    for (unsigned i = 0;; i++) {
        snprintf(path, sizeof(path), "n1/full%u", i);
        fd = open(in(n->dir, path), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
            break;
        close(fd);
    }
    assert_int_equal(errno, ENOSPC);
    run_all(n, &r, 3, &o);
    assert_run(&r, 0, "1 bundle already staged on 3 nodes");
    drop_small_store(n, 1);
}

/* ---- nodes that cannot take part ---- */

static void a_node_without_its_store_is_named(void **state)
{
    struct nodes *n = *state;
    struct run_options o = {.bundles = {make_tree_bundle(n, "source", "b.tar", "")}, .odd = 3};
    struct run r;

    o.odd_args = "--store /nonexistent/store";
    run_start(n, &r, 5, &o);
    run_wait(&r, 60);
    assert_run(&r, PBC_EXIT_FAILED, "node node3: cannot open /nonexistent");
    assert_nothing_staged(n, 5);
}

static void an_address_that_no_node_has_is_told_once(void **state)
{
    struct nodes *n = *state;
    struct run_options o = {.args = "--address nosuch0",
                            .bundles = {make_tree_bundle(n, "source", "b.tar", "")}};
    struct run r;
    unsigned said = 0;

    run_start(n, &r, 4, &o);
    run_wait(&r, 60);
    for (unsigned i = 0; i < 4; i++) {
        char *words = run_words(&r, i);

        assert_int_not_equal(r.status[i], 0);
        said += words[0] != '\0';
        if (i == 0)
            assert_non_null(strstr(words, "nosuch0"));
        free(words);
    }
    assert_int_equal(said, 1);
    assert_nothing_staged(n, 4);
}

static void a_node_without_an_address_is_named_once(void **state)
{
    struct nodes *n = *state;
    struct run_options o = {.args = "--stall 4",
                            .odd_args = "--address nosuch0",
                            .odd = 1,
                            .bundles = {make_tree_bundle(n, "source", "b.tar", "")}};
    struct run r;
    char *words;

    run_start(n, &r, 5, &o);
    run_wait(&r, 60);
    words = run_words(&r, 0);
    assert_non_null(strstr(words, "node node1: no interface"));
    free(words);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_not_equal(r.status[i], 0);
        words = run_words(&r, i);
        if (i != 0)
            assert_string_equal(words, "");
        free(words);
    }
    assert_nothing_staged(n, 5);
}

/* The root must not go on without a part of the tree. */
static void a_node_whose_record_is_malformed_fails_the_run(void **state)
{
    struct nodes *n = *state;
    struct run_options o = {.args = "--stall 3",
                            .bad_record = 1,
                            .odd = 1,
                            .bundles = {make_tree_bundle(n, "source", "b.tar", "")}};
    struct run r;

    run_start(n, &r, 4, &o);
    run_wait(&r, 60);
    for (unsigned i = 0; i < 4; i++)
        assert_int_not_equal(r.status[i], 0);
    assert_nothing_staged(n, 4);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, nodes_setup, nodes_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_corrupt_bundle_is_refused_on_all_nodes),
        TEST(a_truncated_bundle_is_refused_on_all_nodes),
        TEST(a_store_that_two_nodes_share_is_refused),
        TEST(a_good_bundle_before_a_bad_one_is_not_kept),
        TEST(a_hostile_bundle_is_refused_on_all_nodes),
        TEST(a_link_that_leads_out_in_the_end_is_blamed_on_no_bundle),
        TEST(a_bundle_that_is_missing_or_no_archive_is_refused),
        TEST(a_set_that_is_not_the_expected_one_is_refused),
        TEST(a_bundle_with_another_digest_than_its_pin_is_refused),
        TEST(a_bundle_over_the_limits_is_refused),
        TEST(a_bundle_written_to_while_it_is_read_is_refused),
        TEST(a_bundle_truncated_while_it_is_read_is_refused),
        TEST(a_store_smaller_than_the_bundles_is_named_before_anything_is_sent),
        TEST(a_store_that_fills_up_on_the_way_is_named),
        TEST(a_store_without_room_for_the_manifest_stops_all_before_any_has_published),
        TEST(a_full_store_that_has_the_set_needs_no_more_room),
        TEST(a_node_without_its_store_is_named),
        TEST(an_address_that_no_node_has_is_told_once),
        TEST(a_node_without_an_address_is_named_once),
        TEST(a_node_whose_record_is_malformed_fails_the_run),
    };

    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
