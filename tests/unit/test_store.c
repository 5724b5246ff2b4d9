/* The job's directory: made, opened, purged; a test for each thing in the way. */
#include "support.h"

#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define JOB 4711

static const char *dir; /* of the test, the current directory */
static char store[128]; /* <dir>/store */
static struct pbc_error err;

static int setup(void **state)
{
    static unsigned number;
    char name[16];

    snprintf(name, sizeof(name), "%u", number++);
    dir = in(*state, name);
    snprintf(store, sizeof(store), "%.100s/store", dir);
    if (mkdir(dir, 0755) < 0 || chdir(dir) < 0 || symlink("outside", "link") < 0)
        return -1;
    make_dir("outside", 0755);
    make_file("outside/file", "x", 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (!exists("outside/file"))
        return -1;
    return chdir("/");
}

static int make(void)
{
    return pbc_store_make(store, JOB, geteuid(), getegid(), &err);
}

static void made(void)
{
    if (make() < 0)
        fail_msg("%s", err.text);
}

static void assert_dir(const char *path, uid_t uid, gid_t gid, mode_t mode)
{
    struct stat st;

    assert_int_equal(lstat(path, &st), 0);
    assert_true(S_ISDIR(st.st_mode));
    assert_int_equal(st.st_uid, uid);
    assert_int_equal(st.st_gid, gid);
    assert_int_equal(st.st_mode & 07777, mode);
}

#define refuses_to_make(...)                                                                       \
    do {                                                                                           \
        assert_int_equal(make(), -1);                                                              \
        assert_int_not_equal(errno, ENOENT);                                                       \
        assert_error(&err, PBC_EXIT_FAILED, __VA_ARGS__);                                          \
    } while (0)

static void only_root_can_chown(void)
{
    if (geteuid() != 0)
        skip();
}

/* ---- making ---- */

static void store_and_job_are_made_with_their_modes(void **state)
{
    (void)state;
    made();
    assert_dir("store", geteuid(), getegid(), 0755);
    assert_dir("store/4711", geteuid(), getegid(), 0700);
}

static void the_umask_has_no_say(void **state)
{
    static const mode_t masks[] = {0, 077, 0777};

    (void)state;
    for (size_t i = 0; i < sizeof(masks) / sizeof(masks[0]); i++) {
        mode_t before;

        if (masks[i] == 0777 && geteuid() != 0) /* then not even its owner can open it */
            continue;
        before = umask(masks[i]);
        int rc = make();
        umask(before);
        assert_int_equal(rc, 0);
        assert_dir("store", geteuid(), getegid(), 0755);
        assert_dir("store/4711", geteuid(), getegid(), 0700);
        assert_int_equal(rmdir("store/4711"), 0);
        assert_int_equal(rmdir("store"), 0);
    }
}

static void a_parent_that_hands_its_group_down_has_no_say(void **state)
{
    (void)state;
    assert_int_equal(chmod(".", 02755), 0);
    made();
    assert_dir("store", geteuid(), getegid(), 0755);
    assert_dir("store/4711", geteuid(), getegid(), 0700);
    assert_int_equal(chmod(".", 0755), 0);
}

static void root_gives_the_job_to_its_user(void **state)
{
    (void)state;
    only_root_can_chown();
    assert_int_equal(pbc_store_make(store, JOB, 1234, 5678, &err), 0);
    assert_dir("store", 0, 0, 0755);
    assert_dir("store/4711", 1234, 5678, 0700);
}

static void what_is_there_as_made_is_fine(void **state)
{
    (void)state;
    made();
    make_file("store/4711/file", "x", 1);
    made();
    assert_true(exists("store/4711/file"));
    assert_int_equal(pbc_store_make(store, JOB + 1, geteuid(), getegid(), &err), 0);
    assert_dir("store/4712", geteuid(), getegid(), 0700);
}

static void several_calls_at_a_time_agree(void **state)
{
    uid_t uid = geteuid() == 0 ? 1234 : geteuid();
    gid_t gid = geteuid() == 0 ? 1234 : getegid();

    (void)state;
    for (int round = 0; round < 30; round++) {
        int go[2];
        pid_t pid[12];

        assert_int_equal(pipe(go), 0);
        for (int i = 0; i < 12; i++) {
            pid[i] = fork();
            assert_true(pid[i] >= 0);
            if (pid[i] == 0) {
                char byte;

                close(go[1]);
                umask(i % 2 ? 077 : 0);
                if (read(go[0], &byte, 1) != 0)
                    _exit(2);
                if (pbc_store_make(store, JOB + (uint32_t)i % 2, uid, gid, &err) == 0)
                    _exit(0);
                fprintf(stderr, "%s\n", err.text);
                _exit(1);
            }
        }
        close(go[0]);
        close(go[1]); /* now */
        for (int i = 0; i < 12; i++) {
            int status;

            assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
            assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        }
        assert_dir("store", geteuid(), getegid(), 0755);
        assert_dir("store/4711", uid, gid, 0700);
        assert_dir("store/4712", uid, gid, 0700);
        assert_int_equal(pbc_store_purge(store, JOB, &err), 0);
        assert_int_equal(pbc_store_purge(store, JOB + 1, &err), 0);
        assert_int_equal(rmdir("store"), 0);
    }
}

static void nobody_in_particular_gets_no_store(void **state)
{
    (void)state;
    assert_int_equal(pbc_store_make(store, JOB, (uid_t)-1, getegid(), &err), -1);
    assert_error(&err, PBC_EXIT_FAILED, "4711");
    assert_int_equal(pbc_store_make(store, JOB, geteuid(), (gid_t)-1, &err), -1);
    assert_int_equal(pbc_store_make(store, 0, geteuid(), getegid(), &err), -1);
    assert_false(exists("store"));
}

/* ---- refused: the store ---- */

static void a_store_that_is_a_link_is_refused(void **state)
{
    (void)state;
    assert_int_equal(symlink("outside", "store"), 0);
    refuses_to_make(store, "symbolic link", "real path", "owner");
    assert_false(exists("outside/4711"));
}

static void a_store_that_is_a_dangling_link_is_refused(void **state)
{
    (void)state;
    assert_int_equal(symlink("nowhere", "store"), 0);
    refuses_to_make(store, "symbolic link");
    assert_false(exists("nowhere"));
}

static void a_store_that_is_a_file_is_refused(void **state)
{
    (void)state;
    make_file("store", "x", 1);
    refuses_to_make(store, "not a directory", "mode 0644", "move it");
}

static void a_store_that_others_can_write_to_is_refused(void **state)
{
    static const mode_t modes[] = {0777, 01777, 0775, 0757};

    (void)state;
    make_dir("store", 0700);
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        char words[16];

        assert_int_equal(chmod("store", modes[i]), 0);
        snprintf(words, sizeof(words), "mode %04o", (unsigned)modes[i]);
        refuses_to_make(store, words, "with mode 0755", "remove it");
        assert_dir("store", geteuid(), getegid(), modes[i]);
        assert_false(exists("store/4711"));
    }
}

