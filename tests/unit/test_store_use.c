/* Opening, purging and listing what is in the store. */
#include "store_support.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- opening ---- */

static void the_user_opens_the_directory_of_the_job(void **state)
{
    struct stat by_fd, by_path;
    int fd;

    (void)state;
    made();
    fd = pbc_store_open(store, JOB, geteuid(), &err);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &by_fd), 0);
    assert_int_equal(stat("store/4711", &by_path), 0);
    assert_int_equal(by_fd.st_ino, by_path.st_ino);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    close(fd);
}

static int open_as_nobody(void *arg)
{
    (void)arg;
    become_nobody();
    return pbc_store_open(store, JOB, PBC_NOBODY, &err) < 0;
}

static void the_user_needs_no_rights_of_root(void **state)
{
    (void)state;
    only_root_can_chown();
    assert_int_equal(pbc_store_make(store, JOB, PBC_NOBODY, PBC_NOBODY, &err), 0);
    assert_int_equal(in_child(open_as_nobody, NULL), 0);
}

static void refuses_to_open(const char *word)
{
    errno = ENOENT;
    assert_int_equal(pbc_store_open(store, JOB, geteuid(), &err), -1);
    assert_int_not_equal(errno, ENOENT);
    assert_error(&err, PBC_EXIT_FAILED, "store", word);
}

static void what_does_not_exist_is_told_by_errno(void **state)
{
    (void)state;
    errno = 0;
    assert_int_equal(pbc_store_open(store, JOB, geteuid(), &err), -1);
    assert_int_equal(errno, ENOENT);
    assert_error(&err, PBC_EXIT_FAILED, "No such file");
    make_dir("store", 0755);
    errno = 0;
    assert_int_equal(pbc_store_open(store, JOB, geteuid(), &err), -1);
    assert_int_equal(errno, ENOENT);
    assert_error(&err, PBC_EXIT_FAILED, "store/4711");
}

static void a_job_that_is_not_as_made_is_not_opened(void **state)
{
    (void)state;
    made();
    assert_int_equal(chmod("store/4711", 0750), 0);
    refuses_to_open("mode 0750");
    assert_int_equal(chmod("store/4711", 0700), 0);
    assert_int_equal(pbc_store_open(store, JOB, geteuid() + 1, &err), -1);
    assert_error(&err, PBC_EXIT_FAILED, "its user must own it");
    assert_int_equal(rmdir("store/4711"), 0);
    assert_int_equal(symlink("../outside", "store/4711"), 0);
    refuses_to_open("symbolic link");
    assert_int_equal(unlink("store/4711"), 0);
    make_file("store/4711", "x", 1);
    refuses_to_open("not a directory");
}

static void a_store_that_others_can_write_to_is_not_opened(void **state)
{
    (void)state;
    made();
    assert_int_equal(chmod("store", 0777), 0);
    refuses_to_open("is not a store");
    assert_int_equal(pbc_store_purge(store, JOB, &err), -1);
    assert_error(&err, PBC_EXIT_FAILED, "is not a store");
    assert_int_equal(pbc_store_each(store, NULL, NULL, &err), -1);
    assert_true(exists("store/4711"));
}

static void a_store_that_is_a_link_is_not_opened(void **state)
{
    (void)state;
    made();
    assert_int_equal(rename("store", "real"), 0);
    assert_int_equal(symlink("real", "store"), 0);
    refuses_to_open("symbolic link");
    assert_int_equal(pbc_store_purge(store, JOB, &err), -1);
    assert_int_equal(pbc_store_each(store, NULL, NULL, &err), -1);
    assert_true(exists("real/4711"));
}

static void a_store_of_another_owner_is_not_opened(void **state)
{
    (void)state;
    only_root_can_chown();
    made();
    assert_int_equal(chown("store", 1234, 1234), 0);
    refuses_to_open("owner 1234");
    assert_int_equal(pbc_store_purge(store, JOB, &err), -1);
    assert_error(&err, PBC_EXIT_FAILED, "owner 1234");
    assert_true(exists("store/4711"));
}

struct found {
    uint32_t job[16];
    int count;
    bool purge;
};

static void find(uint32_t job, void *arg)
{
    struct found *found = arg;

    assert_true(found->count < 16);
    found->job[found->count++] = job;
    if (found->purge)
        assert_int_equal(pbc_store_purge(store, job, &err), 0);
}

/* ---- purging ---- */

