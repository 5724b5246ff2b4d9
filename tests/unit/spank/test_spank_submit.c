/* srun, sbatch and salloc: what is refused, what the job remembers, when a step is started. */
#include "port_fake.h"

#include "bundle.h"
#include "context.h"
#include "launch.h"
#include "manifest.h"
#include "options.h"
#include "store.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SP ((struct spank_handle *)NULL)

/* ---- the staging step ---- */

static struct {
    int calls;
    int rc;
    int in_client, verbose;
    uint32_t job, count, leader, component;
    char set[PBC_SET_ID_LEN + 1], nodes[64], first[PBC_PATH_MAX], conf[64];
    char digest[PBC_DIGEST_LEN + 1];
    size_t bundles;
    char list[16384];
} step;

int pbc_launch(const struct pbc_launch *l, struct pbc_error *err)
{
    char *list;

    step.calls++;
    step.in_client = l->in_client;
    step.verbose = l->verbose;
    step.job = l->job;
    step.leader = l->leader;
    step.component = l->component;
    step.count = l->count;
    strcpy(step.set, l->set);
    strcpy(step.nodes, l->nodes);
    strcpy(step.first, l->bundles->item[0].path);
    strcpy(step.digest, l->bundles->item[0].digest);
    step.bundles = l->bundles->count;
    list = pbc_bundles_format(l->bundles, 0, l->bundles->count, err);
    snprintf(step.list, sizeof(step.list), "%s", list);
    free(list);
    strcpy(step.conf, l->slurm_conf != NULL ? l->slurm_conf : "");
    return step.rc == 0 ? 0 : pbc_fail(err, PBC_EXIT_NOSPACE, "node n2: no space");
}

/* ---- */

static struct {
    int calls, rc;
    uint32_t job, leader, component, step, count;
} mark;

int pbc_launch_mark(const struct pbc_launch *l, uint32_t number, struct pbc_error *err)
{
    mark.calls++;
    mark.job = l->job;
    mark.leader = l->leader;
    mark.component = l->component;
    mark.count = l->count;
    mark.step = number;
    return mark.rc == 0 ? 0 : pbc_fail(err, PBC_EXIT_FAILED, "a step on n1 failed");
}

static char store_key[4200];
static char *words[] = {store_key};

static int setup(void **state)
{
    static int registered;

    fake_setup(NULL);
    memset(&step, 0, sizeof(step));
    memset(&mark, 0, sizeof(mark));
    snprintf(store_key, sizeof(store_key), "store=%s/store", (const char *)*state);
    make_file(in(*state, "a.tar.gz"), FAKE_GZIP, 20);
    make_file(in(*state, "b.tar.gz"), FAKE_GZIP "x", 21);
    make_file(in(*state, "text"), "text", 4);
    /* The callbacks keep their values: this is the twin's test unless a test gives the option. */
    if (!registered++)
        assert_int_equal(pbc_options_register(SP), 0);
    return 0;
}

static int options_hook(void)
{
    assert_int_equal(pbc_submit_init(), 0);
    return pbc_submit_options(1, words);
}

static void assert_forgotten(void)
{
    assert_null(getenv("SLURM_PBCAST_BUNDLES"));
    assert_null(getenv("SLURM_PBCAST_ASKED"));
    assert_null(getenv("SLURM_PBCAST_VERBOSE"));
    assert_null(getenv("SLURM_PBCAST_SET"));
}

static void a_job_without_bundles(void **state)
{
    static const enum pbc_context all[] = {PBC_CTX_SRUN, PBC_CTX_ALLOCATOR};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        fake.ctx = all[i];
        setenv("SLURM_PBCAST_SET", "stale", 1);
        setenv("SLURM_PBCAST_BUNDLES", "/stale", 1); /* and no SLURM_JOB_ID */
        setenv("SLURM_PBCAST_ASKED", "stale", 1);
        assert_int_equal(options_hook(), 0);
        assert_forgotten();
        assert_int_equal(pbc_submit_stage(SP), 0);
    }
    assert_int_equal(step.calls, 0);
    assert_int_equal(fake.asked, 0);
    assert_log_lines(0);
}

static void a_wrong_site_key_is_found_without_bundles(void **state)
{
    char key[] = "colour=red";
    char *argv[] = {key};

    (void)state;
    assert_int_equal(pbc_submit_options(1, argv), -1);
    assert_log_lines(1);
    assert_logged("plugstack.conf: ");
    assert_logged("colour");
}

