/* What of the staging step's output reaches the user. */
#include "port_fake.h"

#include "output.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static char shown[65536];

/* What has been written to `o` since it began. */
static const char *result(const struct pbc_output *o)
{
    ssize_t n = pread(o->fd, shown, sizeof(shown) - 1, 0);

    assert_true(n >= 0);
    shown[n] = '\0';
    return shown;
}

static void begin(struct pbc_output *o, int verbose)
{
    pbc_output_init(o, memfd_create("output", 0), verbose);
    assert_int_equal(o->tty, 0);
}

static void end(struct pbc_output *o)
{
    close(o->fd);
}

static void feed(struct pbc_output *o, const char *text)
{
    pbc_output_feed(o, text, strlen(text));
}

static void lines_pass_and_noise_does_not(void **state)
{
    struct pbc_output o;

    (void)state;
    begin(&o, 1);
    feed(&o, "srun: cluster configuration lacks support for cpu binding\n"
             "pbcast: staged 2 bundles\nsrun: error: n3: task 2: Exited with exit code 5\n");
    pbc_output_finish(&o);
    assert_string_equal(result(&o), "pbcast: staged 2 bundles\n");
    assert_string_equal(o.error, "");
    pbc_output_noise(&o);
    assert_string_equal(result(&o), "pbcast: staged 2 bundles\n"
                                    "pbcast: | srun: error: n3: task 2: Exited with exit code 5\n");
    end(&o);
}

static void lines_are_cut_anywhere(void **state)
{
    static const char text[] = "noise\npbcast: one\npbcast: error: two\npbcast: three";

    (void)state;
    for (size_t step = 1; step < sizeof(text); step++) {
        struct pbc_output o;

        begin(&o, 1);
        for (size_t at = 0; at < sizeof(text) - 1; at += step) {
            size_t left = sizeof(text) - 1 - at;

            pbc_output_feed(&o, text + at, left < step ? left : step);
        }
        pbc_output_finish(&o);
        assert_string_equal(result(&o), "pbcast: one\npbcast: three\n");
        assert_string_equal(o.error, "two");
        end(&o);
    }
}

static void the_first_error_is_the_cause(void **state)
{
    struct pbc_output o;

    (void)state;
    begin(&o, 1);
    feed(&o, "pbcast: error: node n2: first\npbcast: error: node n3: second\n"
             "pbcast: again: too late\n");
    pbc_output_finish(&o);
    assert_string_equal(o.error, "node n2: first");
    assert_int_equal(o.again, 0);
    assert_string_equal(result(&o), "");
    end(&o);
}

static void an_empty_error_is_one(void **state)
{
    struct pbc_output o;

    (void)state;
    begin(&o, 1);
    feed(&o, "pbcast: error: \n");
    assert_string_equal(o.error, "no reason given");
    end(&o);
}

static void the_hook_on_a_node_speaks_too(void **state)
{
    struct pbc_output o;

    (void)state;
    begin(&o, 1);
    feed(&o, "what: the user says: error: pbcast: no\n");
    feed(&o, "srun: error: pbcast: listed 2 times in plugstack.conf\n");
    assert_string_equal(o.error, "");
    feed(&o, "slurmstepd-n2: error: pbcast: node n2: the store is a link\n");
    assert_string_equal(o.error, "node n2: the store is a link");
    end(&o);
}

