#include "support.h"

#include "bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static const char zstd[] = "\x28\xb5\x2f\xfd and so on";
static struct pbc_bundles list;
static struct pbc_error err;

static void refused_list(const char *text, const char *word)
{
    memset(&list, 0xff, sizeof(list));
    assert_int_equal(pbc_bundles_parse(text, &list, &err), -1);
    assert_error(&err, PBC_EXIT_USAGE, word);
    assert_int_equal(list.count, 0);
    assert_null(list.item[0].path);
}

static void a_list_is_split_at_its_commas_in_order(void **state)
{
    (void)state;
    assert_int_equal(pbc_bundles_parse("/a/b.tar,c d.tar.zst,../e", &list, &err), 0);
    assert_int_equal(list.count, 3);
    assert_string_equal(list.item[0].path, "/a/b.tar");
    assert_string_equal(list.item[1].path, "c d.tar.zst");
    assert_string_equal(list.item[2].path, "../e");
    pbc_bundles_free(&list);
    assert_int_equal(list.count, 0);
}

static void blanks_belong_to_the_path(void **state)
{
    (void)state;
    assert_int_equal(pbc_bundles_parse(" a ,b", &list, &err), 0);
    assert_string_equal(list.item[0].path, " a ");
    pbc_bundles_free(&list);
}

static void an_empty_list_is_refused(void **state)
{
    (void)state;
    refused_list("", "the list of bundles is empty");
    refused_list(NULL, "empty");
}

static void an_empty_element_is_refused_with_its_place(void **state)
{
    (void)state;
    refused_list(",a", "bundle 1");
    refused_list("a,,b", "bundle 2");
    refused_list("a,b,", "bundle 3");
    refused_list(",", "bundle 1");
}

static void a_control_character_is_refused(void **state)
{
    (void)state;
    refused_list("a\nb", "control character");
    refused_list("a,b\x7f", "control character");
    refused_list("\x1b[2J", "control character");
}

static void a_path_too_long_is_refused(void **state)
{
    char path[PBC_PATH_MAX + 1];

    (void)state;
    memset(path, 'x', sizeof(path));
    path[PBC_PATH_MAX] = '\0';
    refused_list(path, "longer than 4095");
    path[PBC_PATH_MAX - 1] = '\0';
    assert_int_equal(pbc_bundles_parse(path, &list, &err), 0);
    pbc_bundles_free(&list);
}

static void too_many_bundles_are_refused(void **state)
{
    char text[2 * PBC_BUNDLES_MAX + 2];

    (void)state;
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = i % 2 ? ',' : 'x';
    text[2 * PBC_BUNDLES_MAX - 1] = '\0';
    assert_int_equal(pbc_bundles_parse(text, &list, &err), 0);
    assert_int_equal(list.count, PBC_BUNDLES_MAX);
    pbc_bundles_free(&list);
    text[2 * PBC_BUNDLES_MAX - 1] = ',';
    text[2 * PBC_BUNDLES_MAX + 1] = '\0';
    refused_list(text, "more than 64 bundles");
}

/* Parse and probe one path. */
static int probe(const char *path)
{
    pbc_bundles_free(&list);
    assert_int_equal(pbc_bundles_parse(path, &list, &err), 0);
    return pbc_bundles_probe(&list, &err);
}

static void refused_bundle(const char *path, const char *word)
{
    assert_int_equal(probe(path), -1);
    assert_error(&err, PBC_EXIT_REFUSED, path, word);
    pbc_bundles_free(&list);
}

static void a_probe_fills_in_what_the_file_is(void **state)
{
    const char *path = in(*state, "good.tar.zst");
    struct timespec times[2] = {{1700000000, 123456789}, {1700000000, 123456789}};
    struct stat st;

    make_file(path, zstd, sizeof(zstd));
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(probe(path), 0);
    assert_string_equal(list.item[0].path, path);
    assert_int_equal(list.item[0].size, sizeof(zstd));
    assert_int_equal(list.item[0].mtime, 1700000000123456789);
    assert_int_equal(list.item[0].inode, st.st_ino);
    assert_int_equal(list.item[0].format, PBC_FORMAT_ZSTD);
    pbc_bundles_free(&list);
}

static void a_probe_makes_paths_absolute_and_resolves_links(void **state)
{
    const char *dir = *state;

    make_file(in(dir, "real.tar.zst"), zstd, sizeof(zstd));
    assert_int_equal(symlink("real.tar.zst", in(dir, "link")), 0);
    assert_int_equal(chdir(dir), 0);
    assert_int_equal(probe("./link"), 0);
    assert_string_equal(list.item[0].path, in(dir, "real.tar.zst"));
    assert_int_equal(chdir("/"), 0);
    pbc_bundles_free(&list);
}

