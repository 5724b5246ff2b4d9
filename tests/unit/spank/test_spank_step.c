/* Tasks: the job's directory, the staged tree, the batch script. */
#include "port_fake.h"

#include "bundle.h"
#include "context.h"
#include "launch.h"
#include "store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SP  ((struct spank_handle *)NULL)
#define SET "0123456789abcdef0123456789abcdef"

static char store_key[4200], store[4100];
static char *words[] = {store_key};

/* ---- the staging step: writes a manifest, as the agents would ---- */

static struct {
    int calls, rc, in_client, verbose;
    uint32_t count, job, leader, component;
    char nodes[256], set[PBC_SET_ID_LEN + 1], conf[64], digest[PBC_DIGEST_LEN + 1];
} step;

static void manifest(const char *set)
{
    char text[512], path[4300];
    struct pbc_error err;
    int n = snprintf(text, sizeof(text),
                     "pbcast-manifest=1\nset=%s\nprofile=generic\nbytes=1\nfiles=1\nnodes=n1\n"
                     "libdir=lib\n",
                     set);

    assert_int_equal(pbc_store_make(store, 7, geteuid(), getegid(), &err), 0);
    snprintf(path, sizeof(path), "%s/7/%s.manifest", store, set);
    make_file(path, text, (size_t)n);
}

int pbc_launch(const struct pbc_launch *l, struct pbc_error *err)
{
    step.calls++;
    step.in_client = l->in_client;
    step.verbose = l->verbose;
    step.count = l->count;
    step.job = l->job;
    step.leader = l->leader;
    step.component = l->component;
    strcpy(step.nodes, l->nodes);
    strcpy(step.set, l->set);
    strcpy(step.digest, l->bundles->item[0].digest);
    strcpy(step.conf, l->slurm_conf != NULL ? l->slurm_conf : "");
    if (step.rc < 0)
        return pbc_fail(err, PBC_EXIT_PEER, "node n2: lost");
    if (step.rc == 0)
        manifest(l->set);
    return 0;
}

int pbc_launch_mark(const struct pbc_launch *l, uint32_t number, struct pbc_error *err)
{
    (void)l;
    (void)number;
    return pbc_fail(err, PBC_EXIT_FAILED, "not here");
}

static int setup(void **state)
{
    struct pbc_error err;

    fake_setup(NULL);
    memset(&step, 0, sizeof(step));
    snprintf(store, sizeof(store), "%s/store", (const char *)*state);
    snprintf(store_key, sizeof(store_key), "store=%s", store);
    assert_int_equal(pbc_store_purge(store, 7, &err), 0);
    fake.ctx = PBC_CTX_STEPD;
    make_file(in(*state, "a.tar.gz"), FAKE_GZIP, 20);
    return 0;
}

static int task(void)
{
    return pbc_step_task(SP, 1, words);
}

/* ---- task_init_privileged ---- */

static void root_makes_the_directory_in_the_staging_step_only(void **state)
{
    char path[4200];

    (void)state;
    snprintf(path, sizeof(path), "%s/7", store);
    assert_int_equal(pbc_step_privileged(SP, 1, words), 0);
    assert_false(exists(path));
    fake_setenv("SLURM_PBCAST_STEP", "yes");
    assert_int_equal(pbc_step_privileged(SP, 1, words), 0);
    assert_false(exists(path));
    fake_setenv("SLURM_PBCAST_STEP", "1");
    fake.step.kind = PBC_STEP_BATCH; /* a user's trick */
    assert_int_equal(pbc_step_privileged(SP, 1, words), 0);
    assert_false(exists(path));
    fake.step.kind = PBC_STEP_NORMAL;
    assert_int_equal(pbc_step_privileged(SP, 1, words), 0);
    assert_true(exists(path));
    assert_log_lines(0);
}

