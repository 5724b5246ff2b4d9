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

static const char *choice(const char *list)
{
    static char type[PBC_MPI_TYPE_MAX];

    return pbc_mpi_choose(list, type) == 0 ? type : NULL;
}

static void pmix_is_the_first_choice(void **state)
{
    (void)state;
    assert_string_equal(choice(HEAD "\tnone\n\tcray_shasta\n\tpmi2\n\tpmix\n"
                                    "specific pmix plugin versions available: pmix_v4\n"),
                        "pmix");
    assert_string_equal(choice("pmix"), "pmix");
    assert_string_equal(choice(" pmi2 \r\n  pmix\t"), "pmix");
}

#define VERSIONS "specific pmix plugin versions available:"

/* Plugins of versions only: there is no type pmix then. */
static void then_the_first_version_of_pmix(void **state)
{
    (void)state;
    assert_string_equal(choice(HEAD "\tnone\n\tpmi2\n" VERSIONS " pmix_v5\n"), "pmix_v5");
    assert_string_equal(choice(HEAD "\tpmi2\n" VERSIONS " pmix_v4,pmix_v5"), "pmix_v4");
    assert_string_equal(choice(VERSIONS "pmix_v12\r\n"), "pmix_v12");
    assert_string_equal(choice(HEAD "\tpmi2\n" VERSIONS " \n"), "pmi2");
    assert_null(choice(VERSIONS "\npmix_v4\n"));
    assert_null(choice(VERSIONS " pmix_v,pmix_vx\n"));
    assert_null(choice(VERSIONS " pmix_v5;id\n"));
    assert_null(choice(VERSIONS " pmix_v11111111111111111111111111111111\n"));
    assert_null(choice("pmix_v4 is available\n"));
}

static void pmi2_is_the_next(void **state)
{
    (void)state;
    assert_string_equal(choice(HEAD "\tnone\n\tcray_shasta\n\tpmi2\n"), "pmi2");
}

/* Words of a sentence, and words that only begin like one, are no types. */
static void nothing_else_is_chosen(void **state)
{
    (void)state;
    assert_null(choice(""));
    assert_null(choice("\n\n \n"));
    assert_null(choice(HEAD "\tnone\n\tcray_shasta\n"));
    assert_null(choice("error: no pmix\nno pmi2 either\npmi2 \tplugin\n"));
    assert_null(choice("pmix2\npmi22\npmi\nPMIX\n"));
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
        cmocka_unit_test(then_the_first_version_of_pmix),
        cmocka_unit_test(pmi2_is_the_next),
        cmocka_unit_test(nothing_else_is_chosen),
        cmocka_unit_test(what_is_offered_in_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
