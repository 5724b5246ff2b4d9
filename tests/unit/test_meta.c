#include "support.h"

#include "meta.h"

#include <stdlib.h>
#include <string.h>

#define HEAD   "pbcast-bundle=1\n"
#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct pbc_meta m;
static struct pbc_error err;

static int parse(const char *text)
{
    memset(&m, 0xff, sizeof(m));
    return pbc_meta_parse(text, strlen(text), &m, &err);
}

static void refused(const char *text, const char *word)
{
    static const struct pbc_meta empty;

    assert_int_equal(parse(text), -1);
    assert_error(&err, PBC_EXIT_REFUSED, PBC_META_NAME, word);
    assert_memory_equal(&m, &empty, sizeof(m));
}

/* The member itself. */
static void not_admitted(bool again, bool late, bool regular, uint64_t size, const char *words)
{
    assert_int_equal(pbc_meta_admit(again, late, regular, size, &err), -1);
    assert_error(&err, PBC_EXIT_REFUSED, "member '" PBC_META_NAME "'", words);
}

static void the_member_comes_once_and_early_as_a_file_of_a_bounded_size(void **state)
{
    (void)state;
    assert_int_equal(pbc_meta_admit(false, false, true, 0, &err), 0);
    assert_int_equal(pbc_meta_admit(false, false, true, PBC_META_MAX, &err), 0);
    not_admitted(true, false, true, 1, "comes a second time");
    not_admitted(false, true, true, 1, "must come before all files and links");
    not_admitted(false, false, false, 0, "is not a regular file");
    not_admitted(false, false, true, PBC_META_MAX + 1, "has more than 4194304 bytes");
    not_admitted(false, false, true, (uint64_t)-1, "has more than 4194304 bytes");
}

static void of_several_rules_against_the_member_the_first_is_told(void **state)
{
    (void)state;
    not_admitted(true, true, false, UINT64_MAX, "comes a second time");
    not_admitted(false, true, false, UINT64_MAX, "must come before all files and links");
    not_admitted(false, false, false, UINT64_MAX, "is not a regular file");
}

static void every_key_is_read(void **state)
{
    (void)state;
    assert_int_equal(parse(HEAD "# made by hand\n\nprofile=conda\norigin=/opt/mini conda\nfiles=3\n"
                                "bytes=18446744073709551615\ncontents=" DIGEST "\n"
                                "set=GDAL_DATA=@ROOT@/share/gdal\nprepend=PATH=@ROOT@/bin\n"
                                "append=XDG_DATA_DIRS=@ROOT@/share\nunset=PYTHONPATH\n"
                                "placeholder=/home/build/placehold_placehold\n"
                                "rewrite=text bin/pip\nrewrite=binary bin/python3.11\n"),
                     0);
    assert_true(m.has_profile && m.has_files && m.has_bytes);
    assert_int_equal(m.profile, PBC_PROFILE_CONDA);
    assert_string_equal(m.origin, "/opt/mini conda");
    assert_int_equal(m.files, 3);
    assert_int_equal(m.bytes, UINT64_MAX);
    assert_string_equal(m.contents, DIGEST);
    assert_int_equal(m.vars.count, 4);
    assert_int_equal(m.vars.item[0].kind, PBC_ENV_SET);
    assert_string_equal(m.vars.item[0].name, "GDAL_DATA");
    assert_string_equal(m.vars.item[0].value, "@ROOT@/share/gdal");
    assert_int_equal(m.vars.item[1].kind, PBC_ENV_PREPEND);
    assert_int_equal(m.vars.item[2].kind, PBC_ENV_APPEND);
    assert_int_equal(m.vars.item[3].kind, PBC_ENV_UNSET);
    assert_null(m.vars.item[3].value);
    assert_string_equal(m.placeholder, "/home/build/placehold_placehold");
    assert_int_equal(m.nrewrites, 2);
    pbc_meta_free(&m);
    assert_int_equal(m.nrewrites, 0);
}

static void the_version_alone_is_enough(void **state)
{
    (void)state;
    assert_int_equal(parse(HEAD), 0);
    assert_false(m.has_profile || m.has_files || m.has_bytes);
    assert_null(m.origin);
    assert_null(pbc_meta_rewrite(&m, "bin/pip"));
    pbc_meta_free(&m);
}

