/* Which list and which verbosity count. */
#include "port_fake.h"

#include "options.h"

#include <stdlib.h>
#include <string.h>

static void the_list_that_counts(void **state)
{
    static const struct {
        const char *what;
        struct pbc_wish wish;
        const char *list, *asked;
    } table[] = {
        {"nothing", {.in_job = 0}, NULL, NULL},
        {"the command line", {.option = {"a.tar", 0}}, "a.tar", "a.tar"},
        {"the twin", {.twin = "t.tar"}, "t.tar", "t.tar"},
        {"an empty twin is none", {.twin = ""}, NULL, NULL},
        {"the command line before the twin", {.option = {"a", 0}, .twin = "t"}, "a", "a"},
        {"none on the command line", {.option = {"none", 0}, .twin = "t"}, NULL, NULL},
        {"none as twin", {.twin = "none"}, NULL, NULL},
        {"none before the job's",
         {.option = {"none", 0}, .bundles = "/j", .asked = "j", .in_job = 1},
         NULL,
         NULL},
        {"the job's in the job", {.bundles = "/j", .asked = "j", .in_job = 1}, "/j", "j"},
        {"the job's without what was asked", {.bundles = "/j", .in_job = 1}, "/j", "/j"},
        {"an empty list of the job is none", {.bundles = "", .in_job = 1, .twin = "t"}, "t", "t"},
        {"the job's before the twin",
         {.bundles = "/j", .asked = "j", .in_job = 1, .twin = "t"},
         "/j",
         "j"},
        {"not outside the job", {.bundles = "/j", .asked = "j", .twin = "t"}, "t", "t"},
        {"not outside the job, nor without twin", {.bundles = "/j", .asked = "j"}, NULL, NULL},
        {"handed down: the paths that it meant",
         {.option = {"j", 1}, .bundles = "/j", .asked = "j", .in_job = 1},
         "/j",
         "j"},
        {"handed down, but another list is there",
         {.option = {"k", 1}, .bundles = "/j", .asked = "j", .in_job = 1},
         "k",
         "k"},
        {"handed down, and the paths are lost", {.option = {"j", 1}, .in_job = 1}, "j", "j"},
        {"the same words on the command line mean here",
         {.option = {"j", 0}, .bundles = "/j", .asked = "j", .in_job = 1},
         "j",
         "j"},
        {"handed down outside a job",
         {.option = {"j", 1}, .bundles = "/j", .asked = "j"},
         "j",
         "j"},
        {"the site's", {.site = "s"}, "s", "s"},
        {"the twin before the site's", {.site = "s", .twin = "t"}, "t", "t"},
        {"none before the site's", {.site = "s", .twin = "none"}, NULL, NULL},
        {"none on the command line before the site's",
         {.option = {"none", 0}, .site = "s"},
         NULL,
         NULL},
        {"an empty list is asked for", {.option = {"", 0}, .twin = "t"}, "", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        const char *asked = "unset";
        const char *list = pbc_wish_list(&table[i].wish, &asked);
        const char *want = table[i].list;

        if ((list == NULL) != (want == NULL) || (want != NULL && strcmp(list, want) != 0) ||
            (asked == NULL) != (table[i].asked == NULL) ||
            (asked != NULL && strcmp(asked, table[i].asked) != 0))
            fail_msg("%s: list %s, asked %s", table[i].what, list ? list : "-",
                     asked ? asked : "-");
    }
}

static void the_verbosity_that_counts(void **state)
{
    struct pbc_error err;
    int v = -1;

    (void)state;
    assert_int_equal(pbc_wish_verbose(NULL, NULL, NULL, &v, &err), 0);
    assert_int_equal(v, 1);
    assert_int_equal(pbc_wish_verbose("0", "2", "3", &v, &err), 0);
    assert_int_equal(v, 0);
    assert_int_equal(pbc_wish_verbose(NULL, "2", "3", &v, &err), 0);
    assert_int_equal(v, 2);
    assert_int_equal(pbc_wish_verbose(NULL, NULL, "3", &v, &err), 0);
    assert_int_equal(v, 3);
    assert_int_equal(pbc_wish_verbose(NULL, "nonsense", "", &v, &err), 0);
    assert_int_equal(v, 1);
    assert_int_equal(pbc_wish_verbose(NULL, NULL, "4", &v, &err), -1);
    assert_error(&err, PBC_EXIT_USAGE, "PBCAST_VERBOSE", "4", "0 to 3");
    assert_int_equal(pbc_wish_verbose(NULL, NULL, "-1", &v, &err), -1);
    assert_int_equal(pbc_wish_verbose(NULL, NULL, "1x", &v, &err), -1);
}

/* The callback keeps its values for the life of the process, so this is one test. */
static void slurm_hands_over_values(void **state)
{
    (void)state;
    assert_null(pbc_option(PBC_OPT_BUNDLE).text);
    assert_int_equal(pbc_options_register(NULL), 0);
    assert_int_equal(fake.registered, 5);

    setenv(PBC_VAR_JOB_BUNDLE, "job.tar", 1);
    assert_int_equal(fake_option("pbcast-bundle", "job.tar", 0), 0);
    assert_string_equal(pbc_option(PBC_OPT_BUNDLE).text, "job.tar");
    assert_int_equal(pbc_option(PBC_OPT_BUNDLE).from_job, 1);

    /* then the command line, with the same words, and again with others */
    assert_int_equal(fake_option("pbcast-bundle", "job.tar", 0), 0);
    assert_int_equal(pbc_option(PBC_OPT_BUNDLE).from_job, 0);
    assert_int_equal(fake_option("pbcast-bundle", "last.tar", 0), 0);
    assert_string_equal(pbc_option(PBC_OPT_BUNDLE).text, "last.tar");

    /* the next component: what the environment has does not replace what this one was given */
    pbc_options_next_component();
    assert_int_equal(fake_option("pbcast-bundle", "job.tar", 0), 0);
    assert_string_equal(pbc_option(PBC_OPT_BUNDLE).text, "last.tar");
    assert_int_equal(pbc_option(PBC_OPT_BUNDLE).from_job, 0);
    assert_int_equal(fake_option("pbcast-bundle", "other.tar", 0), 0);
    assert_string_equal(pbc_option(PBC_OPT_BUNDLE).text, "other.tar");

    /* sbatch reads the environment after the component's #SBATCH lines */
    pbc_options_next_component();
    fake.ctx = PBC_CTX_ALLOCATOR;
    assert_int_equal(fake_option("pbcast-bundle", "last.tar", 0), 0);
    assert_null(getenv(PBC_VAR_JOB_BUNDLE));
    fake.ctx = PBC_CTX_SRUN;

    assert_int_equal(fake_option("pbcast-verbose", "3", 0), 0);
    assert_int_equal(fake_option("pbcast-verbose", "4", 0), -1);
    assert_logged("0 to 3");
    assert_string_equal(pbc_option(PBC_OPT_VERBOSE).text, "3");

    /* what the environment has is for sruns of the job that scrontab is called in */
    fake.ctx = PBC_CTX_ALLOCATOR;
    fake.scrontab = 1;
    pbc_options_next_component();
    setenv(PBC_VAR_JOB_BUNDLE, "job.tar", 1);
    assert_int_equal(fake_option("pbcast-bundle", "job.tar", 0), 0);
    assert_int_equal(fake_option("pbcast-bundle", "a.tar", 0), -1);
    assert_logged("scrontab hands options of plugins to no job: give --pbcast-bundle to the srun");
    fake.scrontab = 0;
    fake.ctx = PBC_CTX_SRUN;

    /* in slurmstepd: twice, and never a refusal */
    assert_int_equal(fake_option("pbcast-bundle", "last.tar", 1), 0);
    assert_int_equal(fake_option("pbcast-bundle", "last.tar", 1), 0);
    assert_int_equal(fake_option("pbcast-verbose", "nonsense", 1), 0);
    assert_log_lines(2);
}

static void slurm_refuses_an_option(void **state)
{
    (void)state;
    fake.register_fails = 1;
    assert_int_equal(pbc_options_register(NULL), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_list_that_counts, fake_setup),
        cmocka_unit_test_setup(the_verbosity_that_counts, fake_setup),
        cmocka_unit_test_setup(slurm_hands_over_values, fake_setup),
        cmocka_unit_test_setup(slurm_refuses_an_option, fake_setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
