/* Sets that extend one which is staged: only the rest is sent, the tree is that of the whole list,
 * and the set that was there does not change. */
#include "engine_nodes.h"

#include "base.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Over the tree of make_tree_bundle: a file with two names becomes one with one, a file becomes a
 * link, a directory's mode changes, a file goes through a link to a directory. */
static const char *make_overlay(struct nodes *n, const char *name, enum pbc_format format)
{
    struct bytes tar = {0};
    const char *path;

    tar_add(&tar, (struct member){.name = "bin/python3", .data = "new", .len = 3, .mtime = 6});
    tar_add(&tar, (struct member){.name = "lib/text", .type = '2', .link = "random"});
    tar_add(&tar, (struct member){.name = "lib/none", .type = '5', .mode = 0755});
    tar_add(&tar, (struct member){.name = "lib/python3/up/new", .data = "n", .len = 1});
    tar_add(&tar, (struct member){.name = "lib/random2", .type = '1', .link = "lib/random"});
    tar_add(&tar, (struct member){.name = "app/main.py", .data = "app", .len = 3});
    tar_end(&tar);
    path = make_bundle(n, name, format, &tar);
    bytes_free(&tar);
    return path;
}

static const char *make_app(struct nodes *n, const char *name, const char *text)
{
    struct bytes tar = {0};
    const char *path;

    tar_add(&tar, (struct member){.name = "app/main.py", .data = text, .len = strlen(text)});
    tar_end(&tar);
    path = make_bundle(n, name, PBC_FORMAT_TAR, &tar);
    bytes_free(&tar);
    return path;
}

/* The tree in words. A file whose other names are in another tree is "is" itself: that is left out.
 */
static char *words_at(const char *tree)
{
    char *words = tree_words(tree);
    char *end = words;

    for (char *line = words; *line != '\0';) {
        size_t len = strcspn(line, "\n");
        size_t name = strcspn(line, ":\n");
        size_t keep = len;

        if (len > 2 * name + 5 && memcmp(line + len - name, line, name) == 0 &&
            memcmp(line + len - name - 5, ", is ", 5) == 0)
            keep = len - name - 5;
        memmove(end, line, keep);
        end += keep;
        line += len;
        if (*line == '\n')
            *end++ = *line++;
    }
    *end = '\0';
    return words;
}

static char *words_of(const struct nodes *n, unsigned node, const struct run_options *o)
{
    return words_at(node_tree(n, node, o->bundles));
}

static char *manifest_of(const struct nodes *n, unsigned node, const struct run_options *o)
{
    char path[4200];

    snprintf(path, sizeof(path), "%s.manifest", node_tree(n, node, o->bundles));
    return slurp(path);
}

static ino_t inode_of(const struct nodes *n, unsigned node, const struct run_options *o,
                      const char *name)
{
    struct stat st;

    assert_int_equal(stat(in(node_tree(n, node, o->bundles), name), &st), 0);
    return st.st_ino;
}

static void same_words(char *a, char *b)
{
    assert_string_equal(a, b);
    free(a);
    free(b);
}

static void the_rest_is_sent_and_the_tree_is_that_of_the_whole(void **state)
{
    static const enum pbc_format formats[] = {PBC_FORMAT_TAR, PBC_FORMAT_GZIP};

    for (size_t i = 0; i < 2; i++) {
        struct nodes *n = *state;
        struct run_options one = {0}, both = {0};
        char name[32], source[32];
        char *before, *whole, *manifest;
        struct run r;

        snprintf(source, sizeof(source), "source%zu", i);
        snprintf(name, sizeof(name), "one%zu.tgz", i);
        one.bundles[0] = both.bundles[0] = make_tree_bundle(n, source, name, "-z");
        snprintf(name, sizeof(name), "two%zu.tar", i);
        both.bundles[1] = make_overlay(n, name, formats[i]);
        /* node 0 alone has it whole, without the first */
        run_all(n, &r, 1, &both);
        assert_run(&r, 0, "staged 2 bundles, ");
        whole = words_of(n, 0, &both);
        manifest = manifest_of(n, 0, &both);
        shell(node_job(n, 0), "rm -rf ./*");

        run_all(n, &r, 5, &one);
        assert_run(&r, 0, "staged 1 bundle, ");
        before = words_of(n, 3, &one);
        run_all(n, &r, 5, &both);
        assert_run(&r, 0, "staged 2 bundles (1 new), ");
        for (unsigned k = 0; k < 5; k++) {
            char *words = words_of(n, k, &both);

            assert_string_equal(words, whole);
            free(words);
            assert_true(inode_of(n, k, &one, "lib/random") == inode_of(n, k, &both, "lib/random2"));
            assert_false(inode_of(n, k, &one, "bin/python3") ==
                         inode_of(n, k, &both, "bin/python3"));
        }
        same_words(words_of(n, 3, &one), before);
        /* digests, sizes and numbers of both bundles */
        same_words(manifest_of(n, 0, &both), manifest);
        run_all(n, &r, 5, &both);
        assert_run(&r, 0, "2 bundles already staged on 5 nodes");
        free(whole);
    }
}