static void root_refuses_what_lies_in_the_way(void **state)
{
    struct pbc_error err;
    char path[4200];

    (void)state;
    assert_int_equal(pbc_store_make(store, 7, geteuid(), getegid(), &err), 0);
    snprintf(path, sizeof(path), "%s/7", store);
    assert_int_equal(chmod(path, 0777), 0);
    fake_setenv("SLURM_PBCAST_STEP", "1");
    assert_int_equal(pbc_step_privileged(SP, 1, words), -1);
    assert_log_lines(1);
    assert_logged("node ");
    assert_logged(path);
}

static void root_without_a_step_or_a_site(void **state)
{
    char wrong[] = "wrong";
    char *argv[] = {wrong};

    (void)state;
    fake_setenv("SLURM_PBCAST_STEP", "1");
    assert_int_equal(pbc_step_privileged(SP, 1, argv), -1);
    fake.no_step = 1;
    assert_int_equal(pbc_step_privileged(SP, 1, words), 0);
}

/* ---- task_init of a step ---- */

static void tasks_without_bundles_are_left_alone(void **state)
{
    static const enum pbc_step_kind kinds[] = {PBC_STEP_NORMAL, PBC_STEP_BATCH,
                                               PBC_STEP_INTERACTIVE, PBC_STEP_EXTERN};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        fake.step.kind = kinds[i];
        fake_setenv("PATH", "/bin");
        assert_int_equal(task(), 0);
        assert_string_equal(fake_getenv("PATH"), "/bin");
        assert_null(fake_getenv("PBCAST_ROOT"));
    }
    assert_log_lines(0);
    assert_int_equal(step.calls, 0);
}

static void a_task_enters_the_tree(void **state)
{
    char root[4300], want[4400];

    (void)state;
    manifest(SET);
    fake_setenv("SLURM_PBCAST_SET", SET);
    fake_setenv("SLURM_PBCAST_BUNDLES", "/a.tar.gz");
    fake_setenv("PATH", "/usr/bin:/bin");
    fake_setenv("PMIX_RANK", "3");
    assert_int_equal(task(), 0);
    snprintf(root, sizeof(root), "%s/7/" SET, store);
    assert_string_equal(fake_getenv("PBCAST_ROOT"), root);
    snprintf(want, sizeof(want), "%s/bin:/usr/bin:/bin", root);
    assert_string_equal(fake_getenv("PATH"), want);
    snprintf(want, sizeof(want), "%s/lib", root);
    assert_string_equal(fake_getenv("LD_LIBRARY_PATH"), want);
    assert_string_equal(fake_getenv("PMIX_RANK"), "3");

    /* a task of a step in a relocated script: nothing is said twice */
    assert_int_equal(task(), 0);
    assert_string_equal(fake_getenv("LD_LIBRARY_PATH"), want);
    assert_int_equal(step.calls, 0);
    assert_log_lines(0);
}

static void a_task_without_a_path_keeps_the_system(void **state)
{
    (void)state;
    manifest(SET);
    fake_setenv("SLURM_PBCAST_SET", SET);
    assert_int_equal(task(), 0);
    assert_non_null(strstr(fake_getenv("PATH"), "/bin:/usr/local/bin:/usr/bin:/bin"));
}

static void the_python_profile(void **state)
{
    static const char text[] =
        "pbcast-manifest=1\nset=" SET "\nprofile=python\npython=3.11\nbytes=1\nfiles=1\nnodes=n1\n";
    char path[4300];

    (void)state;
    manifest(SET);
    snprintf(path, sizeof(path), "%s/7/" SET ".manifest", store);
    make_file(path, text, sizeof(text) - 1);
    fake_setenv("SLURM_PBCAST_SET", SET);
    fake_setenv("PYTHONPATH", "/home/u/site");
    fake_setenv("PYTHONUSERBASE", "/home/u/.local");
    assert_int_equal(task(), 0);
    path[strlen(path) - strlen(".manifest")] = '\0';
    assert_string_equal(fake_getenv("PYTHONHOME"), path);
    assert_null(fake_getenv("PYTHONPATH"));
    assert_string_equal(fake_getenv("PYTHONNOUSERSITE"), "1");
}

