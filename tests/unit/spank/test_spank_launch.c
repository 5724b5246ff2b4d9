/* The staging step's command, its environment, and what becomes of its verdict. A shell script
 * stands for srun. */
#include "port_fake.h"

#include "child.h"
#include "clock.h"
#include "launch.h"
#include "meeting.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SET "0123456789abcdef0123456789abcdef"

static struct pbc_site site;
static struct pbc_bundles bundles;
static struct pbc_launch launch;
static struct pbc_meeting meeting;
static int saved_stderr = -1;
static char said[65536];

static int setup(void **state)
{
    static char one[] = "/data/one.tar", two[] = "/data/--jobid=1 two.tar.gz";

    (void)state;
    fake_setup(NULL);
    pbc_site_defaults(&site);
    strcpy(site.srun, "/opt/slurm/bin/srun");
    strcpy(site.agent, "/opt/pbcast/bin/pbcast-stage");
    strcpy(site.mpi_agent, "/opt/pbcast/bin/pbcast-stage-mpich");
    strcpy(site.mpi, "pmix");
    strcpy(meeting.mpi, "pmix");
    meeting.agent = site.agent;
    bundles.count = 2;
    bundles.item[0].path = one;
    bundles.item[1].path = two;
    launch = (struct pbc_launch){.site = &site,
                                 .bundles = &bundles,
                                 .job = 4711,
                                 .set = SET,
                                 .nodes = "n[1-2],n7",
                                 .count = 3,
                                 .verbose = 1};
    return 0;
}

/* The script `text` is srun from now on. */
static void srun_is(void **state, const char *text)
{
    const char *dir = *state;
    char script[4096];
    FILE *f;

    snprintf(site.srun, sizeof(site.srun), "%s/srun", dir);
    snprintf(script, sizeof(script), "#!/bin/sh\ndir=%s\n%s\n", dir, text);
    /* Written and moved, so that no descriptor that writes to it is around at exec. */
    f = fopen(in(dir, "srun.new"), "w");
    assert_non_null(f);
    fputs(script, f);
    fchmod(fileno(f), 0755);
    fclose(f);
    assert_int_equal(rename(in(dir, "srun.new"), in(dir, "srun")), 0);
}