static void keys_of_a_later_version_are_ignored(void **state)
{
    (void)state;
    assert_int_equal(parse(HEAD "wheel=round\nwheel=round\nprofile=none\n"), 0);
    assert_int_equal(m.profile, PBC_PROFILE_NONE);
    pbc_meta_free(&m);
}

static void another_version_is_refused(void **state)
{
    (void)state;
    refused("pbcast-bundle=2\n", "line 1");
    refused("", "line 1");
    refused("\n" HEAD, "line 1");
    refused("# x\n" HEAD, "line 1");
    refused("pbcast-bundle=1", "line 1");
}

static void a_rewritten_file_is_found_by_its_path(void **state)
{
    (void)state;
    assert_int_equal(parse(HEAD "placeholder=/opt/x\nrewrite=text b\nrewrite=binary a/b\n"
                                "rewrite=text a\\040b\\012c\n"),
                     0);
    assert_true(pbc_meta_rewrite(&m, "a/b")->binary);
    assert_false(pbc_meta_rewrite(&m, "b")->binary);
    assert_non_null(pbc_meta_rewrite(&m, "a b\nc"));
    assert_null(pbc_meta_rewrite(&m, "a"));
    assert_null(pbc_meta_rewrite(&m, ""));
    pbc_meta_forget_rewrites(&m);
    assert_null(pbc_meta_rewrite(&m, "a/b"));
    assert_int_equal(m.nrewrites, 3);
    pbc_meta_free(&m);
}

static void rewrites_stay_below_the_tree(void **state)
{
    static const char *const paths[] = {"",         "/bin/pip", "../bin/pip", "bin/../../pip",
                                        "bin//pip", "bin/pip/", ".",          "./bin/pip",
                                        "\\057etc"};

    (void)state;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        char text[128];

        snprintf(text, sizeof(text), HEAD "placeholder=/opt/x\nrewrite=text %s\n", paths[i]);
        refused(text, "line 3");
    }
    refused(HEAD "placeholder=/opt/x\nrewrite=bin/pip\n", "line 3");
    refused(HEAD "placeholder=/opt/x\nrewrite=texts bin/pip\n", "line 3");
    refused(HEAD "rewrite=text bin/pip\n", "placeholder");
    refused(HEAD "placeholder=/opt/x\nrewrite=text a\nrewrite=text b\nrewrite=binary a\n", "'a'");
}

static void a_placeholder_is_an_absolute_path(void **state)
{
    (void)state;
    refused(HEAD "placeholder=opt/x\n", "line 2");
    refused(HEAD "placeholder=/\n", "line 2");
    refused(HEAD "placeholder=/op\n", "line 2");
    refused(HEAD "placeholder=\n", "line 2");
    refused(HEAD "placeholder=/opt/x\nplaceholder=/opt/y\n", "line 3");
}

static void values_out_of_form_are_refused(void **state)
{
    (void)state;
    refused(HEAD "profile=cobol\n", "profile");
    refused(HEAD "profile=\n", "profile");
    refused(HEAD "files=-1\n", "files");
    refused(HEAD "bytes=18446744073709551616\n", "bytes");
    refused(HEAD "contents=12\n", "contents");
    refused(HEAD "origin=opt\n", "origin");
    refused(HEAD "profile\n", "no '='");
    refused(HEAD "profile=r\nprofile=r\n", "second time");
    refused(HEAD "set=A\n", "set");
    refused(HEAD "unset=A=\n", "unset");
    refused(HEAD "set=A=b\tc\n", "control");
    refused(HEAD "set=A=b\r\n", "control");
    refused(HEAD "set=A=\\1\n", "set");
    refused(HEAD "set=A=\\000\n", "set");
    refused(HEAD "set=A=\\777\n", "set");
    refused(HEAD "set=A=b", "cut");
}

static void variables_of_slurm_and_the_loader_are_refused(void **state)
{
    (void)state;
    refused(HEAD "set=SLURM_JOB_ID=1\n", "line 2");
    refused(HEAD "unset=PMIX_RANK\n", "must not touch");
    refused(HEAD "prepend=LD_PRELOAD=@ROOT@/lib/x.so\n", "must not touch");
}

