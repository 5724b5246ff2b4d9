/* Who waits for agents that wait for each other. */
#include "support.h"

#include "held.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The status of a launcher that does what `script` says, of two agents. */
static int run(const char *script)
{
    int in[2], out[2];
    pid_t pid;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    pid = fork();
    if (pid == 0) {
        dup2(in[1], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        execl("/bin/sh", "sh", "-c", script, (char *)NULL);
        _exit(127);
    }
    close(in[1]);
    close(out[1]);
    return pbc_held_wait(pid, 2, in[0], out[0]);
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
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agents_are_told_when_all_are_here),
        cmocka_unit_test(they_are_not_told_before),
        cmocka_unit_test(the_launchers_end_counts_not_who_keeps_its_output),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
