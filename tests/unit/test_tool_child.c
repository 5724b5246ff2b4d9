/* The programs that a command runs, when the command is told to stop. */
#include "support.h"

#include "child.h"
#include "stop.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

pid_t __real_waitpid(pid_t pid, int *status, int options);
pid_t __wrap_waitpid(pid_t pid, int *status, int options);

static bool strike; /* the signal comes just before the next wait */

pid_t __wrap_waitpid(pid_t pid, int *status, int options)
{
    if (strike) {
        strike = false;
        raise(SIGTERM);
    }
    return __real_waitpid(pid, status, options);
}

static void a_signal_just_before_the_wait_is_not_lost(void **state)
{
    char *const argv[] = {(char[]){"sleep"}, (char[]){"60"}, NULL};
    struct pbc_child c;
    struct pbc_error err;

    (void)state;
    assert_int_equal(pbc_child_start(&c, argv, NULL, 0, &err), 0);
    pbc_stop_catch();
    strike = true;
    alarm(20); /* ends this test if it waits for the child */
    assert_int_equal(pbc_child_wait(&c, &err), -1);
    alarm(0);
    assert_error(&err, PBC_EXIT_FAILED, "stopped: Terminated");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signal_just_before_the_wait_is_not_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