static void what_the_job_remembers(void **state)
{
    char want[8400];

    assert_int_equal(chdir(*state), 0);
    setenv("PBCAST_BUNDLE", "a.tar.gz,./b.tar.gz", 1);
    setenv("PBCAST_VERBOSE", "2", 1);
    setenv("SLURM_PBCAST_SET", "stale", 1);
    fake.ctx = PBC_CTX_ALLOCATOR;
    assert_int_equal(options_hook(), 0);
    snprintf(want, sizeof(want), "%s/a.tar.gz,%s/b.tar.gz", (const char *)*state,
             (const char *)*state);
    assert_string_equal(getenv("SLURM_PBCAST_BUNDLES"), want);
    assert_string_equal(getenv("SLURM_PBCAST_ASKED"), "a.tar.gz,./b.tar.gz");
    assert_string_equal(getenv("SLURM_PBCAST_VERBOSE"), "2");
    assert_null(getenv("SLURM_PBCAST_SET"));
    assert_log_lines(0);
}

static void an_srun_of_the_job_takes_over(void **state)
{
    setenv("SLURM_JOB_ID", "7", 1);
    setenv("SLURM_PBCAST_BUNDLES", in(*state, "a.tar.gz"), 1);
    setenv("SLURM_PBCAST_ASKED", "a.tar.gz", 1);
    setenv("SLURM_PBCAST_VERBOSE", "3", 1);
    setenv("PBCAST_BUNDLE", "/no/such.tar", 1);
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(options_hook(), 0);
    assert_string_equal(getenv("SLURM_PBCAST_BUNDLES"), in(*state, "a.tar.gz"));
    assert_string_equal(getenv("SLURM_PBCAST_ASKED"), "a.tar.gz");
    assert_int_equal(pbc_submit_stage(SP), 0);
    assert_int_equal(step.verbose, 3);
    assert_string_equal(step.first, in(*state, "a.tar.gz"));
}

static void refusals(void **state)
{
    static const struct {
        const char *list, *verbose, *word;
    } table[] = {
        {"/no/such.tar", NULL, "/no/such.tar"},
        {"/etc", NULL, "/etc"},
        {",", NULL, ""},
        {"text", NULL, "text"},
        {"a.tar.gz,text", NULL, "text"},
        {"a.tar.gz", "loud", "PBCAST_VERBOSE"},
    };

    assert_int_equal(chdir(*state), 0);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        fake_setup(NULL);
        setenv("PBCAST_BUNDLE", table[i].list, 1);
        if (table[i].verbose != NULL)
            setenv("PBCAST_VERBOSE", table[i].verbose, 1);
        assert_int_equal(options_hook(), -1);
        assert_log_lines(1);
        assert_logged(table[i].word);
        assert_null(getenv("SLURM_PBCAST_BUNDLES"));
        /* and should srun go on, an `optional` line, it stages nothing */
        assert_int_equal(pbc_submit_stage(SP), 0);
        assert_int_equal(step.calls, 0);
    }
}

static void a_list_too_long_for_the_environment(void **state)
{
    char name[256], dir[4096], list[70000] = "";

    /* 64 bundles below a path of 2000 bytes: short as it is asked, too long when it is resolved */
    snprintf(dir, sizeof(dir), "%s", (const char *)*state);
    memset(name, 'd', 200);
    name[200] = '\0';
    for (int i = 0; i < 10; i++) {
        strcat(strcat(dir, "/"), name);
        assert_int_equal(mkdir(dir, 0755), 0);
    }
    make_file(in(dir, "a.tar.gz"), FAKE_GZIP, 20);
    assert_int_equal(chdir(dir), 0);
    for (int i = 0; i < PBC_BUNDLES_MAX; i++)
        strcat(strcat(list, i > 0 ? "," : ""), "a.tar.gz");
    setenv("PBCAST_BUNDLE", list, 1);
    assert_int_equal(options_hook(), -1);
    assert_log_lines(1);
    assert_logged("longer than");
    assert_int_equal(chdir("/"), 0);
}

