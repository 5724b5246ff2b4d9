/* R's start-up script in a staged tree names the tree. */
#include "engine_support.h"

#include "fix_r.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROOT "/dev/shm/it's/7/x"

static struct pbc_error err;

#define SCRIPT(home, share, include, doc)                                                          \
    "#!/bin/sh\nR_HOME_DIR=" home                                                                  \
    "\nif test; then\n  R_HOME_DIR=\"/usr/lib/R\"\nfi\nR_SHARE_DIR=" share                         \
    "\nexport R_SHARE_DIR\nR_INCLUDE_DIR=" include "\nR_DOC_DIR=" doc "\nexec x"

static const char script[] =
    SCRIPT("/usr/lib/R", "/usr/share/R/share", "/usr/share/R/include", "/opt/R/doc");

static int tree_setup(void **state)
{
    char line[512];

    if (scratch_setup(state) != 0)
        return -1;
    snprintf(line, sizeof(line), "cd '%s' && mkdir -p t/bin t/lib/R/bin t/share/R/share",
             (char *)*state);
    return system(line);
}

static void each_copy_of_the_script_is_made_anew(void **state)
{
    char *dir = *state;
    const char *home = in(dir, "t/lib/R/bin/R");
    int fd = open(in(dir, "t"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat st;
    char *text;

    make_file(home, script, strlen(script));
    assert_int_equal(chmod(home, 0555), 0);
    assert_int_equal(link(home, in(dir, "other")), 0);
    make_file(in(dir, "t/bin/R"), script, strlen(script));
    assert_int_equal(pbc_fix_r(fd, "lib/R", ROOT, &err), 0);
    for (int i = 0; i < 2; i++) {
        text = slurp(i == 0 ? home : in(dir, "t/bin/R"));
        assert_string_equal(text, SCRIPT("'/dev/shm/it'\\''s/7/x/lib/R'",
                                         "'/dev/shm/it'\\''s/7/x/share/R/share'",
                                         "'/dev/shm/it'\\''s/7/x/lib/R/include'",
                                         "'/dev/shm/it'\\''s/7/x/lib/R/doc'"));
        free(text);
    }
    text = slurp(in(dir, "other"));
    assert_string_equal(text, script);
    free(text);
    assert_int_equal(stat(home, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0555);
    assert_false(exists(in(dir, "t/lib/R/bin/R.pbcast")));
    close(fd);
}

static void what_is_not_that_script_stays(void **state)
{
    char *dir = *state;
    int fd = open(in(dir, "t"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char *text;

    make_file(in(dir, "t/lib/R/bin/R"),
              "\x7f"
              "ELF\nR_HOME_DIR=x\n",
              18);
    assert_int_equal(symlink("../lib/R/bin/R", in(dir, "t/bin/R")), 0);
    assert_int_equal(pbc_fix_r(fd, "lib/R", ROOT, &err), 0);
    text = slurp(in(dir, "t/lib/R/bin/R"));
    assert_string_equal(text, "\x7f"
                              "ELF\nR_HOME_DIR=x\n");
    free(text);
    assert_int_equal(pbc_fix_r(fd, "lib64/R", ROOT, &err), 0);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_copy_of_the_script_is_made_anew, tree_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(what_is_not_that_script_stays, tree_setup,
                                        scratch_teardown),
    };

    return cmocka_run_group_tests_name("fix_r", tests, NULL, NULL);
}
