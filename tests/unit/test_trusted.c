/* Files of the site: only what nobody but root could have written is read. */
#include "support.h"

#include "trusted.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct pbc_error err;
static const char *dir;

static int setup(void **state)
{
    dir = *state;
    return 0;
}

static char *text_of(const char *path)
{
    size_t len = 0;
    char *text = pbc_trusted_read(path, 1000, &len, &err);

    if (text != NULL)
        assert_int_equal(strlen(text), len);
    return text;
}

static void is_read(const char *path, const char *want)
{
    char *text = text_of(path);

    if (text == NULL)
        fail_msg("%s", err.text);
    assert_string_equal(text, want);
    free(text);
}

static void is_refused(const char *path, const char *why)
{
    assert_null(text_of(path));
    assert_error(&err, PBC_EXIT_FAILED, path, why);
}

static void a_file_of_root_is_read(void **state)
{
    char big[1002] = "";

    if (dir == NULL)
        skip();
    make_file(in(*state, "f"), "hello", 5);
    is_read(in(*state, "f"), "hello");
    make_file(in(*state, "empty"), "", 0);
    is_read(in(*state, "empty"), "");
    memset(big, 'x', 1001);
    make_file(in(*state, "big"), big, 1000);
    big[1000] = '\0';
    is_read(in(*state, "big"), big);
    make_file(in(*state, "big"), big, 1001);
    is_refused(in(*state, "big"), "longer than 1000 bytes");
    is_refused(in(*state, "missing"), "No such file");
    is_refused(*state, "is not a regular file");
    is_refused("/", "is not a regular file");
    assert_null(text_of("relative"));
    assert_int_equal(mkfifo(in(*state, "fifo"), 0644), 0);
    is_refused(in(*state, "fifo"), "is not a regular file");
    is_refused("/dev/null", "");
    is_refused(in(in(*state, "f"), "below"), "");
}

static void what_others_could_have_written_is_refused(void **state)
{
    const char *file;

    if (dir == NULL)
        skip();
    make_dir(in(*state, "d"), 0755);
    file = in(in(*state, "d"), "f");
    make_file(file, "x", 1);
    for (unsigned bit = S_IWGRP; bit != 0; bit = bit == S_IWGRP ? S_IWOTH : 0) {
        assert_int_equal(chmod(file, 0644 | bit), 0);
        is_refused(file, "can be written by others");
        assert_int_equal(chmod(file, 0644), 0);
        assert_int_equal(chmod(in(*state, "d"), 0755 | bit), 0);
        is_refused(file, "can be written by others");
        assert_int_equal(chmod(in(*state, "d"), 01755 | bit), 0);
        is_refused(file, "can be written by others");
        assert_int_equal(chmod(in(*state, "d"), 0755), 0);
    }
    assert_int_equal(chown(file, PBC_NOBODY, 0), 0);
    is_refused(file, "owner 65534");
    assert_int_equal(chown(file, 0, PBC_NOBODY), 0);
    is_read(file, "x");
    assert_int_equal(chown(in(*state, "d"), PBC_NOBODY, 0), 0);
    is_refused(file, "does not belong to root");
    make_file("/tmp/pbc-test-trusted", "x", 1);
    is_refused("/tmp/pbc-test-trusted", "'tmp' on the way");
    unlink("/tmp/pbc-test-trusted");
}

static void links_of_root_are_followed_and_their_ways_checked(void **state)
{
    char target[8192];

    if (dir == NULL)
        skip();
    make_dir(in(*state, "real"), 0755);
    make_dir(in(*state, "open"), 0777);
    make_file(in(*state, "real/f"), "real", 4);
    make_file(in(*state, "open/f"), "open", 4);
    assert_int_equal(symlink("real", in(*state, "rel")), 0);
    assert_int_equal(symlink("rel/../real/f", in(*state, "chain")), 0);
    snprintf(target, sizeof(target), "%s//real/./f", (const char *)*state);
    assert_int_equal(symlink(target, in(*state, "abs")), 0);
    is_read(in(*state, "rel/f"), "real");
    is_read(in(*state, "chain"), "real");
    is_read(in(*state, "abs"), "real");
    assert_int_equal(symlink("open/f", in(*state, "through-open")), 0);
    is_refused(in(*state, "through-open"), "'open' on the way");
    assert_int_equal(symlink("loop", in(*state, "loop")), 0);
    is_refused(in(*state, "loop"), "too many symbolic links");
    assert_int_equal(symlink("nothing", in(*state, "dangling")), 0);
    is_refused(in(*state, "dangling"), "'nothing'");
    assert_int_equal(symlink("real/f", in(*state, "theirs")), 0);
    assert_int_equal(lchown(in(*state, "theirs"), PBC_NOBODY, 0), 0);
    is_refused(in(*state, "theirs"), "does not belong to root");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_file_of_root_is_read, setup),
        cmocka_unit_test_setup(what_others_could_have_written_is_refused, setup),
        cmocka_unit_test_setup(links_of_root_are_followed_and_their_ways_checked, setup),
    };

    return cmocka_run_group_tests(tests, root_scratch_setup, scratch_teardown);
}
