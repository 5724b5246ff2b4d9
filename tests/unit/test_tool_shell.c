/* What pbcast env prints gives real shells the very values. */
#include "support.h"

#include "shell.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const values[] = {
    "",
    "plain",
    "two words",
    "it's",
    "'",
    "a\nb\n",
    "\\",
    "\\'",
    "\\n",
    "$HOME `id` $(id) ${x}",
    "!! !x \\! ^a^b",
    "\"quoted\"",
    "a;b&c|d>e#f",
    "*?[a]{b,c}~",
    "/dev/shm/x/bin:/usr/bin:",
    "-n -e",
    "\t \x01\x7f",
    "\xc3\xa4 \xe2\x82\xac",
    "\xff\xfe broken",
    "%s %n",
};
#define NVALUES (sizeof(values) / sizeof(values[0]))

/* The file `script`, run by the shell, has left what `printf %s "$X"` gives. */
static void runs(const char *dir, enum pbc_shell shell, const char *name, const char *command,
                 const char *value)
{
    char line[512], got[256];
    FILE *f = fopen(in(dir, "script"), "we");
    size_t n;

    pbc_shell_write(f, shell, name, value, true, true);
    fprintf(f, "env >/dev/null; exec /usr/bin/printenv -0 %s >%s\n", name, in(dir, "out"));
    fclose(f);
    snprintf(line, sizeof(line), "%s=before %s %s", name, command, in(dir, "script"));
    n = (size_t)system(line);
    f = fopen(in(dir, "out"), "re");
    if (f == NULL)
        fail_msg("%s does not run", command);
    if (value != NULL && n != 0)
        fail_msg("%s fails with %s", command, value);
    n = fread(got, 1, sizeof(got), f);
    fclose(f);
    unlink(in(dir, "out"));
    if (value == NULL) {
        assert_int_equal(n, 0);
        return;
    }
    if (n != strlen(value) + 1 || memcmp(got, value, n) != 0)
        fail_msg("%s made '%.*s' of '%s'", command, (int)n, got, value);
}

static void all(const char *dir, enum pbc_shell shell, const char *command)
{
    for (size_t i = 0; i < NVALUES; i++)
        runs(dir, shell, "X", command, values[i]);
    runs(dir, shell, "SOMEPATH", command, "/a b:/c");
    runs(dir, shell, "X", command, NULL);
}

static void sh_gets_the_very_values(void **state)
{
    all(*state, PBC_SHELL_BASH, "bash");
    all(*state, PBC_SHELL_BASH, "dash");
}

static void fish_gets_the_very_values(void **state)
{
    all(*state, PBC_SHELL_FISH, "fish --no-config");
}

static void csh_gets_the_very_values(void **state)
{
    all(*state, PBC_SHELL_CSH, "tcsh -f");
}

static void json_gets_the_very_values(void **state)
{
    FILE *f = fopen(in(*state, "json"), "we");
    char line[1024];

    for (size_t i = 0; i <= NVALUES; i++) {
        char name[16];

        snprintf(name, sizeof(name), "V%02zu", i);
        pbc_shell_write(f, PBC_SHELL_JSON, name, i < NVALUES ? values[i] : NULL, i == 0,
                        i == NVALUES);
    }
    fclose(f);
    f = fopen(in(*state, "want"), "we");
    for (size_t i = 0; i < NVALUES; i++)
        fwrite(values[i], 1, strlen(values[i]) + 1, f);
    fclose(f);
    snprintf(line, sizeof(line),
             "python3 -c \"import json,os,sys; d = json.load(open(sys.argv[1], encoding='utf-8')); "
             "k = sorted(d); assert d[k[-1]] is None; "
             "sys.stdout.buffer.write(b''.join(os.fsencode(d[x]) + b'\\0' for x in k[:-1]))\" "
             "%s | cmp - %s",
             in(*state, "json"), in(*state, "want"));
    assert_int_equal(setenv("PYTHONUTF8", "1", 1), 0);
    assert_int_equal(system(line), 0);
}

static void shells_have_names(void **state)
{
    enum pbc_shell shell;

    (void)state;
    assert_int_equal(pbc_shell_from_name("csh", &shell), 0);
    assert_int_equal(shell, PBC_SHELL_CSH);
    assert_int_equal(pbc_shell_from_name("zsh", &shell), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sh_gets_the_very_values),  cmocka_unit_test(fish_gets_the_very_values),
        cmocka_unit_test(csh_gets_the_very_values), cmocka_unit_test(json_gets_the_very_values),
        cmocka_unit_test(shells_have_names),
    };

    return cmocka_run_group_tests_name("shell", tests, scratch_setup, scratch_teardown);
}