static void a_step_with_another_set_than_the_script(void **state)
{
    static const char other[] = "ffffffffffffffffffffffffffffffff";
    char path[4300];

    (void)state;
    manifest(SET);
    manifest(other);
    fake_setenv("PATH", "/usr/bin:/bin");
    fake_setenv("SLURM_PBCAST_SET", SET);
    assert_int_equal(task(), 0);
    fake_setenv("SLURM_PBCAST_SET", other);
    assert_int_equal(task(), 0);
    snprintf(path, sizeof(path), "%s/7/%s/bin:/usr/bin:/bin", store, other);
    assert_string_equal(fake_getenv("PATH"), path);
}

static void a_wrong_site_key_fails_only_who_wants_bundles(void **state)
{
    char wrong[] = "wrong=1";
    char *argv[] = {wrong};

    (void)state;
    assert_int_equal(pbc_step_task(SP, 1, argv), 0);
    assert_log_lines(0);
    fake_setenv("SLURM_PBCAST_SET", SET);
    assert_int_equal(pbc_step_task(SP, 1, argv), -1);
    assert_logged("plugstack.conf: ");
    assert_logged("wrong");
    assert_log_lines(1);
    fake.local_task = 1;
    assert_int_equal(pbc_step_task(SP, 1, argv), -1);
    assert_log_lines(1);
}

static void an_agents_error_has_one_node(void **state)
{
    (void)state;
    fake.step.kind = PBC_STEP_BATCH;
    fake_setenv("SLURM_PBCAST_BUNDLES", in(*state, "a.tar.gz"));
    fake_setenv("SLURM_JOB_NODELIST", "n1");
    fake_setenv("SLURM_JOB_NUM_NODES", "1");
    step.rc = -1;
    assert_int_equal(task(), -1);
    assert_string_equal(fake.log, "node n2: lost\n");
}

static void a_node_that_lacks_the_set(void **state)
{
    (void)state;
    fake_setenv("SLURM_PBCAST_SET", SET);
    assert_int_equal(task(), -1);
    assert_log_lines(1);
    assert_logged("node ");
    assert_logged(SET);
    assert_logged("is not staged here");
    /* the directory is there, the set is not */
    manifest("ffffffffffffffffffffffffffffffff");
    assert_int_equal(task(), -1);
    assert_log_lines(2);
    /* another node's first task says so too, for it is that node's failure; its others do not */
    fake.global_task = 64;
    assert_int_equal(task(), -1);
    assert_log_lines(3);
    fake.local_task = 3;
    assert_int_equal(task(), -1);
    assert_log_lines(3);
}

static void sets_and_manifests_out_of_form(void **state)
{
    static const char *const names[] = {"", "../../etc", "0123", SET "0",
                                        "0123456789ABCDEF0123456789abcdef"};
    char path[4300];

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        fake_setenv("SLURM_PBCAST_SET", names[i]);
        assert_int_equal(task(), -1);
        assert_logged("is not the name of a set");
    }
    manifest(SET);
    snprintf(path, sizeof(path), "%s/7/" SET ".manifest", store);
    make_file(path, "rubbish\n", 8);
    fake_setenv("SLURM_PBCAST_SET", SET);
    fake_reset();
    fake_setenv("SLURM_PBCAST_SET", SET);
    assert_int_equal(task(), -1);
    assert_log_lines(1);
    assert_logged("manifest");
}

static void bundles_that_nobody_staged(void **state)
{
    (void)state;
    fake_setenv("SLURM_PBCAST_BUNDLES", "/data/a.tar.gz");
    assert_int_equal(task(), -1);
    assert_log_lines(1);
    assert_logged("/data/a.tar.gz");
    fake.step.kind = PBC_STEP_INTERACTIVE;
    assert_int_equal(task(), 0);
    fake.step.kind = PBC_STEP_EXTERN;
    assert_int_equal(task(), 0);
}

