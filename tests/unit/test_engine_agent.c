/* The agent's command line: what is wrong is said in one line, and ends with the right code. */
#include "engine_support.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* Run the agent with `args`, separated by blanks. Its exit code; what it said on both streams. */
static int agent(const char *dir, const char *args, char **said)
{
    posix_spawn_file_actions_t to_file;
    char *copy = strdup(args);
    char *save = NULL;
    char *argv[100] = {(char *)(uintptr_t) "pbcast-stage"};
    size_t argc = 1;
    int status;
    pid_t pid;

    for (char *w = strtok_r(copy, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save))
        argv[argc++] = w;
    posix_spawn_file_actions_init(&to_file);
    posix_spawn_file_actions_addopen(&to_file, 1, in(dir, "said"), O_WRONLY | O_CREAT | O_TRUNC,
                                     0644);
    posix_spawn_file_actions_adddup2(&to_file, 1, 2);
    assert_int_equal(posix_spawn(&pid, PBC_LOCAL_AGENT, &to_file, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&to_file);
    free(copy);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    *said = slurp(in(dir, "said"));
    return WEXITSTATUS(status);
}

static void assert_said(void **state, const char *args, int code, const char *words)
{
    char *said;
    int got = agent(*state, args, &said);

    if (got != code || strstr(said, words) == NULL)
        fail_msg("'%s' ended with %d and '%s'", args, got, said);
    free(said);
}

static void a_wrong_value_is_named_with_what_is_accepted(void **state)
{
    static const char *const cases[][2] = {
        {"--store relative", "--store relative: expected an absolute path"},
        {"--job 0", "--job 0: expected a number from 1 to 4294967295"},
        {"--job 4294967296", "--job 4294967296: expected"},
        {"--job x", "--job x: expected"},
        {"--job -1", "--job -1: expected"},
        {"--set 123", "--set 123: expected 32 hexadecimal digits"},
        {"--set 0123456789ABCDEF0123456789ABCDEF", "expected 32 hexadecimal digits"},
        {"--digest 1=ab", "--digest 1=ab: expected N=DIGEST"},
        {"--digest 0=" DIGEST, "expected N=DIGEST"},
        {"--digest 65=" DIGEST, "expected N=DIGEST"},
        {"--digest =" DIGEST, "expected N=DIGEST"},
        {"--digest 00000000001=" DIGEST, "expected N=DIGEST"},
        {"--digest " DIGEST, "expected N=DIGEST"},
        {"--digest 2=" DIGEST " b", "of bundle 2, but there are 1"},
        {"--profile 1=cobol", "--profile 1=cobol: expected N=PROFILE"},
        {"--profile conda", "expected N=PROFILE"},
        {"--profile 3=conda a b", "of bundle 3, but there are 2"},
        {"--variable 1=set=LD_PRELOAD=x", "expected N=set=NAME=VALUE"},
        {"--variable 1=set=A", "expected N=set=NAME=VALUE"},
        {"--variable 1=let=A=B", "expected N=set=NAME=VALUE"},
        {"--variable set=A=B", "expected N=set=NAME=VALUE"},
        {"--stall 1", "--stall 1: expected a number from 2 to 3600"},
        {"--stall 3601", "--stall 3601: expected"},
        {"--timeout 0", "--timeout 0: expected a number from 1 to 86400"},
        {"--fence 0", "--fence 0: expected"},
        {"--pause 600001", "--pause 600001: expected a number from 0 to 600000"},
        {"--max-entries 0", "--max-entries 0: expected"},
        {"--max-size 5X", "--max-size 5X: expected a number of bytes"},
        {"--max-size -5", "--max-size -5: expected a number of bytes"},
        {"--min-free 99999999999999999999", "--min-free 99999999999999999999: expected"},
        {"--progress often", "--progress often: expected lines"},
        {"--verbose 10", "--verbose 10: expected a number"},
        {"--tree 0", "--tree 0: expected a number from 1 to 8, or two"},
        {"--tree 9", "--tree 9: expected a number from 1 to 8, or two"},
        {"--tree three", "--tree three: expected"},
        {"--transport udp", "--transport udp: expected tcp or mpi"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *said;
        int code = agent(*state, cases[i][0], &said);

        if (code != PBC_EXIT_USAGE || strstr(said, cases[i][1]) == NULL ||
            strncmp(said, "pbcast: error: ", 15) != 0 || strchr(said, '\n')[1] != '\0')
            fail_msg("'%s' ended with %d and '%s'", cases[i][0], code, said);
        free(said);
    }
}

static void an_unknown_option_or_a_missing_value_points_to_the_help(void **state)
{
    assert_said(state, "--nosuch", PBC_EXIT_USAGE, "--help");
    assert_said(state, "--store", PBC_EXIT_USAGE, "--help");
    assert_said(state, "-x", PBC_EXIT_USAGE, "--help");
    assert_said(state, "", PBC_EXIT_USAGE, "no BUNDLE");
    assert_said(state, "--job 1 --", PBC_EXIT_USAGE, "no BUNDLE");
}

static void bundles_are_counted_and_checked(void **state)
{
    char many[400] = "--job 1";

    for (int i = 0; i < 65; i++)
        strcat(many, " b");
    assert_said(state, many, PBC_EXIT_USAGE, "more than 64 bundles");
    assert_said(state, "--job 1 a,,b", PBC_EXIT_USAGE, "has no name");
    strcpy(many, "--job 1 ");
    for (int i = 0; i < 40; i++)
        strcat(many, "b,");
    strcat(many, "b ");
    for (int i = 0; i < 40; i++)
        strcat(many, "b,");
    strcat(many, "b");
    assert_said(state, many, PBC_EXIT_USAGE, "more than 64 bundles");
}

static void outside_a_job_its_number_must_be_given(void **state)
{
    unsetenv("SLURM_JOB_ID");
    assert_said(state, "b", PBC_EXIT_USAGE, "not inside a Slurm job: give --job ID");
    setenv("SLURM_JOB_ID", "nonsense", 1);
    assert_said(state, "b", PBC_EXIT_USAGE, "not inside a Slurm job");
    unsetenv("SLURM_JOB_ID");
}

static void help_and_version_are_on_standard_output(void **state)
{
    assert_said(state, "--help", PBC_EXIT_OK, "usage: pbcast-stage");
    assert_said(state, "--version", PBC_EXIT_OK, "pbcast-stage " PBC_VERSION "\n");
}

/* Every option of the help is understood, and the help has every option. */
static void the_help_has_every_option(void **state)
{
    static const char *const options[] = {
        "--store",    "--job",     "--set",      "--digest",      "--profile",
        "--variable", "--address", "--stall",    "--timeout",     "--fence",
        "--hold",     "--pause",   "--max-size", "--max-entries", "--min-free",
        "--progress", "--verbose", "--version",  "--tree",        "--transport"};

    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        assert_said(state, "--help", PBC_EXIT_OK, options[i]);
}

#ifndef PBC_SANITIZED /* where nothing is bounded */
/* It bounds what archives can ask for. */
static void what_mpi_takes_is_not_bounded_with_the_agent(void **state)
{
    char args[512];

    setenv("SLURM_STEP_NUM_TASKS", "2", 1);
    setenv("PBC_LOCAL_DIR", *state, 1);
    setenv("PBC_LOCAL_RANK", "0", 1);
    setenv("PBC_LOCAL_SIZE", "1", 1);
    setenv("PBC_LOCAL_MEMORY", "1", 1);
    make_dir(in(*state, "store"), 0755);
    make_dir(in(*state, "store/7"), 0700);
    snprintf(args, sizeof(args), "--store %s/store --job 7 nosuch.tar", (char *)*state);
    assert_said(state, args, PBC_EXIT_REFUSED, "nosuch.tar");
    unsetenv("SLURM_STEP_NUM_TASKS");
    unsetenv("PBC_LOCAL_MEMORY");
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wrong_value_is_named_with_what_is_accepted),
        cmocka_unit_test(an_unknown_option_or_a_missing_value_points_to_the_help),
        cmocka_unit_test(bundles_are_counted_and_checked),
        cmocka_unit_test(outside_a_job_its_number_must_be_given),
        cmocka_unit_test(help_and_version_are_on_standard_output),
        cmocka_unit_test(the_help_has_every_option),
#ifndef PBC_SANITIZED
        cmocka_unit_test(what_mpi_takes_is_not_bounded_with_the_agent),
#endif
    };

    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
