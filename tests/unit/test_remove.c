/* Removing a tree, of whatever its owner filled it with. */
#include "remove_support.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define DEPTH 5000

static void what_is_not_there_is_gone(void **state)
{
    (void)state;
    removes("missing");
}

static void a_tree_goes_with_all_below(void **state)
{
    (void)state;
    make_dir("t", 0755);
    make_dir("t/empty", 0755);
    make_dir("t/a", 0755);
    make_dir("t/a/b", 0755);
    make_dir("t/a/b/c", 0755);
    make_file("t/f", "x", 1);
    make_file("t/a/f", "x", 1);
    make_file("t/a/b/c/f", "x", 1);
    make_file("t/a/b/ \n\x80'\"", "x", 1);
    assert_int_equal(mkfifo("t/a/fifo", 0600), 0);
    removes("t");
}

static void files_of_every_kind_go(void **state)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "t/socket"};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)state;
    make_dir("t", 0755);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    close(fd);
    assert_int_equal(mkfifo("t/fifo", 0), 0);
    make_file("t/suid", "x", 1);
    assert_int_equal(chmod("t/suid", 04000), 0);
    assert_int_equal(link("sentinel/file", "t/hardlink"), 0);
    removes("t");
}

static void a_name_that_is_no_directory_goes_itself(void **state)
{
    (void)state;
    make_file("f", "x", 1);
    removes("f");
    assert_int_equal(symlink("sentinel", "l"), 0);
    removes("l");
    assert_int_equal(symlink("nowhere", "l"), 0);
    removes("l");
}

static void links_are_removed_and_not_followed(void **state)
{
    (void)state;
    make_dir("t", 0755);
    make_dir("t/a", 0755);
    assert_int_equal(symlink("../sentinel", "t/relative"), 0);
    assert_int_equal(symlink("../../sentinel", "t/a/relative"), 0);
    assert_int_equal(symlink(in(dir, "sentinel"), "t/a/absolute"), 0);
    assert_int_equal(symlink("..", "t/a/up"), 0);
    assert_int_equal(symlink(".", "t/a/self"), 0);
    removes("t");
    assert_true(exists("sentinel/file"));
    assert_true(exists("sentinel/sub/file"));
}

static void only_a_plain_name_is_removed(void **state)
{
    static const char *const names[] = {"", ".", "..", "a/b", "/", "/tmp"};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_int_equal(pbc_remove_tree(dirfd_, names[i], &err), -1);
        assert_error(&err, PBC_EXIT_FAILED, "not a name to remove");
    }
}

static void names_like_those_of_the_removal_do_no_harm(void **state)
{
    (void)state;
    make_dir("t", 0755);
    make_dir("t/.pbc-0000000000000000-0", 0755);
    make_dir("t/.pbc-0000000000000000-0/.pbc-0000000000000000-0", 0755);
    make_file("t/.pbc-0000000000000000-0/.pbc-0000000000000000-0/f", "x", 1);
    make_file("t/.pbc-", "x", 1);
    removes("t");
}

static void the_longest_names_go(void **state)
{
    char name[256];

    (void)state;
    memset(name, 'n', 255);
    name[255] = '\0';
    make_dir("t", 0755);
    assert_int_equal(chdir("t"), 0);
    for (int i = 0; i < 40; i++) {
        make_dir(name, 0755);
        assert_int_equal(chdir(name), 0);
        make_file("f", "x", 1);
    }
    assert_int_equal(fchdir(dirfd_), 0);
    removes("t");
}

static void a_wide_tree_goes(void **state)
{
    char path[64];

    (void)state;
    make_dir("t", 0755);
    for (int i = 0; i < 300; i++) {
        snprintf(path, sizeof(path), "t/%d", i);
        make_dir(path, 0755);
        for (int j = 0; j < 20; j++) {
            snprintf(path, sizeof(path), "t/%d/%d", i, j);
            if (j % 3 == 0)
                make_dir(path, 0755);
            else
                make_file(path, "x", 1);
        }
        snprintf(path, sizeof(path), "t/%d/0/f", i);
        make_file(path, "x", 1);
    }
    removes("t");
}

static int remove_with_few_descriptors(void *arg)
{
    struct rlimit limit = {12, 12};

    (void)arg;
    return setrlimit(RLIMIT_NOFILE, &limit) < 0 || pbc_remove_tree(dirfd_, "t", &err) < 0;
}

static void a_tree_of_any_depth_goes_with_few_descriptors(void **state)
{
    (void)state;
    make_deep("t", DEPTH);
    assert_int_equal(in_child(remove_with_few_descriptors, NULL), 0);
    assert_false(exists("t"));
}

static int remove_without_renames(void *arg)
{
    (void)arg;
    without_renames();
    return pbc_remove_tree(dirfd_, "t", &err) < 0;
}

