/* What the kernel starts for a script is seen, though strace does not show it. This program, which
 * has the RUNPATH /no/where, is the interpreter. */
#include "support.h"

#include "leaks.h"
#include "mounts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *no_vars[] = {NULL};
static struct pbc_command_facts facts;
static struct pbc_mounts mounts;
static struct pbc_leaks *leaks;
static char tree[4096];

static void copy_self(const char *to)
{
    FILE *self = fopen("/proc/self/exe", "re");
    char *data = malloc(16 << 20);
    size_t len;

    assert_non_null(self);
    assert_non_null(data);
    len = fread(data, 1, 16 << 20, self);
    fclose(self);
    make_file(to, data, len);
    free(data);
}

static void make_script(const char *path, const char *interpreter)
{
    char text[8400];

    snprintf(text, sizeof(text), "#!%s -E\nbody\n", interpreter);
    make_file(path, text, strlen(text));
}

static int setup(void **state)
{
    char text[8192];
    const char *dir;
    FILE *in_text;

    if (scratch_setup(state) != 0)
        return -1;
    dir = *state;
    snprintf(tree, sizeof(tree), "%s/tree", dir);
    make_dir(tree, 0755);
    make_dir(in(dir, "shared"), 0755);
    facts = (struct pbc_command_facts){
        .root = tree,
        .job_dir = tree,
        .cwd = "/",
        .home = "",
        .script = "",
        .venv_home = "",
        .vars = no_vars,
        .cache = "",
    };
    snprintf(text, sizeof(text),
             "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
             "22 21 0:1 / /no rw - lustre fs rw\n"
             "23 21 0:1 / %s/shared rw - lustre fs rw\n",
             dir);
    in_text = fmemopen(text, strlen(text), "r");
    assert_int_equal(pbc_mounts_read(in_text, &mounts, NULL), 0);
    fclose(in_text);
    leaks = pbc_leaks_new(&facts, &mounts);
    return leaks == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    pbc_leaks_free(leaks);
    pbc_mounts_free(&mounts);
    return scratch_teardown(state);
}

static void add(const char *program, const char *path, bool exec)
{
    struct pbc_trace_event ev = {.pid = 7, .program = program, .exec = exec, .opened = true};

    snprintf(ev.path, sizeof(ev.path), "%s", path);
    assert_int_equal(pbc_leaks_add(leaks, &ev), 0);
}

static char *report(void)
{
    size_t len;
    char *text;
    FILE *out = open_memstream(&text, &len);

    assert_int_equal(pbc_leaks_write(leaks, out, false), 0);
    fclose(out);
    return text;
}

static void says(const char *text, const char *before, const char *path)
{
    char want[8400];

    snprintf(want, sizeof(want), "%s%s\n", before, path);
    if (strstr(text, want) == NULL)
        fail_msg("no '%s' in: %s", want, text);
}

static void the_runpath_of_an_interpreter_in_the_tree_is_named(void **state)
{
    const char *script = in(tree, "script");
    char *text;

    (void)state;
    copy_self(in(tree, "interpreter"));
    make_script(script, in(tree, "interpreter"));
    add(script, script, true);
    assert_int_equal(pbc_leaks_staged(leaks), 2);
    add(script, "/no/where/libx.so.1", false);
    assert_int_equal(pbc_leaks_count(leaks, false), 1);
    text = report();
    says(text, "            by RUNPATH /no/where of ", in(tree, "interpreter"));
    free(text);
}

static void an_interpreter_outside_the_tree_is_a_leak(void **state)
{
    const char *script = in(tree, "script");
    const char *outside = in(*state, "shared/interpreter");
    char *text;

    copy_self(outside);
    make_script(script, outside);
    add(script, script, true);
    add(script, script, true);
    assert_int_equal(pbc_leaks_count(leaks, false), 1);
    add(script, "/no/where/libx.so.1", false);
    assert_int_equal(pbc_leaks_count(leaks, false), 2);
    text = report();
    says(text, "  programs outside the tree: ",
         "1 file opened 2 times, 0 looked for in vain, 0 other requests");
    says(text, "         2  ", outside);
    says(text, "            by RUNPATH /no/where of ", outside);
    free(text);
}

static void a_script_may_be_the_interpreter_of_another(void **state)
{
    char *text;

    (void)state;
    copy_self(in(tree, "interpreter"));
    make_script(in(tree, "inner"), in(tree, "interpreter"));
    make_script(in(tree, "script"), in(tree, "inner"));
    add("", in(tree, "script"), true);
    assert_int_equal(pbc_leaks_staged(leaks), 3);
    add("", "/no/where/libx.so.1", false);
    text = report();
    says(text, "            by RUNPATH /no/where of ", in(tree, "interpreter"));
    free(text);
}

static void odd_scripts_do_no_harm(void **state)
{
    (void)state;
    make_script(in(tree, "itself"), in(tree, "itself"));
    make_script(in(tree, "gone"), "/no/such/interpreter");
    make_script(in(tree, "relative"), "bin/interpreter");
    make_file(in(tree, "cut"), "#!/bin/sh", 9);
    make_file(in(tree, "empty"), "", 0);
    for (int i = 0; i < 5; i++) {
        static const char *const names[] = {"itself", "gone", "relative", "cut", "empty"};

        add("", in(tree, names[i]), true);
    }
    add("", tree, true);
    add("", in(tree, "missing"), true);
    assert_int_equal(pbc_leaks_count(leaks, true), 0);
    free(report());
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_runpath_of_an_interpreter_in_the_tree_is_named),
        TEST(an_interpreter_outside_the_tree_is_a_leak),
        TEST(a_script_may_be_the_interpreter_of_another),
        TEST(odd_scripts_do_no_harm),
    };

    return cmocka_run_group_tests_name("leaks", tests, NULL, NULL);
}
