/* srun, sbatch and salloc: refuse what cannot work before a node is allocated, and in srun stage
 * before the tasks are launched. */

#include "context.h"

#include "bundle.h"
#include "launch.h"
#include "manifest.h"
#include "options.h"
#include "relocate.h"
#include "resolve.h"
#include "slurm_port.h"
#include "store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A string of the environment cannot be longer than 128 KiB; Slurm drops those that are. */
#define LIST_MAX 120000

#define CRED_LOOK 30 /* seconds of staging before the life of a credential is asked for */

/* What init_post_opt found, for local_user_init. */
static struct {
    unsigned calls; /* one for each component of a heterogeneous job */
    int active;
    int in_job; /* srun inside an allocation that outlives it */
    int verbose;
    struct pbc_site site;
    struct pbc_bundles bundles;
} request;

static int refuse(const struct pbc_error *err)
{
    pbc_slurm_error("%s", err->text);
    return -1;
}

int pbc_hook_site(int argc, char *const argv[], struct pbc_site *site)
{
    struct pbc_error err;

    pbc_site_defaults(site);
    if (pbc_site_parse(argc, argv, site, &err) < 0) {
        pbc_slurm_error("plugstack.conf: %s", err.text);
        return -1;
    }
    return 0;
}

static char *get_var(void *arg, const char *name)
{
    const char *value = getenv(name);

    (void)arg;
    return value == NULL ? NULL : strdup(value);
}

static int set_var(void *arg, const char *name, const char *value)
{
    (void)arg;
    return value == NULL ? unsetenv(name) : setenv(name, value, 1);
}

/* What this process hands on to tasks is not to point into the tree of the job around it, if it was
 * this plugin that put it there. */
static void leave_tree(void)
{
    const struct pbc_env env = {.get = get_var, .set = set_var};

    if (getenv(PBC_VAR_SET) != NULL)
        (void)pbc_relocation_undo(&env);
}

/* An sbatch or salloc inside a job is a new beginning. Slurm would hand it the options of the job
 * around it, with paths that meant something elsewhere. Called before Slurm reads them. */
int pbc_submit_init(void)
{
    request.calls = 0;
    if (pbc_slurm_context() == PBC_CTX_ALLOCATOR) {
        unsetenv(PBC_VAR_JOB_BUNDLE);
        unsetenv(PBC_VAR_JOB_VERBOSE);
        leave_tree();
    }
    return 0;
}

static void forget(void)
{
    unsetenv(PBC_VAR_BUNDLES);
    unsetenv(PBC_VAR_ASKED);
    unsetenv(PBC_VAR_VERBOSE);
    unsetenv(PBC_VAR_SET);
    unsetenv(PBC_VAR_FAILED);
}

static int remember(const char *list, const char *asked, int verbose, struct pbc_error *err)
{
    char number[16];

    if (strlen(list) > LIST_MAX || strlen(asked) > LIST_MAX)
        return pbc_fail(err, PBC_EXIT_REFUSED, "the list of bundles is longer than %d bytes",
                        LIST_MAX);
    snprintf(number, sizeof(number), "%d", verbose);
    if (setenv(PBC_VAR_BUNDLES, list, 1) < 0 || setenv(PBC_VAR_ASKED, asked, 1) < 0 ||
        setenv(PBC_VAR_VERBOSE, number, 1) < 0)
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot set the environment");
    unsetenv(PBC_VAR_SET);
    unsetenv(PBC_VAR_FAILED);
    return 0;
}

static int prepare(const char *list, const char *asked, int from_job, struct pbc_error *err)
{
    struct pbc_where_from from = {
        .job = from_job, .partition = request.in_job ? getenv("SLURM_JOB_PARTITION") : NULL};
    char *text = NULL;
    char *word = NULL;
    int rc = -1;

    pbc_bundles_free(&request.bundles);
    if (pbc_bundles_parse(list, &request.bundles, err) < 0 ||
        pbc_resolve(&request.bundles, &request.site, &from, err) < 0 ||
        pbc_bundles_probe(&request.bundles, err) < 0)
        goto done;
    text = pbc_bundles_format(&request.bundles, err);
    if (text == NULL)
        goto done;
    word = strdup(asked);
    if (word == NULL) {
        pbc_fail(err, PBC_EXIT_FAILED, "no memory");
        goto done;
    }
    rc = remember(text, word, request.verbose, err);
done:
    free(text);
    free(word);
    if (rc < 0)
        pbc_bundles_free(&request.bundles);
    return rc;
}