static void times_before_1970_are_times(void **state)
{
    const char *path = in(*state, "old");
    struct timespec times[2] = {{-2, 0}, {-2, 500000000}};

    make_file(path, zstd, sizeof(zstd));
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    assert_int_equal(probe(path), 0);
    assert_int_equal(list.item[0].mtime, -1500000000);
    pbc_bundles_free(&list);
}

static void a_missing_bundle_is_refused(void **state)
{
    refused_bundle(in(*state, "missing"), "No such file");
}

static void a_directory_is_refused_with_what_to_do(void **state)
{
    refused_bundle(*state, "is a directory; bundles are archives: make one with 'pbcast bundle'");
}

static void an_empty_file_is_refused(void **state)
{
    const char *path = in(*state, "empty");

    make_file(path, "", 0);
    refused_bundle(path, "is empty");
}

static void a_file_of_another_kind_is_refused_with_those_that_are_known(void **state)
{
    const char *path = in(*state, "script");

    make_file(path, "#!/bin/sh\n", 10);
    refused_bundle(path, "not an archive that pbcast knows (gzip, bzip2, xz, zstd, lz4, tar)");
}

static void an_unreadable_bundle_is_refused(void **state)
{
    const char *path = in(*state, "secret");
    bool root = geteuid() == 0;

    make_file(path, zstd, sizeof(zstd));
    assert_int_equal(chmod(path, 0), 0);
    if (root)
        assert_int_equal(seteuid(PBC_NOBODY), 0);
    int rc = probe(path);
    if (root)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(rc, -1);
    assert_error(&err, PBC_EXIT_REFUSED, path, "Permission denied", "readable");
    pbc_bundles_free(&list);
}

static void a_fifo_is_refused_without_waiting_for_a_writer(void **state)
{
    const char *path = in(*state, "fifo");

    assert_int_equal(mkfifo(path, 0600), 0);
    alarm(10);
    refused_bundle(path, "not a regular file");
    alarm(0);
}

static void devices_and_sockets_are_refused(void **state)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    refused_bundle("/dev/zero", "not a regular file");
    assert_true(fd >= 0);
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%.90s/socket", (char *)*state);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    refused_bundle(addr.sun_path, "cannot open");
    close(fd);
}

static void a_loop_of_links_is_refused(void **state)
{
    const char *path = in(*state, "loop");

    assert_int_equal(symlink("loop", path), 0);
    refused_bundle(path, "Too many levels");
}

static void a_link_to_a_name_with_a_control_character_is_refused(void **state)
{
    const char *path = in(*state, "innocent");

    make_file(in(*state, "new\nline"), zstd, sizeof(zstd));
    assert_int_equal(symlink("new\nline", path), 0);
    refused_bundle(path, "control character");
}

static void the_first_bad_bundle_of_a_list_is_named(void **state)
{
    const char *good = in(*state, "good"), *missing = in(*state, "second");
    char text[512];

    make_file(good, zstd, sizeof(zstd));
    snprintf(text, sizeof(text), "%s,%s,%s", good, missing, good);
    assert_int_equal(probe(text), -1);
    assert_error(&err, PBC_EXIT_REFUSED, missing);
    pbc_bundles_free(&list);
}

static void format_gives_the_list_back(void **state)
{
    char *text;

    (void)state;
    assert_int_equal(pbc_bundles_parse("/a,/b/c,/d", &list, &err), 0);
    text = pbc_bundles_format(&list, 0, list.count, &err);
    assert_string_equal(text, "/a,/b/c,/d");
    free(text);
    pbc_bundles_free(&list);
}

static void a_resolved_path_with_a_comma_cannot_be_in_a_list(void **state)
{
    const char *path = in(*state, "to-comma");

    make_file(in(*state, "a,b.tar"), zstd, sizeof(zstd));
    assert_int_equal(symlink("a,b.tar", path), 0);
    assert_int_equal(probe(path), 0);
    assert_null(pbc_bundles_format(&list, 0, list.count, &err));
    assert_error(&err, PBC_EXIT_REFUSED, "a,b.tar", "comma");
    pbc_bundles_free(&list);
}

