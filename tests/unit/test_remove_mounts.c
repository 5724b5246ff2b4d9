/* Removing a tree with mounts in it: as root, in a mount namespace of a child. */
#include "remove_support.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

static int private_mounts(void)
{
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -1;
    /* the one from before sees the mounts from before */
    dirfd_ = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dirfd_ < 0 ? -1 : 0;
}

#define CHECK(what)                                                                                \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            fprintf(stderr, "%s:%d: not %s (%s)\n", __FILE__, __LINE__, #what, err.text);          \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)

static int remove_around_mounts(void *arg)
{
    const char *source = arg; /* NULL for a file system of its own */

    if (private_mounts())
        return 77;
    CHECK(mount(source != NULL ? source : "none", "t/a/b/mnt", "tmpfs", source ? MS_BIND : 0,
                NULL) == 0);
    CHECK(close(open("t/a/b/mnt/more", O_WRONLY | O_CREAT | O_CLOEXEC, 0644)) == 0);
    CHECK(pbc_remove_tree(dirfd_, "t", &err) == -1);
    CHECK(err.code == PBC_EXIT_FAILED);
    CHECK(strstr(err.text, "a mount is in the way") != NULL);
    CHECK(strstr(err.text, "/t/") != NULL && strstr(err.text, "/mnt") != NULL);
    /* all but the mount and what holds it */
    CHECK(!exists("t/a") && !exists("t/z"));
    if (source != NULL)
        CHECK(exists("sentinel/file") && exists("sentinel/more"));
    return 0;
}

static void make_tree_to_mount_on(void)
{
    make_dir("t", 0755);
    make_dir("t/a", 0755);
    make_dir("t/a/b", 0755);
    make_dir("t/a/b/c", 0755);
    make_file("t/a/b/c/f", "x", 1);
    make_dir("t/a/b/mnt", 0755);
    make_dir("t/z", 0755);
    make_file("t/z/f", "x", 1);
}

static void mounts_are_left(int (*fn)(void *), void *arg)
{
    int rc;

    if (geteuid() != 0)
        skip();
    rc = in_child(fn, arg);
    if (rc == 77)
        skip();
    assert_int_equal(rc, 0);
    removes("t"); /* mounted there only */
}

static void a_mount_is_not_crossed_and_named_and_the_rest_goes(void **state)
{
    (void)state;
    make_tree_to_mount_on();
    mounts_are_left(remove_around_mounts, NULL);
}

static void a_bind_mount_of_the_same_file_system_is_not_crossed(void **state)
{
    char source[] = "sentinel";

    (void)state;
    make_tree_to_mount_on();
    mounts_are_left(remove_around_mounts, source);
    assert_true(exists("sentinel/more"));
}

static int remove_a_mount(void *arg)
{
    (void)arg;
    if (private_mounts())
        return 77;
    CHECK(mount("sentinel", "t", NULL, MS_BIND, NULL) == 0);
    CHECK(pbc_remove_tree(dirfd_, "t", &err) == -1);
    CHECK(strstr(err.text, "a mount is in the way") != NULL);
    CHECK(strstr(err.text, "/t:") != NULL);
    CHECK(exists("sentinel/file") && exists("sentinel/sub/file"));
    return 0;
}

static void a_tree_that_is_itself_a_mount_is_left(void **state)
{
    (void)state;
    make_dir("t", 0755);
    mounts_are_left(remove_a_mount, NULL);
}

static int remove_a_file_mount(void *arg)
{
    (void)arg;
    if (private_mounts())
        return 77;
    CHECK(mount("sentinel/file", "t/a/f", NULL, MS_BIND, NULL) == 0);
    CHECK(pbc_remove_tree(dirfd_, "t", &err) == -1);
    CHECK(strstr(err.text, "a mount is in the way") != NULL);
    CHECK(exists("sentinel/file"));
    return 0;
}

static void a_mounted_file_is_left(void **state)
{
    (void)state;
    make_dir("t", 0755);
    make_dir("t/a", 0755);
    make_file("t/a/f", "x", 1);
    mounts_are_left(remove_a_file_mount, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        remove_test(a_mount_is_not_crossed_and_named_and_the_rest_goes),
        remove_test(a_bind_mount_of_the_same_file_system_is_not_crossed),
        remove_test(a_tree_that_is_itself_a_mount_is_left),
        remove_test(a_mounted_file_is_left),
    };

    return remove_tests(tests);
}