int pbc_submit_options(int argc, char *const argv[])
{
    const int in_srun = pbc_slurm_context() == PBC_CTX_SRUN;
    const char *list, *asked;
    struct pbc_wish wish;
    struct pbc_error err;

    request.active = 0;
    request.calls++;
    if (pbc_hook_site(argc, argv, &request.site) < 0)
        return -1;

    wish = (struct pbc_wish){
        .option = pbc_option_bundle(),
        .twin = getenv(PBC_VAR_BUNDLE_TWIN),
        .bundles = getenv(PBC_VAR_BUNDLES),
        .asked = getenv(PBC_VAR_ASKED),
        .in_job = in_srun && getenv("SLURM_JOB_ID") != NULL,
    };
    /* sbatch and salloc have decided for the sruns of their job. */
    if (!wish.in_job && request.site.default_bundle[0] != '\0')
        wish.site = request.site.default_bundle;
    request.in_job = wish.in_job;
    list = pbc_wish_list(&wish, &asked);

    if (getenv(PBC_VAR_STEP) != NULL) {
        /* The staging step itself, whose environment has nothing else of ours. */
        if (list == NULL)
            return 0;
        pbc_slurm_error("%s is set in the environment; it is pbcast's own mark of a staging step: "
                        "unset it",
                        PBC_VAR_STEP);
        return -1;
    }
    if (list == NULL) {
        leave_tree(); /* --pbcast-bundle=none inside a job that has staged */
        forget();
        return 0;
    }
    /* Its components have job ids and steps of their own, and srun stages for one of them. */
    if (request.calls > 1 || getenv("SLURM_HET_SIZE") != NULL) {
        if (list == wish.site) { /* nobody has asked for it */
            forget();
            return 0;
        }
        pbc_slurm_error("bundles cannot be staged for heterogeneous jobs; submit the components "
                        "as jobs, or give --pbcast-bundle=none");
        return -1;
    }
    if (pbc_wish_verbose(pbc_option_verbose().text, wish.in_job ? getenv(PBC_VAR_VERBOSE) : NULL,
                         getenv(PBC_VAR_VERBOSE_TWIN), &request.verbose, &err) < 0 ||
        prepare(list, asked, list == wish.bundles, &err) < 0)
        return refuse(&err);
    request.active = 1;
    return 0;
}

/* 1 if this node has the set, and its manifest says that all nodes of the step have it. */
static int already_staged(const struct pbc_step *step, const char *set, const char *nodes)
{
    struct pbc_manifest m;
    int staged = 0;
    int fd = pbc_store_open(request.site.store, step->job, step->uid, NULL);

    if (fd < 0)
        return 0;
    if (pbc_manifest_read(fd, set, &m, NULL) == 0) {
        staged = m.nodes != NULL && m.nodes[0] != '\0' && pbc_slurm_hosts_within(nodes, m.nodes);
        pbc_manifest_free(&m);
    }
    close(fd);
    return staged;
}

/* The step exists already, and an srun that ends here would leave it behind: in an allocation of
 * its own it goes with that, in another the next srun would wait for it for ever. There the tasks
 * are launched, and fail before they run (pbc_step_task). */
static int give_up(const struct pbc_error *err)
{
    pbc_slurm_error("%s", err->text);
    if (!request.in_job)
        return -1;
    return setenv(PBC_VAR_FAILED, "1", 1) < 0 ? -1 : 0;
}

/* Slurm does not launch tasks with a credential that is older than cred_expire, and this step's was
 * made before the staging. */
static void warn_of_credential(int64_t seconds)
{
    int expire = seconds < CRED_LOOK ? 0 : pbc_slurm_cred_expire();

    if (expire > 0 && seconds >= expire)
        pbc_slurm_error("staging took %lld s, and Slurm launches no task %d s after its step was "
                        "made (AuthInfo=cred_expire in slurm.conf). %s",
                        (long long)seconds, expire,
                        request.in_job ? "All is staged now: run the same srun again"
                                       : "Use sbatch, which stages before it makes steps");
}

/* Names that mean one thing in one partition and another in others, now that it is known. */
static int settle(uint32_t job, struct pbc_error *err)
{
    struct pbc_where_from from = {.job = 1};
    char *partition;
    int rc;

    if (!pbc_resolve_floats(&request.bundles))
        return 0;
    partition = pbc_slurm_job_partition(job);
    if (partition == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "cannot learn the partition of job %u from slurmctld",
                        job);
    from.partition = partition;
    rc = pbc_resolve(&request.bundles, &request.site, &from, err) < 0 ||
                 pbc_bundles_probe(&request.bundles, err) < 0
             ? -1
             : 0;
    free(partition);
    return rc;
}

static int stage(struct spank_handle *sp, char *set, struct pbc_error *err)
{
    struct pbc_step step;
    uint32_t count = 0;
    char *nodes;
    int rc = 0;

    if (pbc_slurm_step(sp, &step) < 0)
        return pbc_fail(err, PBC_EXIT_FAILED, "Slurm does not say which step this is");
    /* The shell of salloc on a node: the sruns that are called in it will stage. */
    if (step.kind != PBC_STEP_NORMAL)
        return 1;

    nodes = pbc_slurm_step_nodes(step.job, step.step, &count);
    if (nodes == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED,
                        "cannot learn the nodes of step %u.%u from slurmctld: %s", step.job,
                        step.step, pbc_slurm_reason());
    if (settle(step.job, err) < 0) {
        free(nodes);
        return -1;
    }
    pbc_bundles_id(&request.bundles, set);
    if (!already_staged(&step, set, nodes)) {
        struct pbc_launch launch = {
            .site = &request.site,
            .bundles = &request.bundles,
            .job = step.job,
            .set = set,
            .nodes = nodes,
            .count = count,
            .verbose = request.verbose,
            .in_client = 1,
            .slurm_conf = getenv("SLURM_CONF"),
        };
        time_t start = time(NULL);

        rc = pbc_launch(&launch, err);
        if (rc == 0)
            warn_of_credential((int64_t)(time(NULL) - start));
    }
    free(nodes);
    return rc;
}

int pbc_submit_stage(struct spank_handle *sp)
{
    char set[PBC_SET_ID_LEN + 1];
    struct pbc_error err;
    int rc;

    if (!request.active)
        return 0;
    rc = stage(sp, set, &err);
    if (rc > 0)
        return 0;
    /* srun merges its environment into the tasks' right after this hook. */
    if (rc == 0 && setenv(PBC_VAR_SET, set, 1) < 0)
        rc = pbc_fail_errno(&err, PBC_EXIT_FAILED, "cannot set the environment");
    return rc < 0 ? give_up(&err) : 0;
}
