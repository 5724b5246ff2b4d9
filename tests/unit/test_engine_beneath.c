/* Names of members taken apart, and followed below a directory without leaving it. */
#include "engine_support.h"

#include "beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- names ---- */

static const char *joined(const char *text)
{
    static char out[PBC_PATH_MAX];
    struct pbc_name n;
    struct pbc_error err;

    if (pbc_name_parse(text, &n, &err) != 0)
        fail_msg("%s", err.text);
    pbc_name_join(&n, n.depth, out);
    return out;
}

static void a_name_is_taken_apart_without_empty_and_dot_parts(void **state)
{
    struct pbc_name n;

    (void)state;
    assert_string_equal(joined("a"), "a");
    assert_string_equal(joined("./a//b/./c/"), "a/b/c");
    assert_string_equal(joined("."), "");
    assert_string_equal(joined("./"), "");
    assert_string_equal(joined("...a/..b/c.."), "...a/..b/c..");
    assert_string_equal(joined("a b/\xff\n"), "a b/\xff\n");
    assert_int_equal(pbc_name_parse("x/yy/zzz", &n, NULL), 0);
    assert_int_equal(n.depth, 3);
    assert_string_equal(n.text + n.start[1], "yy");
}

static void hostile_names_are_refused(void **state)
{
    static const char *const names[] = {"",        "/",      "/etc/passwd", "..",     "../x",
                                        "a/..",    "a/../b", "a/b/..",      "./../x", "//x",
                                        "a//../b", ".//..",  "a/./../../x", "..//"};
    struct pbc_name n;
    struct pbc_error err;

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (pbc_name_parse(names[i], &n, &err) == 0)
            fail_msg("'%s' is accepted", names[i]);
        assert_int_equal(err.code, PBC_EXIT_REFUSED);
    }
}

static void names_may_be_as_long_and_as_deep_as_the_limits(void **state)
{
    char text[PBC_PATH_MAX + 1];
    struct pbc_name n;
    struct pbc_error err;

    (void)state;
    memset(text, 'a', sizeof(text));
    text[PBC_PATH_MAX - 1] = '\0';
    assert_int_equal(pbc_name_parse(text, &n, &err), 0);
    text[PBC_PATH_MAX - 1] = 'a';
    text[PBC_PATH_MAX] = '\0';
    assert_int_equal(pbc_name_parse(text, &n, &err), -1);
    assert_error(&err, PBC_EXIT_REFUSED, "4096 bytes");
    for (size_t i = 0; i < PBC_NAME_DEPTH; i++)
        memcpy(text + 2 * i, "d/", 2);
    text[2 * PBC_NAME_DEPTH] = '\0';
    assert_int_equal(pbc_name_parse(text, &n, &err), 0);
    assert_int_equal(n.depth, PBC_NAME_DEPTH);
    strcat(text, "e");
    assert_int_equal(pbc_name_parse(text, &n, &err), -1);
    assert_error(&err, PBC_EXIT_REFUSED, "128 directories");
}

/* ---- following ---- */

