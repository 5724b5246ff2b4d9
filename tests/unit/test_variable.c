#include "support.h"

#include "profile.h"
#include "text.h"
#include "variable.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void names_of_slurm_pmix_and_the_loader_are_not_allowed(void **state)
{
    static const char *const bad[] = {"SLURM_JOB_ID", "SLURMD_NODENAME",
                                      "SPANK_X",      "PMI_RANK",
                                      "PMI2_X",       "PMIX_RANK",
                                      "PBCAST_ROOT",  "LD_PRELOAD",
                                      "LD_AUDIT",     "",
                                      "1A",           "A B",
                                      "A=",           "A-B",
                                      "\xc3\x84"};
    static const char *const good[] = {"LD_LIBRARY_PATH", "A", "_", "a1", "PYTHONHOME", "MY_SLURM"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(pbc_variable_allowed(bad[i]));
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(pbc_variable_allowed(good[i]));
}

static void limits_hold(void **state)
{
    struct pbc_variables list = {0};
    char *value = calloc(1, PBC_VARIABLE_VALUE_MAX + 2);

    (void)state;
    memset(value, 'x', PBC_VARIABLE_VALUE_MAX + 1);
    assert_int_equal(pbc_variables_add(&list, PBC_ENV_SET, "A", value), -1);
    assert_int_equal(errno, EINVAL);
    value[PBC_VARIABLE_VALUE_MAX] = '\0';
    for (size_t i = 0; i < PBC_VARIABLES_MAX; i++)
        assert_int_equal(pbc_variables_add(&list, PBC_ENV_SET, "A", i == 0 ? value : ""), 0);
    assert_int_equal(pbc_variables_add(&list, PBC_ENV_SET, "A", ""), -1);
    assert_int_equal(errno, E2BIG);
    assert_int_equal(list.count, PBC_VARIABLES_MAX);
    assert_true(pbc_variables_valid(&list));
    pbc_variables_free(&list);
    free(value);
}

static void the_tree_replaces_its_word_everywhere(void **state)
{
    static const char *const pairs[][2] = {
        {"@ROOT@", "/r"},
        {"-I@ROOT@/include -L@ROOT@/lib", "-I/r/include -L/r/lib"},
        {"", ""},
        {"@ROOT", "@ROOT"},
        {"@@ROOT@@ROOT@", "@/r/r"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        char *got = pbc_variable_expand(pairs[i][0], "/r");

        assert_string_equal(got, pairs[i][1]);
        free(got);
    }
}

static void profiles_have_names(void **state)
{
    enum pbc_profile p;

    (void)state;
    for (int i = PBC_PROFILE_GENERIC; i <= PBC_PROFILE_NONE; i++) {
        assert_int_equal(pbc_profile_from_name(pbc_profile_name((enum pbc_profile)i), &p), 0);
        assert_int_equal(p, i);
        assert_non_null(strstr(PBC_PROFILE_NAMES, pbc_profile_name(p)));
    }
    assert_int_equal(pbc_profile_from_name("", &p), -1);
    assert_int_equal(pbc_profile_from_name("Python", &p), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_slurm_pmix_and_the_loader_are_not_allowed),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(the_tree_replaces_its_word_everywhere),
        cmocka_unit_test(profiles_have_names),
    };

    return cmocka_run_group_tests_name("variable", tests, NULL, NULL);
}