static void a_nul_and_too_much_text_are_refused(void **state)
{
    size_t len = PBC_META_MAX + 1;
    char *text = malloc(len);

    (void)state;
    assert_int_equal(pbc_meta_parse(HEAD "\0\n", sizeof(HEAD) + 1, &m, &err), -1);
    assert_error(&err, PBC_EXIT_REFUSED, "NUL");
    assert_non_null(text);
    memset(text, '\n', len);
    memcpy(text, HEAD, strlen(HEAD));
    assert_int_equal(pbc_meta_parse(text, len, &m, &err), -1);
    assert_error(&err, PBC_EXIT_REFUSED, "more than");
    assert_int_equal(pbc_meta_parse(text, len - 1, &m, &err), 0);
    pbc_meta_free(&m);
    free(text);
}

static void what_is_written_is_read_again(void **state)
{
    struct pbc_meta made = {.has_profile = true, .profile = PBC_PROFILE_VENV};
    char *text, *again;
    size_t len, len_again;

    (void)state;
    made.origin = strdup("/opt/a\nb\\");
    made.placeholder = strdup("/opt/\x7f placehold");
    assert_int_equal(pbc_variables_add(&made.vars, PBC_ENV_SET, "A", "x=\ny \\012"), 0);
    assert_int_equal(pbc_variables_add(&made.vars, PBC_ENV_UNSET, "B", NULL), 0);
    assert_int_equal(pbc_meta_add_rewrite(&made, true, "lib/b", &err), 0);
    assert_int_equal(pbc_meta_add_rewrite(&made, false, "a\nb \xff\\", &err), 0);
    assert_int_equal(pbc_meta_add_rewrite(&made, false, "-c", &err), 0);
    text = pbc_meta_format(&made, &len, &err);
    assert_non_null(text);
    assert_int_equal(pbc_meta_parse(text, len, &m, &err), 0);
    assert_string_equal(m.origin, made.origin);
    assert_string_equal(m.placeholder, made.placeholder);
    assert_string_equal(m.vars.item[0].value, "x=\ny \\012");
    assert_string_equal(m.rewrite[0].path, "-c");
    assert_string_equal(m.rewrite[1].path, "a\nb \xff\\");
    assert_true(m.rewrite[2].binary);
    again = pbc_meta_format(&m, &len_again, &err);
    pbc_meta_free(&made);
    assert_int_equal(pbc_meta_parse(again, len_again, &made, &err), 0);
    assert_int_equal(made.nrewrites, 3);
    pbc_meta_free(&made);
    pbc_meta_free(&m);
    free(text);
    free(again);
}

static void what_could_not_be_read_is_not_written(void **state)
{
    struct pbc_meta made = {.nrewrites = 0};
    size_t len;

    (void)state;
    assert_int_equal(pbc_meta_add_rewrite(&made, false, "a", &err), 0);
    assert_null(pbc_meta_format(&made, &len, &err));
    assert_error(&err, PBC_EXIT_REFUSED, "placeholder");
    made.placeholder = strdup("/opt/x");
    assert_int_equal(pbc_meta_add_rewrite(&made, false, "../a", &err), 0);
    assert_null(pbc_meta_format(&made, &len, &err));
    assert_error(&err, PBC_EXIT_REFUSED, "rewrite");
    pbc_meta_free(&made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_member_comes_once_and_early_as_a_file_of_a_bounded_size),
        cmocka_unit_test(of_several_rules_against_the_member_the_first_is_told),
        cmocka_unit_test(every_key_is_read),
        cmocka_unit_test(the_version_alone_is_enough),
        cmocka_unit_test(keys_of_a_later_version_are_ignored),
        cmocka_unit_test(another_version_is_refused),
        cmocka_unit_test(a_rewritten_file_is_found_by_its_path),
        cmocka_unit_test(rewrites_stay_below_the_tree),
        cmocka_unit_test(a_placeholder_is_an_absolute_path),
        cmocka_unit_test(values_out_of_form_are_refused),
        cmocka_unit_test(variables_of_slurm_and_the_loader_are_refused),
        cmocka_unit_test(a_nul_and_too_much_text_are_refused),
        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(what_could_not_be_read_is_not_written),
    };

    return cmocka_run_group_tests_name("meta", tests, NULL, NULL);
}
