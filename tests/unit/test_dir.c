/* Directories that are packed on the fly: how much is in them, what changes their sum, what is
 * refused. */
#include "support.h"

#include "bundle.h"
#include "dir.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct pbc_error err;
static char top[512];

static int setup(void **state)
{
    char command[512];

    snprintf(command, sizeof(command), "rm -rf '%s'/*; mkdir '%s/d' '%s/d/sub'", (char *)*state,
             (char *)*state, (char *)*state);
    if (system(command) != 0)
        return -1;
    snprintf(top, sizeof(top), "%s/d", (char *)*state);
    make_file(in(top, "a"), "aaa", 3);
    make_file(in(top, "sub/b"), "bb", 2);
    return symlink("sub/b", in(top, "link"));
}

static struct pbc_dir_sum sum_of(const char *parts)
{
    struct pbc_dir_sum sum = {0};

    if (pbc_dir_look(top, parts, 0, &sum, &err) < 0)
        fail_msg("%s", err.text);
    return sum;
}

static int same(struct pbc_dir_sum a, struct pbc_dir_sum b)
{
    return a.hi == b.hi && a.lo == b.lo && a.bytes == b.bytes && a.files == b.files;
}

static void what_is_in_it(void **state)
{
    struct pbc_dir_sum sum = sum_of(NULL);

    (void)state;
    assert_int_equal(sum.files, 3);
    assert_int_equal(sum.bytes, 5);
    assert_true(same(sum, sum_of(NULL)));
    assert_int_equal(sum_of("sub").bytes, 2);
    assert_int_equal(sum_of("sub:a").bytes, 5);
    assert_int_equal(sum_of("sub/b").files, 1);
}

/* Each change is another sum, and the next starts from there. */
static void each_change_is_seen(void **state)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1, .tv_nsec = 5}};
    struct pbc_dir_sum before = sum_of(NULL);

    (void)state;
    for (int change = 0; change < 8; change++) {
        switch (change) {
        case 0:
            assert_int_equal(chmod(in(top, "a"), 0755), 0);
            break;
        case 1:
            assert_int_equal(utimensat(AT_FDCWD, in(top, "a"), times, 0), 0);
            break;
        case 2:
            assert_int_equal(truncate(in(top, "a"), 2), 0);
            assert_int_equal(utimensat(AT_FDCWD, in(top, "a"), times, 0), 0);
            break;
        case 3:
            assert_int_equal(rename(in(top, "a"), in(top, "c")), 0);
            break;
        case 4:
            assert_int_equal(unlink(in(top, "link")), 0);
            assert_int_equal(symlink("sub/c", in(top, "link")), 0);
            break;
        case 5:
            make_dir(in(top, "empty"), 0755);
            break;
        case 6:
            make_file(in(top, "sub/new"), "", 0);
            break;
        case 7:
            assert_int_equal(unlink(in(top, "sub/b")), 0);
            break;
        }
        assert_false(same(before, sum_of(NULL)));
        before = sum_of(NULL);
    }
}

static void the_output_of_a_job_is_no_part_of_it_unless_named(void **state)
{
    struct pbc_dir_sum before = sum_of(NULL);

    (void)state;
    make_file(in(top, "slurm-12.out"), "line", 4);
    make_file(in(top, "sub/slurm-12_7.out"), "line", 4);
    assert_true(same(before, sum_of(NULL)));
    assert_int_equal(sum_of("slurm-12.out").bytes, 4);
    make_file(in(top, "slurm-notes.out"), "line", 4);
    assert_int_equal(sum_of(NULL).files, before.files + 1);
}

static void too_much_names_the_largest_parts(void **state)
{
    struct pbc_dir_sum sum;

    (void)state;
    assert_int_equal(truncate(in(top, "sub/b"), 5 << 20), 0);
    assert_int_equal(truncate(in(top, "a"), 2 << 20), 0);
    assert_int_equal(pbc_dir_look(top, NULL, 1 << 20, &sum, &err), -1);
    assert_error(&err, PBC_EXIT_REFUSED, top, "7.0 MiB, more than the 1.0 MiB",
                 "sub (5.0 MiB), a (2.0 MiB)");
    assert_int_equal(pbc_dir_look(top, "sub:a", 1 << 20, &sum, &err), -1);
    assert_error(&err, PBC_EXIT_REFUSED, "sub (5.0 MiB), a (2.0 MiB)");
    assert_int_equal(pbc_dir_look(top, NULL, 7 << 20, &sum, &err), 0);
}

