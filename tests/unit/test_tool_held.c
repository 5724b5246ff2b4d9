/* Who waits for agents that wait for each other. */
#include "support.h"

#include "held.h"
#include "stop.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static bool vain;

/* The status of a launcher that does what `script` says, of two agents. */
static int run(const char *script)
{
    int in[2], out[2], err[2];
    pid_t pid;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(pipe2(err, O_CLOEXEC), 0);
    pid = fork();
    if (pid == 0) {
        dup2(in[1], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        dup2(err[1], STDERR_FILENO);
        execl("/bin/sh", "sh", "-c", script, (char *)NULL);
        _exit(127);
    }
    close(in[1]);
    close(out[1]);
    close(err[1]);
    return pbc_held_wait(pid, 2, in[0], out[0], err[0], &vain);
}

static void agents_are_told_when_all_are_here(void **state)
{
    (void)state;
    assert_int_equal(run("echo 'pbcast: here'; echo x; echo 'pbcast: here'; read -r go\n"
                         "[ \"$go\" = 'pbcast: go' ]"),
                     0);
}

static void they_are_not_told_before(void **state)
{
    (void)state;
    assert_int_equal(run("echo 'pbcast: here'; echo '0: pbcast: here'\n"
                         "! timeout 1 head -c1 | grep -q ."),
                     0);
}

static void the_launchers_end_counts_not_who_keeps_its_output(void **state)
{
    time_t began = time(NULL);

    (void)state;
    assert_int_equal(run("sleep 60 2>/dev/null & exit 3"), 3 << 8);
    assert_int_equal(run("kill -9 $$"), SIGKILL);
    assert_true(time(NULL) - began < 50);
    assert_false(vain);
}

static void agents_that_miss_one_do_not_wait(void **state)
{
    static const char *const words[] = {
        "slurmstepd: error: execve(): /x/pbcast-stage: No such file or directory",
        "srun: error: n2: task 1: Exited with exit code 2"};

    (void)state;
    for (int i = 0; i < 2; i++) {
        char script[512];

        snprintf(script, sizeof(script), "echo 'pbcast: here'; echo '%s' >&2; exec sleep 60",
                 words[i]);
        assert_int_equal(run(script), SIGTERM);
        assert_true(vain);
    }
}

static void what_ends_after_all_were_here_ends_nobody(void **state)
{
    (void)state;
    assert_int_equal(run("echo 'pbcast: here'; echo 'pbcast: here'; read -r go\n"
                         "echo 'srun: error: n2: task 1: Killed' >&2; sleep 1; exit 5"),
                     5 << 8);
    assert_false(vain);
    assert_int_equal(run("echo 'srun: error: no such task 1: x' >&2; sleep 1; exit 5"), 5 << 8);
    assert_false(vain);
}

/* The last: what has come stays. */
static void a_signal_to_stop_ends_the_launcher(void **state)
{
    (void)state;
    pbc_stop_catch();
    signal(SIGINT, SIG_DFL); /* sh cannot trap what is ignored */
    assert_int_equal(run("trap 'exit 9' INT; kill -HUP $PPID; sleep 60 >/dev/null 2>&1 & wait"),
                     9 << 8);
    assert_false(vain);
    /* who does not end for that is asked again */
    assert_int_equal(run("trap '' INT; trap 'exit 8' TERM; sleep 60 >/dev/null 2>&1 & wait"),
                     8 << 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agents_are_told_when_all_are_here),
        cmocka_unit_test(they_are_not_told_before),
        cmocka_unit_test(the_launchers_end_counts_not_who_keeps_its_output),
        cmocka_unit_test(agents_that_miss_one_do_not_wait),
        cmocka_unit_test(what_ends_after_all_were_here_ends_nobody),
        cmocka_unit_test(a_signal_to_stop_ends_the_launcher),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
