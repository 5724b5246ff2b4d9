/* Which staged set pbcast env and pbcast leaks mean. */
#include "support.h"

#include "changes.h"
#include "staged.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ONE "0123456789abcdef0123456789abcdef"
#define TWO "fedcba9876543210fedcba9876543210"

static struct pbc_staged staged;
static struct pbc_error err;
static char store[256];

static int store_setup(void **state)
{
    static const char *const vars[] = {"PBCAST_ROOT", "SLURM_PBCAST_SET", "SLURM_JOB_ID",
                                       "PBCAST_VARIABLES"};

    if (scratch_setup(state) != 0)
        return -1;
    for (size_t i = 0; i < sizeof(vars) / sizeof(vars[0]); i++)
        unsetenv(vars[i]);
    snprintf(store, sizeof(store), "%s/store", (char *)*state);
    make_dir(store, 0755);
    make_dir(in(store, "7"), 0700);
    return setenv("SLURM_JOB_ID", "7", 1);
}

static void stage(const char *set, const char *more)
{
    char name[128], text[512];

    snprintf(name, sizeof(name), "7/%s.manifest", set);
    snprintf(text, sizeof(text), "pbcast-manifest=1\nset=%s\n%s", set, more);
    make_file(in(store, name), text, strlen(text));
}

static void finds(struct pbc_staged_wish wish, const char *set)
{
    char root[512];

    if (wish.store == NULL)
        wish.store = store;
    if (pbc_staged_find(&wish, &staged, &err) < 0)
        fail_msg("%s", err.text);
    snprintf(root, sizeof(root), "%s/7/%s", store, set);
    assert_string_equal(staged.root, root);
    pbc_manifest_free(&staged.manifest);
}

static void refuses(struct pbc_staged_wish wish, enum pbc_exit code, const char *word)
{
    if (wish.store == NULL)
        wish.store = store;
    assert_int_equal(pbc_staged_find(&wish, &staged, &err), -1);
    assert_error(&err, code, word);
}

static void the_only_set_of_the_job_is_meant(void **state)
{
    (void)state;
    refuses((struct pbc_staged_wish){0}, PBC_EXIT_FAILED, "no set is staged");
    stage(ONE, "");
    make_file(in(store, "7/.incoming-1.manifest"), "x", 1);
    make_file(in(store, "7/" TWO ".lock"), "x", 1);
    finds((struct pbc_staged_wish){0}, ONE);
    refuses((struct pbc_staged_wish){.job = 8}, PBC_EXIT_FAILED, "job 8");
    refuses((struct pbc_staged_wish){.set = TWO}, PBC_EXIT_FAILED, TWO);
    refuses((struct pbc_staged_wish){.set = "../x"}, PBC_EXIT_USAGE, "../x");
    refuses((struct pbc_staged_wish){.store = "store"}, PBC_EXIT_USAGE, "absolute");
}

static void of_several_sets_one_must_be_named(void **state)
{
    (void)state;
    stage(ONE, "");
    stage(TWO, "");
    refuses((struct pbc_staged_wish){0}, PBC_EXIT_FAILED, "2 sets are staged");
    finds((struct pbc_staged_wish){.set = TWO}, TWO);
    setenv("SLURM_PBCAST_SET", ONE, 1);
    finds((struct pbc_staged_wish){0}, ONE);
}

/* SLURM_JOB_ID is that of the first component everywhere. */
static void in_a_component_of_a_job_its_directory_is_found(void **state)
{
    (void)state;
    stage(ONE, "");
    setenv("SLURM_JOB_ID", "5", 1);
    setenv("SLURM_JOB_ID_HET_GROUP_0", "5", 1);
    setenv("SLURM_JOB_ID_HET_GROUP_1", "6", 1);
    setenv("SLURM_JOB_ID_HET_GROUP_2", "7", 1);
    finds((struct pbc_staged_wish){.set = ONE}, ONE);
    finds((struct pbc_staged_wish){0}, ONE);
    refuses((struct pbc_staged_wish){.job = 5}, PBC_EXIT_FAILED, "job 5");
    /* of a job around this one */
    setenv("SLURM_JOB_ID", "9", 1);
    refuses((struct pbc_staged_wish){.set = ONE}, PBC_EXIT_FAILED, "job 9");
    for (int i = 0; i < 3; i++) {
        char name[64];

        snprintf(name, sizeof(name), "SLURM_JOB_ID_HET_GROUP_%d", i);
        unsetenv(name);
    }
}

static void bundles_name_their_set(void **state)
{
    char *bundle[] = {strdup(in(*state, "b.gz"))};
    const struct pbc_staged_wish wish = {.bundle = bundle, .bundles = 1};
    struct pbc_bundles list = {.count = 1, .item = {{.path = strdup(bundle[0])}}};
    char id[PBC_SET_ID_LEN + 1];

    make_file(bundle[0], "\x1f\x8b\x08\0\0\0\0\0\0\0", 10);
    assert_int_equal(pbc_bundles_probe(&list, &err), 0);
    pbc_bundles_id(&list, id);
    pbc_bundles_free(&list);
    stage(ONE, "");
    refuses(wish, PBC_EXIT_FAILED, id);
    stage(id, "");
    finds(wish, id);
    unlink(bundle[0]);
    refuses(wish, PBC_EXIT_REFUSED, "b.gz");
    free(bundle[0]);
}