static void a_store_of_other_modes_is_refused(void **state)
{
    static const mode_t modes[] = {0700, 0750, 02755, 04755};

    (void)state;
    make_dir("store", 0700);
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        char words[16];

        assert_int_equal(chmod("store", modes[i]), 0);
        snprintf(words, sizeof(words), "mode %04o", (unsigned)modes[i]);
        refuses_to_make(store, words, "with mode 0755");
        assert_false(exists("store/4711"));
    }
}

static void a_store_of_another_owner_is_refused(void **state)
{
    (void)state;
    only_root_can_chown();
    make_dir("store", 0755);
    assert_int_equal(chown("store", 1234, 0), 0);
    refuses_to_make(store, "owner 1234", "mode 0755", "of owner 0");
    assert_false(exists("store/4711"));
}

/* ---- refused: the job's directory ---- */

static void a_job_that_is_a_link_is_refused(void **state)
{
    (void)state;
    make_dir("store", 0755);
    assert_int_equal(symlink("../outside", "store/4711"), 0);
    refuses_to_make("store/4711", "symbolic link");
    assert_dir("outside", geteuid(), getegid(), 0755);
}

static void a_job_that_is_a_file_is_refused(void **state)
{
    (void)state;
    make_dir("store", 0755);
    make_file("store/4711", "x", 1);
    refuses_to_make("store/4711", "not a directory");
}

