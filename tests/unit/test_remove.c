/* Removing a tree: hostile ones, deep ones, and such that change meanwhile. */
#include "support.h"

#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *dir; /* of the test; the current directory; holds "sentinel" */
static int dirfd_;
static struct pbc_error err;

#define DEPTH 5000

static int setup(void **state)
{
    static unsigned number;
    char name[16];

    snprintf(name, sizeof(name), "%u", number++);
    dir = in(*state, name);
    if (mkdir(dir, 0755) < 0 || chdir(dir) < 0)
        return -1;
    dirfd_ = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    make_dir("sentinel", 0755);
    make_dir("sentinel/sub", 0755);
    make_file("sentinel/file", "x", 1);
    make_file("sentinel/sub/file", "x", 1);
    return dirfd_ < 0 ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    if (!exists("sentinel/file") || !exists("sentinel/sub/file"))
        return -1; /* whatever the test was about */
    close(dirfd_);
    return chdir("/");
}

static void removes(const char *name)
{
    if (pbc_remove_tree(dirfd_, name, &err) < 0)
        fail_msg("%s", err.text);
    assert_false(exists(name));
}

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

static void make_deep(const char *name, int depth)
{
    make_dir(name, 0755);
    assert_int_equal(chdir(name), 0);
    for (int i = 0; i < depth; i++) {
        assert_int_equal(mkdir("d", 0755), 0);
        assert_int_equal(chdir("d"), 0);
    }
    make_file("f", "x", 1);
    assert_int_equal(fchdir(dirfd_), 0);
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

/* ---- mounts: as root, in a mount namespace of a child ---- */

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

/* ---- somebody changes the tree meanwhile ---- */

static struct timespec seconds_from_now(int seconds)
{
    struct timespec now;

    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    now.tv_sec += seconds;
    return now;
}

static bool is_over(struct timespec end)
{
    struct timespec now = seconds_from_now(0);

    return now.tv_sec > end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec >= end.tv_nsec);
}

/* Swap directories for links to the sentinel, at the top and below, as fast as it goes. */
static void flip(void)
{
    for (;;) {
        syscall(SYS_renameat2, AT_FDCWD, "t/flip", AT_FDCWD, "t/link", 2 /* RENAME_EXCHANGE */);
        syscall(SYS_renameat2, AT_FDCWD, "t/a/b/flip", AT_FDCWD, "t/a/b/link", 2);
        syscall(SYS_renameat2, AT_FDCWD, "t/a", AT_FDCWD, "t/link", 2);
    }
}

static void make_flipping_tree(void)
{
    /* the other one may be quicker at any of these */
    static const char *const dirs[] = {"t", "t/flip", "t/flip/sub", "t/a", "t/a/b", "t/a/b/flip"};

    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
        mkdir(dirs[i], 0755);
    for (int i = 0; i < 8; i++) {
        char path[32];
        int fd;

        /* below "sub", which the sentinel has too */
        snprintf(path, sizeof(path), "t/flip/sub/%d", i);
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        if (fd >= 0)
            close(fd);
    }
    if (symlink(in(dir, "sentinel"), "t/link") < 0 && errno != EEXIST)
        fail_msg("%s", strerror(errno));
    if (symlink(in(dir, "sentinel"), "t/a/b/link") < 0 && errno == ENOSPC)
        fail_msg("%s", strerror(errno));
}

static void swapping_directories_for_links_leads_nowhere(void **state)
{
    struct timespec end = seconds_from_now(3);
    pid_t pid = background(flip);
    unsigned removed = 0;

    (void)state;
    while (!is_over(end)) {
        make_flipping_tree();
        if (pbc_remove_tree(dirfd_, "t", &err) == 0)
            removed++;
        assert_true(exists("sentinel/file"));
        assert_true(exists("sentinel/sub/file"));
    }
    background_end(pid);
    assert_true(removed > 0);
    removes("t");
}

/* A directory leaves the tree and comes back while it is being emptied. */
static void move_away(void)
{
    for (;;) {
        rename("t/a/b", "away");
        rename("away", "t/a/b");
        rename("away", "t/b");
    }
}

static void moving_a_directory_away_leads_nowhere(void **state)
{
    struct timespec end = seconds_from_now(2);
    pid_t pid = background(move_away);

    (void)state;
    while (!is_over(end)) {
        mkdir("t", 0755);
        mkdir("t/a", 0755);
        mkdir("t/a/b", 0755);
        mkdir("t/a/b/c", 0755);
        mkdir("t/a/b/c/d", 0755);
        pbc_remove_tree(dirfd_, "t", &err);
        assert_true(exists("sentinel/file"));
        assert_true(exists("sentinel/sub/file"));
    }
    background_end(pid);
    removes("t");
    removes("away");
}

/* A process of the job that survived goes on writing everywhere. */
static void write_on(void)
{
    become_nobody();
    if (chdir("t/a") < 0)
        _exit(1);
    for (unsigned i = 0;; i++) {
        char path[32];

        snprintf(path, sizeof(path), "%u", i % 100000);
        mkdir(path, 0755);
        snprintf(path, sizeof(path), "../%u", i % 100000);
        mkdir(path, 0755);
        snprintf(path, sizeof(path), "../b/%u", i % 100000);
        mkdir(path, 0755);
    }
}

static void root_takes_a_tree_from_a_user_who_goes_on_writing(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    for (int i = 0; i < 20; i++) {
        pid_t pid;

        make_dir("t", 0755);
        make_dir("t/a", 0755);
        make_dir("t/b", 0755);
        assert_int_equal(chown("t/a", PBC_NOBODY, PBC_NOBODY), 0);
        assert_int_equal(chown("t/b", PBC_NOBODY, PBC_NOBODY), 0);
        assert_int_equal(chown("t", PBC_NOBODY, PBC_NOBODY), 0);
        pid = background(write_on);
        while (!exists("t/b/50"))
            sched_yield();
        removes("t");
        background_end(pid);
    }
}

static void two_removals_of_one_tree_get_along(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        pid_t pid;
        int status;

        make_deep("t", 50);
        for (int j = 0; j < 30; j++) {
            char path[32];

            snprintf(path, sizeof(path), "t/d/d/d/%d", j);
            make_dir(path, 0755);
        }
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            _exit(pbc_remove_tree(dirfd_, "t", &err) < 0);
        removes("t");
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
}

#define test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(what_is_not_there_is_gone),
        test(a_tree_goes_with_all_below),
        test(files_of_every_kind_go),
        test(a_name_that_is_no_directory_goes_itself),
        test(links_are_removed_and_not_followed),
        test(only_a_plain_name_is_removed),
        test(names_like_those_of_the_removal_do_no_harm),
        test(the_longest_names_go),
        test(a_wide_tree_goes),
        test(a_tree_of_any_depth_goes_with_few_descriptors),
        test(no_descriptor_is_left_open),
        test(an_owner_removes_what_he_locked_himself_out_of),
        test(directories_that_are_read_only_go_however_deep),
        test(what_cannot_be_removed_is_named_with_the_reason),
        test(a_mount_is_not_crossed_and_named_and_the_rest_goes),
        test(a_bind_mount_of_the_same_file_system_is_not_crossed),
        test(a_tree_that_is_itself_a_mount_is_left),
        test(a_mounted_file_is_left),
        test(swapping_directories_for_links_leads_nowhere),
        test(moving_a_directory_away_leads_nowhere),
        test(root_takes_a_tree_from_a_user_who_goes_on_writing),
        test(two_removals_of_one_tree_get_along),
    };

    if (getenv("PBC_TEST_WITHOUT_OPENAT2") != NULL)
        without_openat2();
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
