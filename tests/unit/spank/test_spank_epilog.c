/* Removal at a job's end and at the start of slurmd. */
#include "port_fake.h"

#include "context.h"
#include "launch.h"
#include "store.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SP ((struct spank_handle *)NULL)

static char store_key[4200], store[4100];
static char *words[] = {store_key};

int pbc_launch(const struct pbc_launch *l, struct pbc_error *err)
{
    (void)l;
    return pbc_fail(err, PBC_EXIT_FAILED, "not here");
}

int pbc_launch_mark(const struct pbc_launch *l, uint32_t number, struct pbc_error *err)
{
    (void)l;
    (void)number;
    return pbc_fail(err, PBC_EXIT_FAILED, "not here");
}

static const char *job_dir(uint32_t job)
{
    char name[16];

    snprintf(name, sizeof(name), "%u", job);
    return in(store, name);
}

static void make(uint32_t job)
{
    struct pbc_error err;

    assert_int_equal(pbc_store_make(store, job, geteuid(), getegid(), &err), 0);
    make_file(in(job_dir(job), "file"), "x", 1);
}

static int setup(void **state)
{
    struct pbc_error err;

    fake_setup(NULL);
    snprintf(store, sizeof(store), "%s/store", (const char *)*state);
    snprintf(store_key, sizeof(store_key), "store=%s", store);
    for (uint32_t job = 1; job < 16; job++)
        assert_int_equal(pbc_store_purge(store, job, &err), 0);
    fake.ctx = PBC_CTX_OTHER;
    return 0;
}

static void the_jobs_directory_goes(void **state)
{
    (void)state;
    make(7);
    make(8);
    assert_int_equal(pbc_epilog(SP, 1, words), 0);
    assert_false(exists(job_dir(7)));
    assert_true(exists(job_dir(8)));
    assert_int_equal(pbc_epilog(SP, 1, words), 0); /* nothing is there: nothing happens */
    assert_log_lines(0);
}

static void an_epilog_never_fails(void **state)
{
    char wrong[] = "wrong=1";
    char *argv[] = {wrong};

    make(7);
    assert_int_equal(pbc_epilog(SP, 1, argv), 0);
    assert_log_lines(1);
    fake.no_step = 1;
    assert_int_equal(pbc_epilog(SP, 1, words), 0);
    assert_log_lines(2);
    fake.no_step = 0;
    assert_true(exists(job_dir(7)));
    /* a store that is none */
    assert_int_equal(rename(store, in(*state, "aside")), 0);
    assert_int_equal(symlink(in(*state, "aside"), store), 0);
    assert_int_equal(pbc_epilog(SP, 1, words), 0);
    assert_log_lines(3);
    assert_logged("epilog of job 7");
    assert_int_equal(unlink(store), 0);
    assert_int_equal(rename(in(*state, "aside"), store), 0);
}

static void leftovers_of_ended_jobs_go(void **state)
{
    (void)state;
    make(1);
    make(2);
    make(3);
    fake.state[1] = PBC_JOB_GONE;
    fake.state[2] = PBC_JOB_HERE;
    fake.state[3] = PBC_JOB_GONE;
    assert_int_equal(pbc_sweep(1, words), 0);
    /* in a process of its own */
    for (int i = 0; i < 250 && (exists(job_dir(1)) || exists(job_dir(3))); i++)
        usleep(20000);
    assert_false(exists(job_dir(1)));
    assert_false(exists(job_dir(3)));
    assert_true(exists(job_dir(2)));
}

static void slurmd_does_not_wait_for_an_answer(void **state)
{
    struct timespec began, now;

    (void)state;
    make(1);
    fake.state[1] = PBC_JOB_UNKNOWN;
    clock_gettime(CLOCK_MONOTONIC, &began);
    assert_int_equal(pbc_sweep(1, words), 0);
    clock_gettime(CLOCK_MONOTONIC, &now);
    assert_true(now.tv_sec - began.tv_sec < 2);
    assert_true(exists(job_dir(1)));
}

/* The sweeper may live for minutes; a slurmd that is started again needs its port. */
static void the_sweeper_keeps_no_socket(void **state)
{
    struct timespec began, now;
    int pair[2];
    char c;

    (void)state;
    make(1);
    fake.state[1] = PBC_JOB_UNKNOWN;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(pbc_sweep(1, words), 0);
    close(pair[1]);
    /* End of file as soon as nobody has the other end. */
    clock_gettime(CLOCK_MONOTONIC, &began);
    assert_int_equal(read(pair[0], &c, 1), 0);
    clock_gettime(CLOCK_MONOTONIC, &now);
    assert_true(now.tv_sec - began.tv_sec < 2);
    close(pair[0]);
}

static void nothing_is_left_over(void **state)
{
    char wrong[] = "wrong=1";
    char *argv[] = {wrong};

    (void)state;
    assert_int_equal(pbc_sweep(1, words), 0);
    assert_int_equal(pbc_sweep(1, argv), 0); /* slurmd starts all the same */
    assert_log_lines(1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_jobs_directory_goes, setup),
        cmocka_unit_test_setup(an_epilog_never_fails, setup),
        cmocka_unit_test_setup(leftovers_of_ended_jobs_go, setup),
        cmocka_unit_test_setup(slurmd_does_not_wait_for_an_answer, setup),
        cmocka_unit_test_setup(the_sweeper_keeps_no_socket, setup),
        cmocka_unit_test_setup(nothing_is_left_over, setup),
    };

    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