/* As pbcast-stage takes them. */
static void directories_and_lists_name_a_set_too(void **state)
{
    char *mirror = NULL, *both = NULL, id[PBC_SET_ID_LEN + 1];
    char *separate[2], *list[1];
    struct pbc_bundles bundles;

    make_file(in(*state, "b.gz"), "\x1f\x8b\x08\0\0\0\0\0\0\0", 10);
    make_dir(in(*state, "app"), 0755);
    make_file(in(*state, "app/main.py"), "x", 1);
    separate[0] = strdup(in(*state, "b.gz"));
    assert_true(asprintf(&mirror, "mirror:%s", in(*state, "app")) > 0);
    assert_true(asprintf(&both, "%s,%s", separate[0], mirror) > 0);
    separate[1] = mirror;
    list[0] = both;
    assert_int_equal(pbc_bundles_parse(both, &bundles, &err), 0);
    assert_int_equal(pbc_bundles_probe(&bundles, &err), 0);
    pbc_bundles_id(&bundles, id);
    pbc_bundles_free(&bundles);
    stage(ONE, "");
    stage(id, "");
    finds((struct pbc_staged_wish){.bundle = separate, .bundles = 2}, id);
    finds((struct pbc_staged_wish){.bundle = list, .bundles = 1}, id);
    free(both);
    both = strdup("a,,b");
    list[0] = both;
    refuses((struct pbc_staged_wish){.bundle = list, .bundles = 1}, PBC_EXIT_USAGE, "has no name");
    free(separate[0]);
    free(mirror);
    free(both);
}

static void in_a_tree_that_one_is_meant(void **state)
{
    const struct pbc_staged_wish nothing = {0};
    char root[512];

    (void)state;
    stage(ONE, "");
    stage(TWO, "");
    unsetenv("SLURM_JOB_ID");
    snprintf(root, sizeof(root), "%s/7/%s", store, TWO);
    setenv("PBCAST_ROOT", root, 1);
    assert_int_equal(pbc_staged_find(&nothing, &staged, &err), 0);
    assert_string_equal(staged.root, root);
    pbc_manifest_free(&staged.manifest);
    /* one that is not of ours does not count */
    setenv("PBCAST_ROOT", "/opt", 1);
    assert_int_equal(pbc_staged_find(&nothing, &staged, &err), -1);
    assert_error(&err, PBC_EXIT_FAILED, "SLURM_JOB_ID");
    setenv("SLURM_JOB_ID", "-1", 1);
    assert_int_equal(pbc_staged_find(&nothing, &staged, &err), -1);
    assert_error(&err, PBC_EXIT_USAGE, "-1");
}

static void another_profile_must_fit(void **state)
{
    (void)state;
    stage(ONE, "profile=python\npython=3.11\n");
    finds((struct pbc_staged_wish){.profile = "generic"}, ONE);
    refuses((struct pbc_staged_wish){.profile = "r"}, PBC_EXIT_REFUSED, "profile is r");
    refuses((struct pbc_staged_wish){.profile = "x"}, PBC_EXIT_USAGE, "conda");
    setenv("PBCAST_ENV", "x", 1);
    refuses((struct pbc_staged_wish){0}, PBC_EXIT_USAGE, "conda");
    setenv("SLURM_PBCAST_ENV", "r", 1);
    refuses((struct pbc_staged_wish){0}, PBC_EXIT_REFUSED, "profile is r");
    finds((struct pbc_staged_wish){.profile = "generic"}, ONE);
    unsetenv("SLURM_PBCAST_ENV");
    setenv("PBCAST_ENV", "", 1);
    finds((struct pbc_staged_wish){0}, ONE);
    unsetenv("PBCAST_ENV");
}

static const char *value_of(const struct pbc_changes *c, const char *name)
{
    for (size_t i = 0; i < c->count; i++) {
        if (strcmp(c->item[i].name, name) == 0)
            return c->item[i].value;
    }
    return "unchanged";
}

static void another_set_is_left_first(void **state)
{
    struct pbc_staged_wish wish = {.store = store, .set = TWO};
    struct pbc_changes c;
    char text[512 + sizeof(staged.root)];

    (void)state;
    stage(TWO, "profile=none\nenv=append=LIST=@ROOT@/l\n");
    snprintf(text, sizeof(text), "%s/7/" ONE, store);
    setenv("PBCAST_ROOT", text, 1);
    setenv("PBCAST_VARIABLES", "FLAG=:LIST", 1);
    setenv("FLAG", "1", 1);
    snprintf(text, sizeof(text), "/a:%s/7/" ONE "/x:/b", store);
    setenv("LIST", text, 1);
    assert_int_equal(pbc_staged_find(&wish, &staged, &err), 0);
    assert_int_equal(pbc_changes_make(&staged, &c, &err), 0);
    assert_null(value_of(&c, "FLAG"));
    snprintf(text, sizeof(text), "/a:/b:%s/l", staged.root);
    assert_string_equal(value_of(&c, "LIST"), text);
    assert_string_equal(value_of(&c, "PBCAST_ROOT"), staged.root);
    assert_string_equal(value_of(&c, "PBCAST_VARIABLES"), "LIST");
    assert_string_equal(value_of(&c, "PATH"), "unchanged");
    pbc_changes_free(&c);
    pbc_manifest_free(&staged.manifest);
    unsetenv("FLAG");
    unsetenv("LIST");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, store_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_only_set_of_the_job_is_meant),
        TEST(of_several_sets_one_must_be_named),
        TEST(in_a_component_of_a_job_its_directory_is_found),
        TEST(bundles_name_their_set),
        TEST(directories_and_lists_name_a_set_too),
        TEST(in_a_tree_that_one_is_meant),
        TEST(another_profile_must_fit),
        TEST(another_set_is_left_first),
    };

    return cmocka_run_group_tests_name("staged", tests, NULL, NULL);
}
