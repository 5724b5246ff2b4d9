/* Which hook does what where, and that a plugin listed twice works once. */
#include <stdint.h>
#include <sys/types.h>

#include <slurm/spank.h>

#include "port_fake.h"

#include "context.h"
#include "options.h"

#include <string.h>

static char did[64]; /* one letter for each piece of work */
static int task_fails;

static int note(const char *letter)
{
    strcat(did, letter);
    return 0;
}

int pbc_options_register(struct spank_handle *sp)
{
    (void)sp;
    note("r");
    return fake.register_fails ? -1 : 0;
}
int pbc_submit_init(void)
{
    return note("i");
}
int pbc_submit_options(int argc, char *const argv[])
{
    (void)argc;
    (void)argv;
    return note("o");
}
int pbc_submit_stage(struct spank_handle *sp)
{
    (void)sp;
    return note("s");
}
int pbc_step_privileged(struct spank_handle *sp, int argc, char *const argv[])
{
    (void)sp;
    (void)argc;
    (void)argv;
    return note("p");
}
int pbc_step_task(struct spank_handle *sp, int argc, char *const argv[])
{
    (void)sp;
    (void)argc;
    (void)argv;
    return task_fails ? -1 : note("t");
}
int pbc_epilog(struct spank_handle *sp, int argc, char *const argv[])
{
    (void)sp;
    (void)argc;
    (void)argv;
    return note("e");
}
int pbc_sweep(int argc, char *const argv[])
{
    (void)argc;
    (void)argv;
    return note("w");
}

struct life {
    enum pbc_context ctx;
    int listed;
    int register_fails;
    const char *want;
    int init_fails_the_job;
    int want_init; /* what slurm_spank_init returns */
};

/* One process of Slurm, from init on. 0 when it did what was wanted. */
static int live(void *arg)
{
    const struct life *l = arg;
    char *argv[] = {NULL};
    int init = 0;

    fake.ctx = l->ctx;
    fake.register_fails = l->register_fails;
    fake.init_fails_the_job = l->init_fails_the_job;
    for (int i = 0; i < l->listed; i++)
        init |= slurm_spank_init(NULL, 0, argv);
    for (int i = 0; i < l->listed; i++)
        slurm_spank_init_post_opt(NULL, 0, argv);
    if (l->ctx == PBC_CTX_SRUN) {
        for (int i = 0; i < l->listed; i++)
            slurm_spank_local_user_init(NULL, 0, argv);
    }
    if (l->ctx == PBC_CTX_STEPD) {
        for (int i = 0; i < l->listed; i++)
            slurm_spank_task_init_privileged(NULL, 0, argv);
        for (int i = 0; i < l->listed; i++)
            slurm_spank_task_init(NULL, 0, argv);
    }
    if (l->ctx == PBC_CTX_OTHER)
        slurm_spank_job_epilog(NULL, 0, argv);
    if (strcmp(did, l->want) != 0)
        return 1;
    return init == l->want_init ? 0 : 2;
}

static void hooks_and_contexts(void **state)
{
    static struct life lives[] = {
        {PBC_CTX_SRUN, 1, 0, "rios", 0, 0},
        {PBC_CTX_ALLOCATOR, 1, 0, "rio", 0, 0},
        {PBC_CTX_STEPD, 1, 0, "rpt", 0, 0},
        {PBC_CTX_STEPD, 1, 0, "rpt", 1, 0},
        {PBC_CTX_SLURMD, 1, 0, "w", 0, 0},
        {PBC_CTX_OTHER, 0, 0, "e", 0, 0},
        {PBC_CTX_SRUN, 2, 0, "rios", 0, 0},
        {PBC_CTX_STEPD, 3, 0, "rpt", 0, 0},
        {PBC_CTX_ALLOCATOR, 2, 0, "rio", 0, 0},
        {PBC_CTX_SLURMD, 2, 0, "w", 0, 0},
        {PBC_CTX_SRUN, 1, 1, "ros", 0, -1},
        {PBC_CTX_STEPD, 1, 1, "rpt", 0, 0},  /* a failure would drain the node */
        {PBC_CTX_STEPD, 1, 1, "rpt", 1, -1}, /* a failure is the job's */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(lives) / sizeof(lives[0]); i++) {
        int rc = in_child(live, &lives[i]);

        if (rc != 0)
            fail_msg("life %zu: %s", i, rc == 1 ? "did something else" : "init returned wrong");
    }
}

/* Slurm would say two lines for each, or run them unstaged. */
static int fail_a_task(void *arg)
{
    char *argv[] = {NULL};

    (void)arg;
    task_fails = 1;
    slurm_spank_task_init(NULL, 0, argv);
    return 9;
}

static void a_task_whose_hook_fails_ends_there(void **state)
{
    (void)state;
    assert_int_equal(in_child(fail_a_task, NULL), 1);
}

static void what_the_loader_reads(void **state)
{
    extern const char plugin_name[], plugin_type[];
    extern const unsigned int plugin_version, spank_plugin_version;

    (void)state;
    assert_string_equal(plugin_name, "pbcast");
    assert_string_equal(plugin_type, "spank");
    assert_int_equal(plugin_version, SLURM_VERSION_NUMBER);
    assert_int_equal(spank_plugin_version, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(hooks_and_contexts, fake_setup),
        cmocka_unit_test_setup(a_task_whose_hook_fails_ends_there, fake_setup),
        cmocka_unit_test(what_the_loader_reads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
