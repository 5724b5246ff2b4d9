/* The writer among symbolic and hard links: nothing is written outside of the tree, and nothing in
 * it leads out. Each test has a tree beside a directory that must stay as it is. */
#include "engine_support.h"

#include "writer.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct place {
    char *dir;
    int root;
    struct pbc_writer *w;
    struct pbc_error err;
};

static int setup(void **state)
{
    struct pbc_writer_limits limits = {.entries = 10000};
    struct place *p = calloc(1, sizeof(*p));
    void *dir = NULL;

    umask(022);
    if (p == NULL || scratch_setup(&dir) != 0)
        return -1;
    p->dir = dir;
    make_dir(in(dir, "tree"), 0755);
    make_sentinel(in(dir, "outside"));
    p->root = open(in(dir, "tree"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    p->w = pbc_writer_new(p->root, &limits);
    *state = p;
    return p->w != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    struct place *p = *state;
    void *dir = p->dir;
    int rc;

    pbc_writer_free(p->w);
    close(p->root);
    assert_sentinel(in(p->dir, "outside"));
    rc = scratch_teardown(&dir);
    free(p);
    return rc;
}

static int file(struct place *p, const char *name, const char *text)
{
    struct timespec t = {.tv_sec = 1000};

    if (pbc_writer_file(p->w, name, 0644, strlen(text), &p->err) != 0 ||
        pbc_writer_data(p->w, 0, text, strlen(text), &p->err) != 0)
        return -1;
    return pbc_writer_close(p->w, t, &p->err);
}

static int dir(struct place *p, const char *name)
{
    return pbc_writer_dir(p->w, name, 0755, &p->err);
}

static int link_to(struct place *p, const char *name, const char *target)
{
    return pbc_writer_symlink(p->w, name, target, &p->err);
}

static int hard(struct place *p, const char *name, const char *target)
{
    return pbc_writer_hardlink(p->w, name, target, &p->err);
}

static int finish(struct place *p)
{
    return pbc_writer_finish(p->w, &p->err);
}

static void assert_content(struct place *p, const char *name, const char *text)
{
    char path[PBC_PATH_MAX];
    char *got;

    snprintf(path, sizeof(path), "tree/%s", name);
    got = slurp(in(p->dir, path));
    assert_string_equal(got, text);
    free(got);
}

/* ---- out of the tree ---- */

static void a_link_out_of_the_tree_is_refused(void **state)
{
    static const char *const targets[] = {
        "/etc/passwd", "/", "..", "../outside", "../tree", "a/../..", "a/../../outside/untouched",
        "./..//"};
    struct place *p = *state;

    assert_int_equal(dir(p, "a"), 0);
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        char name[8];

        snprintf(name, sizeof(name), "l%zu", i);
        if (link_to(p, name, targets[i]) == 0)
            fail_msg("a link to %s is accepted", targets[i]);
        assert_error(&p->err, PBC_EXIT_REFUSED, "out of the tree", name);
    }
    assert_int_equal(link_to(p, "a/b", "../../outside"), -1);
    assert_int_equal(link_to(p, "a/c", "../a/../../tree/a"), -1);
}

static void links_inside_and_to_nothing_are_kept(void **state)
{
    struct place *p = *state;
    char *words;

    assert_int_equal(file(p, "lib/libfoo.so.1", "elf"), 0);
    assert_int_equal(link_to(p, "lib/libfoo.so", "libfoo.so.1"), 0);
    assert_int_equal(link_to(p, "lib64", "lib"), 0);
    assert_int_equal(link_to(p, "lib/self", ".."), 0);
    assert_int_equal(link_to(p, "later", "not/yet/there"), 0);
    assert_int_equal(link_to(p, "loop", "loop"), 0);
    assert_int_equal(finish(p), 0);
    words = tree_words(in(p->dir, "tree"));
    assert_non_null(strstr(words, "lib64: link to lib\n"));
    assert_non_null(strstr(words, "later: link to not/yet/there\n"));
    free(words);
}

static void a_link_that_only_really_leaves_the_tree_is_refused(void **state)
{
    struct place *p = *state;

    assert_int_equal(dir(p, "a/b/c"), 0);
    assert_int_equal(link_to(p, "a/b/c/up", "../../.."), 0); /* the root, still inside */
    assert_int_equal(link_to(p, "esc", "a/b/c/up/.."), -1);  /* by its words: a/b/c */
    assert_error(&p->err, PBC_EXIT_REFUSED, "esc", "out of the tree");
}

static void a_link_is_refused_when_a_later_member_makes_it_leave(void **state)
{
    struct place *p = *state;

    assert_int_equal(dir(p, "a/b/c"), 0);
    assert_int_equal(link_to(p, "d", "a/b/c"), 0);
    assert_int_equal(link_to(p, "esc", "d/../../../x"), 0); /* inside, as d is three deep */
    assert_int_equal(link_to(p, "d", "a"), 0);
    assert_int_equal(finish(p), -1);
    assert_error(&p->err, PBC_EXIT_REFUSED, "esc", "out of the tree");
}

static void a_link_to_nothing_is_refused_when_it_leads_out_at_last(void **state)
{
    struct place *p = *state;

    assert_int_equal(link_to(p, "esc", "later/../../outside"), 0); /* `later` is not there */
    assert_int_equal(dir(p, "later"), 0);
    assert_int_equal(finish(p), -1);
    assert_error(&p->err, PBC_EXIT_REFUSED, "esc", "out of the tree");
}

/* The name by which the link was made leads elsewhere in the end; the link is still there. */
static void a_link_made_through_a_link_is_looked_at_where_it_really_is(void **state)
{
    struct place *p = *state;

    assert_int_equal(dir(p, "d1/d2"), 0);
    assert_int_equal(dir(p, "empty"), 0);
    assert_int_equal(link_to(p, "s", "d1"), 0);
    assert_int_equal(link_to(p, "t", "d1/d2"), 0);
    assert_int_equal(link_to(p, "s/esc", "../t/../../x"), 0);
    assert_int_equal(link_to(p, "s", "empty"), 0);
    assert_int_equal(link_to(p, "t", "d1"), 0);
    assert_int_equal(finish(p), -1);
    assert_error(&p->err, PBC_EXIT_REFUSED, "d1/esc", "out of the tree");
}

static void a_link_below_many_links_is_looked_at_by_its_short_way(void **state)
{
    struct place *p = *state;
    char name[16], target[16];

    assert_int_equal(dir(p, "40"), 0);
    for (int i = 39; i >= 0; i--) {
        snprintf(name, sizeof(name), "%d", i);
        snprintf(target, sizeof(target), "%d", i + 1);
        assert_int_equal(link_to(p, name, target), 0);
    }
    assert_int_equal(link_to(p, "0/esc", "../../outside"), -1); /* 41 links by this name */
    assert_error(&p->err, PBC_EXIT_REFUSED, "out of the tree");
}

static void a_link_too_deep_or_too_long_to_be_followed_is_refused(void **state)
{
    struct place *p = *state;
    char deep[PBC_PATH_MAX] = "d";
    char dots[PBC_PATH_MAX] = "";
    char target[2 * PBC_PATH_MAX];

    for (int i = 1; i < 100; i++)
        strcat(deep, "/d");
    assert_int_equal(dir(p, deep), 0);
    assert_int_equal(link_to(p, "deep", deep), 0);
    snprintf(target, sizeof(target), "deep/%s/x", deep); /* 200 directories, really */
    assert_int_equal(file(p, target, "x"), -1);
    assert_error(&p->err, PBC_EXIT_REFUSED, "too deep");
    for (int i = 0; i < 1900; i++)
        strcat(dots, "/.");
    snprintf(target, sizeof(target), "d%s", dots);
    assert_int_equal(link_to(p, "l0", target), 0);
    snprintf(target, sizeof(target), "l0%s", dots);
    assert_int_equal(link_to(p, "l1", target), 0);
    snprintf(target, sizeof(target), "l1%s/../../outside", dots); /* the kernel finds it */
    assert_int_equal(link_to(p, "l2", target), -1);
    assert_error(&p->err, PBC_EXIT_REFUSED, "goes too far");
}

/* ---- writing through links ---- */

static void members_are_written_through_a_link_that_stays_inside(void **state)
{
    struct place *p = *state;

    assert_int_equal(dir(p, "lib/python3"), 0);
    assert_int_equal(link_to(p, "lib64", "lib"), 0);
    assert_int_equal(link_to(p, "lib/python3/up", "../../lib64"), 0);
    assert_int_equal(file(p, "lib64/python3/a.py", "a"), 0);
    assert_int_equal(file(p, "lib64/python3/up/new/b.py", "b"), 0);
    assert_int_equal(finish(p), 0);
    assert_content(p, "lib/python3/a.py", "a");
    assert_content(p, "lib/new/b.py", "b");
}

/* None of these links can be made by a bundle: somebody else puts them there while it unpacks. */
static void nothing_is_written_through_a_link_out_of_the_tree(void **state)
{
    struct place *p = *state;

    assert_int_equal(dir(p, "sub/deeper"), 0);
    assert_int_equal(symlinkat("../outside", p->root, "out"), 0);
    assert_int_equal(symlinkat("../../../outside", p->root, "sub/deeper/out"), 0);
    assert_int_equal(symlinkat("sub/deeper/out", p->root, "chain"), 0);
    assert_int_equal(file(p, "out/untouched", "x"), -1);
    assert_error(&p->err, PBC_EXIT_REFUSED, "out/untouched", "leads out of the tree");
    assert_int_equal(file(p, "out/new", "x"), -1);
    assert_int_equal(dir(p, "out/newdir"), -1);
    assert_int_equal(dir(p, "out"), -1);
    assert_int_equal(link_to(p, "out/newlink", "x"), -1);
    assert_int_equal(hard(p, "mine", "out/untouched"), -1);
    assert_int_equal(file(p, "sub/f", "x"), 0);
    assert_int_equal(hard(p, "out/untouched", "sub/f"), -1);
    assert_int_equal(file(p, "sub/deeper/out/untouched", "x"), -1);
    assert_int_equal(file(p, "chain/untouched", "x"), -1);
    /* But the link itself may be replaced. */
    assert_int_equal(file(p, "out", "mine"), 0);
    assert_content(p, "out", "mine");
}

static void a_name_below_a_link_to_nothing_or_to_a_file_is_refused(void **state)
{
    struct place *p = *state;

    assert_int_equal(file(p, "f", "x"), 0);
    assert_int_equal(link_to(p, "to-f", "f"), 0);
    assert_int_equal(link_to(p, "gone", "nowhere"), 0);
    assert_int_equal(link_to(p, "loop", "loop"), 0);
    assert_int_equal(file(p, "f/below", "x"), -1);
    assert_error(&p->err, PBC_EXIT_REFUSED, "not a directory");
    assert_int_equal(file(p, "to-f/below", "x"), -1);
    assert_error(&p->err, PBC_EXIT_REFUSED, "not a directory");
    assert_int_equal(file(p, "gone/below", "x"), -1);
    assert_error(&p->err, PBC_EXIT_REFUSED, "a link to nothing");
    assert_int_equal(file(p, "loop/below", "x"), -1);
    assert_int_equal(p->err.code, PBC_EXIT_REFUSED);
    assert_false(exists(in(p->dir, "tree/nowhere")));
}

static void a_remembered_directory_is_forgotten_when_its_link_is_replaced(void **state)
{
    struct place *p = *state;

    assert_int_equal(dir(p, "one"), 0);
    assert_int_equal(dir(p, "two"), 0);
    assert_int_equal(link_to(p, "cur", "one"), 0);
    assert_int_equal(file(p, "cur/a", "1"), 0);
    assert_int_equal(link_to(p, "cur", "two"), 0);
    assert_int_equal(file(p, "cur/a", "2"), 0);
    assert_int_equal(dir(p, "cur"), 0); /* a link to a directory stays */
    assert_int_equal(file(p, "cur/b", "3"), 0);
    assert_content(p, "one/a", "1");
    assert_content(p, "two/a", "2");
    assert_content(p, "two/b", "3");
}

static void a_file_over_a_link_replaces_the_link_and_not_its_target(void **state)
{
    struct place *p = *state;

    assert_int_equal(file(p, "target", "old"), 0);
    assert_int_equal(link_to(p, "l", "target"), 0);
    assert_int_equal(file(p, "l", "new"), 0);
    assert_content(p, "target", "old");
    assert_content(p, "l", "new");
}

/* ---- hard links ---- */

static void a_hard_link_is_the_same_file(void **state)
{
    struct place *p = *state;
    struct stat a, b;

    assert_int_equal(file(p, "d/a", "x"), 0);
    assert_int_equal(hard(p, "e/f/b", "d/a"), 0);
    assert_int_equal(hard(p, "d/a", "d/a"), 0);    /* with itself */
    assert_int_equal(hard(p, "e/f/b", "d/a"), 0);  /* once more */
    assert_int_equal(hard(p, "./c", "./d//a"), 0); /* names as tar writes them */
    assert_int_equal(fstatat(p->root, "d/a", &a, 0), 0);
    assert_int_equal(fstatat(p->root, "e/f/b", &b, 0), 0);
    assert_true(a.st_ino == b.st_ino);
    assert_int_equal(a.st_nlink, 3);
}

static void an_overlay_leaves_the_other_names_of_a_file_as_they_were(void **state)
{
    struct place *p = *state;

    assert_int_equal(file(p, "a", "old"), 0);
    assert_int_equal(hard(p, "b", "a"), 0);
    assert_int_equal(file(p, "a", "new"), 0);
    assert_content(p, "a", "new");
    assert_content(p, "b", "old");
    assert_int_equal(file(p, "c", "other"), 0);
    assert_int_equal(hard(p, "b", "c"), 0); /* over an existing file */
    assert_content(p, "b", "other");
}

static void hard_links_to_anything_but_a_file_here_are_refused(void **state)
{
    static const char *const targets[] = {"missing", "dir",         "link",
                                          "fifo",    "missing/x",   ".",
                                          "",        "/etc/passwd", "../outside/untouched"};
    struct place *p = *state;

    assert_int_equal(dir(p, "dir"), 0);
    assert_int_equal(file(p, "f", "x"), 0);
    assert_int_equal(link_to(p, "link", "f"), 0);
    assert_int_equal(mkfifoat(p->root, "fifo", 0600), 0);
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        if (hard(p, "new", targets[i]) == 0)
            fail_msg("a hard link to '%s' is accepted", targets[i]);
        assert_int_equal(p->err.code, PBC_EXIT_REFUSED);
    }
    assert_int_equal(hard(p, "dir", "f"), -1);
    assert_error(&p->err, PBC_EXIT_REFUSED, "is a directory");
    assert_int_equal(hard(p, ".", "f"), -1);
    assert_int_equal(p->err.code, PBC_EXIT_REFUSED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_link_out_of_the_tree_is_refused),
        TEST(links_inside_and_to_nothing_are_kept),
        TEST(a_link_that_only_really_leaves_the_tree_is_refused),
        TEST(a_link_is_refused_when_a_later_member_makes_it_leave),
        TEST(a_link_to_nothing_is_refused_when_it_leads_out_at_last),
        TEST(a_link_made_through_a_link_is_looked_at_where_it_really_is),
        TEST(a_link_below_many_links_is_looked_at_by_its_short_way),
        TEST(a_link_too_deep_or_too_long_to_be_followed_is_refused),
        TEST(members_are_written_through_a_link_that_stays_inside),
        TEST(nothing_is_written_through_a_link_out_of_the_tree),
        TEST(a_name_below_a_link_to_nothing_or_to_a_file_is_refused),
        TEST(a_remembered_directory_is_forgotten_when_its_link_is_replaced),
        TEST(a_file_over_a_link_replaces_the_link_and_not_its_target),
        TEST(a_hard_link_is_the_same_file),
        TEST(an_overlay_leaves_the_other_names_of_a_file_as_they_were),
        TEST(hard_links_to_anything_but_a_file_here_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
