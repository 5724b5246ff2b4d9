#include "support.h"

#include "look.h"
#include "relocate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64]; /* of the test, beside its tree */
static int tree = -1;
static struct pbc_manifest m;
static struct pbc_error err;

static int tree_setup(void **state)
{
    static unsigned number;

    snprintf(dir, sizeof(dir), "%.40s/%u", (const char *)*state, number++);
    if (mkdir(dir, 0755) < 0 || chdir(dir) < 0 || mkdir("tree", 0755) < 0 || chdir("tree") < 0)
        return -1;
    tree = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    memset(&m, 0, sizeof(m));
    return tree < 0 ? -1 : 0;
}

static int tree_teardown(void **state)
{
    (void)state;
    pbc_manifest_free(&m);
    close(tree);
    return chdir("/");
}

/* A file below the tree, its directories made on the way. */
static void put(const char *path)
{
    char copy[256];

    assert_true(snprintf(copy, sizeof(copy), "%s", path) < (int)sizeof(copy));
    for (char *slash = strchr(copy, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(copy, 0755) < 0)
            assert_int_equal(errno, EEXIST);
        *slash = '/';
    }
    make_file(path, "x", 1);
}

static void detect(void)
{
    assert_int_equal(pbc_profile_detect(tree, &m, &err), 0);
}

static void assert_libdirs(const char *const expected[])
{
    size_t n = 0;

    for (; expected[n] != NULL; n++) {
        assert_true(n < m.lib.count);
        assert_string_equal(m.lib.dir[n], expected[n]);
    }
    assert_int_equal(m.lib.count, n);
}
#define assert_libdirs(...) assert_libdirs((const char *const[]){__VA_ARGS__, NULL})

static void an_empty_tree_is_generic(void **state)
{
    (void)state;
    detect();
    assert_int_equal(m.profile, PBC_PROFILE_GENERIC);
    assert_string_equal(m.python, "");
    assert_int_equal(m.lib.count, 0);
}

static void an_interpreter_with_its_library_is_python(void **state)
{
    (void)state;
    put("bin/python3.11");
    put("lib/python3.11/os.py");
    detect();
    assert_int_equal(m.profile, PBC_PROFILE_PYTHON);
    assert_string_equal(m.python, "3.11");
}

static void python3_without_a_number_is_an_interpreter_too(void **state)
{
    (void)state;
    put("bin/python3");
    put("lib/python3.9/os.py");
    detect();
    assert_string_equal(m.python, "3.9");
}

static void the_library_may_lie_in_lib64(void **state)
{
    (void)state;
    put("bin/python3");
    put("lib64/python3.9/os.py");
    detect();
    assert_string_equal(m.python, "3.9");
}

static void a_library_without_an_interpreter_is_generic(void **state)
{
    (void)state;
    put("lib/python3.11/os.py"); /* a bundle of packages may have such */
    detect();
    assert_int_equal(m.profile, PBC_PROFILE_GENERIC);
}

static void an_interpreter_without_its_library_is_generic(void **state)
{
    (void)state;
    put("bin/python3.11");
    put("lib/python3.11/site-packages/x.py");
    put("lib/python3.11.1/os.py");
    put("lib/python3.x/os.py");
    put("lib/python3./os.py");
    put("lib/python3.1111/os.py");
    detect();
    assert_int_equal(m.profile, PBC_PROFILE_GENERIC);
    assert_string_equal(m.python, "");
}

static void of_two_pythons_it_is_the_one_called_python3(void **state)
{
    (void)state;
    put("bin/python3.9");
    put("bin/python3.12");
    assert_int_equal(symlink("python3.9", "bin/python3"), 0);
    put("lib/python3.9/os.py");
    put("lib/python3.12/os.py");
    detect();
    assert_string_equal(m.python, "3.9");
}

static void of_two_pythons_else_it_is_the_newer(void **state)
{
    (void)state;
    put("bin/python3.9");
    put("bin/python3.12");
    put("lib/python3.9/os.py");
    put("lib/python3.12/os.py");
    put("lib/python3.13/os.py"); /* without an interpreter */
    detect();
    assert_string_equal(m.python, "3.12");
}