static void the_staging_step_is_left_alone(void **state)
{
    (void)state;
    setenv("SLURM_PBCAST_STEP", "1", 1);
    setenv("SLURM_JOB_ID", "7", 1);
    assert_int_equal(options_hook(), 0);
    assert_int_equal(pbc_submit_stage(SP), 0);
    assert_int_equal(step.calls, 0);
    assert_log_lines(0);
}

static void a_user_does_not_pose_as_the_staging_step(void **state)
{
    setenv("SLURM_PBCAST_STEP", "1", 1);
    setenv("PBCAST_BUNDLE", in(*state, "a.tar.gz"), 1);
    assert_int_equal(options_hook(), -1);
    assert_log_lines(1);
    assert_logged("SLURM_PBCAST_STEP");
}

static void ready(void **state)
{
    setenv("PBCAST_BUNDLE", in(*state, "a.tar.gz"), 1);
    setenv("SLURM_CONF", "/etc/other.conf", 1);
    assert_int_equal(options_hook(), 0);
}

static void srun_stages_over_its_nodes(void **state)
{
    ready(state);
    fake.nodes = "n4,n9";
    assert_int_equal(pbc_submit_stage(SP), 0);
    assert_int_equal(step.calls, 1);
    assert_int_equal(step.job, 7);
    assert_int_equal(step.count, 2);
    assert_string_equal(step.nodes, "n4,n9");
    assert_string_equal(step.conf, "/etc/other.conf");
    assert_int_equal(step.in_client, 1);
    assert_true(pbc_set_id_valid(step.set));
    assert_string_equal(getenv("SLURM_PBCAST_SET"), step.set);
    assert_log_lines(0);
}

static void a_failed_step_ends_srun(void **state)
{
    ready(state);
    step.rc = -1;
    assert_int_equal(pbc_submit_stage(SP), -1);
    assert_null(getenv("SLURM_PBCAST_SET"));
    assert_log_lines(1);
    assert_logged("node n2: no space");
}

static void no_word_from_slurm(void **state)
{
    ready(state);
    fake.nodes = NULL;
    assert_int_equal(pbc_submit_stage(SP), -1);
    assert_log_lines(1);
    assert_logged("nodes of step 7.0 from slurmctld: no answer");
    fake_reset();
    fake.no_step = 1;
    assert_int_equal(pbc_submit_stage(SP), -1);
    assert_int_equal(step.calls, 0);
}

static void the_interactive_step_stages_nothing(void **state)
{
    ready(state);
    fake.step.kind = PBC_STEP_INTERACTIVE;
    assert_int_equal(pbc_submit_stage(SP), 0);
    assert_int_equal(step.calls, 0);
    assert_null(getenv("SLURM_PBCAST_SET"));
}

/* Write the manifest of the set that `ready` asks for. */
static void stage_here(void **state, const char *nodes)
{
    char text[512], name[64];
    char id[PBC_SET_ID_LEN + 1];
    struct pbc_bundles list;
    struct pbc_error err;
    int n, fd;

    assert_int_equal(pbc_bundles_parse(in(*state, "a.tar.gz"), &list, &err), 0);
    assert_int_equal(pbc_bundles_probe(&list, &err), 0);
    pbc_bundles_id(&list, id);
    pbc_bundles_free(&list);
    assert_int_equal(pbc_store_make(in(*state, "store"), 7, geteuid(), getegid(), &err), 0);
    fd = pbc_store_open(in(*state, "store"), 7, geteuid(), &err);
    assert_true(fd >= 0);
    close(fd);
    n = snprintf(text, sizeof(text),
                 "pbcast-manifest=1\nset=%s\nprofile=generic\nbytes=1\nfiles=1\nnodes=%s\n", id,
                 nodes);
    snprintf(name, sizeof(name), "store/7/%s.manifest", id);
    make_file(in(*state, name), text, (size_t)n);
}

static void a_staged_set_starts_no_step(void **state)
{
    stage_here(state, "n1,n2,n3");
    ready(state);
    assert_int_equal(pbc_submit_stage(SP), 0);
    assert_int_equal(step.calls, 0);
    assert_true(pbc_set_id_valid(getenv("SLURM_PBCAST_SET")));
}

static void more_nodes_than_are_staged(void **state)
{
    stage_here(state, "n1,n3");
    ready(state);
    assert_int_equal(pbc_submit_stage(SP), 0);
    assert_int_equal(step.calls, 1);
    stage_here(state, "");
    assert_int_equal(pbc_submit_stage(SP), 0);
    assert_int_equal(step.calls, 2);
}