static void the_longest_list_that_all_have_is_extended(void **state)
{
    struct nodes *n = *state;
    struct run_options a = {0}, ab = {0}, abc = {0}, abd = {0};
    struct run r;

    a.bundles[0] = ab.bundles[0] = abc.bundles[0] = abd.bundles[0] =
        make_tree_bundle(n, "source", "a.tgz", "-z");
    ab.bundles[1] = abc.bundles[1] = abd.bundles[1] = make_overlay(n, "b.tar", PBC_FORMAT_TAR);
    abc.bundles[2] = make_app(n, "c.tar", "one");
    abd.bundles[2] = make_app(n, "d.tar", "other");
    run_all(n, &r, 4, &a);
    run_all(n, &r, 2, &ab); /* on two of the nodes */
    assert_run(&r, 0, "staged 2 bundles (1 new), ");
    run_all(n, &r, 4, &abc); /* what all have is a */
    assert_run(&r, 0, "staged 3 bundles (2 new), ");
    run_all(n, &r, 4, &ab); /* and those that have the whole set do not count */
    assert_run(&r, 0, "staged 2 bundles (1 new), ");
    run_all(n, &r, 4, &abd);
    assert_run(&r, 0, "staged 3 bundles (1 new), ");
    for (unsigned k = 0; k < 4; k++) {
        char *got = slurp(in(node_tree(n, k, abd.bundles), "app/main.py"));

        assert_string_equal(got, "other");
        free(got);
        got = slurp(in(node_tree(n, k, abc.bundles), "app/main.py"));
        assert_string_equal(got, "one");
        free(got);
        got = slurp(in(node_tree(n, k, ab.bundles), "app/main.py"));
        assert_string_equal(got, "app");
        free(got);
    }
}

static void with_a_node_that_has_nothing_the_whole_is_sent(void **state)
{
    static const unsigned without[] = {0, 2, 3};
    struct nodes *n = *state;
    struct run_options one = {0}, both = {0};
    struct run r;

    one.bundles[0] = both.bundles[0] = make_tree_bundle(n, "source", "one.tgz", "-z");
    both.bundles[1] = make_overlay(n, "two.tar", PBC_FORMAT_TAR);
    for (size_t i = 0; i < 3; i++) {
        char manifest[4200];

        run_all(n, &r, 4, &one);
        snprintf(manifest, sizeof(manifest), "%s.manifest", node_tree(n, without[i], one.bundles));
        assert_int_equal(unlink(manifest), 0);
        run_all(n, &r, 4, &both);
        assert_run(&r, 0, "staged 2 bundles, ");
        for (unsigned k = 1; k < 4; k++)
            same_words(words_of(n, k, &both), words_of(n, 0, &both));
        for (unsigned k = 0; k < 4; k++) {
            snprintf(manifest, sizeof(manifest), "%s.manifest", node_tree(n, k, both.bundles));
            assert_int_equal(unlink(manifest), 0);
        }
    }
}

static void a_failure_leaves_the_first_set_as_it_was(void **state)
{
    struct nodes *n = *state;
    struct run_options one = {0}, both = {0};
    struct bytes tar = {0};
    char *before;
    struct run r;

    one.bundles[0] = both.bundles[0] = make_tree_bundle(n, "source", "one.tgz", "-z");
    tar_add(&tar, (struct member){.name = "lib/text", .data = "x", .len = 1});
    tar_add(&tar, (struct member){.name = "l", .type = '2', .link = "../../outside"});
    tar_end(&tar);
    both.bundles[1] = make_bundle(n, "two.tar", PBC_FORMAT_TAR, &tar);
    bytes_free(&tar);
    run_all(n, &r, 3, &one);
    before = words_of(n, 1, &one);
    run_all(n, &r, 3, &both);
    assert_run(&r, PBC_EXIT_REFUSED, "link out of the tree");
    same_words(words_of(n, 1, &one), before);
    for (unsigned k = 0; k < 3; k++)
        assert_false(exists(node_tree(n, k, both.bundles)));
    /* more members, or bytes, than a set may have, with those of the first */
    both.bundles[1] = make_app(n, "app.tar", "x");
    both.args = "--max-entries 20";
    run_all(n, &r, 3, &both);
    assert_run(&r, PBC_EXIT_REFUSED, "one more than the 20");
    both.args = "--max-size 1M";
    run_all(n, &r, 3, &both);
    assert_run(&r, PBC_EXIT_REFUSED, "over the limit of 1048576 bytes");
}

