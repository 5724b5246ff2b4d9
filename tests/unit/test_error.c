#include "support.h"

#include <errno.h>
#include <string.h>

static void fail_returns_minus_one_and_fills_code_and_text(void **state)
{
    struct pbc_error err;

    (void)state;
    assert_int_equal(pbc_fail(&err, PBC_EXIT_NOSPACE, "node %s: %d", "n1", 7), -1);
    assert_int_equal(err.code, PBC_EXIT_NOSPACE);
    assert_string_equal(err.text, "node n1: 7");
}

static void errno_is_told_in_words_and_left_alone(void **state)
{
    struct pbc_error err;

    (void)state;
    errno = ENOENT;
    assert_int_equal(pbc_fail_errno(&err, PBC_EXIT_FAILED, "cannot open %s", "/x"), -1);
    assert_string_equal(err.text, "cannot open /x: No such file or directory");
    assert_int_equal(errno, ENOENT);
}

static void nobody_has_to_ask_for_the_error(void **state)
{
    (void)state;
    errno = EIO;
    assert_int_equal(pbc_fail(NULL, PBC_EXIT_FAILED, "x"), -1);
    assert_int_equal(pbc_fail_errno(NULL, PBC_EXIT_FAILED, "x"), -1);
    assert_int_equal(errno, EIO);
}

static void control_characters_become_question_marks(void **state)
{
    struct pbc_error err;

    (void)state;
    pbc_fail(&err, PBC_EXIT_FAILED, "%s", "a\nb\033[31mc\177\x80");
    assert_string_equal(err.text, "a?b?[31mc?\x80");
    pbc_fail(&err, PBC_EXIT_FAILED, "%s",
             "\xc3\xa9\xc2\xa0\xc2\x9b"
             "31m\xc2\x80");
    assert_string_equal(err.text, "\xc3\xa9\xc2\xa0??31m??");
}

static void a_long_text_is_cut_but_not_the_reason(void **state)
{
    char path[4 * PBC_ERROR_MAX];
    struct pbc_error err;

    (void)state;
    memset(path, 'x', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    errno = ENOENT;
    pbc_fail_errno(&err, PBC_EXIT_FAILED, "%s", path);
    assert_int_equal(strlen(err.text), PBC_ERROR_MAX - 1);
    assert_non_null(strstr(err.text, "x...: No such file or directory"));
    path[PBC_ERROR_MAX - 5] = '\0';
    pbc_fail_errno(&err, PBC_EXIT_FAILED, "%s", path);
    assert_int_equal(strlen(err.text), PBC_ERROR_MAX - 1);
    assert_non_null(strstr(err.text, "x...: No such file or directory"));
    pbc_fail(&err, PBC_EXIT_FAILED, "%s%s", path, path);
    assert_int_equal(strlen(err.text), PBC_ERROR_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fail_returns_minus_one_and_fills_code_and_text),
        cmocka_unit_test(errno_is_told_in_words_and_left_alone),
        cmocka_unit_test(nobody_has_to_ask_for_the_error),
        cmocka_unit_test(control_characters_become_question_marks),
        cmocka_unit_test(a_long_text_is_cut_but_not_the_reason),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
