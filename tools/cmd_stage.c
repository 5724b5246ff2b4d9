/* pbcast stage: the agents in one line of a job script, for a Slurm without the plugin. */
#include "bundle.h"
#include "child.h"
#include "command.h"
#include "held.h"
#include "launcher.h"
#include "mpi_type.h"
#include "site.h"
#include "step.h"
#include "stop.h"
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRIES 3

static const char usage[] =
    "usage: pbcast stage [OPTION...] BUNDLE...\n"
    "\n"
    "In a job script, without pbcast's plugin: stage BUNDLEs on all nodes of the job, and remove\n"
    "them when the job ends, also by scancel. Then:\n"
    "\n"
    "    eval \"$(pbcast env)\"\n"
    "\n"
    "  -m, --mpi HOW      the nodes meet: a type of srun's --mpi (pmix, pmi2), or the name of an\n"
    "                     mpirun (default: what Slurm offers, else mpirun)\n"
    "  -k, --keep         remove nothing\n"
    "  -v, --verbose N    0 errors, 1 summary (default), 2 phases\n"
    "  -h, --help\n"
    "\n"
    "BUNDLE is as for pbcast-stage(1), whose exit status this has. The trees are in\n"
    "/dev/shm/pbcast-<uid>/<job> on each node.\n";

static const struct option options[] = {
    {"mpi", required_argument, NULL, 'm'},     {"keep", no_argument, NULL, 'k'},
    {"verbose", required_argument, NULL, 'v'}, {"help", no_argument, NULL, 'h'},
    {"watch", no_argument, NULL, 'w'},         {0},
};

struct request {
    char self[PBC_PATH_MAX];
    struct pbc_launcher launcher;
    const char *mpi; /* NULL: not said */
    const char *verbose;
    int keep;
    int watch;
    unsigned long nodes;
    unsigned long job;
    int count;
    char **bundle;
};

/* A step with one task on each node of the job, beside whatever runs there. */
static void add_srun(struct pbc_step *w, const struct request *q, const char *name, const char *mpi,
                     const char *input)
{
    pbc_step_add(w, "srun");
    pbc_step_add(w, "--nodes=%lu", q->nodes);
    pbc_step_add(w, "--ntasks=%lu", q->nodes);
    pbc_step_add(w, "--ntasks-per-node=1");
    pbc_step_add(w, "--overlap");
    pbc_step_add(w, "--mem=0");
    pbc_step_add(w, "--gres=none");
    pbc_step_add(w, "--cpu-bind=quiet,none");
    pbc_step_add(w, "--mpi=%s", mpi);
    pbc_step_add(w, "--input=%s", input);
    pbc_step_add(w, "--output=all");
    pbc_step_add(w, "--job-name=%s", name);
    pbc_step_add(w, "--kill-on-bad-exit=0");
    pbc_step_add(w, "--wait=0");
}

/* Whether the agents wait until all have started: see stage/start.h. */
static int holds(const struct request *q)
{
    return q->launcher.kind == PBC_LAUNCHER_SRUN && pbc_mpi_is_pmix(q->launcher.mpi);
}

/* An agent on each node. */
static void add_launcher(struct pbc_step *w, const struct request *q)
{
    const struct pbc_launcher *l = &q->launcher;

    switch (l->kind) {
    case PBC_LAUNCHER_NONE:
        break;
    case PBC_LAUNCHER_SRUN:
        add_srun(w, q, "pbcast", l->mpi, holds(q) ? "all" : "none");
        pbc_step_add(w, "--disable-status"); /* SIGINT goes to the agents at once */
        break;
    case PBC_LAUNCHER_OPENMPI:
        pbc_step_add(w, "%s", l->program);
        pbc_step_add(w, "-q"); /* the agents say themselves what went wrong */
        pbc_step_add(w, "-n");
        pbc_step_add(w, "%lu", q->nodes);
        pbc_step_add(w, "--map-by");
        pbc_step_add(w, "ppr:1:node");
        pbc_step_add(w, "--bind-to");
        pbc_step_add(w, "none");
        break;
    case PBC_LAUNCHER_HYDRA:
        pbc_step_add(w, "%s", l->program);
        pbc_step_add(w, "-n");
        pbc_step_add(w, "%lu", q->nodes);
        pbc_step_add(w, "-ppn");
        pbc_step_add(w, "1");
        pbc_step_add(w, "-bind-to");
        pbc_step_add(w, "none");
        break;
    }
    pbc_step_add(w, "%s", l->agent);
}