static void a_purge_removes_the_job_and_no_other(void **state)
{
    (void)state;
    made();
    assert_int_equal(pbc_store_make(store, 47, geteuid(), getegid(), &err), 0);
    make_dir("store/4711/tree", 0555);
    make_file("store/4711/file", "x", 1);
    assert_int_equal(symlink("../../outside", "store/4711/link"), 0);
    make_file("store/47/file", "x", 1);
    assert_int_equal(pbc_store_purge(store, JOB, &err), 0);
    assert_false(exists("store/4711"));
    assert_true(exists("store/47/file"));
    assert_int_equal(rmdir("store"), -1);
    assert_int_equal(pbc_store_purge(store, 47, &err), 0);
    assert_int_equal(rmdir("store"), 0); /* nothing was left aside */
}

static void a_purge_of_what_is_not_there_is_done(void **state)
{
    (void)state;
    assert_int_equal(pbc_store_purge(store, JOB, &err), 0);
    use_store_below("missing");
    assert_int_equal(pbc_store_purge(store, JOB, &err), 0);
    assert_int_equal(pbc_store_each(store, NULL, NULL, &err), 0);
    use_store_below("outside");
    make_dir("outside/store", 0755);
    assert_int_equal(pbc_store_purge(store, JOB, &err), 0);
}

static void a_purge_removes_what_lies_in_the_place_of_the_job(void **state)
{
    (void)state;
    make_dir("store", 0755);
    assert_int_equal(symlink("../outside", "store/4711"), 0);
    assert_int_equal(pbc_store_purge(store, JOB, &err), 0);
    make_file("store/4711", "x", 1);
    assert_int_equal(pbc_store_purge(store, JOB, &err), 0);
    assert_int_equal(rmdir("store"), 0);
}

static int purge_around_a_mount(void *arg)
{
    (void)arg;
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return 77;
    if (mount("outside", "store/4711", NULL, MS_BIND, NULL) < 0)
        return 2;
    if (pbc_store_purge(store, JOB, &err) == 0 || !exists("outside/file"))
        return 3;
    return strstr(err.text, "a mount is in the way") && strstr(err.text, "store/4711") ? 0 : 4;
}

static void a_job_that_is_a_mount_is_left_and_named(void **state)
{
    int rc;

    (void)state;
    only_root_can_chown();
    made();
    rc = in_child(purge_around_a_mount, NULL);
    if (rc == 77)
        skip();
    assert_int_equal(rc, 0);
}

static int purge_with_a_mount_below(void *arg)
{
    (void)arg;
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return 77;
    if (mount("outside", "store/4711/a/m", NULL, MS_BIND, NULL) < 0)
        return 2;
    if (pbc_store_purge(store, JOB, &err) == 0 || !exists("outside/file"))
        return 3;
    return strstr(err.text, "a mount is in the way") == NULL || exists("store/4711") ? 4 : 0;
}

static void nobody_sees_half_of_a_purged_job(void **state)
{
    struct found found = {.count = 0};
    int rc;

    (void)state;
    only_root_can_chown();
    made();
    make_dir("store/4711/a", 0755);
    make_dir("store/4711/a/m", 0755);
    rc = in_child(purge_with_a_mount_below, NULL);
    if (rc == 77)
        skip();
    assert_int_equal(rc, 0);
    made(); /* the same job can start again */
    /* and what is left goes when the mount is gone */
    assert_int_equal(pbc_store_each(store, find, &found, &err), 1);
    assert_int_equal(rmdir("store/4711"), 0);
    assert_int_equal(rmdir("store"), 0);
}

static void purges_at_a_time_get_along(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        int status;
        pid_t pid;

        made();
        make_dir("store/4711/a", 0755);
        make_dir("store/4711/a/b", 0755);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            _exit(pbc_store_purge(store, JOB, &err) < 0);
        assert_int_equal(pbc_store_purge(store, JOB, &err), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        assert_int_equal(rmdir("store"), 0);
    }
}

/* ---- listing ---- */

static void only_names_of_jobs_are_jobs(void **state)
{
    static const char *const others[] = {"0",           "01",    "12a", "-1", "4294967296",
                                         "99999999999", "cache", " 5",  "1.0"};
    struct found found = {.count = 0};

    (void)state;
    make_dir("store", 0755);
    make_dir("store/7", 0700);
    make_dir("store/4294967295", 0700);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        char path[64];

        snprintf(path, sizeof(path), "store/%s", others[i]);
        make_dir(path, 0700);
    }
    assert_int_equal(pbc_store_each(store, find, &found, &err), 2);
    assert_int_equal(found.count, 2);
    assert_true(found.job[0] == 7 || found.job[1] == 7);
    assert_true(found.job[0] == UINT32_MAX || found.job[1] == UINT32_MAX);
    assert_true(exists("store/cache"));
}