static void a_job_of_other_modes_is_refused(void **state)
{
    static const mode_t modes[] = {0755, 0777, 0710, 02700, 0500};

    (void)state;
    make_dir("store", 0755);
    make_dir("store/4711", 0700);
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        char words[16];

        assert_int_equal(chmod("store/4711", modes[i]), 0);
        snprintf(words, sizeof(words), "mode %04o", (unsigned)modes[i]);
        refuses_to_make("store/4711", words, "with mode 0700");
    }
}

static void a_job_of_another_owner_is_refused(void **state)
{
    (void)state;
    only_root_can_chown();
    made();
    assert_int_equal(chown("store/4711", 1234, 1234), 0);
    refuses_to_make("store/4711", "owner 1234", "of owner 0");
    assert_int_equal(chown("store/4711", 0, 0), 0);
    assert_int_equal(pbc_store_make(store, JOB, 1234, 1234, &err), -1); /* root made it */
    assert_error(&err, PBC_EXIT_FAILED, "owner 0", "of owner 1234");
    assert_dir("store/4711", 0, 0, 0700);
}

/* ---- refused: the parents ---- */

static void use_store_below(const char *parent)
{
    snprintf(store, sizeof(store), "%.80s/%.20s/store", dir, parent);
}

static void a_parent_that_is_a_link_is_refused(void **state)
{
    (void)state;
    use_store_below("link");
    refuses_to_make("/link (", "symbolic link", "real path");
    assert_false(exists("outside/store"));
}

static void a_parent_that_is_a_file_is_refused(void **state)
{
    (void)state;
    use_store_below("outside/file");
    refuses_to_make("outside/file", "not a directory");
}

static void a_parent_that_others_can_write_to_is_refused(void **state)
{
    (void)state;
    make_dir("p", 0777);
    use_store_below("p");
    refuses_to_make("/p (", "mode 0777", "others can write", "chmod go-w");
    assert_int_equal(chmod("p", 0775), 0);
    refuses_to_make("/p (", "mode 0775", "others can write");
    assert_false(exists("p/store"));
}

static void a_grandparent_that_others_can_write_to_is_refused(void **state)
{
    (void)state;
    make_dir("g", 0757);
    make_dir("g/p", 0755);
    use_store_below("g/p");
    refuses_to_make("/g (", "mode 0757", "others can write");
}

static void a_sticky_parent_is_fine(void **state)
{
    (void)state;
    make_dir("p", 01777);
    use_store_below("p");
    made();
    assert_dir("p/store/4711", geteuid(), getegid(), 0700);
}

static void a_parent_of_another_owner_is_refused(void **state)
{
    (void)state;
    only_root_can_chown();
    make_dir("p", 01755);
    assert_int_equal(chown("p", 1234, 1234), 0);
    use_store_below("p");
    refuses_to_make("/p (owner 1234", "does not belong to root");
    assert_false(exists("p/store"));
}

static void a_missing_parent_is_named(void **state)
{
    (void)state;
    use_store_below("missing/x");
    assert_int_equal(make(), -1);
    assert_error(&err, PBC_EXIT_FAILED, "/missing: No such file");
    assert_false(exists("missing"));
}

