#include "support.h"

#include "mpi_type.h"

#include <string.h>

#define HEAD "MPI plugin types are...\n"

static void pmix_types(void **state)
{
    (void)state;
    assert_true(pbc_mpi_is_pmix("pmix"));
    assert_true(pbc_mpi_is_pmix("pmix_v5"));
    assert_false(pbc_mpi_is_pmix("pmi2"));
    assert_false(pbc_mpi_is_pmix("pmixer"));
    assert_false(pbc_mpi_is_pmix("auto"));
    assert_false(pbc_mpi_is_pmix(""));
}

static void pmix_is_the_first_choice(void **state)
{
    (void)state;
    assert_string_equal(pbc_mpi_choose(HEAD "\tnone\n\tcray_shasta\n\tpmi2\n\tpmix\n"
                                            "specific pmix plugin versions available: pmix_v4\n"),
                        "pmix");
    assert_string_equal(pbc_mpi_choose("pmix"), "pmix");
    assert_string_equal(pbc_mpi_choose(" pmi2 \r\n  pmix\t"), "pmix");
}

static void pmi2_is_the_second(void **state)
{
    (void)state;
    assert_string_equal(pbc_mpi_choose(HEAD "\tnone\n\tcray_shasta\n\tpmi2\n"), "pmi2");
}

/* Words of a sentence, and words that only begin like one, are no types. */
static void nothing_else_is_chosen(void **state)
{
    (void)state;
    assert_null(pbc_mpi_choose(""));
    assert_null(pbc_mpi_choose("\n\n \n"));
    assert_null(pbc_mpi_choose(HEAD "\tnone\n\tcray_shasta\n"));
    assert_null(pbc_mpi_choose("specific pmix plugin versions available: pmix_v4\n"));
    assert_null(pbc_mpi_choose("error: no pmix\nno pmi2 either\npmi2 \tplugin\n"));
    assert_null(pbc_mpi_choose("pmix2\npmi22\npmi\nPMIX\n"));
}

static void what_is_offered_in_words(void **state)
{
    char text[32], small[8];

    (void)state;
    pbc_mpi_offered(HEAD "\tnone\n\tpmi2\nmore words\n", text, sizeof(text));
    assert_string_equal(text, "none, pmi2");
    pbc_mpi_offered(HEAD, text, sizeof(text));
    assert_string_equal(text, "nothing");
    pbc_mpi_offered("none\npmi2\npmix\n", small, sizeof(small));
    assert_string_equal(small, "none");
    pbc_mpi_offered("a_very_long_type_that_does_not_fit_here_at_all\n", text, sizeof(text));
    assert_string_equal(text, "nothing");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pmix_types),
        cmocka_unit_test(pmix_is_the_first_choice),
        cmocka_unit_test(pmi2_is_the_second),
        cmocka_unit_test(nothing_else_is_chosen),
        cmocka_unit_test(what_is_offered_in_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