/* The same for agents that wait for each other. */
static int run_held(struct pbc_step *w, const struct request *q, struct pbc_error *err)
{
    int in[2] = {-1, -1}, out[2] = {-1, -1}, said[2] = {-1, -1};
    int status = -1;
    bool vain = false;
    pid_t pid = -1;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in) != 0 || pipe2(out, O_CLOEXEC) != 0 ||
        pipe2(said, O_CLOEXEC) != 0)
        pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot make a pipe");
    else
        pid = pbc_step_start(w, (int[]){in[1], out[1], said[1]}, 0, err);
    pbc_close_fd(&in[1]);
    pbc_close_fd(&out[1]);
    pbc_close_fd(&said[1]);
    if (pid < 0) {
        pbc_close_fd(&in[0]);
        pbc_close_fd(&out[0]);
        pbc_close_fd(&said[0]);
        return -1;
    }
    status = pbc_held_wait(pid, q->nodes, in[0], out[0], said[0], &vain);
    if (status >= 0 && vain)
        return pbc_fail(err, PBC_EXIT_FAILED,
                        "an agent could not start, or ended before all were here: the lines above "
                        "say where and why");
    return status >= 0 ? status
                       : pbc_fail_errno(err, PBC_EXIT_FAILED, "waiting for the staging step");
}

/* Their launcher's waitpid status, or -1. */
static int run_agents(struct pbc_step *w, const struct request *q, struct pbc_error *err)
{
    int status;
    pid_t pid;

    if (holds(q))
        return run_held(w, q, err);
    pid = pbc_step_start(w, (int[]){-1, -1, -1}, 0, err);
    if (pid < 0)
        return -1;
    status = pbc_step_wait(pid);
    return status >= 0 ? status
                       : pbc_fail_errno(err, PBC_EXIT_FAILED, "waiting for the staging step");
}

/* One try: the exit status of the agents, or -1. */
static int stage(const struct request *q, unsigned attempt, struct pbc_error *err)
{
    struct pbc_step w = {.count = 0};
    int status;

    /* UCX below MPICH complains when one agent has ended before another. */
    (void)setenv("UCX_LOG_LEVEL", "fatal", 0);
    (void)unsetenv("SLURM_LABELIO"); /* which would hide who is here */
    add_launcher(&w, q);
    pbc_step_add(&w, "--job");
    pbc_step_add(&w, "%lu", q->job);
    pbc_step_add(&w, "--verbose");
    pbc_step_add(&w, "%s", q->verbose);
    if (holds(q))
        pbc_step_add(&w, "--hold");
    if (attempt > 0) {
        pbc_step_add(&w, "--pause");
        pbc_step_add(&w, "%u", attempt * 1500);
    }
    pbc_step_add(&w, "--");
    for (int i = 0; i < q->count; i++)
        pbc_step_add(&w, "%s", q->bundle[i]);
    status = run_agents(&w, q, err);
    pbc_step_free(&w);
    if (status < 0 || pbc_stopped(err) != 0)
        return -1;
    /* Launchers have statuses of their own. Hydra's mpiexec ORs what the agents end with: a 6 may
     * be of 4 and 2, and is no reason for another try. */
    if (!WIFEXITED(status) || WEXITSTATUS(status) > PBC_EXIT_AGAIN ||
        (q->launcher.kind == PBC_LAUNCHER_HYDRA && WEXITSTATUS(status) == PBC_EXIT_AGAIN))
        return PBC_EXIT_FAILED;
    return WEXITSTATUS(status);
}

/* The step that waits for the job's end, as this program sees it. */
struct watch {
    pid_t pid;
    int said; /* its output */
};

/* Slurm ends it with SIGTERM, after the script as well as on scancel, and gives it KillWait
 * seconds: a trap in the script would come too late to start anything on the other nodes. It goes
 * on when we are stopped: what else the job has staged is not to go with it. */
static int keep_watch(const struct request *q, struct watch *ret, struct pbc_error *err)
{
    struct pbc_step w = {.count = 0};

    /* For nobody, unless it fails at once: srun has its words to say at the job's end. */
    ret->said = memfd_create("pbcast-purge", MFD_CLOEXEC);
    if (ret->said < 0)
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot make a file in memory");
    add_srun(&w, q, "pbcast-purge", "none", "none");
    pbc_step_add(&w, "--quiet");
    pbc_step_add(&w, "%s", q->self);
    pbc_step_add(&w, "stage");
    pbc_step_add(&w, "--watch");
    ret->pid = pbc_step_start(&w, (int[]){-1, ret->said, ret->said}, 1, err);
    pbc_step_free(&w);
    return ret->pid < 0 ? -1 : 0;
}

/* -1 if it has ended: then nobody would remove what is staged. */
static int still_watched(const struct request *q, const struct watch *w, struct pbc_error *err)
{
    char said[4096];
    int status;
    ssize_t n;

    if (waitpid(w->pid, &status, WNOHANG) != w->pid)
        return 0;
    n = pread(w->said, said, sizeof(said), 0);
    if (n > 0)
        (void)pbc_write_full(STDERR_FILENO, said, (size_t)n);
    return pbc_fail(err, PBC_EXIT_FAILED,
                    "the step that removes the bundles at the job's end has ended before (srun: "
                    "%s %d; the lines above may say why): they are staged, and would stay on the "
                    "nodes; stage them with --keep, and remove /dev/shm/pbcast-%u/%lu on each node "
                    "at the end of the script, see pbcast-stage(1)",
                    WIFEXITED(status) ? "status" : "signal",
                    WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status), (unsigned)geteuid(),
                    q->job);
}

