#include "support.h"

#include "relocate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOT "/dev/shm/pbcast/7/0123456789abcdef0123456789abcdef"

static struct pbc_env_ops ops;
static struct pbc_error err;

static char lib[] = "lib", triplet[] = "lib/x86_64-linux-gnu";
static const struct pbc_manifest python = {.profile = PBC_PROFILE_PYTHON,
                                           .python = "3.11",
                                           .lib = {2, {lib, triplet}}},
                                 generic = {.lib = {1, {lib}}}, bare;

static void assert_op(size_t i, enum pbc_env_kind kind, const char *name, const char *value)
{
    assert_true(i < ops.count);
    assert_int_equal(ops.item[i].kind, kind);
    assert_string_equal(ops.item[i].name, name);
    if (value != NULL)
        assert_string_equal(ops.item[i].value, value);
    else
        assert_null(ops.item[i].value);
}

static void python_is_relocated_as_in_table_1(void **state)
{
    (void)state;
    assert_int_equal(pbc_relocate(&python, ROOT, &ops, &err), 0);
    assert_int_equal(ops.count, 8);
    assert_op(0, PBC_ENV_SET, "PBCAST_ROOT", ROOT);
    assert_op(1, PBC_ENV_SET, "PYTHONHOME", ROOT);
    assert_op(2, PBC_ENV_UNSET, "PYTHONPATH", NULL);
    assert_op(3, PBC_ENV_SET, "PYTHONUSERBASE", ROOT "/.no-user-base");
    assert_op(4, PBC_ENV_SET, "PYTHONNOUSERSITE", "1");
    assert_op(5, PBC_ENV_PREPEND, "PATH", ROOT "/bin");
    assert_op(6, PBC_ENV_PREPEND, "LD_LIBRARY_PATH", ROOT "/lib:" ROOT "/lib/x86_64-linux-gnu");
    assert_op(7, PBC_ENV_SET, "PBCAST_VARIABLES",
              "PYTHONHOME:PYTHONUSERBASE:PYTHONNOUSERSITE=:PATH:LD_LIBRARY_PATH");
    pbc_env_ops_free(&ops);
    assert_int_equal(ops.count, 0);
}

static void anything_else_gets_the_three_paths(void **state)
{
    (void)state;
    assert_int_equal(pbc_relocate(&generic, ROOT, &ops, &err), 0);
    assert_int_equal(ops.count, 5);
    assert_op(0, PBC_ENV_SET, "PBCAST_ROOT", ROOT);
    assert_op(1, PBC_ENV_PREPEND, "PATH", ROOT "/bin");
    assert_op(2, PBC_ENV_PREPEND, "LD_LIBRARY_PATH", ROOT "/lib");
    assert_op(3, PBC_ENV_PREPEND, "MANPATH", ROOT "/share/man");
    pbc_env_ops_free(&ops);
}

static void without_libraries_the_library_path_is_left_alone(void **state)
{
    (void)state;
    assert_int_equal(pbc_relocate(&bare, ROOT, &ops, &err), 0);
    assert_int_equal(ops.count, 4);
    for (size_t i = 0; i < ops.count; i++)
        assert_string_not_equal(ops.item[i].name, "LD_LIBRARY_PATH");
    pbc_env_ops_free(&ops);
}

/* The operations of a manifest, a line each. */
static void expect(const char *manifest, const char *want)
{
    static const char *const kinds[] = {[PBC_ENV_SET] = "=",
                                        [PBC_ENV_UNSET] = "-",
                                        [PBC_ENV_PREPEND] = "<",
                                        [PBC_ENV_APPEND] = ">"};
    char text[1024], got[4096] = "";
    struct pbc_manifest m;

    snprintf(text, sizeof(text), "pbcast-manifest=1\nset=0123456789abcdef0123456789abcdef\n%s",
             manifest);
    assert_int_equal(pbc_manifest_parse(text, strlen(text), &m, &err), 0);
    assert_int_equal(pbc_relocate(&m, "/r", &ops, &err), 0);
    for (size_t i = 0; i < ops.count; i++) {
        const struct pbc_env_op *op = &ops.item[i];
        size_t len = strlen(got);

        if (strncmp(op->name, "PBCAST_", 7) != 0)
            snprintf(got + len, sizeof(got) - len, "%s%s%s\n", op->name, kinds[op->kind],
                     op->value == NULL ? "" : op->value);
    }
    assert_string_equal(got, want);
    pbc_env_ops_free(&ops);
    pbc_manifest_free(&m);
}

static void conda_finds_its_own_libraries(void **state)
{
    (void)state;
    expect("profile=conda\npython=3.11\nlibdir=lib\n",
           "PYTHONHOME-\nPYTHONPATH-\nPYTHONNOUSERSITE=1\nCONDA_PREFIX=/r\nPATH</r/bin\n");
}