static void links_within_the_tree_are_followed(void **state)
{
    (void)state;
    put("opt/py/python3.11");
    put("usr/lib/python3.11/os.py");
    put("usr/lib/libpython3.11.so.1.0");
    assert_int_equal(mkdir("bin", 0755), 0);
    assert_int_equal(symlink("../opt/./py/python3.11", "bin/python3"), 0);
    assert_int_equal(symlink("usr/lib", "lib"), 0);
    detect();
    assert_string_equal(m.python, "3.11");
    assert_libdirs("lib");
}

static void links_out_of_the_tree_are_not_followed(void **state)
{
    (void)state;
    make_dir("../outside", 0755);
    make_file("../outside/python3", "x", 1);
    make_file("../outside/libx.so", "x", 1);
    make_dir("../outside/python3.11", 0755);
    make_file("../outside/python3.11/os.py", "x", 1);
    put("bin/x");
    put("lib/python3.9/os.py");
    assert_int_equal(symlink("../../outside/python3", "bin/python3"), 0);
    assert_int_equal(symlink("../outside", "lib64"), 0);
    assert_int_equal(symlink(in(dir, "outside"), "lib/x86_64-linux-gnu"), 0);
    detect();
    assert_int_equal(m.profile, PBC_PROFILE_GENERIC);
    assert_int_equal(m.lib.count, 0);
}

static void loops_of_links_end(void **state)
{
    (void)state;
    assert_int_equal(symlink("lib", "lib"), 0);
    assert_int_equal(symlink("lib64/lib64", "lib64"), 0);
    assert_int_equal(mkdir("bin", 0755), 0);
    assert_int_equal(symlink("../bin/../bin/python3", "bin/python3"), 0);
    detect();
    assert_int_equal(m.profile, PBC_PROFILE_GENERIC);
}

static void a_way_out_of_the_tree_is_told(void **state)
{
    struct stat st;

    (void)state;
    put("a/b/c");
    assert_int_equal(symlink("/etc/passwd", "absolute"), 0);
    assert_int_equal(symlink("../../..", "a/up"), 0);
    assert_int_equal(pbc_look_stat(tree, "absolute", &st), -1);
    assert_int_equal(errno, EXDEV);
    assert_int_equal(pbc_look_stat(tree, "a/up/etc", &st), -1);
    assert_int_equal(errno, EXDEV);
    assert_int_equal(pbc_look_stat(tree, "a/../..", &st), -1);
    assert_int_equal(errno, EXDEV);
    assert_int_equal(pbc_look_stat(tree, "a/b/../b//./c", &st), 0);
    assert_true(S_ISREG(st.st_mode));
    assert_int_equal(pbc_look_stat(tree, "a/b/c/..", &st), -1); /* a file has no parent */
    assert_int_equal(errno, ENOTDIR);
    assert_int_equal(pbc_look_stat(tree, "", &st), 0);
    assert_true(S_ISDIR(st.st_mode));
}

static void descriptors_are_all_closed(void **state)
{
    int next;

    (void)state;
    put("bin/python3.11");
    put("lib/python3.11/os.py");
    put("lib/x86_64-linux-gnu/libx.so");
    assert_int_equal(symlink("/", "lib64"), 0);
    next = dup(tree);
    close(next);
    detect();
    int again = dup(tree);
    close(again);
    assert_int_equal(again, next);
}

static void a_directory_counts_when_it_holds_a_shared_library(void **state)
{
    (void)state;
    put("lib/libx.so");
    put("lib64/liby.so.1.2");
    detect();
    assert_libdirs("lib", "lib64");
}

static void what_is_no_shared_library_does_not_count(void **state)
{
    (void)state;
    put("lib/libx.a");
    put("lib/libx.sorry");
    put("lib/.so");
    put("lib/x.solution.txt");
    detect();
    assert_int_equal(m.lib.count, 0);
    put("lib/x.sorry.so");
    detect();
    assert_libdirs("lib");
}

static void lib64_as_a_link_to_lib_is_not_searched_twice(void **state)
{
    (void)state;
    put("lib/libx.so");
    assert_int_equal(symlink("lib", "lib64"), 0);
    detect();
    assert_libdirs("lib");
}

