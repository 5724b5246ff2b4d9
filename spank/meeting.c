#include "meeting.h"

#include "child.h"
#include "output.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* It takes milliseconds; without a slurm.conf here it asks slurmctld for one first. */
#define LIST_SECONDS 30

/* What Slurm offers, in out->noise. */
static int ask_slurm(const struct pbc_launch *l, char **env, struct pbc_output *out,
                     struct pbc_error *err)
{
    char srun[PBC_PATH_MAX], list[] = "--mpi=list";
    char *argv[] = {srun, list, NULL};
    struct pbc_child child = {.argv = argv,
                              .envp = env,
                              .seconds =
                                  l->site->timeout < LIST_SECONDS ? l->site->timeout : LIST_SECONDS,
                              .catch_signals = l->in_client,
                              .output = out};
    enum pbc_child_end end = PBC_CHILD_EXITED;
    const char *reason;
    int status = 0;

    memcpy(srun, l->site->srun, sizeof(srun));
    pbc_output_init(out, STDERR_FILENO, 0);
    if (pbc_child_run(&child, &end, &status, err) < 0)
        return -1;
    out->noise[out->noise_len < sizeof(out->noise) ? out->noise_len : sizeof(out->noise) - 1] =
        '\0';
    if (end == PBC_CHILD_INTERRUPTED)
        return pbc_fail(err, PBC_EXIT_FAILED, "staging was interrupted");
    if (end == PBC_CHILD_TIMEOUT)
        return pbc_fail(err, PBC_EXIT_FAILED,
                        "\"%s --mpi=list\", which tells how the nodes can meet, did not answer "
                        "within %u s",
                        srun, child.seconds);
    if (end == PBC_CHILD_EXITED && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    reason = out->noise[0] != '\0'   ? out->noise
             : out->error[0] != '\0' ? out->error
                                     : "it said nothing";
    return pbc_fail(err, PBC_EXIT_FAILED,
                    "\"%s --mpi=list\", which tells how the nodes can meet, failed: %.*s", srun,
                    (int)strcspn(reason, "\n"), reason);
}

static int choose(const struct pbc_launch *l, char **env, struct pbc_meeting *ret,
                  struct pbc_error *err)
{
    struct pbc_output out;
    char offered[256];

    if (ask_slurm(l, env, &out, err) < 0)
        return -1;
    pbc_mpi_offered(out.noise, offered, sizeof(offered));
    if (pbc_mpi_choose(out.noise, ret->mpi) < 0)
        return pbc_fail(
            err, PBC_EXIT_REFUSED,
            "the nodes cannot meet: Slurm offers neither PMIx nor PMI-2 (%s --mpi=list: "
            "%s). The administrator can install Slurm's PMIx plugin, or set mpi= and "
            "mpi_agent= (pbcast.conf(5))",
            l->site->srun, offered);
    /* The agents run on nodes, which a client need not resemble. */
    if (!l->in_client && !pbc_mpi_is_pmix(ret->mpi) && access(l->site->mpi_agent, X_OK) < 0)
        return pbc_fail_errno(
            err, PBC_EXIT_REFUSED,
            "the nodes cannot meet: Slurm offers no PMIx (%s --mpi=list: %s), and "
            "the agent for --mpi=%s is not there (the administrator can install "
            "either, pbcast.conf(5)): %s",
            l->site->srun, offered, ret->mpi, l->site->mpi_agent);
    return 0;
}

int pbc_meeting(const struct pbc_launch *l, char **env, struct pbc_meeting *ret,
                struct pbc_error *err)
{
    int is_auto = strcmp(l->site->mpi, PBC_MPI_AUTO) == 0;

    ret->agent = l->site->agent;
    if (l->count == 1) {
        strcpy(ret->mpi, "none");
        return 0;
    }
    strcpy(ret->mpi, l->site->mpi);
    if (is_auto && choose(l, env, ret, err) < 0)
        return -1;
    if (!pbc_mpi_is_pmix(ret->mpi))
        ret->agent = l->site->mpi_agent;
    if (l->verbose >= 2)
        dprintf(STDERR_FILENO, "pbcast: the nodes meet by %s (--mpi=%s%s)\n",
                pbc_mpi_is_pmix(ret->mpi) ? "PMIx" : "MPI", ret->mpi,
                is_auto ? ", by what Slurm offers" : ", set by the site");
    return 0;
}