static void the_home_of_a_venv_is_its_base(void **state)
{
    (void)state;
    expect("profile=venv\npython=3.11\nbase=base\nlibdir=base/lib\n",
           "PYTHONHOME=/r/base\nPYTHONPATH-\nPYTHONNOUSERSITE=1\nVIRTUAL_ENV=/r\nPATH</r/bin\n"
           "LD_LIBRARY_PATH</r/base/lib\n");
    expect("profile=venv\npython=3.11\n", "PYTHONHOME=/r\nPYTHONPATH-\nPYTHONNOUSERSITE=1\n"
                                          "VIRTUAL_ENV=/r\nPATH</r/bin\n");
}

static void r_is_told_of_its_home_and_its_libraries(void **state)
{
    (void)state;
    expect("profile=r\nrhome=lib/R\nlibdir=lib\nlibdir=lib/t\n",
           "R_HOME=/r/lib/R\nRHOME=/r/lib/R\nR_LIBS-\nR_LIBS_SITE=/r/lib/R/site-library\n"
           "R_LIBS_USER=/r/.no-user-library\nR_LD_LIBRARY_PATH=/r/lib/R/lib:/r/lib:/r/lib/t\n"
           "PATH</r/bin\nLD_LIBRARY_PATH</r/lib:/r/lib/t\n");
}

static void julia_perl_and_node_are_told_of_their_packages(void **state)
{
    (void)state;
    expect("profile=julia\nlibdir=lib\ndepot=depot\ndepot=share/julia\n",
           "JULIA_DEPOT_PATH=/r/depot:/r/share/julia\nJULIA_LOAD_PATH-\nPATH</r/bin\n");
    expect("profile=julia\n", "JULIA_DEPOT_PATH=/r/depot\nJULIA_LOAD_PATH-\nPATH</r/bin\n");
    expect("profile=perl\nperldir=a\nperldir=b\n", "PERL5LIB=/r/a:/r/b\nPATH</r/bin\n");
    expect("profile=node\nnodedir=lib/node_modules\n",
           "NODE_PATH=/r/lib/node_modules\nPATH</r/bin\n");
    expect("profile=node\n", "PATH</r/bin\n");
}

static void openmpi_is_told_where_it_lies(void **state)
{
    (void)state;
    expect("profile=generic\nopenmpi=1\n", "OPAL_PREFIX=/r\nPATH</r/bin\nMANPATH</r/share/man\n");
    expect("profile=none\nopenmpi=1\n", "");
}

static void variables_of_the_bundles_come_last(void **state)
{
    (void)state;
    expect("profile=none\nlibdir=lib\nenv=set=A=@ROOT@/x\nenv=append=B=y\nenv=prepend=B=z\n"
           "env=unset=C\n",
           "A=/r/x\nB>y\nB<z\nC-\n");
    expect("profile=conda\nenv=set=CONDA_PREFIX=/elsewhere\n",
           "PYTHONHOME-\nPYTHONPATH-\nPYTHONNOUSERSITE=1\nCONDA_PREFIX=/r\nPATH</r/bin\n"
           "CONDA_PREFIX=/elsewhere\n");
}

static void another_profile_may_be_wanted(void **state)
{
    struct pbc_manifest m = {.profile = PBC_PROFILE_PYTHON, .python = "3.11"};

    (void)state;
    assert_int_equal(pbc_profile_override(&m, PBC_PROFILE_NONE, &err), 0);
    assert_int_equal(m.profile, PBC_PROFILE_NONE);
    assert_int_equal(pbc_profile_override(&m, PBC_PROFILE_R, &err), -1);
    assert_error(&err, PBC_EXIT_REFUSED, "profile is r", "lib/R");
    assert_int_equal(m.profile, PBC_PROFILE_NONE);
}

static void appends(const char *value, const char *old, const char *expected)
{
    char *once = pbc_env_append(value, old), *twice;

    assert_string_equal(once, expected);
    twice = pbc_env_append(value, once);
    assert_string_equal(twice, expected);
    free(once);
    free(twice);
}

static void a_value_may_come_after_the_old_one(void **state)
{
    (void)state;
    appends("/t", "/a:/b", "/a:/b:/t");
    appends("/b:/t", "/a:/b", "/a:/b:/t");
    appends("/t", NULL, "/t");
    appends("/t", "", "/t");
    appends("/t", "/a:", "/a::/t");
}