static void another_bundle_of_the_same_name(void **state)
{
    stage_here(state, "n1,n2");
    make_file(in(*state, "a.tar.gz"), FAKE_GZIP "rebuilt", 27);
    ready(state);
    assert_int_equal(pbc_submit_stage(SP), 0);
    assert_int_equal(step.calls, 1);
}

static void a_damaged_manifest_is_none(void **state)
{
    char name[64];

    stage_here(state, "n1,n2");
    ready(state);
    assert_int_equal(pbc_submit_stage(SP), 0);
    assert_int_equal(step.calls, 0);
    snprintf(name, sizeof(name), "store/7/%s.manifest", getenv("SLURM_PBCAST_SET"));
    make_file(in(*state, name), "pbcast-manifest=9\n", 18);
    assert_int_equal(pbc_submit_stage(SP), 0);
    assert_int_equal(step.calls, 1);
}

static void an_allocator_inherits_no_option(void **state)
{
    (void)state;
    setenv(PBC_VAR_JOB_BUNDLE, "x", 1);
    setenv(PBC_VAR_JOB_VERBOSE, "1", 1);
    assert_int_equal(pbc_submit_init(), 0);
    assert_non_null(getenv(PBC_VAR_JOB_BUNDLE));
    fake.ctx = PBC_CTX_ALLOCATOR;
    assert_int_equal(pbc_submit_init(), 0);
    assert_null(getenv(PBC_VAR_JOB_BUNDLE));
    assert_null(getenv(PBC_VAR_JOB_VERBOSE));
}

/* What the script of a staged job hands to a command in it. */
static void in_a_staged_script(void)
{
    setenv("SLURM_JOB_ID", "7", 1);
    setenv("SLURM_PBCAST_SET", "0123456789abcdef0123456789abcdef", 1);
    setenv("PBCAST_ROOT", "/shm/7/0123456789abcdef0123456789abcdef", 1);
    setenv("PYTHONHOME", "/shm/7/0123456789abcdef0123456789abcdef", 1);
    setenv("LD_LIBRARY_PATH", "/shm/7/0123456789abcdef0123456789abcdef/lib", 1);
    setenv("PATH", "/shm/7/0123456789abcdef0123456789abcdef/bin:/usr/bin:/bin", 1);
}

static void assert_left(void)
{
    assert_string_equal(getenv("PATH"), "/usr/bin:/bin");
    assert_null(getenv("PBCAST_ROOT"));
    assert_null(getenv("PYTHONHOME"));
    assert_null(getenv("LD_LIBRARY_PATH"));
}

static void a_job_in_a_job_leaves_the_tree(void **state)
{
    (void)state;
    in_a_staged_script();
    fake.ctx = PBC_CTX_ALLOCATOR;
    assert_int_equal(options_hook(), 0);
    assert_left();
}

static void none_leaves_the_tree(void **state)
{
    (void)state;
    in_a_staged_script();
    setenv("PBCAST_BUNDLE", "none", 1);
    assert_int_equal(options_hook(), 0);
    assert_left();
    /* but who never was in one keeps what he has */
    unsetenv("SLURM_PBCAST_SET");
    setenv("PYTHONHOME", "/opt/python", 1);
    assert_int_equal(options_hook(), 0);
    assert_string_equal(getenv("PYTHONHOME"), "/opt/python");
    unsetenv("PYTHONHOME");
}

/* The hooks of an srun with two components, of which Slurm hands `job` to the one that stages. */
static int two_components(uint32_t job)
{
    memset(&step, 0, sizeof(step));
    fake.part[0] = (struct pbc_component){7, 7, 0};
    fake.part[1] = (struct pbc_component){8, 7, 1};
    fake.part[2] = (struct pbc_component){9, 7, 2};
    fake.parts = 3;
    fake.no_part = 9;
    fake.step.job = job;
    assert_int_equal(options_hook(), 0);
    assert_int_equal(pbc_submit_options(1, words), 0);
    return pbc_submit_stage(SP);
}