static void an_agent_that_has_ended_is_noticed(void **state)
{
    static const struct {
        const char *line;
        int lost;
    } lines[] = {
        {"srun: error: n3: task 2: Killed\n", 1},
        {"srun: error: n[1-2,7]: tasks 0-1,4: Out Of Memory\n", 1},
        {"srun: n3: task 2: Completed\n", 0},
        {"srun: error: task 6 launch failed: Unspecified error\n", 0},
        {"srun: error: n3: task 2\n", 0},
        {"pbcast: srun: error: n3: task 2: Killed\n", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct pbc_output o;

        begin(&o, 1);
        feed(&o, lines[i].line);
        assert_int_equal(o.lost, lines[i].lost);
        end(&o);
    }
}

static void what_is_said_of_the_end_is_not_the_cause(void **state)
{
    struct pbc_output o;

    (void)state;
    begin(&o, 1);
    o.ending = 1;
    feed(&o, "pbcast: error: node n1: stopped\npbcast: again: node n2: not met\n");
    assert_string_equal(o.error, "");
    assert_int_equal(o.again, 0);
    assert_string_equal(o.why, "");
    end(&o);
}

static void again_comes_before_errors(void **state)
{
    struct pbc_output o;

    (void)state;
    begin(&o, 1);
    feed(&o, "pbcast: again: node n1: lost\npbcast: error: node n2: was told to end\n");
    assert_int_equal(o.again, 1);
    assert_string_equal(o.error, "");
    assert_string_equal(result(&o), "");
    end(&o);
}

static void progress_where_it_is_wanted(void **state)
{
    static const struct {
        int verbose, tty;
        const char *want;
    } table[] = {
        {0, 0, ""},
        {1, 0, ""},
        {2, 0, "pbcast: 1 of 4\npbcast: 2 of 4\npbcast: done\n"},
        {0, 1, ""},
        {1, 1, "\r\033[Kpbcast: 1 of 4\r\033[Kpbcast: 2 of 4\r\033[Kpbcast: done\n"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct pbc_output o;

        begin(&o, table[i].verbose);
        o.tty = table[i].tty;
        feed(&o, "pbcast: progress: 1 of 4\npbcast: progress: 2 of 4\n");
        if (table[i].verbose > 0)
            feed(&o, "pbcast: done\n");
        pbc_output_finish(&o);
        if (table[i].verbose == 1 && !table[i].tty)
            assert_string_equal(result(&o), "pbcast: done\n");
        else
            assert_string_equal(result(&o), table[i].want);
        end(&o);
    }
}

static void progress_is_taken_back(void **state)
{
    struct pbc_output o;

    (void)state;
    begin(&o, 1);
    o.tty = 1;
    feed(&o, "pbcast: progress: 50 %\npbcast: error: gone\n");
    pbc_output_finish(&o);
    assert_string_equal(result(&o), "\r\033[Kpbcast: 50 %\r\033[K");
    end(&o);
}

static void long_lines_and_much_noise_are_bounded(void **state)
{
    struct pbc_output o;
    char block[4096];

    (void)state;
    begin(&o, 1);
    memset(block, 'x', sizeof(block));
    feed(&o, "pbcast: error: ");
    for (int i = 0; i < 1000; i++)
        pbc_output_feed(&o, block, sizeof(block));
    feed(&o, "\npbcast: alive\n");
    assert_int_equal(strlen(o.error), PBC_ERROR_MAX - 1);
    assert_string_equal(result(&o), "pbcast: alive\n");

    for (int i = 0; i < 1000; i++)
        feed(&o, "srun: some noise of a step that fails on many nodes at a time\n");
    pbc_output_noise(&o);
    assert_true(strlen(result(&o)) < 8192);
    assert_non_null(strstr(shown, " more lines)\n"));
    end(&o);
}

static void control_characters_are_replaced(void **state)
{
    struct pbc_output o;

    (void)state;
    begin(&o, 1);
    feed(&o, "pbcast: a\033[31mb\tc\rd\x7f\n");
    assert_string_equal(result(&o), "pbcast: a?[31mb c?d?\n");
    pbc_output_feed(&o, "pbcast: x\0y\n", 12);
    assert_non_null(strstr(result(&o), "pbcast: x?y\n"));
    end(&o);
}

static void verbosity_three_hides_nothing(void **state)
{
    struct pbc_output o;

    (void)state;
    begin(&o, 3);
    feed(&o, "srun: Step created\npbcast: error: one\npbcast: error: two\npbcast: again: x\n");
    assert_string_equal(result(&o), "pbcast: | srun: Step created\npbcast: also: two\n"
                                    "pbcast: again: x\n");
    end(&o);
}

static void a_reader_who_left_is_no_matter(void **state)
{
    struct pbc_output o;

    (void)state;
    pbc_output_init(&o, -1, 1);
    feed(&o, "pbcast: one\npbcast: error: two\n");
    pbc_output_finish(&o);
    assert_string_equal(o.error, "two");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_pass_and_noise_does_not),
        cmocka_unit_test(lines_are_cut_anywhere),
        cmocka_unit_test(the_first_error_is_the_cause),
        cmocka_unit_test(an_empty_error_is_one),
        cmocka_unit_test(the_hook_on_a_node_speaks_too),
        cmocka_unit_test(an_agent_that_has_ended_is_noticed),
        cmocka_unit_test(what_is_said_of_the_end_is_not_the_cause),
        cmocka_unit_test(again_comes_before_errors),
        cmocka_unit_test(progress_where_it_is_wanted),
        cmocka_unit_test(progress_is_taken_back),
        cmocka_unit_test(long_lines_and_much_noise_are_bounded),
        cmocka_unit_test(control_characters_are_replaced),
        cmocka_unit_test(verbosity_three_hides_nothing),
        cmocka_unit_test(a_reader_who_left_is_no_matter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