#define META "pbcast-bundle=1\nplaceholder=/opt/placeholder\nrewrite=text bin/tool\n"

static void files_that_hold_the_path_of_the_tree_get_the_new_one(void **state)
{
    static const char tool[] = "#!/opt/placeholder/bin/python\n/opt/placeholder\n";
    struct nodes *n = *state;
    struct run_options one = {0}, both = {0};
    struct bytes tar = {0};
    struct run r;

    tar_add(&tar,
            (struct member){.name = ".pbcast/bundle.conf", .data = META, .len = sizeof(META) - 1});
    tar_add(&tar, (struct member){.name = "bin/tool",
                                  .mode = 0555,
                                  .data = tool,
                                  .len = sizeof(tool) - 1,
                                  .mtime = 1000000000});
    tar_add(&tar, (struct member){.name = "bin/other", .data = "other", .len = 5});
    tar_end(&tar);
    one.bundles[0] = both.bundles[0] = make_bundle(n, "one.tar", PBC_FORMAT_TAR, &tar);
    bytes_free(&tar);
    both.bundles[1] = make_app(n, "app.tar", "x");
    run_all(n, &r, 3, &one);
    run_all(n, &r, 3, &both);
    assert_run(&r, 0, "staged 2 bundles (1 new), ");
    for (unsigned k = 0; k < 3; k++) {
        const struct run_options *sets[] = {&one, &both};

        for (size_t i = 0; i < 2; i++) {
            const char *tree = node_tree(n, k, sets[i]->bundles);
            char want[10000];
            struct stat st;
            char *got;

            snprintf(want, sizeof(want), "#!%s/bin/python\n%s\n", tree, tree);
            got = slurp(in(tree, "bin/tool"));
            assert_string_equal(got, want);
            free(got);
            assert_int_equal(stat(in(tree, "bin/tool"), &st), 0);
            assert_int_equal(st.st_mode & 07777, 0555);
            assert_int_equal(st.st_mtime, 1000000000);
        }
        assert_true(inode_of(n, k, &one, "bin/other") == inode_of(n, k, &both, "bin/other"));
    }
}

/* ---- directories ---- */

#ifdef PBC_HAVE_PACK
static void a_directory_is_packed_on_the_way_and_over_what_is_there(void **state)
{
    struct nodes *n = *state;
    struct run_options one = {0}, both = {0};
    char word[4200], *got;
    struct run r;

    one.bundles[0] = both.bundles[0] = make_tree_bundle(n, "source", "one.tgz", "-z");
    make_dir(in(n->dir, "app"), 0755);
    shell(in(n->dir, "app"), "mkdir app d; echo one >app/main.py; ln -s app/main.py l; "
                             "head -c 3000000 /dev/urandom >d/large; ln d/large d/again; "
                             "chmod 755 d/large; touch -d @1000000000 d/large; : >'a b'");
    snprintf(word, sizeof(word), "mirror:%s", in(n->dir, "app"));
    both.bundles[1] = word;
    run_all(n, &r, 4, &one);
    run_all(n, &r, 4, &both);
    assert_run(&r, 0, "staged 2 bundles (1 new), ");
    shell(n->dir, "cp -a source want && cp -a app/. want/");
    for (unsigned k = 0; k < 4; k++)
        same_words(words_of(n, k, &both), words_at(in(n->dir, "want")));
    run_all(n, &r, 4, &both);
    assert_run(&r, 0, "2 bundles already staged on 4 nodes");
    shell(in(n->dir, "app"), "echo two >app/main.py");
    run_all(n, &r, 4, &both);
    assert_run(&r, 0, "staged 2 bundles (1 new), ");
    got = slurp(in(node_tree(n, 3, both.bundles), "app/main.py"));
    assert_string_equal(got, "two\n");
    free(got);
    /* what the packer refuses */
    shell(in(n->dir, "app"), "ln -s ../../x out");
    run_all(n, &r, 4, &both);
    assert_run(&r, PBC_EXIT_REFUSED, "app: ");
    shell(in(n->dir, "app"), "rm out; mkfifo f");
    run_all(n, &r, 4, &both);
    assert_run(&r, PBC_EXIT_REFUSED, "f is a device, fifo or socket");
    both.args = "--max-pack 1M";
    shell(in(n->dir, "app"), "rm f; echo 3 >app/main.py");
    run_all(n, &r, 4, &both);
    assert_run(&r, PBC_EXIT_REFUSED, "more than the 1.0 MiB");
}
#endif

/* ---- what users may have put into the tree ---- */