static void only_the_variables_of_the_profile_are_touched(void **state)
{
    (void)state;
    assert_int_equal(pbc_relocate(&python, ROOT, &ops, &err), 0);
    for (size_t i = 0; i < ops.count; i++) {
        assert_int_not_equal(strncmp(ops.item[i].name, "SLURM_", 6), 0);
        assert_int_not_equal(strncmp(ops.item[i].name, "PMIX_", 5), 0);
        assert_string_not_equal(ops.item[i].name, "LD_PRELOAD");
    }
    pbc_env_ops_free(&ops);
}

static void a_root_that_would_split_a_path_is_refused(void **state)
{
    (void)state;
    assert_int_equal(pbc_relocate(&python, "/a:/tmp", &ops, &err), -1);
    assert_error(&err, PBC_EXIT_FAILED, "/a:/tmp", "without ':'");
    assert_int_equal(ops.count, 0);
    assert_int_equal(pbc_relocate(&python, "relative", &ops, &err), -1);
    assert_int_equal(pbc_relocate(&python, "", &ops, &err), -1);
}

static void prepends(const char *value, const char *old, const char *expected)
{
    char *once = pbc_env_prepend(value, old), *twice;

    assert_string_equal(once, expected);
    twice = pbc_env_prepend(value, once);
    assert_string_equal(twice, expected);
    free(once);
    free(twice);
}

static void a_value_comes_before_the_old_one(void **state)
{
    (void)state;
    prepends("/t/bin", "/usr/bin:/bin", "/t/bin:/usr/bin:/bin");
    prepends("/t/lib:/t/lib64", "/usr/lib", "/t/lib:/t/lib64:/usr/lib");
}

static void prepending_to_nothing_gives_just_the_value(void **state)
{
    (void)state;
    /* an empty entry would be the current directory */
    prepends("/t/bin", NULL, "/t/bin");
    prepends("/t/bin", "", "/t/bin");
    prepends("/t/bin", "/t/bin", "/t/bin");
    prepends("/a:/b", "/b:/a", "/a:/b");
}

static void entries_that_are_there_already_move_to_the_front(void **state)
{
    (void)state;
    prepends("/t/bin", "/usr/bin:/t/bin:/bin:/t/bin", "/t/bin:/usr/bin:/bin");
    prepends("/a:/b", "/x:/b:/y:/a", "/a:/b:/x:/y");
}

static void entries_are_compared_whole(void **state)
{
    (void)state;
    prepends("/t/bin", "/t/bin2:/t/bi:/t/bin/", "/t/bin:/t/bin2:/t/bi:/t/bin/");
    prepends("/a/b", "/a:/b", "/a/b:/a:/b");
}

static void empty_entries_that_the_user_had_stay(void **state)
{
    (void)state;
    prepends("/t", ":/x", "/t::/x");
    prepends("/t", "/x:", "/t:/x:");
    prepends("/t", "/x::/y", "/t:/x::/y");
}

static void nothing_prepended_changes_nothing(void **state)
{
    (void)state;
    prepends("", "/x:/y", "/x:/y");
    prepends("", NULL, "");
}

/* An environment of a few variables for pbc_relocation_undo. */
struct vars {
    const char *name[8];
    char value[8][128];
};

static char *get_var(void *arg, const char *name)
{
    struct vars *v = arg;

    for (size_t i = 0; i < 8; i++) {
        if (v->name[i] != NULL && strcmp(v->name[i], name) == 0)
            return strdup(v->value[i]);
    }
    return NULL;
}

static int set_var(void *arg, const char *name, const char *value)
{
    struct vars *v = arg;

    for (size_t i = 0; i < 8; i++) {
        if (v->name[i] == NULL || strcmp(v->name[i], name) != 0)
            continue;
        if (value == NULL)
            v->name[i] = NULL;
        else
            snprintf(v->value[i], sizeof(v->value[i]), "%s", value);
    }
    return 0;
}

static void a_tree_is_left_without_a_trace(void **state)
{
    struct vars v = {
        .name = {"PBCAST_ROOT", "PYTHONHOME", "PYTHONUSERBASE", "PYTHONNOUSERSITE", "PATH",
                 "LD_LIBRARY_PATH", "MANPATH", "OTHER"},
        .value = {"/s/1/0123456789abcdef0123456789abcdef", "/s/1/0123456789abcdef0123456789abcdef",
                  "/s/1/0123456789abcdef0123456789abcdef/.no-user-base", "1",
                  "/s/1/0123456789abcdef0123456789abcdef/bin:/usr/bin:/s/1/"
                  "0123456789abcdef0123456789abcdefb",
                  "/s/1/0123456789abcdef0123456789abcdef/lib:/s/1/0123456789abcdef0123456789abcdef",
                  ":/m:", "/s/1/0123456789abcdef0123456789abcdef"}};
    const struct pbc_env env = {.get = get_var, .set = set_var, .arg = &v};

    (void)state;
    assert_int_equal(pbc_relocation_undo(&env), 0);
    for (size_t i = 0; i < 4; i++)
        assert_null(v.name[i]);
    assert_string_equal(v.value[4], "/usr/bin:/s/1/0123456789abcdef0123456789abcdefb");
    assert_null(v.name[5]);
    assert_string_equal(v.value[6], ":/m:");
    assert_string_equal(v.value[7], "/s/1/0123456789abcdef0123456789abcdef");
}