static void leftovers_of_a_purge_are_removed(void **state)
{
    struct found found = {.count = 0};

    (void)state;
    made();
    make_dir("store/.purge-12-0123456789abcdef", 0700);
    make_dir("store/.purge-12-0123456789abcdef/a", 0700);
    make_file("store/.purge-12-0123456789abcdef/a/f", "x", 1);
    make_file("store/.purge-", "x", 1);
    assert_int_equal(pbc_store_each(store, find, &found, &err), 1);
    assert_int_equal(found.job[0], JOB);
    assert_int_equal(rmdir("store/4711"), 0);
    assert_int_equal(rmdir("store"), 0);
}

static void every_job_can_be_purged_on_the_way(void **state)
{
    struct found found = {.purge = true};

    (void)state;
    for (uint32_t job = 1; job <= 16; job++)
        assert_int_equal(pbc_store_make(store, job, geteuid(), getegid(), &err), 0);
    assert_int_equal(pbc_store_each(store, find, &found, &err), 16);
    assert_int_equal(rmdir("store"), 0);
}

static int each_around_a_mount(void *arg)
{
    struct found found = {.purge = false};

    (void)arg;
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return 77;
    if (mount("outside", "store/.purge-9-1/m", NULL, MS_BIND, NULL) < 0)
        return 2;
    /* the error is told, and the jobs are found all the same */
    if (pbc_store_each(store, find, &found, &err) != -1 || found.count != 1)
        return 3;
    if (!exists("outside/file") || exists("store/.purge-8-1") || exists("store/.purge-7-1"))
        return 4;
    return strstr(err.text, "a mount is in the way") && strstr(err.text, ".purge-9-1") ? 0 : 5;
}

static void a_leftover_that_cannot_be_removed_stops_nothing(void **state)
{
    int rc;

    (void)state;
    only_root_can_chown();
    made();
    make_dir("store/.purge-7-1", 0700);
    make_dir("store/.purge-8-1", 0700);
    make_dir("store/.purge-9-1", 0700);
    make_dir("store/.purge-9-1/m", 0700);
    rc = in_child(each_around_a_mount, NULL);
    if (rc == 77)
        skip();
    assert_int_equal(rc, 0);
}

static void no_descriptor_is_left_open(void **state)
{
    struct found found = {.purge = true};
    int next = dup(0), again;

    (void)state;
    close(next);
    made();
    close(pbc_store_open(store, JOB, geteuid(), &err));
    assert_int_equal(pbc_store_each(store, find, &found, &err), 1);
    assert_int_equal(pbc_store_open(store, JOB, geteuid(), &err), -1);
    assert_int_equal(chmod("store", 0777), 0);
    assert_int_equal(make(), -1);
    assert_int_equal(pbc_store_purge(store, JOB, &err), -1);
    use_store_below("link");
    assert_int_equal(make(), -1);
    again = dup(0);
    close(again);
    assert_int_equal(again, next);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        store_test(the_user_opens_the_directory_of_the_job),
        store_test(the_user_needs_no_rights_of_root),
        store_test(what_does_not_exist_is_told_by_errno),
        store_test(a_job_that_is_not_as_made_is_not_opened),
        store_test(a_store_that_others_can_write_to_is_not_opened),
        store_test(a_store_that_is_a_link_is_not_opened),
        store_test(a_store_of_another_owner_is_not_opened),
        store_test(a_purge_removes_the_job_and_no_other),
        store_test(a_purge_of_what_is_not_there_is_done),
        store_test(a_purge_removes_what_lies_in_the_place_of_the_job),
        store_test(a_job_that_is_a_mount_is_left_and_named),
        store_test(nobody_sees_half_of_a_purged_job),
        store_test(purges_at_a_time_get_along),
        store_test(only_names_of_jobs_are_jobs),
        store_test(leftovers_of_a_purge_are_removed),
        store_test(every_job_can_be_purged_on_the_way),
        store_test(a_leftover_that_cannot_be_removed_stops_nothing),
        store_test(no_descriptor_is_left_open),
    };

    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