static int root_of(void **state, const char *name)
{
    int fd;

    make_dir(in(*state, name), 0755);
    fd = open(in(*state, name), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void assert_leads(int root, const char *path, enum pbc_where want, const char *want_real)
{
    char real[PBC_PATH_MAX] = "unset";
    struct stat a, b;
    int fd = -1;
    enum pbc_where where = pbc_follow(root, path, &fd, real);

    if (where != want)
        fail_msg("'%s' leads to %d, not %d", path, (int)where, (int)want);
    if (where != PBC_INSIDE) {
        assert_int_equal(fd, -1);
        return;
    }
    assert_string_equal(real, want_real);
    assert_int_equal(fstat(fd, &a), 0);
    assert_int_equal(fstatat(root, *real != '\0' ? real : ".", &b, AT_SYMLINK_NOFOLLOW), 0);
    assert_true(a.st_ino == b.st_ino);
    close(fd);
}

static void links_inside_are_followed_to_real_directories(void **state)
{
    int root = root_of(state, "inside");

    mkdirat(root, "a", 0755);
    mkdirat(root, "a/b", 0755);
    mkdirat(root, "a/b/c", 0755);
    assert_int_equal(symlinkat("a/b", root, "to-b"), 0);
    assert_int_equal(symlinkat("../../to-b/./c//", root, "a/b/to-c"), 0);
    assert_int_equal(symlinkat("..", root, "a/up"), 0);
    assert_int_equal(symlinkat(".", root, "self"), 0);
    assert_leads(root, "a/b", PBC_INSIDE, "a/b");
    assert_leads(root, "to-b", PBC_INSIDE, "a/b");
    assert_leads(root, "to-b/to-c", PBC_INSIDE, "a/b/c");
    assert_leads(root, "a/up", PBC_INSIDE, "");
    assert_leads(root, "a/up/a/up/to-b/c/../..", PBC_INSIDE, "a");
    assert_leads(root, "self/self/self", PBC_INSIDE, "");
    assert_leads(root, "", PBC_INSIDE, "");
    close(root);
}

static void links_that_climb_out_are_outside_however_they_do_it(void **state)
{
    int root = root_of(state, "outside");

    mkdirat(root, "a", 0755);
    mkdirat(root, "a/b", 0755);
    mkdirat(root, "a/b/c", 0755);
    assert_int_equal(symlinkat("/etc", root, "absolute"), 0);
    assert_int_equal(symlinkat("..", root, "up"), 0);
    assert_int_equal(symlinkat("a/b/c/../../../..", root, "far"), 0);
    /* By the words of it a/link/../.. is a's parent; really it is the parent of the root. */
    assert_int_equal(symlinkat("..", root, "a/link"), 0);
    assert_int_equal(symlinkat("a/link/..", root, "physical"), 0);
    assert_int_equal(symlinkat("physical/x", root, "chain3"), 0);
    assert_int_equal(symlinkat("chain3", root, "chain2"), 0);
    assert_int_equal(symlinkat("a/../chain2", root, "chain1"), 0);
    assert_leads(root, "absolute", PBC_OUTSIDE, NULL);
    assert_leads(root, "a/../absolute/x", PBC_OUTSIDE, NULL);
    assert_leads(root, "up", PBC_OUTSIDE, NULL);
    assert_leads(root, "far", PBC_OUTSIDE, NULL);
    assert_leads(root, "a/b/c/../../..", PBC_INSIDE, "");
    assert_leads(root, "physical", PBC_OUTSIDE, NULL);
    assert_leads(root, "chain1", PBC_OUTSIDE, NULL);
    assert_leads(root, "..", PBC_OUTSIDE, NULL);
    close(root);
}

static void what_is_missing_or_no_directory_is_told_apart(void **state)
{
    int root = root_of(state, "told");

    close(openat(root, "file", O_CREAT | O_WRONLY, 0644));
    assert_int_equal(mkfifoat(root, "fifo", 0644), 0);
    assert_int_equal(symlinkat("file", root, "to-file"), 0);
    assert_int_equal(symlinkat("nothing/there", root, "dangling"), 0);
    assert_leads(root, "file", PBC_NOT_DIR, NULL);
    assert_leads(root, "fifo", PBC_NOT_DIR, NULL);
    assert_leads(root, "to-file", PBC_NOT_DIR, NULL);
    assert_leads(root, "file/../../x", PBC_NOT_DIR, NULL);
    assert_leads(root, "nothing", PBC_MISSING, NULL);
    assert_leads(root, "dangling", PBC_MISSING, NULL);
    close(root);
}

static void a_loop_of_links_ends_as_it_does_in_the_kernel(void **state)
{
    int root = root_of(state, "loop");
    char name[16], target[16];

    assert_int_equal(symlinkat("loop", root, "loop"), 0);
    assert_int_equal(pbc_follow(root, "loop", NULL, NULL), PBC_BROKEN);
    assert_int_equal(errno, ELOOP);
    mkdirat(root, "40", 0755);
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof(name), "%d", i);
        snprintf(target, sizeof(target), "%d", i + 1);
        assert_int_equal(symlinkat(target, root, name), 0);
    }
    assert_leads(root, "0", PBC_INSIDE, "40"); /* 40 links: as many as the kernel follows */
    assert_int_equal(faccessat(root, "0", F_OK, 0), 0);
    assert_int_equal(symlinkat("0", root, "one-more"), 0);
    assert_int_equal(pbc_follow(root, "one-more", NULL, NULL), PBC_BROKEN);
    assert_int_equal(errno, ELOOP);
    assert_int_equal(faccessat(root, "one-more", F_OK, 0), -1);
    assert_int_equal(errno, ELOOP);
    close(root);
}

