/* Elements of a list of bundles: which are paths, which are names. */
#include "support.h"

#include "catalog.h"
#include "resolve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEX16  "0123456789abcdef"
#define DIGEST HEX16 HEX16 HEX16 HEX16
#define TEXT                                                                                       \
    "pbcast-catalog=1\nbundle=python/3.11\npath=/sw/python.tar\ndigest=" DIGEST                    \
    "\nprofile=conda\nset=A=@ROOT@\nbundle=gpu/1\npath=/sw/gpu1.tar\ndigest=" DIGEST               \
    "\nbundle=gpu/2\npath=/sw/gpu2.tar\ndefault-in=fast\ndigest=" DIGEST "\n"

static struct pbc_site site;
static struct pbc_bundles list;
static struct pbc_error err;
static struct pbc_where_from from;

static int setup(void **state)
{
    if (*state == NULL)
        return 0;
    pbc_site_defaults(&site);
    snprintf(site.catalog, sizeof(site.catalog), "%s/catalog", (const char *)*state);
    make_file(site.catalog, TEXT, strlen(TEXT));
    memset(&from, 0, sizeof(from));
    return chdir(*state);
}

static int teardown(void **state)
{
    (void)state;
    pbc_bundles_free(&list);
    return 0;
}

static int resolve(const char *text)
{
    pbc_bundles_free(&list);
    assert_int_equal(pbc_bundles_parse(text, &list, &err), 0);
    return pbc_resolve(&list, &site, &from, &err);
}

static void becomes(const char *text, const char *want)
{
    char *got;

    if (resolve(text) < 0)
        fail_msg("%s: %s", text, err.text);
    got = pbc_bundles_format(&list, 0, list.count, &err);
    assert_string_equal(got, want);
    free(got);
}

static void names_become_pinned_paths(void **state)
{
    if (*state == NULL)
        skip();
    becomes("python", "python/3.11");
    assert_string_equal(list.item[0].path, "/sw/python.tar");
    assert_string_equal(list.item[0].digest, DIGEST);
    becomes("python/3.11,/abs/x.tar,./y.tar,../z.tar", "python/3.11,/abs/x.tar,./y.tar,../z.tar");
    assert_string_equal(list.item[1].digest, "");
    assert_null(list.item[1].name);
    assert_true(list.item[0].has_profile);
    assert_int_equal(list.item[0].profile, PBC_PROFILE_CONDA);
    assert_int_equal(list.item[0].vars.count, 1);
    assert_int_equal(pbc_resolve(&list, &site, &from, &err), 0); /* again */
    assert_int_equal(list.item[0].vars.count, 1);
}

static void files_are_files(void **state)
{
    if (*state == NULL)
        skip();
    make_file(in(*state, "my.tar"), "x", 1);
    becomes("my.tar", "my.tar");
    becomes("no/such/file.tar", "no/such/file.tar"); /* probing will say it */
    make_file(in(*state, "python"), "x", 1);
    assert_int_equal(resolve("python"), -1);
    assert_error(&err, PBC_EXIT_REFUSED,
                 "bundle python is a name of the site's catalogue, and a file", "./python");
    becomes("./python", "./python");
    becomes("python/3.11", "python/3.11"); /* another file would be meant */
    unlink("python");
    make_dir(in(*state, "python"), 0755);
    becomes("python", "python/3.11");
    rmdir("python");
}

static void what_is_neither(void **state)
{
    if (*state == NULL)
        skip();
    assert_int_equal(resolve("pyton"), -1);
    assert_error(&err, PBC_EXIT_REFUSED, "bundle pyton: there is no such file",
                 "near it are python/3.11");
    assert_int_equal(resolve("python/3.9"), -1);
    assert_error(&err, PBC_EXIT_REFUSED, "no python/3.9", "near it are python/3.11");
    becomes("a;b", "a;b"); /* no form of a name: a path, which probing refuses */
}