static void every_component_is_staged(void **state)
{
    setenv("PBCAST_BUNDLE", in(*state, "a.tar.gz"), 1);
    for (uint32_t job = 7; job <= 8; job++) {
        assert_int_equal(two_components(job), 0);
        assert_int_equal(step.calls, 2);
        assert_int_equal(step.job, 8);
        assert_int_equal(step.leader, 7);
        assert_int_equal(step.component, 1);
        assert_string_equal(getenv("SLURM_PBCAST_SET"), step.set);
    }
    /* Slurm adds what that hook sets to one component only: all have it before */
    assert_int_equal(options_hook(), 0);
    assert_null(getenv("SLURM_PBCAST_SET"));
    assert_int_equal(pbc_submit_options(1, words), 0);
    assert_string_equal(getenv("SLURM_PBCAST_SET"), step.set);
    assert_log_lines(0);
}

/* It may have a part of the step, whose tasks would not find the set. */
static void a_component_that_slurmctld_says_nothing_of_is_not_left_out(void **state)
{
    setenv("PBCAST_BUNDLE", in(*state, "a.tar.gz"), 1);
    fake.no_answer = 8;
    assert_int_equal(two_components(7), -1);
    assert_int_equal(step.calls, 1);
    assert_logged("cannot learn the nodes of step 8.0 from slurmctld");
    assert_log_lines(1);
}

/* Only one component's tasks get what the hook says; in a job of its own srun ends, and the steps
 * with it. */
static void no_component_starts_when_one_fails(void **state)
{
    setenv("PBCAST_BUNDLE", in(*state, "a.tar.gz"), 1);
    memset(&step, 0, sizeof(step));
    fake.part[0] = (struct pbc_component){7, 7, 0};
    fake.part[1] = (struct pbc_component){8, 7, 1};
    fake.part[2] = (struct pbc_component){9, 7, 2};
    fake.parts = 3;
    fake.no_part = 9;
    for (int way = 0; way < 3; way++) { /* alone, by --jobid, in a job */
        fake.jobid_given = way == 1;
        if (way == 2)
            setenv("SLURM_JOB_ID", "7", 1);
        assert_int_equal(options_hook(), 0);
        assert_int_equal(pbc_submit_options(1, words), 0);
        step.rc = -1;
        assert_int_equal(pbc_submit_stage(SP), way > 0 ? 0 : -1);
        assert_int_equal(mark.calls, way);
    }
    assert_string_equal(getenv("SLURM_PBCAST_FAILED"), "1");
    assert_int_equal(mark.job, 8);
    assert_int_equal(mark.leader, 7);
    assert_int_equal(mark.component, 1);
    assert_int_equal(mark.step, fake.step.step);
    assert_int_equal(mark.count, fake.count);
    mark.rc = -1;
    assert_int_equal(pbc_submit_stage(SP), 0);
    assert_logged("tasks of component 1 may start all the same: a step on n1 failed");
    unsetenv("SLURM_JOB_ID");
    unsetenv("SLURM_PBCAST_FAILED");
}

static void one_component_alone(void **state)
{
    setenv("PBCAST_BUNDLE", in(*state, "a.tar.gz"), 1);
    setenv("SLURM_HET_SIZE", "3", 1);
    (void)two_components(7);
    memset(&step, 0, sizeof(step));
    fake.step.job = 8;
    assert_int_equal(options_hook(), 0);
    assert_int_equal(pbc_submit_stage(SP), 0);
    assert_int_equal(step.calls, 1);
    assert_int_equal(step.job, 8);
    assert_int_equal(step.component, 1);
    /* a job that was submitted inside one has its variables, and parts of its own srun no leader */
    memset(&step, 0, sizeof(step));
    fake.part[0] = (struct pbc_component){.job = 8};
    fake.parts = 1;
    assert_int_equal(pbc_submit_stage(SP), 0);
    assert_int_equal(step.calls, 1);
    assert_int_equal(step.leader, 0);
    fake.parts = 0;
    assert_int_equal(pbc_submit_stage(SP), -1);
    assert_logged("cannot learn the components of job 8");
}

static void components_share_one_set(void **state)
{
    static const enum pbc_context all[] = {PBC_CTX_SRUN, PBC_CTX_ALLOCATOR};

    for (size_t i = 0; i < 2; i++) {
        fake_reset();
        fake.ctx = all[i];
        setenv("PBCAST_BUNDLE", in(*state, "a.tar.gz"), 1);
        assert_int_equal(options_hook(), 0);
        setenv("PBCAST_BUNDLE", in(*state, "b.tar.gz"), 1);
        assert_int_equal(pbc_submit_options(1, words), -1);
        assert_logged("share one set of bundles");
        setenv("PBCAST_BUNDLE", "none", 1);
        assert_int_equal(pbc_submit_options(1, words), -1);
        assert_log_lines(2);
        assert_int_equal(options_hook(), 0);
        assert_int_equal(pbc_submit_options(1, words), 0);
        assert_forgotten();
    }
}