static void ways_longer_than_names_can_be_are_not_called_loops(void **state)
{
    int root = root_of(state, "long");
    char deep[3 * (PBC_NAME_DEPTH + 1)] = "";
    char dots[PBC_PATH_MAX] = "";
    char part[NAME_MAX + 2];

    for (int i = 0; i <= PBC_NAME_DEPTH; i++) {
        strcat(deep, i == 0 ? "d" : "/d");
        assert_int_equal(mkdirat(root, deep, 0755), 0);
    }
    assert_int_equal(pbc_follow(root, deep, NULL, NULL), PBC_BROKEN);
    assert_int_equal(errno, ENAMETOOLONG);
    deep[strlen(deep) - 2] = '\0';
    assert_leads(root, deep, PBC_INSIDE, deep);
    /* Three links of 4000 bytes each, which the kernel follows one after the other. */
    for (int i = 0; i < 1990; i++)
        strcat(dots, "/.");
    for (int i = 0; i < 3; i++) {
        char name[8], target[PBC_PATH_MAX + 8];

        snprintf(name, sizeof(name), "l%d", i);
        snprintf(target, sizeof(target), "%s%s", i == 0 ? "d" : i == 1 ? "l0" : "l1", dots);
        assert_int_equal(symlinkat(target, root, name), 0);
    }
    assert_int_equal(faccessat(root, "l2", F_OK, 0), 0);
    assert_int_equal(pbc_follow(root, "l2", NULL, NULL), PBC_BROKEN);
    assert_int_equal(errno, ENAMETOOLONG);
    memset(part, 'n', sizeof(part));
    part[NAME_MAX + 1] = '\0';
    assert_int_equal(pbc_follow(root, part, NULL, NULL), PBC_BROKEN);
    assert_int_equal(errno, ENAMETOOLONG);
    close(root);
}

static void no_descriptor_is_left_open(void **state)
{
    int root = root_of(state, "fds");
    int before = dup(root);

    close(before);
    mkdirat(root, "a", 0755);
    assert_int_equal(symlinkat("a/../..", root, "out"), 0);
    assert_int_equal(symlinkat("x", root, "x"), 0);
    assert_int_equal(symlinkat("missing", root, "a/m"), 0);
    pbc_follow(root, "a/../a/../out", NULL, NULL);
    pbc_follow(root, "a/../x", NULL, NULL);
    pbc_follow(root, "a/m", NULL, NULL);
    pbc_follow(root, "a", NULL, NULL);
    assert_int_equal(dup(root), before);
    close(before);
    close(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_taken_apart_without_empty_and_dot_parts),
        cmocka_unit_test(hostile_names_are_refused),
        cmocka_unit_test(names_may_be_as_long_and_as_deep_as_the_limits),
        cmocka_unit_test(links_inside_are_followed_to_real_directories),
        cmocka_unit_test(links_that_climb_out_are_outside_however_they_do_it),
        cmocka_unit_test(what_is_missing_or_no_directory_is_told_apart),
        cmocka_unit_test(a_loop_of_links_ends_as_it_does_in_the_kernel),
        cmocka_unit_test(ways_longer_than_names_can_be_are_not_called_loops),
        cmocka_unit_test(no_descriptor_is_left_open),
    };

    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
