/* The site's catalogue: what is read, what is refused, what a name means. */
#include "support.h"

#include "catalog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEX16       "0123456789abcdef"
#define DIGEST      HEX16 HEX16 HEX16 HEX16
#define HEAD        "pbcast-catalog=1\n"
#define ENTRY(name) "bundle=" name "\npath=/sw/" name ".tar\ndigest=" DIGEST "\n"

static struct pbc_catalog cat;
static struct pbc_error err;

static int parse(const char *text)
{
    return pbc_catalog_parse(text, strlen(text), &cat, &err);
}

static int teardown(void **state)
{
    (void)state;
    pbc_catalog_free(&cat);
    return 0;
}

static void means(const char *name, const char *partition, const char *version)
{
    const struct pbc_catalog_entry *e = pbc_catalog_find(&cat, name, partition, &err);

    if (e == NULL)
        fail_msg("%s: %s", name, err.text);
    assert_string_equal(e->version, version);
}

static void what_an_entry_says(void **state)
{
    (void)state;
    assert_int_equal(
        parse("# site\n\n" HEAD "\n" ENTRY(
            "python/3.11") "default=yes\n"
                           "default-in=gpu,big-mem\ndescription=Python = 3.11, SciPy\n# end\n"
                           "bundle=a/b\ndigest=" DIGEST "\npath=/x y\nprofile=conda\n"
                           "set=OMP_NUM_THREADS=1\nprepend=PATH=@ROOT@/x\nunset=FOO"),
        0);
    assert_int_equal(cat.count, 2);
    assert_string_equal(cat.entry[0].name, "python");
    assert_string_equal(cat.entry[0].version, "3.11");
    assert_string_equal(cat.entry[0].path, "/sw/python/3.11.tar");
    assert_string_equal(cat.entry[0].digest, DIGEST);
    assert_string_equal(cat.entry[0].partitions, "gpu,big-mem");
    assert_string_equal(cat.entry[0].description, "Python = 3.11, SciPy");
    assert_true(cat.entry[0].is_default);
    assert_string_equal(cat.entry[1].path, "/x y");
    assert_null(cat.entry[1].partitions);
    assert_false(cat.entry[1].is_default);
    assert_false(cat.entry[0].has_profile);
    assert_true(cat.entry[1].has_profile);
    assert_int_equal(cat.entry[1].profile, PBC_PROFILE_CONDA);
    assert_int_equal(cat.entry[0].vars.count, 0);
    assert_int_equal(cat.entry[1].vars.count, 3);
    assert_string_equal(cat.entry[1].vars.item[1].value, "@ROOT@/x");
}

static void an_empty_catalogue_is_one(void **state)
{
    (void)state;
    assert_int_equal(parse("# nothing yet\n" HEAD), 0);
    assert_int_equal(cat.count, 0);
    assert_null(pbc_catalog_find(&cat, "python", NULL, &err));
    assert_error(&err, PBC_EXIT_REFUSED, "no python", "pbcast catalog list");
}

