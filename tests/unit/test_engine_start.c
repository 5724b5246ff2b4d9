/* When agents begin to meet. */
#include "engine_support.h"

#include "clock.h"
#include "start.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Standard input is what has been written into the result; standard output a file. */
static int hold(const char *dir, struct pbc_start *s)
{
    int in_pipe[2];
    int fd = open(in(dir, "said"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    int old = dup(STDOUT_FILENO);

    assert_int_equal(pipe2(in_pipe, O_CLOEXEC), 0);
    assert_true(dup2(in_pipe[0], STDIN_FILENO) == STDIN_FILENO);
    close(in_pipe[0]);
    fflush(stdout);
    assert_true(dup2(fd, STDOUT_FILENO) == STDOUT_FILENO);
    close(fd);
    pbc_start_begin(s, 1);
    assert_true(dup2(old, STDOUT_FILENO) == STDOUT_FILENO);
    close(old);
    return in_pipe[1];
}

static void who_holds_says_that_it_is_here(void **state)
{
    struct pbc_start s;
    char *said;

    close(hold(*state, &s));
    said = slurp(in(*state, "said"));
    assert_string_equal(said, "pbcast: here\n");
    free(said);
    assert_int_equal(s.told_by, STDIN_FILENO);
    pbc_start_begin(&s, 0);
    assert_int_equal(s.told_by, -1);
}

static void told_to_go_they_begin_at_once(void **state)
{
    struct pbc_start s;
    int fd = hold(*state, &s);

    s.untold_ms = 100000;
    assert_int_equal(write(fd, "pbcast: go\n", 11), 11);
    assert_int_equal(pbc_start_await(&s), 0);
    assert_true(pbc_now_ms() - s.began < 100000);
    close(fd);
}

static void anything_else_does_not_count(void **state)
{
    static const char *const words[] = {"pbcast: g", "\n", "pbcast: goal\n", "#!/bin/sh\n"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        struct pbc_start s;
        int fd = hold(*state, &s);

        s.untold_ms = 200;
        assert_int_equal(write(fd, words[i], strlen(words[i])), strlen(words[i]));
        close(fd);
        assert_int_equal(pbc_start_await(&s), 0);
        assert_true(pbc_now_ms() - s.began >= 200);
    }
}

static void a_signal_ends_the_wait(void **state)
{
    struct pbc_start s;
    int fd = hold(*state, &s);
    sigset_t set, old;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, &old);
    raise(SIGTERM);
    assert_int_equal(pbc_start_await(&s), -1);
    assert_int_equal(sigwaitinfo(&set, NULL), SIGTERM);
    sigprocmask(SIG_SETMASK, &old, NULL);
    close(fd);
}

static void where_nobody_tells_they_wait_for_their_time(void **state)
{
    struct pbc_start s;

    close(hold(*state, &s));
    s.untold_ms = 300;
    pbc_start_await(&s);
    assert_true(pbc_now_ms() - s.began >= 300);
    pbc_start_begin(&s, 0);
    s.untold_ms = 200;
    pbc_start_await(&s);
    assert_true(pbc_now_ms() - s.began >= 200);
}

static void a_pause_counts_told_or_not(void **state)
{
    struct pbc_start s;
    int fd = hold(*state, &s);

    s.pause_ms = 300;
    assert_int_equal(write(fd, "pbcast: go\n", 11), 11);
    pbc_start_await(&s);
    assert_true(pbc_now_ms() - s.began >= 300);
    close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_holds_says_that_it_is_here),
        TEST(told_to_go_they_begin_at_once),
        TEST(anything_else_does_not_count),
        TEST(a_signal_ends_the_wait),
        TEST(where_nobody_tells_they_wait_for_their_time),
        TEST(a_pause_counts_told_or_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