static void the_name_of_a_set_is_fnv1a_of_its_identities(void **state)
{
    char one[] = "/sw/tier1.tar.zst", two[] = "/home/u/app.tar";
    struct pbc_bundles set = {0};
    char id[PBC_SET_ID_LEN + 1];

    (void)state;
    pbc_bundles_id(&set, id);
    assert_string_equal(id, "6c62272e07bb014262b821756295c58d"); /* the offset basis */
    set.item[0] = (struct pbc_bundle){
        .path = one, .size = 123456789, .mtime = 1700000000123456789, .inode = 42};
    set.count = 1;
    /* the expected names were computed by a program checked against the published vectors */
    pbc_bundles_id(&set, id);
    assert_string_equal(id, "67f22c31c760948bd014ba04acb40964");
    set.item[1] =
        (struct pbc_bundle){.path = two, .size = 1, .mtime = -5, .inode = (uint64_t)1 << 63};
    set.count = 2;
    pbc_bundles_id(&set, id);
    assert_string_equal(id, "9b078192088eaa0b5ce861880600d8a0");
}

#define ID(p)                                                                                      \
    {                                                                                              \
        .path = (p), .size = 1, .mtime = 2, .inode = 3                                             \
    }

static void each_part_of_an_identity_changes_the_name(void **state)
{
    char path[] = "/a", other[] = "/b";
    struct pbc_bundles set = {.count = 2, .item = {ID(path), ID(other)}};
    char ids[8][PBC_SET_ID_LEN + 1];
    struct pbc_bundles swapped = {.count = 2, .item = {ID(other), ID(path)}};

    (void)state;
    pbc_bundles_id(&set, ids[0]);
    pbc_bundles_id(&swapped, ids[1]); /* the order */
    set.item[1].size++;
    pbc_bundles_id(&set, ids[2]);
    set.item[1].mtime++;
    pbc_bundles_id(&set, ids[3]);
    set.item[1].inode++;
    pbc_bundles_id(&set, ids[4]);
    set.item[1].path = path;
    pbc_bundles_id(&set, ids[5]);
    set.count = 1;
    pbc_bundles_id(&set, ids[6]);
    set.item[0].format = PBC_FORMAT_TAR; /* no part of it */
    pbc_bundles_id(&set, ids[7]);
    for (int i = 0; i < 7; i++) {
        for (int j = 0; j < i; j++)
            assert_string_not_equal(ids[i], ids[j]);
    }
    assert_string_equal(ids[6], ids[7]);
}

static void a_set_name_is_32_lower_case_hexadecimal_digits(void **state)
{
    (void)state;
    assert_true(pbc_set_id_valid("0123456789abcdef0123456789abcdef"));
    assert_false(pbc_set_id_valid("0123456789ABCDEF0123456789abcdef"));
    assert_false(pbc_set_id_valid("0123456789abcdef0123456789abcde"));
    assert_false(pbc_set_id_valid("0123456789abcdef0123456789abcdef0"));
    assert_false(pbc_set_id_valid("../../../../../../../../../etc/x"));
    assert_false(pbc_set_id_valid(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_is_split_at_its_commas_in_order),
        cmocka_unit_test(blanks_belong_to_the_path),
        cmocka_unit_test(an_empty_list_is_refused),
        cmocka_unit_test(an_empty_element_is_refused_with_its_place),
        cmocka_unit_test(a_control_character_is_refused),
        cmocka_unit_test(a_path_too_long_is_refused),
        cmocka_unit_test(too_many_bundles_are_refused),
        cmocka_unit_test(a_probe_fills_in_what_the_file_is),
        cmocka_unit_test(a_probe_makes_paths_absolute_and_resolves_links),
        cmocka_unit_test(times_before_1970_are_times),
        cmocka_unit_test(a_missing_bundle_is_refused),
        cmocka_unit_test(a_directory_is_refused_with_what_to_do),
        cmocka_unit_test(an_empty_file_is_refused),
        cmocka_unit_test(a_file_of_another_kind_is_refused_with_those_that_are_known),
        cmocka_unit_test(an_unreadable_bundle_is_refused),
        cmocka_unit_test(a_fifo_is_refused_without_waiting_for_a_writer),
        cmocka_unit_test(devices_and_sockets_are_refused),
        cmocka_unit_test(a_loop_of_links_is_refused),
        cmocka_unit_test(a_link_to_a_name_with_a_control_character_is_refused),
        cmocka_unit_test(the_first_bad_bundle_of_a_list_is_named),
        cmocka_unit_test(format_gives_the_list_back),
        cmocka_unit_test(a_resolved_path_with_a_comma_cannot_be_in_a_list),
        cmocka_unit_test(the_name_of_a_set_is_fnv1a_of_its_identities),
        cmocka_unit_test(each_part_of_an_identity_changes_the_name),
        cmocka_unit_test(a_set_name_is_32_lower_case_hexadecimal_digits),
    };

    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
