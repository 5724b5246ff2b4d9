/* srun, sbatch and salloc: refuse what cannot work before a node is allocated, and in srun stage
 * before the tasks are launched. */

#include "context.h"

#include "options.h"
#include "relocate.h"
#include "request.h"
#include "resolve.h"
#include "slurm_port.h"
#include "staging.h"

#include <stdlib.h>
#include <string.h>

/* What init_post_opt found, for local_user_init. */
static struct {
    unsigned calls;                 /* one for each component of a heterogeneous job or step */
    char first[PBC_SET_ID_LEN + 1]; /* the set of the first of them; "" = none */
    int active;                     /* the last of them is to stage `request` */
    struct pbc_request request;
} submit;

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

/* Take back what this plugin has set in the environment of the job around this process: tasks
 * inherit that environment, and must not be sent into that job's tree. */
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
    submit.calls = 0;
    if (pbc_slurm_context() == PBC_CTX_ALLOCATOR) {
        pbc_options_forget_job();
        leave_tree();
    }
    return 0;
}

/* The components of a heterogeneous job share one set of bundles: its batch script has one
 * environment, and srun stages once for all of them. */
static int same_for_all(struct pbc_error *err)
{
    char set[PBC_SET_ID_LEN + 1] = "";

    if (submit.active)
        pbc_bundles_id(&submit.request.bundles, set);
    if (submit.calls == 1)
        memcpy(submit.first, set, sizeof(set));
    else if (strcmp(submit.first, set) != 0)
        return pbc_fail(err, PBC_EXIT_USAGE,
                        "the components of a heterogeneous job share one set of bundles: give the "
                        "options of pbcast before the first colon (or \"hetjob\") only");
    return 0;
}

/* srun calls the hook that stages for one component only, and what that hook adds to the
 * environment reaches that component's tasks alone. So the others get the name of the set here. */
static int name_the_set(struct pbc_error *err)
{
    char set[PBC_SET_ID_LEN + 1];

    /* The components may lie in several partitions: a name means the same in all. */
    if (pbc_resolve_floats(&submit.request.bundles) &&
        pbc_request_look_again(&submit.request, "", err) < 0)
        return -1;
    pbc_bundles_id(&submit.request.bundles, set);
    return pbc_request_put(PBC_VAR_SET, set, err);
}

int pbc_submit_options(int argc, char *const argv[])
{
    struct pbc_request *r = &submit.request;
    struct pbc_error err;
    int any;

    submit.active = 0;
    submit.calls++;
    if (pbc_hook_site(argc, argv, &r->site) < 0)
        return -1;
    r->in_job = pbc_slurm_context() == PBC_CTX_SRUN && getenv("SLURM_JOB_ID") != NULL;
    any = pbc_request_ask(r);
    r->outlived =
        r->in_job || (any && pbc_slurm_context() == PBC_CTX_SRUN && pbc_slurm_jobid_given());
    pbc_options_next_component();

    if (getenv(PBC_VAR_STEP) != NULL) {
        /* The staging step itself, whose environment has nothing else of ours. */
        if (!any)
            return 0;
        pbc_slurm_error("%s is set in the environment; it is pbcast's own mark of a staging step: "
                        "unset it",
                        PBC_VAR_STEP);
        return -1;
    }
    if (!any) {
        leave_tree(); /* --pbcast-bundle=none inside a job that has staged */
        pbc_request_forget();
    } else if (pbc_request_look(r, &err) < 0) {
        return refuse(&err);
    }
    submit.active = any;
    if (same_for_all(&err) < 0)
        return refuse(&err);
    if (any && submit.calls > 1 && pbc_slurm_context() == PBC_CTX_SRUN && name_the_set(&err) < 0)
        return refuse(&err);
    return 0;
}

int pbc_submit_stage(struct spank_handle *sp)
{
    return submit.active ? pbc_staging(sp, &submit.request, submit.calls) : 0;
}