static void multiarch_directories_are_searched_with_their_blas(void **state)
{
    (void)state;
    put("lib/x86_64-linux-gnu/libz.so.1");
    put("lib/x86_64-linux-gnu/openblas-pthread/libblas.so.3");
    put("lib/x86_64-linux-gnu/openblas-openmp/libblas.so.3");
    put("lib/x86_64-linux-gnu/atlas/libblas.so.3");
    put("lib/x86_64-linux-gnu/blas/libblas.so.3");
    put("lib/x86_64-linux-gnu/lapack/liblapack.so.3");
    put("lib/x86_64-linux-gnu/other/libother.so.3");
    put("lib/arm-linux-gnueabihf/libz.so.1");
    put("lib/libx.so");
    detect();
    assert_libdirs("lib", "lib/arm-linux-gnueabihf", "lib/x86_64-linux-gnu",
                   "lib/x86_64-linux-gnu/openblas-openmp", "lib/x86_64-linux-gnu/openblas-pthread",
                   "lib/x86_64-linux-gnu/atlas", "lib/x86_64-linux-gnu/blas",
                   "lib/x86_64-linux-gnu/lapack");
}

static void a_directory_whose_name_would_split_a_path_does_not_count(void **state)
{
    (void)state;
    put("lib/x:y-linux-gnu/libz.so");
    put("lib/.-linux-gnu/libz.so");
    put("lib/file-linux-gnu");
    detect();
    assert_int_equal(m.lib.count, 0);
}

static void more_directories_than_there_is_room_for_are_refused(void **state)
{
    char path[64];

    (void)state;
    for (int i = 0; i <= PBC_DIRS_MAX; i++) {
        snprintf(path, sizeof(path), "lib/x%d-linux-gnu/libz.so", i);
        put(path);
    }
    assert_int_equal(pbc_profile_detect(tree, &m, &err), -1);
    assert_error(&err, PBC_EXIT_REFUSED, "more than 16 directories", "lib");
}

static void what_the_manifest_held_before_is_replaced(void **state)
{
    (void)state;
    put("bin/python3.11");
    put("lib/python3.11/os.py");
    put("lib/libx.so");
    detect();
    assert_int_equal(unlink("bin/python3.11"), 0);
    assert_int_equal(unlink("lib/libx.so"), 0);
    detect();
    assert_int_equal(m.profile, PBC_PROFILE_GENERIC);
    assert_string_equal(m.python, "");
    assert_int_equal(m.lib.count, 0);
}

static void conda_is_told_by_its_records(void **state)
{
    (void)state;
    put("bin/python3.11");
    put("lib/python3.11/os.py");
    put("conda-meta/history");
    detect();
    assert_int_equal(m.profile, PBC_PROFILE_CONDA);
    assert_string_equal(m.python, "3.11");
}

static void the_base_of_a_venv_is_found_by_what_its_python_is(void **state)
{
    (void)state;
    put("pyvenv.cfg");
    put("lib/python3.11/site-packages/x.py");
    put("a/bin/python3.9");
    put("a/lib/python3.9/os.py");
    put("base/bin/python3.11");
    put("base/lib/python3.11/os.py");
    put("base/lib/libpython3.11.so.1.0");
    put("bin/x");
    assert_int_equal(symlink("../base/bin/python3.11", "bin/python3"), 0);
    detect();
    assert_int_equal(m.profile, PBC_PROFILE_VENV);
    assert_string_equal(m.base, "base");
    assert_string_equal(m.python, "3.11");
    assert_libdirs("base/lib");
}

static void a_venv_laid_over_its_base_has_none_apart(void **state)
{
    (void)state;
    put("pyvenv.cfg");
    put("bin/python3.11");
    put("lib/python3.11/os.py");
    detect();
    assert_int_equal(m.profile, PBC_PROFILE_VENV);
    assert_null(m.base);
}

static void a_venv_without_its_base_is_none(void **state)
{
    (void)state;
    put("pyvenv.cfg");
    put("bin/python3");
    put("lib/python3.11/site-packages/x.py");
    detect();
    assert_int_equal(m.profile, PBC_PROFILE_GENERIC);
}

static void r_is_found(void **state)
{
    (void)state;
    put("lib/R/bin/R");
    put("lib/R/library/base/DESCRIPTION");
    detect();
    assert_int_equal(m.profile, PBC_PROFILE_GENERIC); /* packages of R, for another bundle's */
    put("bin/R");
    detect();
    assert_int_equal(m.profile, PBC_PROFILE_R);
    assert_string_equal(m.rhome, "lib/R");
}