/* That step, on each node. */
static int watch(const struct request *q)
{
    char store[64];
    struct pbc_error err;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    while (sigwaitinfo(&set, NULL) < 0)
        continue;
    snprintf(store, sizeof(store), "/dev/shm/pbcast-%u", (unsigned)geteuid());
    if (pbc_store_purge(store, (uint32_t)q->job, &err) < 0)
        return pbc_complain(&err);
    (void)rmdir(store); /* unless another job of the user is here */
    return PBC_EXIT_OK;
}

/* This program, for the step that waits. */
static void find_self(struct request *q)
{
    ssize_t n = readlink("/proc/self/exe", q->self, sizeof(q->self) - 1);

    q->self[n > 0 ? n : 0] = '\0';
    if (n <= 0)
        strcpy(q->self, "pbcast");
}

static int of_job(struct request *q)
{
    const char *job = getenv("SLURM_JOB_ID"), *nodes = getenv("SLURM_JOB_NUM_NODES");

    return job != NULL && nodes != NULL && pbc_parse_number(job, 1, UINT32_MAX, &q->job) == 0 &&
                   pbc_parse_number(nodes, 1, 1u << 20, &q->nodes) == 0
               ? 0
               : -1;
}

/* A step from the script of a heterogeneous job reaches the first component's nodes alone. Another
 * job that was submitted in one has its variables. */
static int is_heterogeneous(void)
{
    const char *job = getenv("SLURM_JOB_ID"), *first = getenv("SLURM_JOB_ID_HET_GROUP_0");

    return getenv("SLURM_HET_SIZE") != NULL && first != NULL && strcmp(job, first) == 0;
}

int pbc_cmd_stage(int argc, char *argv[])
{
    struct request q = {.verbose = "1"};
    struct watch w = {.pid = -1, .said = -1};
    struct pbc_error err;
    int c, rc = PBC_EXIT_AGAIN;

    optind = 1;
    while ((c = getopt_long(argc, argv, "+m:kv:h", options, NULL)) != -1) {
        switch (c) {
        case 'm':
            q.mpi = optarg;
            break;
        case 'k':
            q.keep = 1;
            break;
        case 'v':
            q.verbose = optarg;
            break;
        case 'w': /* for our own use */
            q.watch = 1;
            break;
        case 'h':
            fputs(usage, stdout);
            return PBC_EXIT_OK;
        default:
            return PBC_EXIT_USAGE; /* getopt has said why */
        }
    }
    if (optind == argc && !q.watch)
        return pbc_complain_usage("stage", "no BUNDLE");
    if (argc - optind > PBC_BUNDLES_MAX)
        return pbc_complain_usage("stage", "%d bundles, at most %d are allowed", argc - optind,
                                  PBC_BUNDLES_MAX);
    if (of_job(&q) < 0)
        return pbc_complain_usage("stage", "not in the script of a Slurm job (SLURM_JOB_ID, "
                                           "SLURM_JOB_NUM_NODES)");
    if (q.watch)
        return watch(&q);
    pbc_stop_catch();
    if (is_heterogeneous()) {
        pbc_fail(
            &err, PBC_EXIT_REFUSED,
            "job %lu is heterogeneous, and this would stage on the nodes of its first component "
            "only: use the plugin (--pbcast-bundle), or start pbcast-stage(1) in each component "
            "(srun --het-group=N)",
            q.job);
        return pbc_complain(&err);
    }
    q.bundle = argv + optind;
    q.count = argc - optind;
    find_self(&q);
    if (pbc_launcher_choose(q.mpi, q.nodes, &q.launcher, &err) < 0)
        return pbc_complain(&err);
    if (q.launcher.kind != PBC_LAUNCHER_NONE && strcmp(q.verbose, "1") > 0)
        pbc_note("%s%s%s starts %s", q.launcher.program, q.launcher.mpi[0] != '\0' ? " --mpi=" : "",
                 q.launcher.mpi, q.launcher.agent);
    /* Before anything is there to be removed. */
    if (pbc_stopped(&err) != 0 || (!q.keep && keep_watch(&q, &w, &err) < 0))
        return pbc_complain(&err);
    for (unsigned i = 0; i < TRIES && rc == PBC_EXIT_AGAIN; i++) {
        rc = stage(&q, i, &err);
        if (rc < 0)
            return pbc_complain(&err);
    }
    if (rc == PBC_EXIT_AGAIN) {
        pbc_fail(
            &err, PBC_EXIT_AGAIN,
            "the agents did not meet in %d tries: run the job again; if that does not help let "
            "them meet in another way (--mpi), and tell the administrator",
            TRIES);
        return pbc_complain(&err);
    }
    if (rc == PBC_EXIT_OK && !q.keep && still_watched(&q, &w, &err) < 0)
        return pbc_complain(&err);
    return rc;
}
