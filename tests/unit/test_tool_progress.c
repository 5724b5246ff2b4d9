/* How far a command is: lines in a log, a bar on a terminal, nothing when it is quiet. */
#include "support.h"

#include "progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static long seconds;
static int terminal;
static char *text;
static size_t len;
static FILE *real_stderr;

int __wrap_clock_gettime(clockid_t clock, struct timespec *ts);
int __wrap_isatty(int fd);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ts)
{
    (void)clock;
    *ts = (struct timespec){.tv_sec = seconds};
    return 0;
}

int __wrap_isatty(int fd)
{
    return fd == 2 && terminal;
}

static int setup(void **state)
{
    (void)state;
    seconds = 1000;
    terminal = 0;
    setenv("TERM", "xterm", 1);
    real_stderr = stderr;
    stderr = open_memstream(&text, &len);
    return stderr == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    fclose(stderr);
    stderr = real_stderr;
    free(text);
    return 0;
}

/* A quarter every three seconds. */
static void pack(struct pbc_progress *p)
{
    pbc_progress_phase(p, "packing", 8u << 20);
    for (int i = 0; i < 4; i++) {
        seconds += 3;
        assert_int_equal(pbc_progress_bytes(p, 2u << 20, NULL), 0);
    }
}

static void a_log_gets_a_plain_line_now_and_then(void **state)
{
    struct pbc_progress *p = pbc_progress_new(0);

    (void)state;
    pack(p);
    pack(p);
    pbc_progress_phase(p, "compiling", 0);
    seconds += 20;
    for (int i = 0; i < 64; i++)
        assert_int_equal(pbc_progress_tick(p, NULL), 0);
    pbc_progress_free(p);
    fflush(stderr);
    assert_string_equal(text, "packing: 100 %, 8 of 8 MiB\n"
                              "packing: 100 %, 8 of 8 MiB\n"
                              "compiling: 64\n");
}

static void a_terminal_gets_a_bar_which_goes_away(void **state)
{
    struct pbc_progress *p;

    (void)state;
    terminal = 1;
    p = pbc_progress_new(0);
    pack(p);
    pbc_progress_free(p);
    fflush(stderr);
    assert_non_null(strstr(text, "\r\033[Kpacking [#######.......................]  25 %"));
    assert_non_null(strstr(text, "\r\033[Kpacking [##############################] 100 %"));
    assert_string_equal(text + len - 4, "\r\033[K");
    assert_null(strchr(text, '\n'));
}

static void a_terminal_that_cannot_gets_lines(void **state)
{
    struct pbc_progress *p;

    (void)state;
    terminal = 1;
    setenv("TERM", "dumb", 1);
    p = pbc_progress_new(0);
    pack(p);
    pbc_progress_free(p);
    fflush(stderr);
    assert_string_equal(text, "packing: 100 %, 8 of 8 MiB\n");
}

static void nothing_is_said_when_it_is_quiet(void **state)
{
    struct pbc_progress *p = pbc_progress_new(1);

    (void)state;
    pack(p);
    pbc_progress_free(p);
    fflush(stderr);
    assert_int_equal(len, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_log_gets_a_plain_line_now_and_then),
        TEST(a_terminal_gets_a_bar_which_goes_away),
        TEST(a_terminal_that_cannot_gets_lines),
        TEST(nothing_is_said_when_it_is_quiet),
    };

    return cmocka_run_group_tests_name("progress", tests, NULL, NULL);
}