/* ---- directories and profiles ---- */

static void directories_come_last(void **state)
{
    char want[8400];

    make_dir(in(*state, "app"), 0755);
    make_file(in(*state, "app/main.py"), "x", 1);
    make_dir(in(*state, "base"), 0755);
    make_dir(in(*state, "base/lib"), 0755);
    make_dir(in(*state, "base/lib/python3.11"), 0755);
    assert_int_equal(chdir(*state), 0);
    setenv("PBCAST_BUNDLE", "a.tar.gz", 1);
    setenv("PBCAST_MIRROR", "app:main.py", 1);
    setenv("PBCAST_USERBASE", "yes", 1);
    setenv("PYTHONUSERBASE", "base", 1);
    setenv("PBCAST_ENV", "generic", 1);
    assert_int_equal(options_hook(), 0);
    assert_string_equal(getenv("SLURM_PBCAST_BUNDLES"), in(*state, "a.tar.gz"));
    snprintf(want, sizeof(want), "userbase:%s/base", (const char *)*state);
    assert_string_equal(getenv("SLURM_PBCAST_USERBASE"), want);
    snprintf(want, sizeof(want), "mirror:%s/app:main.py", (const char *)*state);
    assert_string_equal(getenv("SLURM_PBCAST_MIRROR"), want);
    assert_string_equal(getenv("SLURM_PBCAST_ENV"), "generic");
    assert_int_equal(pbc_submit_stage(SP), 0);
    assert_int_equal(step.bundles, 3);
    snprintf(want, sizeof(want), "%s,userbase:%s/base,mirror:%s/app:main.py",
             in(*state, "a.tar.gz"), (const char *)*state, (const char *)*state);
    assert_string_equal(step.list, want);

    /* an srun of the job, from elsewhere, with another application */
    setenv("SLURM_JOB_ID", "7", 1);
    unsetenv("PYTHONUSERBASE");
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(options_hook(), 0);
    assert_int_equal(pbc_submit_stage(SP), 0);
    assert_string_equal(step.list, want);
    /* none takes all along */
    unsetenv("SLURM_PBCAST_BUNDLES");
    setenv("PBCAST_BUNDLE", "none", 1);
    assert_int_equal(options_hook(), 0);
    assert_forgotten();
    assert_null(getenv("SLURM_PBCAST_MIRROR"));
    assert_null(getenv("SLURM_PBCAST_USERBASE"));
    assert_log_lines(0);
}

static void directories_that_are_refused(void **state)
{
    static const char *const table[][3] = {
        {"PBCAST_MIRROR", "/nonexistent", "/nonexistent"},
        {"PBCAST_MIRROR", "/etc:../usr", "is no part of a directory"},
        {"PBCAST_MIRROR", "/a,b", "has a comma"},
        {"PBCAST_USERBASE", "/etc", "has no lib/pythonX.Y"},
        {"PBCAST_BUNDLE", "mirror:/etc/ssl", "give it with --pbcast-mirror"},
        {"PBCAST_ENV", "cobol", "is no profile"},
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        fake_setup(NULL);
        setenv("PBCAST_BUNDLE", in(*state, "a.tar.gz"), 1);
        setenv(table[i][0], table[i][1], 1);
        assert_int_equal(options_hook(), -1);
        assert_log_lines(1);
        assert_logged(table[i][2]);
        assert_null(getenv("SLURM_PBCAST_BUNDLES"));
    }
}

/* ---- the site's catalogue ---- */

#define PIN "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static char catalog_key[256], default_key[256] = "default_bundle=python";
static char *site_words[] = {store_key, catalog_key, default_key};