static void without_a_catalogue_a_name_is_said_to_be_none(void **state)
{
    if (*state == NULL)
        skip();
    site.catalog[0] = '\0';
    assert_int_equal(resolve("python/3.11"), -1);
    assert_error(&err, PBC_EXIT_REFUSED,
                 "bundle python/3.11: there is no such file, and this site has no catalogue");
    becomes("./python", "./python");   /* probing will say it */
    becomes("a/b/c.tar", "a/b/c.tar"); /* no form of a name */
    make_file(in(*state, "my.tar"), "x", 1);
    becomes("my.tar", "my.tar");
    unlink("my.tar");
}

static void a_jobs_list_is_not_read_anew(void **state)
{
    if (*state == NULL)
        skip();
    from.job = 1;
    make_file(in(*state, "python"), "x", 1);
    becomes("python,/abs/x.tar", "python/3.11,/abs/x.tar");
    unlink("python");
    assert_int_equal(resolve("gone/1"), -1);
    assert_error(&err, PBC_EXIT_REFUSED, "no gone/1");
    site.catalog[0] = '\0';
    assert_int_equal(resolve("python/3.11"), -1);
    assert_error(&err, PBC_EXIT_REFUSED, "this site has no catalogue");
}

static void a_default_of_a_partition_waits_for_it(void **state)
{
    if (*state == NULL)
        skip();
    becomes("gpu,python", "gpu,python/3.11");
    assert_true(pbc_resolve_floats(&list));
    from = (struct pbc_where_from){.job = 1, .partition = "fast"};
    assert_int_equal(pbc_resolve(&list, &site, &from, &err), 0);
    assert_false(pbc_resolve_floats(&list));
    assert_string_equal(list.item[0].path, "/sw/gpu2.tar");
    assert_string_equal(list.item[0].name, "gpu/2");
    from.partition = "slow";
    assert_int_equal(resolve("gpu"), -1);
    assert_error(&err, PBC_EXIT_REFUSED, "several versions of gpu");
}

static void the_catalogue_only(void **state)
{
    if (*state == NULL)
        skip();
    site.allow_user_bundles = 0;
    becomes("python", "python/3.11");
    assert_int_equal(resolve("python,/abs/x.tar"), -1);
    assert_error(&err, PBC_EXIT_REFUSED, "bundle /abs/x.tar", "of its catalogue only");
    make_file(in(*state, "my.tar"), "x", 1);
    assert_int_equal(resolve("my.tar"), -1);
    assert_error(&err, PBC_EXIT_REFUSED, "bundle my.tar", "of its catalogue only");
    from.job = 1; /* what the environment brings is no better */
    assert_int_equal(resolve("/abs/x.tar"), -1);
    site.catalog[0] = '\0';
    assert_int_equal(resolve("/abs/x.tar"), -1);
    assert_error(&err, PBC_EXIT_REFUSED, "tell the administrator");
}

static void the_catalogue_is_read_only_where_a_name_may_be(void **state)
{
    if (*state == NULL)
        skip();
    assert_int_equal(chmod(site.catalog, 0666), 0);
    becomes("/abs/x.tar,./y.tar", "/abs/x.tar,./y.tar");
    assert_int_equal(resolve("python"), -1);
    assert_error(&err, PBC_EXIT_FAILED, site.catalog, "can be written by others");
    chmod(site.catalog, 0644);
}

static void a_pin_is_part_of_the_identity(void **state)
{
    char pinned[PBC_SET_ID_LEN + 1], free_[PBC_SET_ID_LEN + 1];

    if (*state == NULL)
        skip();
    assert_int_equal(resolve("python"), 0);
    pbc_bundles_id(&list, pinned);
    list.item[0].digest[0] = '\0';
    pbc_bundles_id(&list, free_);
    assert_string_not_equal(pinned, free_);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(names_become_pinned_paths),
        TEST(files_are_files),
        TEST(what_is_neither),
        TEST(without_a_catalogue_a_name_is_said_to_be_none),
        TEST(a_jobs_list_is_not_read_anew),
        TEST(a_default_of_a_partition_waits_for_it),
        TEST(the_catalogue_only),
        TEST(the_catalogue_is_read_only_where_a_name_may_be),
        TEST(a_pin_is_part_of_the_identity),
    };

    return cmocka_run_group_tests(tests, root_scratch_setup, scratch_teardown);
}
