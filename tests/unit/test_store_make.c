/* Making the store and the job's directory: a test for each thing in the way. */
#include "store_support.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define refuses_to_make(...)                                                                       \
    do {                                                                                           \
        assert_int_equal(make(), -1);                                                              \
        assert_int_not_equal(errno, ENOENT);                                                       \
        assert_error(&err, PBC_EXIT_FAILED, __VA_ARGS__);                                          \
    } while (0)

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
    assert_error(&err, PBC_EXIT_FAILED, "/missing, ", "make it", "No such file");
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        store_test(store_and_job_are_made_with_their_modes),
        store_test(the_umask_has_no_say),
        store_test(a_parent_that_hands_its_group_down_has_no_say),
        store_test(root_gives_the_job_to_its_user),
        store_test(what_is_there_as_made_is_fine),
        store_test(several_calls_at_a_time_agree),
        store_test(nobody_in_particular_gets_no_store),
        store_test(a_store_that_is_a_link_is_refused),
        store_test(a_store_that_is_a_dangling_link_is_refused),
        store_test(a_store_that_is_a_file_is_refused),
        store_test(a_store_that_others_can_write_to_is_refused),
        store_test(a_store_of_other_modes_is_refused),
        store_test(a_store_of_another_owner_is_refused),
        store_test(a_job_that_is_a_link_is_refused),
        store_test(a_job_that_is_a_file_is_refused),
        store_test(a_job_of_other_modes_is_refused),
        store_test(a_job_of_another_owner_is_refused),
        store_test(a_parent_that_is_a_link_is_refused),
        store_test(a_parent_that_is_a_file_is_refused),
        store_test(a_parent_that_others_can_write_to_is_refused),
        store_test(a_grandparent_that_others_can_write_to_is_refused),
        store_test(a_sticky_parent_is_fine),
        store_test(a_parent_of_another_owner_is_refused),
        store_test(a_missing_parent_is_named),
        store_test(a_store_out_of_form_is_refused),
        store_test(slashes_too_many_do_no_harm),
    };

    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