static void refusals(void **state)
{
    static const char *const table[][2] = {
        {"", "no line pbcast-catalog=1"},
        {"# only\n", "no line pbcast-catalog=1"},
        {"pbcast-catalog=2\n", "version 1"},
        {"bundle=a/b\n", "line 1: pbcast-catalog=1 must come first"},
        {HEAD HEAD, "unknown key \"pbcast-catalog\""},
        {HEAD "path=/x\n", "line 2: path: it belongs after a bundle="},
        {HEAD "bundle=a\n", "line 2: bundle: NAME/VERSION"},
        {HEAD "bundle=a/b/c\n", "NAME/VERSION"},
        {HEAD "bundle=/b\n", "NAME/VERSION"},
        {HEAD "bundle=a/\n", "NAME/VERSION"},
        {HEAD "bundle=../b\n", "NAME/VERSION"},
        {HEAD "bundle=$(reboot)/1\n", "NAME/VERSION"},
        {HEAD "bundle=a b/1\n", "NAME/VERSION"},
        {HEAD "bundle=a,b/1\n", "NAME/VERSION"},
        {HEAD ENTRY("a/1") ENTRY("a/1"), "bundle=a/1 is there twice"},
        {HEAD "bundle=a/1\npath=/x\n", "bundle=a/1 has no digest="},
        {HEAD "bundle=a/1\ndigest=" DIGEST "\n" ENTRY("b/1"), "bundle=a/1 has no path="},
        {HEAD ENTRY("a/1") "path=/y\n", "line 5: path: is given twice"},
        {HEAD "bundle=a/1\npath=x\n", "absolute path"},
        {HEAD "bundle=a/1\npath=\n", "absolute path"},
        {HEAD "bundle=a/1\npath=/x,/y\n", "without a comma"},
        {HEAD "bundle=a/1\ndigest=" HEX16 "\n", "64 hexadecimal digits"},
        {HEAD "bundle=a/1\ndigest=" HEX16 HEX16 HEX16 "0123456789ABCDEF\n", "lower-case"},
        {HEAD ENTRY("a/1") "default=maybe\n", "yes or no"},
        {HEAD ENTRY("a/1") "default-in=\n", "names of partitions"},
        {HEAD ENTRY("a/1") "default-in=a,,b\n", "names of partitions"},
        {HEAD ENTRY("a/1") "default-in=a,\n", "names of partitions"},
        {HEAD ENTRY("a/1") "profile=fortran\n", "python, conda"},
        {HEAD ENTRY("a/1") "profile=pythonpythonpythonpython\n", "python, conda"},
        {HEAD ENTRY("a/1") "profile=r\nprofile=r\n", "given twice"},
        {HEAD "set=A=1\n", "unknown key"},
        {HEAD ENTRY("a/1") "set=A\n", "NAME=VALUE is needed"},
        {HEAD ENTRY("a/1") "unset=A=1\n", "is needed"},
        {HEAD ENTRY("a/1") "set=LD_PRELOAD=/x\n", "no bundle may touch"},
        {HEAD ENTRY("a/1") "prepend=SLURM_CONF=/x\n", "no bundle may touch"},
        {HEAD ENTRY("a/1") "colour=red\n", "line 5: unknown key \"colour\""},
        {HEAD ENTRY("a/1") "nonsense\n", "line 5 is not key=value"},
        {HEAD ENTRY("a/1") "description=a\tb\n", "line 5 has a control character"},
        {HEAD "bundle=a/1\r\n", "control character"},
        {HEAD ENTRY("a/1") "default=yes\n" ENTRY("a/2") "default=yes\n", "both the default of a"},
        {HEAD ENTRY("a/1") "default-in=p,q\n" ENTRY("a/2") "default-in=r,q\n",
         "both the default of a"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (parse(table[i][0]) == 0)
            fail_msg("taken: %s", table[i][0]);
        assert_error(&err, PBC_EXIT_FAILED, table[i][1]);
        assert_int_equal(cat.count, 0);
        assert_null(cat.entry);
    }
    assert_int_equal(pbc_catalog_parse(HEAD "#\0", sizeof(HEAD) + 1, &cat, &err), 0);
    pbc_catalog_free(&cat);
    assert_int_equal(pbc_catalog_parse(HEAD "a\0", sizeof(HEAD) + 1, &cat, &err), -1);
}

static void limits(void **state)
{
    size_t size = PBC_CATALOG_MAX + 2;
    char *text = malloc(size);
    char *p = text;

    (void)state;
    assert_non_null(text);
    p += sprintf(p, HEAD);
    for (int i = 0; i < PBC_CATALOG_ENTRIES; i++)
        p += sprintf(p, "bundle=a/%d\npath=/x\ndigest=" DIGEST "\n", i);
    assert_int_equal(parse(text), 0);
    assert_int_equal(cat.count, PBC_CATALOG_ENTRIES);
    pbc_catalog_free(&cat);
    strcpy(p, ENTRY("b/1"));
    assert_int_equal(parse(text), -1);
    assert_error(&err, PBC_EXIT_FAILED, "too many");
    memset(text, '\n', size);
    assert_int_equal(pbc_catalog_parse(text, PBC_CATALOG_MAX + 1, &cat, &err), -1);
    assert_error(&err, PBC_EXIT_FAILED, "longer than");
    free(text);
}

static void forms_of_names(void **state)
{
    static const char *const good[] = {"python", "python/3.11", "a", "0/0", "gcc-12+x_y.z/1"};
    static const char *const bad[] = {"",    "none", "/a",  "a/",   "a/b/c", "./a",
                                      "-a",  ".a",   "a b", "a;b",  "a$b",   "a*",
                                      "a/.", "a/-",  "ü",   "a\nb", "a//b"};
    char longest[80];

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(pbc_catalog_is_name(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(pbc_catalog_is_name(bad[i]));
    memset(longest, 'a', sizeof(longest));
    longest[64] = '\0';
    assert_false(pbc_catalog_is_name(longest));
    longest[63] = '\0';
    assert_true(pbc_catalog_is_name(longest));
}

static void what_names_mean(void **state)
{
    (void)state;
    assert_int_equal(parse(HEAD ENTRY("python/3.9") ENTRY("python/3.11") "default=yes\n" ENTRY(
                         "python/3.12") "default-in=gpu,next\n" ENTRY("r/4.2") ENTRY("julia/1.9")
                               ENTRY("julia/1.10") ENTRY("perl/5.36") "default-in=gpu\n" ENTRY(
                                   "perl/5.38") "default-in=next\n"),
                     0);
    means("python/3.9", NULL, "3.9");
    means("python", NULL, "3.11");
    means("python", "", "3.11");
    means("python", "debug", "3.11");
    means("python", "gpu", "3.12");
    means("python", "next", "3.12");
    means("python", "nex", "3.11");
    means("python/3.11", "gpu", "3.11");
    means("r", "gpu", "4.2");
    means("perl", "next", "5.38");
    means("perl", NULL, "5.38"); /* some default, until it is known where */
    assert_true(pbc_catalog_floats(&cat, "python"));
    assert_true(pbc_catalog_floats(&cat, "perl"));
    assert_false(pbc_catalog_floats(&cat, "python/3.11"));
    assert_false(pbc_catalog_floats(&cat, "r"));
    assert_null(pbc_catalog_find(&cat, "perl", "debug", &err));
    assert_error(&err, PBC_EXIT_REFUSED, "several versions of perl", "perl/5.36, perl/5.38");
    assert_null(pbc_catalog_find(&cat, "julia", NULL, &err));
    assert_error(&err, PBC_EXIT_REFUSED, "several versions", "julia/1.9, julia/1.10");
}

static void unknown_names_are_answered_with_near_ones(void **state)
{
    (void)state;
    assert_int_equal(parse(HEAD ENTRY("python/3.9") ENTRY("python/3.11") ENTRY("r/4.2")
                               ENTRY("pytorch/2.1") ENTRY("julia/1.9")),
                     0);
    assert_null(pbc_catalog_find(&cat, "pyhton", NULL, &err));
    assert_error(&err, PBC_EXIT_REFUSED, "no pyhton; near it are python/3.9, python/3.11");
    assert_null(strstr(err.text, "julia"));
    assert_null(pbc_catalog_find(&cat, "python/3.10", NULL, &err));
    assert_error(&err, PBC_EXIT_REFUSED, "no python/3.10; near it are python/3.9, python/3.11");
    assert_null(pbc_catalog_find(&cat, "matlab", NULL, &err));
    assert_error(&err, PBC_EXIT_REFUSED, "no matlab; see 'pbcast catalog list'");
    assert_null(pbc_catalog_find(&cat, "x", NULL, &err));
    assert_null(strstr(err.text, "r/4.2"));
    assert_null(pbc_catalog_find(&cat, "a;b", NULL, &err));
    assert_error(&err, PBC_EXIT_REFUSED, "'a;b' is not a name");
}

static void few_of_many_near_names_are_listed(void **state)
{
    (void)state;
    assert_int_equal(
        parse(HEAD ENTRY("a/1") ENTRY("a/2") ENTRY("a/3") ENTRY("a/4") ENTRY("a/5") ENTRY("a/6")),
        0);
    assert_null(pbc_catalog_find(&cat, "a/7", NULL, &err));
    assert_error(&err, PBC_EXIT_REFUSED, "a/1, a/2, a/3, a/4, a/5, ...");
}

static void the_sites_file(void **state)
{
    const char *file;

    if (*state == NULL)
        skip();
    file = in(*state, "catalog");
    make_file(file, HEAD ENTRY("a/1"), strlen(HEAD ENTRY("a/1")));
    assert_int_equal(pbc_catalog_read(file, &cat, &err), 0);
    means("a", NULL, "1");
    pbc_catalog_free(&cat);
    make_file(file, "x", 1);
    assert_int_equal(pbc_catalog_read(file, &cat, &err), -1);
    assert_error(&err, PBC_EXIT_FAILED, file, "line 1 is not key=value");
    assert_int_equal(pbc_catalog_read("/nonexistent", &cat, &err), -1);
    assert_error(&err, PBC_EXIT_FAILED, "the site's catalogue: cannot open /nonexistent");
}

#define TEST(f) cmocka_unit_test_teardown(f, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_an_entry_says),
        TEST(an_empty_catalogue_is_one),
        TEST(refusals),
        TEST(limits),
        TEST(forms_of_names),
        TEST(what_names_mean),
        TEST(unknown_names_are_answered_with_near_ones),
        TEST(few_of_many_near_names_are_listed),
        TEST(the_sites_file),
    };

    return cmocka_run_group_tests(tests, root_scratch_setup, scratch_teardown);
}