static void agents_are_not_relocated(void **state)
{
    (void)state;
    fake_setenv("SLURM_PBCAST_STEP", "1");
    fake_setenv("SLURM_PBCAST_BUNDLES", "/data/a.tar.gz");
    assert_int_equal(task(), 0);
    assert_null(fake_getenv("PBCAST_ROOT"));
}

static void an_environment_that_takes_no_more(void **state)
{
    (void)state;
    manifest(SET);
    fake_setenv("SLURM_PBCAST_SET", SET);
    fake.no_setenv = "LD_LIBRARY_PATH";
    assert_int_equal(task(), -1);
    assert_logged("LD_LIBRARY_PATH");
}

/* ---- the batch script ---- */

static void batch(void **state)
{
    fake.step.kind = PBC_STEP_BATCH;
    fake_setenv("SLURM_PBCAST_BUNDLES", in(*state, "a.tar.gz"));
    fake_setenv("SLURM_PBCAST_VERBOSE", "2");
    fake_setenv("SLURM_JOB_NODELIST", "n1,n2,n3");
    fake_setenv("SLURM_JOB_NUM_NODES", "3");
}

static void the_script_starts_in_the_tree(void **state)
{
    batch(state);
    setenv("SLURM_CONF", "/daemon.conf", 1);
    fake_setenv("SLURM_CONF", "/users.conf");
    fake_setenv("SLURM_PBCAST_STEP", "1"); /* a user's trick */
    fake_setenv("SLURM_PBCAST_SET", SET);  /* and a stale name */
    assert_int_equal(task(), 0);
    assert_int_equal(step.calls, 1);
    assert_int_equal(step.count, 3);
    assert_string_equal(step.nodes, "n1,n2,n3");
    assert_string_equal(step.conf, "/daemon.conf");
    assert_int_equal(step.in_client, 0);
    assert_int_equal(step.verbose, 2);
    assert_string_equal(fake_getenv("SLURM_PBCAST_SET"), step.set);
    assert_string_not_equal(step.set, SET);
    assert_non_null(strstr(fake_getenv("PBCAST_ROOT"), step.set));
}

static void the_script_does_not_start_when_staging_fails(void **state)
{
    batch(state);
    step.rc = -1;
    assert_int_equal(task(), -1);
    assert_log_lines(1);
    assert_logged("node n2: lost");
    assert_null(fake_getenv("PBCAST_ROOT"));
}

static void the_script_does_not_start_without_a_manifest(void **state)
{
    batch(state);
    step.rc = 1; /* the step says that all is well */
    assert_int_equal(task(), -1);
    assert_logged("is not staged here");
}

static void bundles_that_have_gone(void **state)
{
    batch(state);
    unlink(in(*state, "a.tar.gz"));
    assert_int_equal(task(), -1);
    assert_int_equal(step.calls, 0);
    assert_log_lines(1);
    assert_logged("a.tar.gz");
}

static void another_profile_than_that_of_the_set(void **state)
{
    (void)state;
    manifest(SET);
    fake_setenv("SLURM_PBCAST_SET", SET);
    fake_setenv("SLURM_PBCAST_ENV", "none");
    fake_setenv("PATH", "/usr/bin");
    assert_int_equal(task(), 0);
    assert_string_equal(fake_getenv("PATH"), "/usr/bin");
    assert_non_null(fake_getenv("PBCAST_ROOT"));
    fake_setenv("SLURM_PBCAST_ENV", "r");
    assert_int_equal(task(), -1);
    assert_logged("the profile is r, but the tree has not");
    fake_setenv("SLURM_PBCAST_ENV", "cobol");
    assert_int_equal(task(), -1);
    assert_logged("SLURM_PBCAST_ENV=cobol is no profile");
    assert_log_lines(2);
    /* so it is on all nodes: the step's other tasks say nothing, the first ones of a node included
     */
    fake.global_task = 64;
    assert_int_equal(task(), -1);
    assert_log_lines(2);
}

