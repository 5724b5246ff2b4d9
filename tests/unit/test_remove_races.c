/* Removing a tree that somebody changes meanwhile. */
#include "remove_support.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        remove_test(swapping_directories_for_links_leads_nowhere),
        remove_test(moving_a_directory_away_leads_nowhere),
        remove_test(root_takes_a_tree_from_a_user_who_goes_on_writing),
        remove_test(two_removals_of_one_tree_get_along),
    };

    return remove_tests(tests);
}