static int copy_moved(const char *dir, const char *from, const char *to, struct pbc_error *err)
{
    const struct pbc_writer_limits limits = {.entries = 1000};
    struct pbc_base base = {.files = 1, .bytes = 1};
    int root = open(in(dir, "new"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct pbc_writer *w = pbc_writer_new(root, &limits);
    int rc;

    snprintf(base.old_root, sizeof(base.old_root), "%s", from);
    snprintf(base.new_root, sizeof(base.new_root), "%s", to);
    base.fd = open(in(dir, "old"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(root >= 0 && base.fd >= 0 && w != NULL);
    rc = pbc_base_copy(w, &base, err);
    if (rc == 0)
        rc = pbc_writer_finish(w, err);
    pbc_writer_free(w);
    close(base.fd);
    close(root);
    return rc;
}

static int copy(const char *dir, struct pbc_error *err)
{
    return copy_moved(dir, "", "", err);
}

static void fill(const char *dir, const char *script)
{
    make_dir(in(dir, "old"), 0755);
    make_dir(in(dir, "new"), 0700);
    shell(in(dir, "old"), script);
}

static void odd_names_links_and_modes_are_taken_over(void **state)
{
    struct nodes *n = *state;
    struct pbc_error err;

    fill(n->dir, "mkdir -p 'a b/-rf' empty; echo x >\"$(printf 'a b/-rf/n\\nl')\"; : >'*'; "
                 "ln -s ../empty 'a b/link'; ln -s nowhere dangling; ln 'a b/-rf/'* hard; "
                 "chmod 700 empty; chmod 644 hard");
    if (copy(n->dir, &err) != 0)
        fail_msg("%s", err.text);
    assert_same_tree(in(n->dir, "old"), in(n->dir, "new"));
}

static void what_no_bundle_brings_is_left_out_or_refused(void **state)
{
    struct nodes *n = *state;
    struct pbc_error err;

    fill(n->dir, "mkfifo fifo; : >file; mkdir locked; : >locked/f; chmod 500 locked");
    if (copy(n->dir, &err) != 0)
        fail_msg("%s", err.text);
    assert_false(exists(in(n->dir, "new/fifo")));
    assert_true(exists(in(n->dir, "new/file")));
    assert_true(exists(in(n->dir, "new/locked/f")));
    shell(n->dir, "rm -rf new; mkdir new; ln -s /etc old/out; ln -s out/passwd old/through; "
                  "ln -s ../../x old/locked/up 2>/dev/null || ln -s ../../x old/up");
    if (copy(n->dir, &err) != 0)
        fail_msg("%s", err.text);
    shell(n->dir, "test -z \"$(find new -type l)\"");
    shell(n->dir, "rm -rf new old/out old/through; mkdir new; cd old; "
                  "for i in $(seq 130); do mkdir d && cd d; done");
    assert_int_equal(copy(n->dir, &err), -1);
    assert_error(&err, PBC_EXIT_REFUSED, "lies too deep");
}

/* A file is read in blocks of 64 KiB. */
static void the_path_is_replaced_wherever_it_stands_in_a_file(void **state)
{
    static const char from[] = "/old/path", to[] = "/new/path";
    static const size_t at[] = {0, 9, 65533, 65542, 131071, 196608, 262135};
    const size_t size = 262144, len = strlen(from);
    struct nodes *n = *state;
    struct pbc_error err;
    char *text = malloc(size + 1), *got;

    assert_non_null(text);
    memset(text, '/', size); /* as the path begins */
    text[size] = '\0';
    for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++)
        memcpy(text + at[i], from, len);
    fill(n->dir, "printf '/old/pat' >short; : >empty; mkdir d; printf '/old/path' >d/just");
    make_file(in(n->dir, "old/f"), text, size);
    if (copy_moved(n->dir, from, to, &err) != 0)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++)
        memcpy(text + at[i], to, len);
    got = slurp(in(n->dir, "new/f"));
    assert_string_equal(got, text);
    free(got);
    got = slurp(in(n->dir, "new/d/just"));
    assert_string_equal(got, to);
    free(got);
    got = slurp(in(n->dir, "new/short"));
    assert_string_equal(got, "/old/pat");
    free(got);
    free(text);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, nodes_setup, nodes_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_rest_is_sent_and_the_tree_is_that_of_the_whole),
        TEST(the_longest_list_that_all_have_is_extended),
        TEST(with_a_node_that_has_nothing_the_whole_is_sent),
        TEST(a_failure_leaves_the_first_set_as_it_was),
        TEST(files_that_hold_the_path_of_the_tree_get_the_new_one),
#ifdef PBC_HAVE_PACK
        TEST(a_directory_is_packed_on_the_way_and_over_what_is_there),
#endif
        TEST(odd_names_links_and_modes_are_taken_over),
        TEST(what_no_bundle_brings_is_left_out_or_refused),
        TEST(the_path_is_replaced_wherever_it_stands_in_a_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