static void what_no_bundle_can_have_is_refused(void **state)
{
    struct pbc_dir_sum sum;
    char target[8192];

    (void)state;
    assert_int_equal(pbc_dir_look("/nonexistent", NULL, 0, &sum, &err), -1);
    assert_error(&err, PBC_EXIT_REFUSED, "/nonexistent");
    assert_int_equal(pbc_dir_look(in(top, "a"), NULL, 0, &sum, &err), -1);
    assert_int_equal(pbc_dir_look(top, "nothing", 0, &sum, &err), -1);
    assert_error(&err, PBC_EXIT_REFUSED, "has no part 'nothing'");
    snprintf(target, sizeof(target), "%s/a", top);
    assert_int_equal(symlink(target, in(top, "sub/own")), 0); /* the packer makes it relative */
    sum_of(NULL);
    assert_int_equal(symlink("/etc", in(top, "sub/out")), 0);
    assert_int_equal(pbc_dir_look(top, NULL, 0, &sum, &err), -1);
    assert_error(&err, PBC_EXIT_REFUSED, "sub/out is a link out of the directory");
    sum_of("a");
    assert_int_equal(mkfifo(in(top, "fifo"), 0600), 0);
    assert_int_equal(pbc_dir_look(top, "fifo", 0, &sum, &err), -1);
    assert_error(&err, PBC_EXIT_REFUSED, "fifo is a device, fifo or socket");
}

static void elements_of_a_list(void **state)
{
    static const char *const bad[] = {
        "mirror:",        "mirror::a",      "mirror:/d:",    "mirror:/d:../x",
        "mirror:/d:/abs", "mirror:/d:a//b", "mirror:/d:/",   "mirror:/d:a//",
        "mirror:/d:a::b", "userbase:",      "mirror:/d:a/.", "mirror:/d:a/../b"};
    struct pbc_bundles list;
    char text[8192], *back;

    (void)state;
    snprintf(text, sizeof(text), "mirror:%s:sub:a", top);
    assert_int_equal(pbc_bundles_parse(text, &list, &err), 0);
    assert_int_equal(list.item[0].kind, PBC_BUNDLE_MIRROR);
    assert_string_equal(list.item[0].path, top);
    assert_string_equal(list.item[0].parts, "sub:a");
    assert_int_equal(pbc_bundles_probe(&list, &err), 0);
    assert_int_equal(list.item[0].size, 5);
    back = pbc_bundles_format(&list, 0, list.count, &err);
    assert_string_equal(back, text);
    free(back);
    assert_int_equal(pbc_bundle_same_dir(&list.item[0], &err), 0);
    make_file(in(top, "sub/b"), "changed", 7);
    assert_int_equal(pbc_bundle_same_dir(&list.item[0], &err), -1);
    assert_error(&err, PBC_EXIT_REFUSED, top, "changed while it was being staged");
    list.pack_max = 1;
    assert_int_equal(pbc_bundles_probe(&list, &err), -1);
    pbc_bundles_free(&list);
    assert_int_equal(pbc_bundles_parse("mirror:/d:sub/:b/c/:a", &list, &err), 0);
    assert_string_equal(list.item[0].parts, "sub:b/c:a");
    pbc_bundles_free(&list);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (pbc_bundles_parse(bad[i], &list, &err) == 0)
            fail_msg("taken: %s", bad[i]);
        assert_int_equal(err.code, PBC_EXIT_USAGE);
        assert_int_equal(list.count, 0);
    }
}

/* The same contents, as a mirror and as a user base, are two bundles. */
static void user_bases(void **state)
{
    char id[2][PBC_SET_ID_LEN + 1], text[8192];
    struct pbc_bundles list;
    char *parts;

    (void)state;
    assert_null(pbc_dir_userbase_parts(top, &err));
    assert_error(&err, PBC_EXIT_REFUSED, top, "has no lib/pythonX.Y");
    make_dir(in(top, "lib"), 0755);
    make_dir(in(top, "lib/pythonic"), 0755);
    assert_null(pbc_dir_userbase_parts(top, &err));
    make_dir(in(top, "lib/python3.11"), 0755);
    parts = pbc_dir_userbase_parts(top, &err);
    assert_string_equal(parts, "lib/python3.11");
    free(parts);
    make_dir(in(top, "bin"), 0755);
    parts = pbc_dir_userbase_parts(top, &err);
    assert_string_equal(parts, "lib/python3.11:bin");
    free(parts);
    for (int i = 0; i < 2; i++) {
        snprintf(text, sizeof(text), i == 0 ? "userbase:%s" : "mirror:%s:lib/python3.11:bin", top);
        assert_int_equal(pbc_bundles_parse(text, &list, &err), 0);
        assert_int_equal(pbc_bundles_probe(&list, &err), 0);
        pbc_bundles_id(&list, id[i]);
        pbc_bundles_free(&list);
    }
    assert_string_not_equal(id[0], id[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_is_in_it, setup),
        cmocka_unit_test_setup(each_change_is_seen, setup),
        cmocka_unit_test_setup(the_output_of_a_job_is_no_part_of_it_unless_named, setup),
        cmocka_unit_test_setup(too_much_names_the_largest_parts, setup),
        cmocka_unit_test_setup(what_no_bundle_can_have_is_refused, setup),
        cmocka_unit_test_setup(elements_of_a_list, setup),
        cmocka_unit_test_setup(user_bases, setup),
    };

    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