static void a_script_with_a_directory_alone(void **state)
{
    char word[8400];

    batch(state);
    fake_setenv("SLURM_PBCAST_BUNDLES", NULL);
    make_dir(in(*state, "app"), 0755);
    snprintf(word, sizeof(word), "mirror:%s/app", (const char *)*state);
    fake_setenv("SLURM_PBCAST_MIRROR", word);
    assert_int_equal(task(), 0);
    assert_int_equal(step.calls, 1);
    assert_null(fake_getenv("SLURM_PBCAST_BUNDLES"));
}

static void the_pins_of_a_script_are_the_catalogues(void **state)
{
    static const char pin[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    char dir[] = "/run/pbc-test-XXXXXX", key[64], no[] = "allow_user_bundles=no", text[10000];
    char *argv[] = {store_key, key, no};

    if (geteuid() != 0)
        skip();
    assert_non_null(mkdtemp(dir));
    assert_int_equal(chmod(dir, 0755), 0);
    snprintf(key, sizeof(key), "catalog=%s/c", dir);
    snprintf(text, sizeof(text),
             "pbcast-catalog=1\nbundle=a/1\npath=%s/a.tar.gz\ndigest=%s\ndefault-in=fast\n",
             (const char *)*state, pin);
    make_file(key + strlen("catalog="), text, strlen(text));
    batch(state);
    fake_setenv("SLURM_PBCAST_BUNDLES", "a");
    fake_setenv("SLURM_JOB_PARTITION", "fast");
    assert_int_equal(pbc_step_task(SP, 3, argv), 0);
    assert_string_equal(step.digest, pin);
    assert_string_equal(fake_getenv("SLURM_PBCAST_BUNDLES"), "a/1");
    /* a path that the environment has brought past the site's rule, a name that is gone, a
     * catalogue that somebody else could have written */
    fake_setenv("SLURM_PBCAST_BUNDLES", in(*state, "a.tar.gz"));
    assert_int_equal(pbc_step_task(SP, 3, argv), -1);
    assert_logged("of its catalogue only");
    fake_setenv("SLURM_PBCAST_BUNDLES", "a/2");
    assert_int_equal(pbc_step_task(SP, 3, argv), -1);
    assert_logged("no a/2; near it are a/1");
    assert_int_equal(chmod(dir, 0777), 0);
    assert_int_equal(pbc_step_task(SP, 3, argv), -1);
    assert_logged("can be written by others");
    assert_int_equal(step.calls, 1);
    unlink(key + strlen("catalog="));
    rmdir(dir);
}

static void a_marked_step_starts_no_task(void **state)
{
    char path[4300];

    (void)state;
    manifest(SET);
    fake_setenv("SLURM_PBCAST_SET", SET);
    snprintf(path, sizeof(path), "%s/7/failed.%u", store, (unsigned)fake.step.step + 1);
    make_dir(path, 0755);
    assert_int_equal(task(), 0); /* another step */
    snprintf(path, sizeof(path), "%s/7/failed.%u", store, (unsigned)fake.step.step);
    make_dir(path, 0755);
    assert_int_equal(task(), -1);
    assert_log_lines(0); /* srun has said why */
}

static void a_script_stages_every_component(void **state)
{
    batch(state);
    fake_setenv("SLURM_HET_SIZE", "2");
    fake_setenv("SLURM_JOB_ID_HET_GROUP_0", "7");
    fake_setenv("SLURM_JOB_ID_HET_GROUP_1", "8");
    fake_setenv("SLURM_JOB_NODELIST_HET_GROUP_0", "n1");
    fake_setenv("SLURM_JOB_NUM_NODES_HET_GROUP_0", "1");
    fake_setenv("SLURM_JOB_NODELIST_HET_GROUP_1", "n2,n3");
    fake_setenv("SLURM_JOB_NUM_NODES_HET_GROUP_1", "2");
    assert_int_equal(task(), 0);
    assert_int_equal(step.calls, 2);
    assert_int_equal(step.job, 8);
    assert_int_equal(step.leader, 7);
    assert_int_equal(step.component, 1);
    assert_string_equal(step.nodes, "n2,n3");
    fake_setenv("SLURM_JOB_NUM_NODES_HET_GROUP_1", "3");
    assert_int_equal(task(), -1);
    assert_logged("do not name the job's nodes");
    /* the variables of the job that has submitted this one */
    memset(&step, 0, sizeof(step));
    fake_setenv("SLURM_JOB_ID_HET_GROUP_0", "6");
    assert_int_equal(task(), 0);
    assert_int_equal(step.calls, 1);
    assert_int_equal(step.job, 7);
    assert_int_equal(step.leader, 0);
}

static void node_lists_that_are_none(void **state)
{
    static const char *const table[][2] = {
        {"n1,n2", "3"},       {"n1,n2,n3", "0"},   {"n1,n2,n3", "3x"},
        {"n1,n2,n3", NULL},   {NULL, "3"},         {"", "0"},
        {"n1 n2,n3,n4", "3"}, {"n1,n2,n3\n", "3"}, {"--jobid=1,n2,n$", "3"},
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        fake_reset();
        batch(state);
        fake_setenv("SLURM_JOB_NODELIST", table[i][0]);
        fake_setenv("SLURM_JOB_NUM_NODES", table[i][1]);
        assert_int_equal(task(), -1);
        assert_log_lines(1);
        assert_logged("SLURM_JOB_NODELIST");
    }
    assert_int_equal(step.calls, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(root_makes_the_directory_in_the_staging_step_only, setup),
        cmocka_unit_test_setup(root_refuses_what_lies_in_the_way, setup),
        cmocka_unit_test_setup(root_without_a_step_or_a_site, setup),
        cmocka_unit_test_setup(tasks_without_bundles_are_left_alone, setup),
        cmocka_unit_test_setup(a_task_enters_the_tree, setup),
        cmocka_unit_test_setup(a_task_without_a_path_keeps_the_system, setup),
        cmocka_unit_test_setup(the_python_profile, setup),
        cmocka_unit_test_setup(a_step_with_another_set_than_the_script, setup),
        cmocka_unit_test_setup(a_wrong_site_key_fails_only_who_wants_bundles, setup),
        cmocka_unit_test_setup(an_agents_error_has_one_node, setup),
        cmocka_unit_test_setup(a_node_that_lacks_the_set, setup),
        cmocka_unit_test_setup(sets_and_manifests_out_of_form, setup),
        cmocka_unit_test_setup(bundles_that_nobody_staged, setup),
        cmocka_unit_test_setup(agents_are_not_relocated, setup),
        cmocka_unit_test_setup(an_environment_that_takes_no_more, setup),
        cmocka_unit_test_setup(the_script_starts_in_the_tree, setup),
        cmocka_unit_test_setup(the_script_does_not_start_when_staging_fails, setup),
        cmocka_unit_test_setup(the_script_does_not_start_without_a_manifest, setup),
        cmocka_unit_test_setup(bundles_that_have_gone, setup),
        cmocka_unit_test_setup(another_profile_than_that_of_the_set, setup),
        cmocka_unit_test_setup(a_script_with_a_directory_alone, setup),
        cmocka_unit_test_setup(the_pins_of_a_script_are_the_catalogues, setup),
        cmocka_unit_test_setup(a_marked_step_starts_no_task, setup),
        cmocka_unit_test_setup(a_script_stages_every_component, setup),
        cmocka_unit_test_setup(node_lists_that_are_none, setup),
    };

    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