#define TREE "/s/1/0123456789abcdef0123456789abcdef"

static void what_bundles_set_is_undone_by_their_list(void **state)
{
    struct vars v = {.name = {"PBCAST_ROOT", "PBCAST_VARIABLES", "FLAGS", "DATA", "LIST",
                              "SLURM_JOB_ID", "KEPT"},
                     .value = {TREE, "FLAGS=:DATA:LIST:SLURM_JOB_ID=:::x y:GONE",
                               "-I" TREE "/include", TREE "/d", "/a:" TREE "/b:/c", "7", TREE}};
    const struct pbc_env env = {.get = get_var, .set = set_var, .arg = &v};

    (void)state;
    assert_int_equal(pbc_relocation_undo(&env), 0);
    for (size_t i = 0; i < 4; i++)
        assert_null(v.name[i]);
    assert_string_equal(v.value[4], "/a:/c");
    assert_string_equal(v.value[5], "7");
    assert_non_null(v.name[5]);
    assert_string_equal(v.value[6], TREE);
}

static void values_that_only_mention_the_tree_are_wholly_ours(void **state)
{
    (void)state;
    static const char text[] = "pbcast-manifest=1\nset=0123456789abcdef0123456789abcdef\n"
                               "profile=none\nenv=set=A=@ROOT@/x\nenv=set=B=-I@ROOT@/x\n"
                               "env=set=C=@ROOT@/x:/y\nenv=prepend=D=@ROOT@/x\nenv=unset=E\n"
                               "env=set=F=1\n";
    struct pbc_manifest m;

    assert_int_equal(pbc_manifest_parse(text, strlen(text), &m, &err), 0);
    assert_int_equal(pbc_relocate(&m, ROOT, &ops, &err), 0);
    assert_op(ops.count - 1, PBC_ENV_SET, "PBCAST_VARIABLES", "A:B=:C=:D:F=");
    pbc_env_ops_free(&ops);
    pbc_manifest_free(&m);
}

static void without_a_tree_nothing_is_undone(void **state)
{
    struct vars v = {.name = {"PBCAST_ROOT", "PYTHONHOME", "PYTHONNOUSERSITE"},
                     .value = {"/opt", "/opt/python", "1"}};
    const struct pbc_env env = {.get = get_var, .set = set_var, .arg = &v};

    (void)state;
    assert_int_equal(pbc_relocation_undo(&env), 0);
    assert_string_equal(v.value[1], "/opt/python");
    assert_non_null(v.name[2]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(python_is_relocated_as_in_table_1),
        cmocka_unit_test(anything_else_gets_the_three_paths),
        cmocka_unit_test(without_libraries_the_library_path_is_left_alone),
        cmocka_unit_test(conda_finds_its_own_libraries),
        cmocka_unit_test(the_home_of_a_venv_is_its_base),
        cmocka_unit_test(r_is_told_of_its_home_and_its_libraries),
        cmocka_unit_test(julia_perl_and_node_are_told_of_their_packages),
        cmocka_unit_test(openmpi_is_told_where_it_lies),
        cmocka_unit_test(variables_of_the_bundles_come_last),
        cmocka_unit_test(another_profile_may_be_wanted),
        cmocka_unit_test(a_value_may_come_after_the_old_one),
        cmocka_unit_test(what_bundles_set_is_undone_by_their_list),
        cmocka_unit_test(values_that_only_mention_the_tree_are_wholly_ours),
        cmocka_unit_test(only_the_variables_of_the_profile_are_touched),
        cmocka_unit_test(a_root_that_would_split_a_path_is_refused),
        cmocka_unit_test(a_value_comes_before_the_old_one),
        cmocka_unit_test(prepending_to_nothing_gives_just_the_value),
        cmocka_unit_test(entries_that_are_there_already_move_to_the_front),
        cmocka_unit_test(entries_are_compared_whole),
        cmocka_unit_test(empty_entries_that_the_user_had_stay),
        cmocka_unit_test(nothing_prepended_changes_nothing),
        cmocka_unit_test(a_tree_is_left_without_a_trace),
        cmocka_unit_test(without_a_tree_nothing_is_undone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