static void where_nothing_can_be_renamed_a_shallow_tree_goes(void **state)
{
    (void)state;
    make_deep("t", 10);
    make_dir("t/d/d/x", 0755);
    make_file("t/d/d/x/f", "x", 1);
    make_file("t/d/f", "x", 1);
    assert_int_equal(in_child(remove_without_renames, NULL), 0);
    assert_false(exists("t"));
}

static int fail_at_depth(void *arg)
{
    (void)arg;
    without_renames();
    if (pbc_remove_tree(dirfd_, "t", &err) == 0)
        return 1;
    return strstr(err.text, "cannot remove") != NULL && strstr(err.text, "/d/d/d/d") != NULL ? 0
                                                                                             : 2;
}

static void where_nothing_can_be_renamed_a_deep_tree_is_an_error_and_no_recursion(void **state)
{
    (void)state;
    make_deep("t", 100);
    make_file("t/f", "x", 1);
    assert_int_equal(in_child(fail_at_depth, NULL), 0);
    assert_false(exists("t/f"));
    removes("t");
}

static void no_descriptor_is_left_open(void **state)
{
    int next = dup(dirfd_), again;

    (void)state;
    close(next);
    make_deep("t", 5);
    make_file("t/d/f", "x", 1);
    removes("t");
    again = dup(dirfd_);
    close(again);
    assert_int_equal(again, next);
}

static int remove_as_nobody(void *arg)
{
    (void)arg;
    become_nobody();
    if (mkdir("n/t", 0755) < 0 || mkdir("n/t/a", 0755) < 0 || mkdir("n/t/a/b", 0755) < 0 ||
        mkdir("n/t/a/b/c", 0755) < 0 || mkdir("n/t/none", 0755) < 0 ||
        mkdir("n/t/none/x", 0755) < 0 || mkdir("n/t/empty", 0) < 0 || chmod("n/t/a/b/c", 0) < 0 ||
        chmod("n/t/a/b", 0555) < 0 || chmod("n/t/a", 0500) < 0 || chmod("n/t/none", 0) < 0 ||
        chmod("n/t", 0) < 0)
        return 2;
    return pbc_remove_tree(open("n", O_RDONLY | O_CLOEXEC), "t", &err) < 0 ? 1 : 0;
}

static void an_owner_removes_what_he_locked_himself_out_of(void **state)
{
    (void)state;
    make_dir("n", 0777);
    assert_int_equal(in_child(remove_as_nobody, NULL), 0);
    assert_int_equal(rmdir("n"), 0);
}

static int remove_read_only_depth(void *arg)
{
    (void)arg;
    become_nobody();
    if (chdir("n") < 0)
        return 2;
    for (int i = 0; i < 100; i++) {
        if (mkdir("d", 0755) < 0 || chdir("d") < 0)
            return 2;
    }
    for (int i = 0; i < 100; i++) {
        if (chmod(".", 0555) < 0 || chdir("..") < 0)
            return 2;
    }
    return pbc_remove_tree(open(".", O_RDONLY | O_CLOEXEC), "d", &err) < 0;
}

static void directories_that_are_read_only_go_however_deep(void **state)
{
    (void)state;
    make_dir("n", 0777);
    assert_int_equal(in_child(remove_read_only_depth, NULL), 0);
    assert_int_equal(rmdir("n"), 0);
}

static int remove_a_strangers(void *arg)
{
    (void)arg;
    become_nobody();
    if (pbc_remove_tree(dirfd_, "t", &err) == 0)
        return 1;
    return strstr(err.text, "cannot remove") != NULL && strstr(err.text, "Permission") != NULL &&
                   strstr(err.text, "/t") != NULL
               ? 0
               : 2;
}

static void what_cannot_be_removed_is_named_with_the_reason(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    make_dir("t", 0755);
    make_dir("t/a", 0755);
    make_file("t/a/f", "x", 1);
    assert_int_equal(in_child(remove_a_strangers, NULL), 0);
    assert_true(exists("t/a/f"));
    removes("t");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        remove_test(what_is_not_there_is_gone),
        remove_test(a_tree_goes_with_all_below),
        remove_test(files_of_every_kind_go),
        remove_test(a_name_that_is_no_directory_goes_itself),
        remove_test(links_are_removed_and_not_followed),
        remove_test(only_a_plain_name_is_removed),
        remove_test(names_like_those_of_the_removal_do_no_harm),
        remove_test(the_longest_names_go),
        remove_test(a_wide_tree_goes),
        remove_test(a_tree_of_any_depth_goes_with_few_descriptors),
        remove_test(where_nothing_can_be_renamed_a_shallow_tree_goes),
        remove_test(where_nothing_can_be_renamed_a_deep_tree_is_an_error_and_no_recursion),
        remove_test(no_descriptor_is_left_open),
        remove_test(an_owner_removes_what_he_locked_himself_out_of),
        remove_test(directories_that_are_read_only_go_however_deep),
        remove_test(what_cannot_be_removed_is_named_with_the_reason),
    };

    return remove_tests(tests);
}
