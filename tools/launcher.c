#include "launcher.h"

#include "child.h"
#include "mpi_type.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define OUTPUT_MAX 65536

/* `name` of PATH. -1 if it has none. */
static int in_path(const char *name, char path[PBC_PATH_MAX])
{
    const char *dir = getenv("PATH");

    while (dir != NULL && *dir != '\0') {
        size_t len = strcspn(dir, ":");
        int n = snprintf(path, PBC_PATH_MAX, "%.*s/%s", (int)len, dir, name);

        if (len > 0 && n > 0 && n < PBC_PATH_MAX && access(path, X_OK) == 0)
            return 0;
        dir += len + (dir[len] == ':');
    }
    return -1;
}

/* The agents are installed beside this program. */
static int find_agent(const char *name, char path[PBC_PATH_MAX])
{
    ssize_t n = readlink("/proc/self/exe", path, PBC_PATH_MAX - 32);

    if (n > 0) {
        path[n] = '\0';
        snprintf(strrchr(path, '/') + 1, 32, "%s", name);
        if (access(path, X_OK) == 0)
            return 0;
    }
    return in_path(name, path);
}

static int need_agent(struct pbc_launcher *l, const char *name, struct pbc_error *err)
{
    if (find_agent(name, l->agent) == 0)
        return 0;
    return pbc_fail(err, PBC_EXIT_REFUSED,
                    "%s, which %s is to start, is neither beside this program nor on the PATH",
                    name, l->program[0] != '\0' ? l->program : "this");
}

enum pbc_launcher_kind pbc_launcher_of(const char *text)
{
    if (strstr(text, "(Open MPI)") != NULL || strstr(text, "(OpenRTE)") != NULL)
        return PBC_LAUNCHER_OPENMPI;
    return strstr(text, "HYDRA") != NULL ? PBC_LAUNCHER_HYDRA : PBC_LAUNCHER_NONE;
}

static int is_mpirun(const char *wanted)
{
    const char *name = strrchr(wanted, '/') != NULL ? strrchr(wanted, '/') + 1 : wanted;

    return strncmp(name, "mpirun", 6) == 0 || strncmp(name, "mpiexec", 7) == 0;
}

static int with_mpirun(struct pbc_launcher *l, struct pbc_error *err)
{
    char version[] = "--version";
    char *argv[] = {l->program, version, NULL};
    char *text = pbc_child_output(argv, NULL, OUTPUT_MAX, "its version", NULL, err);

    if (text == NULL)
        return -1;
    l->kind = pbc_launcher_of(text);
    free(text);
    if (l->kind == PBC_LAUNCHER_NONE)
        return pbc_fail(err, PBC_EXIT_REFUSED,
                        "%s is neither of Open MPI nor of MPICH (see pbcast-stage(1) for how to "
                        "start the agents by hand)",
                        l->program);
    return need_agent(
        l, l->kind == PBC_LAUNCHER_OPENMPI ? "pbcast-stage-openmpi" : "pbcast-stage-mpich", err);
}

static int with_srun(struct pbc_launcher *l, const char *type, struct pbc_error *err)
{
    l->kind = PBC_LAUNCHER_SRUN;
    strcpy(l->program, "srun");
    if (snprintf(l->mpi, sizeof(l->mpi), "%s", type) >= (int)sizeof(l->mpi))
        return pbc_fail(err, PBC_EXIT_USAGE, "--mpi %.40s...: no type of srun's", type);
    return need_agent(l, pbc_mpi_is_pmix(type) ? "pbcast-stage" : "pbcast-stage-mpich", err);
}

/* By what Slurm offers; mpirun where that is nothing for us. */
static int look(struct pbc_launcher *l, struct pbc_error *err)
{
    char srun[] = "srun", list[] = "--mpi=list";
    char *argv[] = {srun, list, NULL};
    char *text = pbc_child_output(argv, NULL, OUTPUT_MAX, "its MPI types", NULL, err);
    char type[PBC_MPI_TYPE_MAX], offered[256];
    int found;

    if (text == NULL)
        return -1;
    found = pbc_mpi_choose(text, type) == 0;
    pbc_mpi_offered(text, offered, sizeof(offered));
    free(text);
    if (found && with_srun(l, type, err) == 0)
        return 0;
    if (found && pbc_mpi_is_pmix(type))
        return -1;
    memset(l, 0, sizeof(*l));
    if (in_path("mpirun", l->program) == 0)
        return with_mpirun(l, err);
    return pbc_fail(
        err, PBC_EXIT_REFUSED,
        "the nodes cannot meet: Slurm offers no PMIx (srun --mpi=list: %s), there is no "
        "pbcast-stage-mpich for --mpi=pmi2, and no mpirun on the PATH",
        offered);
}

int pbc_launcher_choose(const char *wanted, unsigned long nodes, struct pbc_launcher *ret,
                        struct pbc_error *err)
{
    memset(ret, 0, sizeof(*ret));
    if (wanted != NULL &&
        strcasecmp(wanted, "list") == 0) /* srun would start nothing, and end well */
        return pbc_fail(err, PBC_EXIT_USAGE,
                        "--mpi list: no type of srun's; srun --mpi=list tells which there are");
    if (nodes == 1)
        return need_agent(ret, "pbcast-stage", err);
    if (wanted == NULL || strcmp(wanted, PBC_MPI_AUTO) == 0)
        return look(ret, err);
    if (!is_mpirun(wanted))
        return with_srun(ret, wanted, err);
    if (strlen(wanted) >= sizeof(ret->program))
        return pbc_fail(err, PBC_EXIT_USAGE, "--mpi %.40s...: too long a path", wanted);
    strcpy(ret->program, wanted);
    return with_mpirun(ret, err);
}