static void julia_is_found_with_its_depots(void **state)
{
    (void)state;
    put("bin/julia");
    put("share/julia/stdlib/x");
    put("depot/packages/x");
    detect();
    assert_int_equal(m.profile, PBC_PROFILE_JULIA);
    assert_int_equal(m.depot.count, 2);
    assert_string_equal(m.depot.dir[0], "depot");
    assert_string_equal(m.depot.dir[1], "share/julia");
}

static void perl_is_found_with_the_directories_of_its_modules(void **state)
{
    static const char *const dirs[] = {"lib/perl5/site_perl",
                                       "lib/perl5",
                                       "share/perl5",
                                       "lib/x86_64-linux-gnu/perl5/5.36",
                                       "lib/x86_64-linux-gnu/perl/5.36.0",
                                       "lib/x86_64-linux-gnu/perl-base",
                                       "share/perl/5.36.0"};

    (void)state;
    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
        char path[128];

        snprintf(path, sizeof(path), "%s/X.pm", dirs[i]);
        put(path);
    }
    detect();
    assert_int_equal(m.profile, PBC_PROFILE_GENERIC);
    put("bin/perl");
    detect();
    assert_int_equal(m.profile, PBC_PROFILE_PERL);
    assert_int_equal(m.perl.count, sizeof(dirs) / sizeof(dirs[0]));
    for (size_t i = 0; i < m.perl.count; i++)
        assert_string_equal(m.perl.dir[i], dirs[i]);
}

static void node_is_found_with_its_packages(void **state)
{
    (void)state;
    put("bin/node");
    put("lib/node_modules/npm/x");
    put("share/nodejs/semver/x");
    detect();
    assert_int_equal(m.profile, PBC_PROFILE_NODE);
    assert_int_equal(m.node.count, 2);
}

static void openmpi_counts_when_all_of_it_is_there(void **state)
{
    (void)state;
    put("share/openmpi/help");
    detect();
    assert_false(m.openmpi);
    put("bin/orted");
    detect();
    assert_true(m.openmpi);
}

static void what_bundles_state_holds_if_it_fits(void **state)
{
    (void)state;
    put("bin/python3.11");
    put("lib/python3.11/os.py");
    m.stated = true;
    m.profile = PBC_PROFILE_GENERIC;
    detect();
    assert_int_equal(m.profile, PBC_PROFILE_GENERIC);
    assert_string_equal(m.python, "3.11");
    m.profile = PBC_PROFILE_R;
    assert_int_equal(pbc_profile_detect(tree, &m, &err), -1);
    assert_error(&err, PBC_EXIT_REFUSED, "profile is r");
}

#define test(f) cmocka_unit_test_setup_teardown(f, tree_setup, tree_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(an_empty_tree_is_generic),
        test(an_interpreter_with_its_library_is_python),
        test(python3_without_a_number_is_an_interpreter_too),
        test(the_library_may_lie_in_lib64),
        test(a_library_without_an_interpreter_is_generic),
        test(an_interpreter_without_its_library_is_generic),
        test(of_two_pythons_it_is_the_one_called_python3),
        test(of_two_pythons_else_it_is_the_newer),
        test(links_within_the_tree_are_followed),
        test(links_out_of_the_tree_are_not_followed),
        test(loops_of_links_end),
        test(a_way_out_of_the_tree_is_told),
        test(descriptors_are_all_closed),
        test(a_directory_counts_when_it_holds_a_shared_library),
        test(what_is_no_shared_library_does_not_count),
        test(lib64_as_a_link_to_lib_is_not_searched_twice),
        test(multiarch_directories_are_searched_with_their_blas),
        test(a_directory_whose_name_would_split_a_path_does_not_count),
        test(more_directories_than_there_is_room_for_are_refused),
        test(conda_is_told_by_its_records),
        test(the_base_of_a_venv_is_found_by_what_its_python_is),
        test(a_venv_laid_over_its_base_has_none_apart),
        test(a_venv_without_its_base_is_none),
        test(r_is_found),
        test(julia_is_found_with_its_depots),
        test(perl_is_found_with_the_directories_of_its_modules),
        test(node_is_found_with_its_packages),
        test(openmpi_counts_when_all_of_it_is_there),
        test(what_bundles_state_holds_if_it_fits),
        test(what_the_manifest_held_before_is_replaced),
    };

    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