/* python/1 and python/2 are a.tar.gz, python/2 in partition "fast". NULL without root. */
static const char *make_catalog(void **state)
{
    static char path[64];
    char dir[] = "/run/pbc-test-XXXXXX";
    char text[10000];

    if (geteuid() != 0)
        return NULL;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(chmod(dir, 0755), 0);
    snprintf(path, sizeof(path), "%s/catalog", dir);
    snprintf(catalog_key, sizeof(catalog_key), "catalog=%s", path);
    snprintf(text, sizeof(text),
             "pbcast-catalog=1\nbundle=python/1\ndefault=yes\npath=%s/a.tar.gz\ndigest=" PIN
             "\nbundle=python/2\ndefault-in=fast\npath=%s/b.tar.gz\ndigest=" PIN "\n",
             (const char *)*state, (const char *)*state);
    make_file(path, text, strlen(text));
    return path;
}

static void forget_catalog(const char *path)
{
    char dir[64];

    unlink(path);
    snprintf(dir, sizeof(dir), "%s", path);
    *strrchr(dir, '/') = '\0';
    rmdir(dir);
}

static int site_hook(int argc)
{
    assert_int_equal(pbc_submit_init(), 0);
    return pbc_submit_options(argc, site_words);
}

static void a_default_that_fails_is_named_as_the_sites(void **state)
{
    (void)state;
    snprintf(catalog_key, sizeof(catalog_key), "stall=20"); /* no catalogue: python is a file */
    assert_int_equal(site_hook(3), -1);
    assert_log_lines(1);
    assert_logged(
        "the site's default_bundle= (--pbcast-bundle=none goes without it): bundle python: "
        "there is no such file, and this site has no catalogue");
    /* a directory that was asked for does not make it the user's */
    fake_setup(NULL);
    setenv("PBCAST_MIRROR", *state, 1);
    assert_int_equal(site_hook(3), -1);
    assert_log_lines(1);
    assert_logged(
        "the site's default_bundle= (--pbcast-bundle=none goes without it): bundle python: "
        "there is no such file, and this site has no catalogue");
    unsetenv("PBCAST_MIRROR");
    fake_setup(NULL);
    setenv("PBCAST_BUNDLE", "perl", 1);
    assert_int_equal(site_hook(3), -1);
    assert_logged("bundle perl: there is no such file");
    assert_null(strstr(fake.log, "default_bundle"));
    unsetenv("PBCAST_BUNDLE");
    /* nor is the site to blame for the directory */
    fake_setup(NULL);
    snprintf(default_key, sizeof(default_key), "default_bundle=%s/a.tar.gz", (const char *)*state);
    setenv("PBCAST_MIRROR", "/no/such", 1);
    assert_int_equal(site_hook(3), -1);
    assert_logged("/no/such");
    assert_null(strstr(fake.log, "default_bundle"));
    unsetenv("PBCAST_MIRROR");
    strcpy(default_key, "default_bundle=python");
}

static void names_of_the_catalogue(void **state)
{
    const char *path = make_catalog(state);

    if (path == NULL)
        skip();
    setenv("PBCAST_BUNDLE", "python/1", 1);
    assert_int_equal(site_hook(2), 0);
    assert_string_equal(getenv("SLURM_PBCAST_BUNDLES"), "python/1");
    assert_int_equal(pbc_submit_stage(SP), 0);
    assert_string_equal(step.first, in(*state, "a.tar.gz"));
    assert_string_equal(step.digest, PIN);

    /* the partition is known once there is a job */
    setenv("PBCAST_BUNDLE", "python", 1);
    fake.partition = "fast";
    assert_int_equal(site_hook(2), 0);
    assert_string_equal(getenv("SLURM_PBCAST_BUNDLES"), "python");
    assert_int_equal(pbc_submit_stage(SP), 0);
    assert_string_equal(step.first, in(*state, "b.tar.gz"));
    fake.partition = "slow";
    assert_int_equal(site_hook(2), 0);
    assert_int_equal(pbc_submit_stage(SP), 0);
    assert_string_equal(step.first, in(*state, "a.tar.gz"));
    fake.partition = NULL;
    assert_int_equal(site_hook(2), 0);
    assert_int_equal(pbc_submit_stage(SP), -1);
    assert_log_lines(1);
    assert_logged("partition of job 7");

    setenv("PBCAST_BUNDLE", "pyton", 1);
    assert_int_equal(site_hook(2), -1);
    assert_log_lines(2);
    assert_logged("near it are python/1, python/2");
    assert_int_equal(chmod(path, 0666), 0);
    assert_int_equal(site_hook(2), -1);
    assert_logged("can be written by others");
    forget_catalog(path);
}