static void hear(void **state)
{
    int fd = open(in(*state, "stderr"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    saved_stderr = fcntl(2, F_DUPFD_CLOEXEC, 10);
    dup2(fd, 2);
    close(fd);
}

static void heard(void)
{
    ssize_t n = pread(2, said, sizeof(said) - 1, 0);

    dup2(saved_stderr, 2);
    close(saved_stderr);
    said[n > 0 ? n : 0] = '\0';
}

static int run(void **state, struct pbc_error *err)
{
    int rc;

    hear(state);
    rc = pbc_launch(&launch, err);
    heard();
    return rc;
}

static const char *file_text(const char *path)
{
    static char text[65536];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;

    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

/* ---- words ---- */

static void assert_words(char **words, const char *const want[])
{
    size_t i = 0;

    assert_non_null(words);
    for (; want[i] != NULL; i++) {
        if (words[i] == NULL || strcmp(words[i], want[i]) != 0)
            fail_msg("word %zu is %s, not %s", i, words[i] ? words[i] : "absent", want[i]);
    }
    assert_null(words[i]);
    pbc_words_free(words);
}

static void command(void **state)
{
    static const char *const want[] = {"/opt/slurm/bin/srun",
                                       "--jobid=4711",
                                       "--nodelist=n[1-2],n7",
                                       "--nodes=3",
                                       "--ntasks=3",
                                       "--ntasks-per-node=1",
                                       "--overlap",
                                       "--mem=0",
                                       "--gres=none",
                                       "--cpu-bind=none",
                                       "--mpi=pmix",
                                       "--input=all",
                                       "--chdir=/",
                                       "--job-name=pbcast",
                                       "--kill-on-bad-exit=0",
                                       "--wait=0",
                                       "--disable-status",
                                       "/opt/pbcast/bin/pbcast-stage",
                                       "--store",
                                       "/dev/shm/pbcast",
                                       "--job",
                                       "4711",
                                       "--set",
                                       SET,
                                       "--stall",
                                       "20",
                                       "--timeout",
                                       "600",
                                       "--max-size",
                                       "68719476736",
                                       "--max-pack",
                                       "536870912",
                                       "--min-free",
                                       "67108864",
                                       "--hold",
                                       "--pause",
                                       "1000",
                                       "--verbose",
                                       "1",
                                       "--progress",
                                       "none",
                                       "--",
                                       "/data/one.tar",
                                       "/data/--jobid=1 two.tar.gz",
                                       NULL};

    (void)state;
    assert_words(pbc_launch_argv(&launch, &meeting, 1000, 0), want);
}

static int has(char **words, const char *word)
{
    for (size_t i = 0; words[i] != NULL; i++) {
        if (strcmp(words[i], word) == 0)
            return (int)i;
    }
    return -1;
}

static void command_of_one_node(void **state)
{
    char **words;

    (void)state;
    launch.count = 1;
    strcpy(site.mpi, "auto");
    assert_int_equal(pbc_meeting(&launch, NULL, &meeting, NULL), 0);
    words = pbc_launch_argv(&launch, &meeting, 0, 1);
    assert_true(has(words, "--mpi=none") > 0);
    assert_true(has(words, "--input=none") > 0);
    assert_int_equal(has(words, "--hold"), -1);
    assert_int_equal(has(words, "--pause"), -1);
    assert_string_equal(words[has(words, "--progress") + 1], "lines");
    assert_int_equal(has(words, "--address"), -1);
    pbc_words_free(words);
}

static void command_with_an_address_and_all_bundles(void **state)
{
    static char path[] = "/b.tar";
    char **words;

    (void)state;
    strcpy(site.address, "ib0");
    bundles.count = PBC_BUNDLES_MAX;
    for (size_t i = 0; i < PBC_BUNDLES_MAX; i++)
        bundles.item[i].path = path;
    words = pbc_launch_argv(&launch, &meeting, 300, 0);
    assert_non_null(words);
    assert_string_equal(words[has(words, "--address") + 1], "ib0");
    assert_true(has(words, "--address") < has(words, "--"));
    assert_null(words[has(words, "--") + 1 + PBC_BUNDLES_MAX]);
    pbc_words_free(words);
}

static void command_with_pinned_bundles(void **state)
{
    static const char digest[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    char **words;
    int at;

    (void)state;
    bundles.item[1].has_profile = 1;
    bundles.item[1].profile = PBC_PROFILE_CONDA;
    assert_int_equal(pbc_variables_add(&bundles.item[1].vars, PBC_ENV_SET, "A", "b c\n"), 0);
    assert_int_equal(pbc_variables_add(&bundles.item[1].vars, PBC_ENV_UNSET, "B", NULL), 0);
    strcpy(bundles.item[1].digest, digest);
    words = pbc_launch_argv(&launch, &meeting, 300, 0);
    assert_non_null(words);
    at = has(words, "--digest");
    assert_true(at > 0);
    assert_memory_equal(words[at + 1], "2=", 2);
    assert_string_equal(words[at + 1] + 2, digest);
    assert_string_equal(words[at + 2], "--profile");
    assert_string_equal(words[at + 3], "2=conda");
    assert_string_equal(words[at + 4], "--variable");
    assert_string_equal(words[at + 5], "2=set=A=b c\\012");
    assert_string_equal(words[at + 7], "2=unset=B");
    assert_string_equal(words[at + 8], "--");
    pbc_words_free(words);
    bundles.item[1].has_profile = 0;
    pbc_variables_free(&bundles.item[1].vars);
    for (size_t i = 0; i < PBC_BUNDLES_MAX; i++)
        strcpy(bundles.item[i].digest, digest);
    bundles.count = PBC_BUNDLES_MAX;
    for (size_t i = 0; i < PBC_BUNDLES_MAX; i++)
        bundles.item[i].path = bundles.item[0].path;
    words = pbc_launch_argv(&launch, &meeting, 300, 0);
    assert_non_null(words);
    assert_null(words[has(words, "--") + 1 + PBC_BUNDLES_MAX]);
    pbc_words_free(words);
    for (size_t i = 0; i < PBC_BUNDLES_MAX; i++)
        bundles.item[i].digest[0] = '\0';
}

static void command_of_a_component(void **state)
{
    char **argv, **env;
    int found = 0;

    (void)state;
    launch.leader = 4700;
    launch.component = 3;
    argv = pbc_launch_argv(&launch, &meeting, 300, 0);
    assert_non_null(argv);
    assert_string_equal(argv[1], "--jobid=4700");
    assert_string_equal(argv[2], "--het-group=3");
    for (size_t i = 0; argv[i] != NULL; i++) /* its directory is its own */
        found += strcmp(argv[i], "--job") == 0 && strcmp(argv[i + 1], "4711") == 0;
    assert_int_equal(found, 1);
    env = pbc_launch_env(&launch);
    for (size_t i = 0; env[i] != NULL; i++)
        found += strcmp(env[i], "SLURM_JOB_ID=4700") == 0;
    assert_int_equal(found, 2);
    pbc_words_free(argv);
    pbc_words_free(env);
}

static void environment_is_built_from_nothing(void **state)
{
    static const char *const hostile[] = {
        "SLURM_NTASKS",   "SLURM_NODELIST", "SLURM_DEBUG",    "SRUN_EXPORT_ENV",
        "SBATCH_EXPORT",  "PMIX_RANK",      "LD_PRELOAD_X",   "SLURM_CONF",
        "SLURM_MPI_TYPE", "PYTHONHOME",     "SLURM_CLUSTERS", "BASH_ENV",
        "SLURM_JOB_ID",   "HOME",           "USER",           "PATH",
        "PBCAST_BUNDLE",  "LANG",           "LOGNAME"};
    struct passwd *pw = getpwuid(getuid());
    char home[4200], user[300], logname[300];
    const char *want[] = {"PATH=/usr/bin:/bin:/opt/slurm/bin",
                          home,
                          user,
                          logname,
                          "LANG=C",
                          "SLURM_JOB_ID=4711",
                          "SLURM_PBCAST_STEP=1",
                          NULL};

    (void)state;
    if (pw == NULL)
        skip();
    snprintf(home, sizeof(home), "HOME=%s", pw->pw_dir);
    snprintf(user, sizeof(user), "USER=%s", pw->pw_name);
    snprintf(logname, sizeof(logname), "LOGNAME=%s", pw->pw_name);
    for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++)
        setenv(hostile[i], "hostile", 1);
    assert_words(pbc_launch_env(&launch), want);
    for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++)
        unsetenv(hostile[i]);
    setenv("PATH", "/usr/bin:/bin", 1);
}

static void environment_with_another_configuration(void **state)
{
    char **env;

    (void)state;
    launch.slurm_conf = "/run/slurm/conf/slurm.conf";
    strcpy(site.srun, "/usr/bin/srun");
    env = pbc_launch_env(&launch);
    assert_true(has(env, "SLURM_CONF=/run/slurm/conf/slurm.conf") >= 0);
    assert_true(has(env, "PATH=/usr/bin:/bin") >= 0);
    pbc_words_free(env);
}

/* ---- verdicts ---- */

static void success(void **state)
{
    struct pbc_error err;

    srun_is(state, "echo 'pbcast: staged'; echo 'srun: warning' >&2; exit 0");
    assert_int_equal(run(state, &err), 0);
    assert_string_equal(said, "pbcast: staged\n");
}

static void failure_with_a_reason(void **state)
{
    struct pbc_error err;

    srun_is(state, "echo 'pbcast: error: node n7: no space' >&2\n"
                   "echo 'srun: error: n7: task 2: Exited with exit code 4' >&2; exit 4");
    assert_int_equal(run(state, &err), -1);
    assert_error(&err, PBC_EXIT_NOSPACE, "node n7: no space");
    assert_string_equal(said, "");
}

static void failure_without_a_reason(void **state)
{
    struct pbc_error err;

    srun_is(state, "echo 'slurmstepd-n7: error: execve(): no' >&2; exit 2");
    assert_int_equal(run(state, &err), -1);
    assert_error(&err, PBC_EXIT_USAGE, "n[1-2],n7", "stands above", "srun ended with 2");
    assert_string_equal(said, "pbcast: | slurmstepd-n7: error: execve(): no\n");
    srun_is(state, "exit 1");
    assert_int_equal(run(state, &err), -1);
    assert_error(&err, PBC_EXIT_FAILED, "said nothing");
}

/* The other agents ask for another try, which would end the same. */
static void an_agent_that_something_else_keeps_from_starting_is_not_tried_again(void **state)
{
    static const char *const why[] = {
        "slurmstepd-n7: error: execve(): no",
        "pbcast-stage: error while loading shared libraries: libpmix.so.2: cannot open",
        "slurmstepd-n7: error: TaskProlog failed status=1",
        "slurmstepd-n7: error: Failed to invoke spank plugin stack",
        "srun: error: task 6 launch failed: Unspecified error; Failed to invoke spank plugin stack",
    };
    struct pbc_error err;

    for (size_t i = 0; i < sizeof(why) / sizeof(why[0]); i++) {
        char script[512];

        /* It is interrupted as soon as another try is asked for, or ends by itself before. */
        snprintf(script, sizeof(script),
                 "trap '' INT; echo '%s' >&2; echo 'pbcast: again: node n1: not met' >&2; exit 6",
                 why[i]);
        srun_is(state, script);
        assert_int_equal(run(state, &err), -1);
        assert_error(&err, PBC_EXIT_FAILED, "stands above");
        assert_non_null(strstr(said, why[i]));
        snprintf(script, sizeof(script),
                 "echo '%s' >&2; echo 'pbcast: again: node n1: not met' >&2; exec sleep 60",
                 why[i]);
        srun_is(state, script);
        assert_int_equal(run(state, &err), -1);
        assert_error(&err, PBC_EXIT_FAILED, "stands above");
        assert_non_null(strstr(said, why[i]));
    }
}

static void an_error_line_and_success_is_success(void **state)
{
    struct pbc_error err;

    srun_is(state, "echo 'pbcast: error: odd' >&2; exit 0");
    assert_int_equal(run(state, &err), 0);
}

/* An agent that was stopped would keep its srun until the overall timeout. */
static void an_error_and_no_end(void **state)
{
    struct pbc_error err;
    uint64_t began = pbc_now_ms();

    srun_is(state, "trap 'exit 5' INT; echo 'pbcast: error: node n3: lost'\n"
                   "while :; do sleep 0.05; done");
    assert_int_equal(run(state, &err), -1);
    assert_error(&err, PBC_EXIT_PEER, "node n3: lost");
    assert_true(pbc_now_ms() - began < 15000);
}

static void death_by_a_signal(void **state)
{
    struct pbc_error err;

    srun_is(state, "kill -9 $$");
    assert_int_equal(run(state, &err), -1);
    assert_error(&err, PBC_EXIT_FAILED, "signal 9");
    srun_is(state, "echo 'slurmstepd-n1: error: *** STEP CANCELLED ***'; exit 143");
    assert_int_equal(run(state, &err), -1);
    assert_error(&err, PBC_EXIT_FAILED, "signal 15", "cancelled");
}

static void a_mark_is_made_by_a_step(void **state)
{
    struct pbc_error err;
    char want[4400];

    srun_is(state, "echo \"$@\" >$dir/words");
    launch.leader = 6;
    launch.component = 1;
    assert_int_equal(pbc_launch_mark(&launch, 12, &err), 0);
    snprintf(want, sizeof(want), " --mpi=none --input=none --chdir=/ --job-name=pbcast ");
    assert_non_null(strstr(file_text(in(*state, "words")), want));
    assert_non_null(strstr(file_text(in(*state, "words")), "--jobid=6 --het-group=1 "));
    snprintf(want, sizeof(want), " mkdir -p %s/%u/failed.12\n", site.store, (unsigned)launch.job);
    assert_non_null(strstr(file_text(in(*state, "words")), want));
    srun_is(state, "echo 'srun: error: no such job' >&2; exit 1");
    assert_int_equal(pbc_launch_mark(&launch, 12, &err), -1);
    assert_error(&err, PBC_EXIT_FAILED, "no such job");
}

static void srun_is_missing(void **state)
{
    struct pbc_error err;

    snprintf(site.srun, sizeof(site.srun), "%s/nowhere/srun", (const char *)*state);
    assert_int_equal(run(state, &err), -1);
    assert_error(&err, PBC_EXIT_FAILED, "cannot run", "nowhere/srun", "No such file");
}

static void again_and_then_success(void **state)
{
    struct pbc_error err;
    uint64_t began = pbc_now_ms();

    unlink(in(*state, "tries"));
    srun_is(state, "echo \"$@\" >>$dir/tries\n"
                   "[ $(wc -l <$dir/tries) = 2 ] && exit 0\n"
                   "echo 'pbcast: again: node n1: lost'; sleep 30; exit 6");
    assert_int_equal(run(state, &err), 0);
    assert_true(pbc_now_ms() - began < 10000);
    assert_string_equal(said, "");
    assert_null(strstr(file_text(in(*state, "tries")), "--pause 0 "));
    assert_non_null(strstr(file_text(in(*state, "tries")), "--pause 1000 "));
}

/* What srun says when slurmstepd itself fails, as it may after a requeue. What the other agents
 * say, which Slurm ends, is not the reason. */
static void a_step_that_slurm_could_not_start_is_tried_again(void **state)
{
    struct pbc_error err;

    unlink(in(*state, "tries"));
    srun_is(state, "echo x >>$dir/tries\n"
                   "[ $(wc -l <$dir/tries) = 2 ] && exit 0\n"
                   "echo 'pbcast: error: node n1: staging was stopped by signal 15 (Terminated)'\n"
                   "echo 'srun: error: task 3 launch failed: Unspecified error' >&2; exit 137");
    assert_int_equal(run(state, &err), 0);
    assert_string_equal(said, "");

    srun_is(state, "echo 'srun: error: task 3 launch failed: Unspecified error' >&2; exit 1");
    assert_int_equal(run(state, &err), -1);
    assert_error(&err, PBC_EXIT_AGAIN, "3 times", "task 3 launch failed");
}

static void a_node_that_the_step_does_not_reach_is_named(void **state)
{
    struct pbc_error err;

    srun_is(
        state, /* 140 is Slurm's error 5004, and no signal */
        "echo 'srun: error: Task launch for StepId=4711.1 failed on node n7: Socket timed out on "
        "send/recv operation' >&2\n"
        "echo 'srun: error: Task launch for StepId=4711.1 failed on node n1: Other' >&2\n"
        "echo 'srun: error: Application launch failed: Socket timed out' >&2; exit 140");
    assert_int_equal(run(state, &err), -1);
    assert_error(&err, PBC_EXIT_FAILED,
                 "could not launch the staging step on node n7: Socket timed");
    assert_null(strstr(err.text, "signal"));

    srun_is(
        state, /* others miss it */
        "echo 'srun: error: Task launch for StepId=4711.1 failed on node n7: Socket timed out' >&2"
        "\necho 'pbcast: again: node n1: not met' >&2; exit 6");
    assert_int_equal(run(state, &err), -1);
    assert_error(&err, PBC_EXIT_AGAIN, "3 times", "could not launch the step on node n7: Socket");

    srun_is(
        state, /* and srun waits for those that it has killed */
        "echo 'srun: error: Task launch for StepId=4711.1 failed on node n7: Socket timed out' >&2"
        "\necho 'srun: error: n1: task 0: Killed' >&2; exec sleep 30");
    assert_int_equal(run(state, &err), -1);
    assert_error(&err, PBC_EXIT_FAILED, "could not launch the staging step on node n7: Socket");
}

static void an_mpi_plugin_that_srun_cannot_load_is_said_to_be_one(void **state)
{
    struct pbc_error err;

    srun_is(state,
            "echo 'srun: error: Invalid MPI type, --mpi=list for acceptable types' >&2; exit 1");
    assert_int_equal(run(state, &err), -1);
    assert_error(&err, PBC_EXIT_FAILED, "srun --mpi=pmix true", "libpmix.so is missing");
    strcpy(site.mpi, "pmi2");
    assert_int_equal(run(state, &err), -1);
    assert_error(&err, PBC_EXIT_FAILED, "srun --mpi=pmi2 true");
    assert_null(strstr(err.text, "libpmix"));
}

static void agents_are_told_when_all_are_here(void **state)
{
    struct pbc_error err;

    srun_is(state,
            "for i in 1 2 3; do echo 'pbcast: here'; done\n"
            "read -r line && [ \"$line\" = 'pbcast: go' ] && ! timeout 0.2 head -c1 | grep -q .");
    assert_int_equal(run(state, &err), 0);
    assert_string_equal(said, "");
}

static void agents_are_not_told_before(void **state)
{
    struct pbc_error err;

    srun_is(state, "echo 'pbcast: here'; echo 'pbcast: here too'; echo 'pbcast: here'\n"
                   "timeout 1 head -c1 | grep -q . && exit 1\n"
                   "echo 'pbcast: here'; read -r line");
    assert_int_equal(run(state, &err), 0);
    assert_string_equal(said, "pbcast: here too\n");
}

/* The others would wait for it. */
static void an_agent_that_is_not_started_ends_the_wait(void **state)
{
    struct pbc_error err;
    uint64_t began = pbc_now_ms();

    unlink(in(*state, "tries"));
    srun_is(state,
            "echo x >>$dir/tries\n"
            "[ $(wc -l <$dir/tries) = 2 ] && exit 0\n"
            "echo 'pbcast: here'\n"
            "echo 'srun: error: task 3 launch failed: Unspecified error' >&2; exec sleep 60");
    assert_int_equal(run(state, &err), 0);
    srun_is(state, "echo 'pbcast: here'\n"
                   "echo 'slurmstepd-n7: error: execve(): no: No such file' >&2; exec sleep 60");
    assert_int_equal(run(state, &err), -1);
    assert_error(&err, PBC_EXIT_FAILED, "failed; what it said stands above");
    assert_non_null(strstr(said, "execve(): no"));
    assert_true(pbc_now_ms() - began < 50000);
}

/* Whatever ended it: srun says of every task that it has failed. */
static void an_agent_that_ends_before_all_are_here_ends_the_wait(void **state)
{
    struct pbc_error err;
    uint64_t began = pbc_now_ms();

    srun_is(state, "echo 'pbcast: here'; echo 'pbcast: here'\n"
                   "echo 'srun: error: n7: task 2: Out Of Memory' >&2; exec sleep 60");
    assert_int_equal(run(state, &err), -1);
    assert_error(&err, PBC_EXIT_FAILED, "failed; what it said stands above");
    assert_non_null(strstr(said, "n7: task 2: Out Of Memory"));
    assert_true(pbc_now_ms() - began < 50000);
}

/* What the others say when we end them is not why. */
static void those_who_are_ended_are_not_the_cause(void **state)
{
    struct pbc_error err;

    srun_is(state, "trap 'echo \"pbcast: error: node n1: stopped\"; exit 1' INT\n"
                   "echo 'slurmstepd-n7: error: execve(): no: No such file' >&2\n"
                   "while :; do sleep 0.05; done");
    assert_int_equal(run(state, &err), -1);
    assert_error(&err, PBC_EXIT_FAILED, "failed; what it said stands above");
    assert_non_null(strstr(said, "execve(): no"));
}

/* Agents say again, and end, when all were here. */
static void agents_that_end_when_told_to_go_are_no_reason_to_end_the_step(void **state)
{
    struct pbc_error err;

    srun_is(state, "for i in 1 2 3; do echo 'pbcast: here'; done; read -r go\n"
                   "echo 'srun: error: n7: task 2: Exited with exit code 1' >&2\n"
                   "sleep 9; echo 'pbcast: error: node n7: at last' >&2; exit 3");
    assert_int_equal(run(state, &err), -1);
    assert_error(&err, PBC_EXIT_REFUSED, "node n7: at last");
}

static void again_by_exit_code_until_it_is_enough(void **state)
{
    struct pbc_error err;

    unlink(in(*state, "tries"));
    launch.verbose = 2;
    srun_is(state, "echo x >>$dir/tries; exit 6");
    assert_int_equal(run(state, &err), -1);
    assert_error(&err, PBC_EXIT_AGAIN, "3 times", "--mpi=pmix", "n[1-2],n7");
    assert_string_equal(file_text(in(*state, "tries")), "x\nx\nx\n");
    assert_non_null(strstr(said, "try 3 of 3 with a pause of 3000 ms"));
}

static void the_last_try_says_why(void **state)
{
    struct pbc_error err;

    unlink(in(*state, "tries"));
    srun_is(state, "echo x >>$dir/tries\n"
                   "echo \"pbcast: again: node n$(wc -l <$dir/tries): not met\"; exit 6");
    assert_int_equal(run(state, &err), -1);
    assert_error(&err, PBC_EXIT_AGAIN, "Slurm lost", "node n3: not met", "Connection reject");
    /* PMIx is not to blame where the nodes meet by MPI */
    strcpy(site.mpi, "pmi2");
    launch.verbose = 2;
    assert_int_equal(run(state, &err), -1);
    assert_error(&err, PBC_EXIT_AGAIN, "did not meet in 3 tries", "--mpi=pmi2", "node n6: not met");
    assert_null(strstr(err.text, "Slurm"));
    assert_null(strstr(err.text, "Connection reject"));
    assert_null(strstr(said, "Slurm lost"));
}

/* ---- how the nodes meet ---- */

#define OFFERS(list)                                                                               \
    "echo \"$@\" >>$dir/asked\n"                                                                   \
    "if [ $1 = --mpi=list ]; then printf 'MPI plugin types are...\\n" list "'; exit; fi\n"         \
    "echo \"pbcast: $*\"\n"

static void slurm_is_asked_for_pmix(void **state)
{
    struct pbc_error err;

    strcpy(site.mpi, "auto");
    launch.verbose = 2;
    srun_is(
        state,
        OFFERS(
            "\\tnone\\n\\tpmi2\\n\\tpmix\\nspecific pmix plugin versions available: pmix_v4\\n"));
    assert_int_equal(run(state, &err), 0);
    assert_non_null(
        strstr(said, "pbcast: the nodes meet by PMIx (--mpi=pmix, by what Slurm offers)\n"));
    assert_non_null(strstr(said, "--mpi=pmix "));
    assert_non_null(strstr(said, " /opt/pbcast/bin/pbcast-stage --store"));
}

static void mpi_where_slurm_has_no_pmix(void **state)
{
    struct pbc_error err;

    strcpy(site.mpi, "auto");
    strcpy(site.mpi_agent, "/bin/true");
    launch.verbose = 2;
    srun_is(state, OFFERS("\\tnone\\n\\tcray_shasta\\n\\tpmi2\\n"));
    assert_int_equal(run(state, &err), 0);
    assert_non_null(
        strstr(said, "pbcast: the nodes meet by MPI (--mpi=pmi2, by what Slurm offers)\n"));
    assert_non_null(strstr(said, "--mpi=pmi2 "));
    assert_non_null(strstr(said, " /bin/true --store"));
}

static void the_site_is_not_second_guessed(void **state)
{
    struct pbc_error err;

    unlink(in(*state, "asked"));
    strcpy(site.mpi, "cray_shasta");
    srun_is(state, OFFERS("\\tpmix\\n"));
    assert_int_equal(run(state, &err), 0);
    assert_non_null(strstr(said, "--mpi=cray_shasta "));
    assert_non_null(strstr(said, " /opt/pbcast/bin/pbcast-stage-mpich --store"));
    assert_null(strstr(file_text(in(*state, "asked")), "--mpi=list"));
}

static void nodes_that_cannot_meet(void **state)
{
    struct pbc_error err;

    unlink(in(*state, "asked"));
    strcpy(site.mpi, "auto");
    srun_is(state, OFFERS("\\tnone\\n\\tcray_shasta\\n"));
    assert_int_equal(run(state, &err), -1);
    assert_error(&err, PBC_EXIT_REFUSED, "neither PMIx nor PMI-2", "none, cray_shasta",
                 "administrator");
    strcpy(site.mpi_agent, "/nowhere/pbcast-stage-mpich");
    srun_is(state, OFFERS("\\tnone\\n\\tpmi2\\n"));
    assert_int_equal(run(state, &err), -1);
    assert_error(&err, PBC_EXIT_REFUSED, "no PMIx", "none, pmi2",
                 "/nowhere/pbcast-stage-mpich: No such file");
    assert_string_equal(file_text(in(*state, "asked")), "--mpi=list\n--mpi=list\n");
    assert_string_equal(said, "");
}

/* pbcast-stage need not be installed where srun is called. */
static void a_client_needs_no_agent(void **state)
{
    struct pbc_error err;

    strcpy(site.mpi, "auto");
    strcpy(site.mpi_agent, "/nowhere/pbcast-stage-mpich");
    launch.in_client = 1;
    srun_is(state, OFFERS("\\tnone\\n\\tpmi2\\n"));
    assert_int_equal(run(state, &err), 0);
    assert_non_null(strstr(said, " /nowhere/pbcast-stage-mpich --store"));
}

static void slurm_does_not_answer(void **state)
{
    struct pbc_error err;

    strcpy(site.mpi, "auto");
    srun_is(state, "echo 'srun: fatal: no configuration' >&2; echo more >&2; exit 1");
    assert_int_equal(run(state, &err), -1);
    assert_error(&err, PBC_EXIT_FAILED, "--mpi=list", "failed: srun: fatal: no configuration");
    assert_null(strstr(err.text, "more"));
    srun_is(state, "echo 'slurmstepd: error: pbcast: no store' >&2; exit 1");
    assert_int_equal(run(state, &err), -1);
    assert_error(&err, PBC_EXIT_FAILED, "--mpi=list", "failed: no store");
    srun_is(state, "kill -9 $$");
    assert_int_equal(run(state, &err), -1);
    assert_error(&err, PBC_EXIT_FAILED, "it said nothing");
    snprintf(site.srun, sizeof(site.srun), "%s/nowhere/srun", (const char *)*state);
    assert_int_equal(run(state, &err), -1);
    assert_error(&err, PBC_EXIT_FAILED, "cannot run", "nowhere/srun");
    srun_is(state, "yes | head -c 100000; exit 0"); /* more than is kept */
    assert_int_equal(run(state, &err), -1);
    assert_error(&err, PBC_EXIT_REFUSED, "y, y, y");
    site.timeout = 1;
    srun_is(state, "exec sleep 60");
    assert_int_equal(run(state, &err), -1);
    assert_error(&err, PBC_EXIT_FAILED, "--mpi=list", "did not answer within 1 s");
}

/* ---- the child ---- */

static void child_inherits_nothing(void **state)
{
    struct pbc_error err;
    struct sigaction ign = {.sa_handler = SIG_IGN}, old;
    sigset_t blocked, before;
    int fd = open("/dev/null", O_RDONLY); /* without close-on-exec */
    int high = fcntl(fd, F_DUPFD, 777);
    mode_t mask = umask(0777);

    launch.count = 1; /* with several its standard input is a socket */
    sigfillset(&blocked);
    sigprocmask(SIG_SETMASK, &blocked, &before);
    sigaction(SIGINT, &ign, &old);
    srun_is(state, "grep -E 'Sig(Blk|Ign)' /proc/self/status >>$dir/child\n"
                   "pwd >>$dir/child; umask >>$dir/child; readlink /proc/$$/fd/0 >>$dir/child\n"
                   "ls /proc/$$/fd >>$dir/child");
    unlink(in(*state, "child"));
    assert_int_equal(run(state, &err), 0);
    umask(mask);
    sigaction(SIGINT, NULL, &ign);
    assert_true(ign.sa_handler == SIG_IGN); /* ours is as it was */
    sigaction(SIGINT, &old, NULL);
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(fd);
    close(high);

    assert_non_null(strstr(file_text(in(*state, "child")), "SigBlk:\t0000000000000000\n"));
    assert_non_null(strstr(file_text(in(*state, "child")), "SigIgn:\t0000000000000000\n"));
    assert_non_null(strstr(file_text(in(*state, "child")), "\n/\n0022\n/dev/null\n0\n1\n"));
    assert_null(strstr(file_text(in(*state, "child")), "777"));
    assert_null(strstr(file_text(in(*state, "child")), "\n3\n"));
}

static void other_children_are_left_alone(void **state)
{
    struct pbc_error err;
    pid_t other = fork();
    int status;

    if (other == 0)
        _exit(42);
    srun_is(state, "exit 0");
    assert_int_equal(run(state, &err), 0);
    assert_int_equal(waitpid(other, &status, 0), other);
    assert_int_equal(WEXITSTATUS(status), 42);
}

static void ignored_children_are_waited_for(void **state)
{
    struct pbc_error err;
    struct sigaction act;

    signal(SIGCHLD, SIG_IGN);
    srun_is(state, "sleep 0.2; exit 0");
    assert_int_equal(run(state, &err), 0);
    srun_is(state, "exit 3");
    assert_int_equal(run(state, &err), -1);
    sigaction(SIGCHLD, NULL, &act);
    signal(SIGCHLD, SIG_DFL);
    assert_true(act.sa_handler == SIG_IGN);
}

static void who_keeps_the_pipe_does_not_keep_us(void **state)
{
    struct pbc_error err;
    uint64_t began = pbc_now_ms();

    srun_is(state, "sleep 20 & echo 'pbcast: last words'; exit 0");
    assert_int_equal(run(state, &err), 0);
    assert_true(pbc_now_ms() - began < 5000);
    assert_string_equal(said, "pbcast: last words\n");
}

static int launch_without_stdio(void *arg)
{
    struct pbc_error err;

    (void)arg;
    close(0);
    close(1);
    close(2);
    return pbc_launch(&launch, &err) == 0 ? 0 : 1;
}

static void closed_standard_files(void **state)
{
    srun_is(state, "for i in 1 2 3; do echo 'pbcast: here'; done; read -r line || exit 1\n"
                   "echo 'pbcast: x'; echo y >&2; [ -p /proc/$$/fd/1 -o -p /proc/$$/fd/2 ]");
    assert_int_equal(in_child(launch_without_stdio, NULL), 0);
    launch.count = 1;
    srun_is(state, "echo 'pbcast: x'; echo y >&2; cat; [ -p /proc/$$/fd/1 -o -p /proc/$$/fd/2 ]");
    assert_int_equal(in_child(launch_without_stdio, NULL), 0);
}

static void much_output(void **state)
{
    struct pbc_error err;

    srun_is(state, "i=0; while [ $i -lt 20000 ]; do echo \"noise $i\"; i=$((i+1)); done\n"
                   "echo 'pbcast: error: at last' >&2; exit 1");
    assert_int_equal(run(state, &err), -1);
    assert_error(&err, PBC_EXIT_FAILED, "at last");
}

/* Signals reach this process from outside while it waits. */
static void interrupted(void **state)
{
    struct pbc_error err;
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

    launch.in_client = 1;
    for (size_t i = 0; i < 4; i++) {
        pid_t me = getpid(), sender;
        uint64_t began = pbc_now_ms();
        sigset_t set, old;

        unlink(in(*state, "up"));
        unlink(in(*state, "tidy"));
        srun_is(state, "trap 'touch $dir/tidy; exit 1' INT\n"
                       "touch $dir/up; while :; do sleep 0.05; done");
        /* As in srun, where all threads block them. */
        sigemptyset(&set);
        sigaddset(&set, signals[i]);
        sigprocmask(SIG_BLOCK, &set, &old);
        sender = fork();
        if (sender == 0) {
            for (int k = 0; k < 200 && access(in(*state, "up"), F_OK) != 0; k++)
                usleep(20000);
            kill(me, signals[i]);
            _exit(0);
        }
        assert_int_equal(run(state, &err), -1);
        sigprocmask(SIG_SETMASK, &old, NULL);
        assert_error(&err, PBC_EXIT_FAILED, "interrupted");
        assert_true(pbc_now_ms() - began < 8000);
        assert_int_equal(access(in(*state, "tidy"), F_OK), 0);
        waitpid(sender, NULL, 0);
    }
}

static void out_of_time(void **state)
{
    struct pbc_output out;
    char *argv[] = {site.srun, NULL};
    struct pbc_child child = {.argv = argv, .envp = argv + 1, .seconds = 1, .output = &out};
    enum pbc_child_end end;
    struct pbc_error err;
    uint64_t began = pbc_now_ms();
    int status;

    srun_is(state, "trap 'exit 9' INT; while :; do /bin/sleep 0.05; done");
    pbc_output_init(&out, 2, 1);
    assert_int_equal(pbc_child_run(&child, &end, &status, &err), 0);
    assert_int_equal(end, PBC_CHILD_TIMEOUT);
    assert_true(pbc_now_ms() - began >= 1000 && pbc_now_ms() - began < 5000);
    assert_int_equal(WEXITSTATUS(status), 9);
}

static void stubborn(void **state)
{
    struct pbc_output out;
    char *argv[] = {site.srun, NULL};
    struct pbc_child child = {.argv = argv, .envp = argv + 1, .seconds = 1, .output = &out};
    enum pbc_child_end end;
    struct pbc_error err;
    uint64_t began = pbc_now_ms();
    int status;

    srun_is(state, "trap '' INT TERM; while :; do /bin/sleep 0.05; done");
    pbc_output_init(&out, 2, 1);
    assert_int_equal(pbc_child_run(&child, &end, &status, &err), 0);
    assert_true(pbc_now_ms() - began < 60000);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* The script stops its parent and runs past the time that it has. */
static void the_time_while_the_job_is_suspended_does_not_count(void **state)
{
    struct pbc_output out;
    char *argv[] = {site.srun, NULL};
    struct pbc_child child = {.argv = argv, .envp = argv + 1, .seconds = 4, .output = &out};
    enum pbc_child_end end;
    struct pbc_error err;
    int status;

    srun_is(state, "trap 'exit 9' INT; kill -STOP $PPID; /bin/sleep 5; kill -CONT $PPID\n"
                   "/bin/sleep 0.5; exit 7");
    pbc_output_init(&out, 2, 1);
    assert_int_equal(pbc_child_run(&child, &end, &status, &err), 0);
    assert_int_equal(end, PBC_CHILD_EXITED);
    assert_int_equal(WEXITSTATUS(status), 7);
}

static int die_while_waiting(void *arg)
{
    struct pbc_error err;

    (void)arg;
    alarm(1); /* ends this process without a handler */
    (void)pbc_launch(&launch, &err);
    return 0;
}

static void child_ends_with_its_parent(void **state)
{
    pid_t pid;
    int status;

    unlink(in(*state, "ended"));
    srun_is(state, "trap 'touch $dir/ended; exit' TERM; while :; do /bin/sleep 0.05; done");
    pid = fork();
    if (pid == 0)
        _exit(die_while_waiting(NULL));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM);
    for (int i = 0; i < 100 && access(in(*state, "ended"), F_OK) != 0; i++)
        usleep(20000);
    assert_int_equal(access(in(*state, "ended"), F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(command, setup),
        cmocka_unit_test_setup(command_of_one_node, setup),
        cmocka_unit_test_setup(command_with_pinned_bundles, setup),
        cmocka_unit_test_setup(command_with_an_address_and_all_bundles, setup),
        cmocka_unit_test_setup(command_of_a_component, setup),
        cmocka_unit_test_setup(environment_is_built_from_nothing, setup),
        cmocka_unit_test_setup(environment_with_another_configuration, setup),
        cmocka_unit_test_setup(agents_are_told_when_all_are_here, setup),
        cmocka_unit_test_setup(agents_are_not_told_before, setup),
        cmocka_unit_test_setup(an_agent_that_is_not_started_ends_the_wait, setup),
        cmocka_unit_test_setup(an_agent_that_ends_before_all_are_here_ends_the_wait, setup),
        cmocka_unit_test_setup(those_who_are_ended_are_not_the_cause, setup),
        cmocka_unit_test_setup(agents_that_end_when_told_to_go_are_no_reason_to_end_the_step,
                               setup),
        cmocka_unit_test_setup(success, setup),
        cmocka_unit_test_setup(failure_with_a_reason, setup),
        cmocka_unit_test_setup(failure_without_a_reason, setup),
        cmocka_unit_test_setup(an_agent_that_something_else_keeps_from_starting_is_not_tried_again,
                               setup),
        cmocka_unit_test_setup(an_error_line_and_success_is_success, setup),
        cmocka_unit_test_setup(an_error_and_no_end, setup),
        cmocka_unit_test_setup(death_by_a_signal, setup),
        cmocka_unit_test_setup(a_node_that_the_step_does_not_reach_is_named, setup),
        cmocka_unit_test_setup(an_mpi_plugin_that_srun_cannot_load_is_said_to_be_one, setup),
        cmocka_unit_test_setup(a_mark_is_made_by_a_step, setup),
        cmocka_unit_test_setup(srun_is_missing, setup),
        cmocka_unit_test_setup(again_and_then_success, setup),
        cmocka_unit_test_setup(a_step_that_slurm_could_not_start_is_tried_again, setup),
        cmocka_unit_test_setup(again_by_exit_code_until_it_is_enough, setup),
        cmocka_unit_test_setup(the_last_try_says_why, setup),
        cmocka_unit_test_setup(slurm_is_asked_for_pmix, setup),
        cmocka_unit_test_setup(mpi_where_slurm_has_no_pmix, setup),
        cmocka_unit_test_setup(the_site_is_not_second_guessed, setup),
        cmocka_unit_test_setup(nodes_that_cannot_meet, setup),
        cmocka_unit_test_setup(a_client_needs_no_agent, setup),
        cmocka_unit_test_setup(slurm_does_not_answer, setup),
        cmocka_unit_test_setup(child_inherits_nothing, setup),
        cmocka_unit_test_setup(other_children_are_left_alone, setup),
        cmocka_unit_test_setup(ignored_children_are_waited_for, setup),
        cmocka_unit_test_setup(who_keeps_the_pipe_does_not_keep_us, setup),
        cmocka_unit_test_setup(closed_standard_files, setup),
        cmocka_unit_test_setup(much_output, setup),
        cmocka_unit_test_setup(interrupted, setup),
        cmocka_unit_test_setup(out_of_time, setup),
        cmocka_unit_test_setup(stubborn, setup),
        cmocka_unit_test_setup(the_time_while_the_job_is_suspended_does_not_count, setup),
        cmocka_unit_test_setup(child_ends_with_its_parent, setup),
    };

    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
