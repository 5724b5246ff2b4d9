#include "staging.h"

#include "launch.h"
#include "manifest.h"
#include "options.h"
#include "resolve.h"
#include "slurm_port.h"
#include "store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CRED_LOOK 30 /* seconds of staging before the life of a credential is asked for */

/* 1 if this node has the set, and its manifest says that all nodes of the step have it. */
static int already_staged(const struct pbc_request *r, const struct pbc_step *step, const char *set,
                          const char *nodes)
{
    struct pbc_manifest m;
    int staged = 0;
    int fd = pbc_store_open(r->site.store, step->job, step->uid, NULL);

    if (fd < 0)
        return 0;
    if (pbc_manifest_read(fd, set, &m, NULL) == 0) {
        staged = m.nodes != NULL && m.nodes[0] != '\0' && pbc_slurm_hosts_within(nodes, m.nodes);
        pbc_manifest_free(&m);
    }
    close(fd);
    return staged;
}

/* The step exists already. If srun ended here it would leave the step behind. With an allocation of
 * srun's own the step goes too; in one that lives on, the next srun would wait for it for ever. So
 * there the tasks are launched, and fail before they run (pbc_step_task). */
static int give_up(const struct pbc_request *r, const struct pbc_error *err)
{
    pbc_slurm_error("%s", err->text);
    if (!r->outlived)
        return -1;
    return setenv(PBC_VAR_FAILED, "1", 1) < 0 ? -1 : 0;
}

/* Slurm does not launch tasks with a credential that is older than cred_expire, and this step's was
 * made before the staging. */
static void warn_of_credential(const struct pbc_request *r, int64_t seconds)
{
    int expire = seconds < CRED_LOOK ? 0 : pbc_slurm_cred_expire();

    if (expire > 0 && seconds >= expire)
        pbc_slurm_error("staging took %lld s, and Slurm launches no task %d s after its step was "
                        "made (AuthInfo=cred_expire in slurm.conf). %s",
                        (long long)seconds, expire,
                        r->outlived ? "All is staged now: run the same srun again"
                                    : "Use sbatch, which stages before it makes steps");
}

/* Look up again the names whose version depends on the partition, which is known now. */
static int look_up_names(struct pbc_request *r, uint32_t job, struct pbc_error *err)
{
    char *partition;
    int rc;

    if (!pbc_resolve_floats(&r->bundles))
        return 0;
    partition = pbc_slurm_job_partition(job);
    if (partition == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "cannot learn the partition of job %u from slurmctld",
                        job);
    rc = pbc_request_look_again(r, partition, err);
    free(partition);
    return rc;
}

/* Stage for a step, or a component of one, on `nodes`. */
static int stage_step(const struct pbc_request *r, const struct pbc_step *step,
                      const struct pbc_component *c, const char *set, const char *nodes,
                      uint32_t count, struct pbc_error *err)
{
    struct pbc_launch launch = {
        .site = &r->site,
        .bundles = &r->bundles,
        .job = step->job,
        .leader = c->leader,
        .component = c->number,
        .set = set,
        .nodes = nodes,
        .count = count,
        .verbose = r->verbose,
        .in_client = 1,
        .slurm_conf = getenv("SLURM_CONF"),
    };

    return already_staged(r, step, set, nodes) ? 0 : pbc_launch(&launch, err);
}

/* What the hook puts into the environment reaches the tasks of one component: those of the others
 * find a mark. */
static void mark_others(const struct pbc_request *r, const struct pbc_step *step,
                        const struct pbc_component *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t count = 0;
        /* Parts of an srun in an ordinary job have one id. */
        int is_own = n > 1 && list[i].job == step->job;
        char *nodes = is_own ? NULL : pbc_slurm_step_nodes(list[i].job, step->step, &count);
        const struct pbc_launch launch = {
            .site = &r->site,
            .job = list[i].job,
            .leader = list[i].leader,
            .component = list[i].number,
            .nodes = nodes,
            .count = count,
            .slurm_conf = getenv("SLURM_CONF"),
        };
        struct pbc_error err;

        if (nodes != NULL && pbc_launch_mark(&launch, step->step, &err) < 0)
            pbc_slurm_error("tasks of component %u may start all the same: %s", list[i].number,
                            err.text);
        free(nodes);
    }
}

/* Each component that has a part of the step: it has a job id and a directory of its own. */
static int stage_components(const struct pbc_request *r, unsigned components,
                            const struct pbc_step *step, const struct pbc_component *list, size_t n,
                            const char *set, struct pbc_error *err)
{
    int rc = 0;

    for (size_t i = 0; i < n && rc == 0; i++) {
        struct pbc_step part = *step;
        uint32_t count = 0;
        char *nodes;

        if (components == 1 && list[i].job != step->job)
            continue;
        part.job = list[i].job;
        nodes = pbc_slurm_step_nodes(part.job, part.step, &count);
        if (nodes != NULL)
            rc = stage_step(r, &part, &list[i], set, nodes, count, err);
        else if (part.job == step->job || !pbc_slurm_no_such_step())
            rc = pbc_fail(err, PBC_EXIT_FAILED,
                          "cannot learn the nodes of step %u.%u from slurmctld: %s", part.job,
                          part.step, pbc_slurm_reason());
        free(nodes);
    }
    return rc;
}

/* 1 if the step may belong to a heterogeneous job. The variables may be those of another job, which
 * has submitted this one. */
static int maybe_het(unsigned components)
{
    return components > 1 || getenv("SLURM_HET_SIZE") != NULL ||
           getenv("SLURM_JOB_CPUS_PER_NODE_HET_GROUP_0") != NULL; /* srun --jobid */
}

/* 0 staged, with the name in `set`; 1 if this is no step for which to stage; -1 with err. */
static int stage(struct spank_handle *sp, struct pbc_request *r, unsigned components, char *set,
                 struct pbc_error *err)
{
    struct pbc_component alone = {0}, *list = NULL;
    struct pbc_step step;
    size_t n = 1;
    time_t start;
    int rc;

    if (pbc_slurm_step(sp, &step) < 0)
        return pbc_fail(err, PBC_EXIT_FAILED, "Slurm does not say which step this is");
    /* The shell of salloc on a node: the sruns that are called in it will stage. */
    if (step.kind != PBC_STEP_NORMAL)
        return 1;
    alone.job = step.job;
    if (maybe_het(components) && (list = pbc_slurm_components(step.job, &n)) == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED,
                        "cannot learn the components of job %u from slurmctld: %s", step.job,
                        pbc_slurm_reason());
    rc = look_up_names(r, step.job, err);
    if (rc == 0) {
        pbc_bundles_id(&r->bundles, set);
        start = time(NULL);
        rc = stage_components(r, components, &step, list != NULL ? list : &alone, n, set, err);
    }
    if (rc == 0)
        warn_of_credential(r, (int64_t)(time(NULL) - start));
    else if (r->outlived && components > 1)
        mark_others(r, &step, list, n);
    free(list);
    return rc;
}

int pbc_staging(struct spank_handle *sp, struct pbc_request *r, unsigned components)
{
    char set[PBC_SET_ID_LEN + 1];
    struct pbc_error err;
    int rc;

    rc = stage(sp, r, components, set, &err);
    if (rc > 0)
        return 0;
    /* srun merges its environment into the tasks' right after this hook. */
    if (rc == 0 && setenv(PBC_VAR_SET, set, 1) < 0)
        rc = pbc_fail_errno(&err, PBC_EXIT_FAILED, "cannot set the environment");
    return rc < 0 ? give_up(r, &err) : 0;
}
