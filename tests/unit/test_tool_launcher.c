/* What starts the agents of `pbcast stage`. Scripts in a directory that is the PATH stand for srun
 * and mpirun. */
#include "support.h"

#include "launcher.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct pbc_launcher launcher;
static struct pbc_error err;

static void program(void **state, const char *name, const char *text)
{
    FILE *f = fopen(in(*state, name), "we");

    assert_non_null(f);
    fprintf(f, "#!/bin/sh\n%s\n", text);
    assert_int_equal(fchmod(fileno(f), 0755), 0);
    assert_int_equal(fclose(f), 0);
}

#define WITH_PMIX    "printf 'types are...\\n\\tnone\\n\\tpmi2\\n\\tpmix\\n'"
#define WITHOUT_PMIX "printf 'types are...\\n\\tnone\\n\\tpmi2\\n'"
#define OPENMPI      "echo 'mpirun (Open MPI) 4.1.4'"
#define HYDRA        "echo 'HYDRA build details:'"

static int setup(void **state)
{
    static const char *const programs[] = {"srun",          "mpirun",
                                           "pbcast-stage",  "pbcast-stage-mpich",
                                           "mpiexec.hydra", "pbcast-stage-openmpi"};

    for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++)
        unlink(in(*state, programs[i]));
    setenv("PATH", *state, 1);
    program(state, "pbcast-stage", "");
    return 0;
}

static int choose(const char *wanted, unsigned long nodes)
{
    return pbc_launcher_choose(wanted, nodes, &launcher, &err);
}

static void chosen(enum pbc_launcher_kind kind, const char *mpi, const char *agent)
{
    assert_int_equal(launcher.kind, kind);
    assert_string_equal(launcher.mpi, mpi);
    assert_string_equal(strrchr(launcher.agent, '/') + 1, agent);
}

static void one_node_needs_no_launcher(void **state)
{
    (void)state;
    assert_int_equal(choose(NULL, 1), 0);
    chosen(PBC_LAUNCHER_NONE, "", "pbcast-stage");
}

static void srun_with_pmix_comes_first(void **state)
{
    program(state, "srun", WITH_PMIX);
    program(state, "mpirun", OPENMPI);
    program(state, "pbcast-stage-mpich", "");
    program(state, "pbcast-stage-openmpi", "");
    assert_int_equal(choose(NULL, 2), 0);
    chosen(PBC_LAUNCHER_SRUN, "pmix", "pbcast-stage");
    assert_int_equal(choose("auto", 2), 0);
    chosen(PBC_LAUNCHER_SRUN, "pmix", "pbcast-stage");
}

static void then_srun_with_pmi2_and_then_mpirun(void **state)
{
    program(state, "srun", WITHOUT_PMIX);
    program(state, "mpirun", OPENMPI);
    program(state, "pbcast-stage-openmpi", "");
    assert_int_equal(choose(NULL, 2), 0);
    chosen(PBC_LAUNCHER_OPENMPI, "", "pbcast-stage-openmpi");
    program(state, "pbcast-stage-mpich", "");
    assert_int_equal(choose(NULL, 2), 0);
    chosen(PBC_LAUNCHER_SRUN, "pmi2", "pbcast-stage-mpich");
}

static void what_is_asked_for_counts(void **state)
{
    program(state, "mpiexec.hydra", HYDRA);
    program(state, "pbcast-stage-mpich", "");
    assert_int_equal(choose("pmix_v5", 2), 0);
    chosen(PBC_LAUNCHER_SRUN, "pmix_v5", "pbcast-stage");
    assert_int_equal(choose("cray_shasta", 2), 0);
    chosen(PBC_LAUNCHER_SRUN, "cray_shasta", "pbcast-stage-mpich");
    assert_int_equal(choose("mpiexec.hydra", 2), 0);
    chosen(PBC_LAUNCHER_HYDRA, "", "pbcast-stage-mpich");
    assert_int_equal(choose(in(*state, "mpiexec.hydra"), 2), 0);
    chosen(PBC_LAUNCHER_HYDRA, "", "pbcast-stage-mpich");
}

static void what_is_missing_is_named(void **state)
{
    assert_int_equal(choose(NULL, 2), -1);
    assert_error(&err, PBC_EXIT_REFUSED, "cannot run srun");
    program(state, "srun", WITHOUT_PMIX);
    assert_int_equal(choose(NULL, 2), -1);
    assert_error(&err, PBC_EXIT_REFUSED, "none, pmi2", "pbcast-stage-mpich", "no mpirun");
    program(state, "mpirun", OPENMPI);
    assert_int_equal(choose(NULL, 2), -1);
    assert_error(&err, PBC_EXIT_REFUSED, "pbcast-stage-openmpi, which");
    assert_int_equal(choose("mpirun-of-nobody", 2), -1);
    assert_error(&err, PBC_EXIT_REFUSED, "cannot run mpirun-of-nobody");
    program(state, "mpirun", "echo 'Another MPI 1.0'");
    assert_int_equal(choose("mpirun", 2), -1);
    assert_error(&err, PBC_EXIT_REFUSED, "neither of Open MPI nor of MPICH");
    program(state, "mpirun", "exit 1");
    assert_int_equal(choose("mpirun", 2), -1);
    assert_error(&err, PBC_EXIT_REFUSED, "failed (status 1)");
}

static void what_starts_no_agent_is_refused(void **state)
{
    program(state, "srun", WITH_PMIX);
    for (unsigned long nodes = 1; nodes <= 2; nodes++) {
        assert_int_equal(choose("list", nodes), -1);
        assert_error(&err, PBC_EXIT_USAGE, "--mpi list: no type");
        assert_int_equal(choose("LIST", nodes), -1);
    }
}

static void a_word_that_is_too_long_is_refused(void **state)
{
    static char path[2 * PBC_PATH_MAX];

    (void)state;
    assert_int_equal(choose("a_type_that_no_srun_has_ever_heard_of", 2), -1);
    assert_error(&err, PBC_EXIT_USAGE, "no type of srun's");
    memset(path, '/', sizeof(path) - 1);
    memcpy(path + sizeof(path) - 7, "mpirun", 7);
    assert_int_equal(choose(path, 2), -1);
    assert_error(&err, PBC_EXIT_USAGE, "too long");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(one_node_needs_no_launcher, setup),
        cmocka_unit_test_setup(srun_with_pmix_comes_first, setup),
        cmocka_unit_test_setup(then_srun_with_pmi2_and_then_mpirun, setup),
        cmocka_unit_test_setup(what_is_asked_for_counts, setup),
        cmocka_unit_test_setup(what_is_missing_is_named, setup),
        cmocka_unit_test_setup(what_starts_no_agent_is_refused, setup),
        cmocka_unit_test_setup(a_word_that_is_too_long_is_refused, setup),
    };

    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