static void a_store_out_of_form_is_refused(void **state)
{
    static const char *const stores[] = {"",   "store",   "./store",   "/",
                                         "//", "/tmp/..", "/tmp/../x", "/./"};
    char parts[600];

    (void)state;
    for (size_t i = 0; i < sizeof(stores) / sizeof(stores[0]); i++) {
        assert_int_equal(pbc_store_make(stores[i], JOB, geteuid(), getegid(), &err), -1);
        assert_error(&err, PBC_EXIT_USAGE, "store must be");
        assert_int_equal(pbc_store_open(stores[i], JOB, geteuid(), &err), -1);
        assert_int_not_equal(errno, ENOENT);
        assert_int_equal(pbc_store_purge(stores[i], JOB, &err), -1);
        assert_int_equal(pbc_store_each(stores[i], NULL, NULL, &err), -1);
    }
    memset(parts, 'x', sizeof(parts));
    parts[0] = '/';
    parts[sizeof(parts) - 1] = '\0';
    assert_int_equal(pbc_store_make(parts, JOB, geteuid(), getegid(), &err), -1);
}

static void slashes_too_many_do_no_harm(void **state)
{
    char odd[160];

    (void)state;
    snprintf(odd, sizeof(odd), "//%s//", store);
    assert_int_equal(pbc_store_make(odd, JOB, geteuid(), getegid(), &err), 0);
    assert_dir("store/4711", geteuid(), getegid(), 0700);
}

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

#define test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(store_and_job_are_made_with_their_modes),
        test(the_umask_has_no_say),
        test(a_parent_that_hands_its_group_down_has_no_say),
        test(root_gives_the_job_to_its_user),
        test(what_is_there_as_made_is_fine),
        test(several_calls_at_a_time_agree),
        test(nobody_in_particular_gets_no_store),
        test(a_store_that_is_a_link_is_refused),
        test(a_store_that_is_a_dangling_link_is_refused),
        test(a_store_that_is_a_file_is_refused),
        test(a_store_that_others_can_write_to_is_refused),
        test(a_store_of_other_modes_is_refused),
        test(a_store_of_another_owner_is_refused),
        test(a_job_that_is_a_link_is_refused),
        test(a_job_that_is_a_file_is_refused),
        test(a_job_of_other_modes_is_refused),
        test(a_job_of_another_owner_is_refused),
        test(a_parent_that_is_a_link_is_refused),
        test(a_parent_that_is_a_file_is_refused),
        test(a_parent_that_others_can_write_to_is_refused),
        test(a_grandparent_that_others_can_write_to_is_refused),
        test(a_sticky_parent_is_fine),
        test(a_parent_of_another_owner_is_refused),
        test(a_missing_parent_is_named),
        test(a_store_out_of_form_is_refused),
        test(slashes_too_many_do_no_harm),
        test(the_user_opens_the_directory_of_the_job),
        test(the_user_needs_no_rights_of_root),
        test(what_does_not_exist_is_told_by_errno),
        test(a_job_that_is_not_as_made_is_not_opened),
        test(a_store_that_others_can_write_to_is_not_opened),
        test(a_store_that_is_a_link_is_not_opened),
        test(a_store_of_another_owner_is_not_opened),
        test(a_purge_removes_the_job_and_no_other),
        test(a_purge_of_what_is_not_there_is_done),
        test(a_purge_removes_what_lies_in_the_place_of_the_job),
        test(a_job_that_is_a_mount_is_left_and_named),
        test(nobody_sees_half_of_a_purged_job),
        test(purges_at_a_time_get_along),
        test(only_names_of_jobs_are_jobs),
        test(leftovers_of_a_purge_are_removed),
        test(every_job_can_be_purged_on_the_way),
        test(a_leftover_that_cannot_be_removed_stops_nothing),
        test(no_descriptor_is_left_open),
    };

    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