static void the_sites_default(void **state)
{
    const char *path = make_catalog(state);

    if (path == NULL)
        skip();
    assert_int_equal(site_hook(3), 0);
    assert_string_equal(getenv("SLURM_PBCAST_BUNDLES"), "python");
    setenv("PBCAST_BUNDLE", "none", 1);
    assert_int_equal(site_hook(3), 0);
    assert_forgotten();
    setenv("PBCAST_BUNDLE", in(*state, "b.tar.gz"), 1);
    assert_int_equal(site_hook(3), 0);
    assert_string_equal(getenv("SLURM_PBCAST_BUNDLES"), in(*state, "b.tar.gz"));
    /* in a job whose sbatch has decided on none */
    fake_setup(NULL);
    setenv("SLURM_JOB_ID", "7", 1);
    assert_int_equal(site_hook(3), 0);
    assert_forgotten();
    /* it counts for heterogeneous jobs too, whatever the partitions of their components */
    fake_setup(NULL);
    fake.part[0] = (struct pbc_component){7, 7, 0};
    fake.parts = 1;
    assert_int_equal(site_hook(3), 0);
    assert_int_equal(pbc_submit_options(3, site_words), 0);
    assert_int_equal(pbc_submit_stage(SP), 0);
    assert_int_equal(step.calls, 1);
    assert_string_equal(getenv("SLURM_PBCAST_SET"), step.set);
    assert_log_lines(0);
    forget_catalog(path);
}

/* Last: the option stays given. */
static void the_option_before_all(void **state)
{
    setenv("PBCAST_BUNDLE", "/no/such.tar", 1);
    assert_int_equal(fake_option("pbcast-bundle", in(*state, "b.tar.gz"), 0), 0);
    assert_int_equal(options_hook(), 0);
    assert_string_equal(getenv("SLURM_PBCAST_BUNDLES"), in(*state, "b.tar.gz"));
    assert_int_equal(fake_option("pbcast-bundle", "none", 0), 0);
    assert_int_equal(options_hook(), 0);
    assert_forgotten();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_job_without_bundles, setup),
        cmocka_unit_test_setup(a_wrong_site_key_is_found_without_bundles, setup),
        cmocka_unit_test_setup(what_the_job_remembers, setup),
        cmocka_unit_test_setup(an_srun_of_the_job_takes_over, setup),
        cmocka_unit_test_setup(refusals, setup),
        cmocka_unit_test_setup(a_list_too_long_for_the_environment, setup),
        cmocka_unit_test_setup(the_staging_step_is_left_alone, setup),
        cmocka_unit_test_setup(a_user_does_not_pose_as_the_staging_step, setup),
        cmocka_unit_test_setup(srun_stages_over_its_nodes, setup),
        cmocka_unit_test_setup(a_failed_step_ends_srun, setup),
        cmocka_unit_test_setup(no_word_from_slurm, setup),
        cmocka_unit_test_setup(the_interactive_step_stages_nothing, setup),
        cmocka_unit_test_setup(a_staged_set_starts_no_step, setup),
        cmocka_unit_test_setup(more_nodes_than_are_staged, setup),
        cmocka_unit_test_setup(another_bundle_of_the_same_name, setup),
        cmocka_unit_test_setup(a_damaged_manifest_is_none, setup),
        cmocka_unit_test_setup(an_allocator_inherits_no_option, setup),
        cmocka_unit_test_setup(a_job_in_a_job_leaves_the_tree, setup),
        cmocka_unit_test_setup(none_leaves_the_tree, setup),
        cmocka_unit_test_setup(every_component_is_staged, setup),
        cmocka_unit_test_setup(a_component_that_slurmctld_says_nothing_of_is_not_left_out, setup),
        cmocka_unit_test_setup(no_component_starts_when_one_fails, setup),
        cmocka_unit_test_setup(one_component_alone, setup),
        cmocka_unit_test_setup(components_share_one_set, setup),
        cmocka_unit_test_setup(directories_come_last, setup),
        cmocka_unit_test_setup(directories_that_are_refused, setup),
        cmocka_unit_test_setup(names_of_the_catalogue, setup),
        cmocka_unit_test_setup(a_default_that_fails_is_named_as_the_sites, setup),
        cmocka_unit_test_setup(the_sites_default, setup),
        cmocka_unit_test_setup(the_option_before_all, setup),
    };

    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
