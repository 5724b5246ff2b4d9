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
    unsigned calls;                 /* one for each component of a heterogeneous job or step */
    char first[PBC_SET_ID_LEN + 1]; /* the set of the first of them; "" = none */
    int active;
    int in_job; /* srun inside an allocation that outlives it */
    int verbose;
    struct pbc_site site;
    struct pbc_bundles bundles;
} request;

/* What a job's list is made of, in overlay order. */
enum part { LIST, USERBASE, MIRROR, PARTS };

static const struct {
    enum pbc_option option;
    const char *twin, *kept, *asked;
} variable[PARTS] = {
    [LIST] = {PBC_OPT_BUNDLE, PBC_VAR_BUNDLE_TWIN, PBC_VAR_BUNDLES, PBC_VAR_ASKED},
    [USERBASE] = {PBC_OPT_USERBASE, PBC_VAR_USERBASE_TWIN, PBC_VAR_USERBASE,
                  PBC_VAR_USERBASE_ASKED},
    [MIRROR] = {PBC_OPT_MIRROR, PBC_VAR_MIRROR_TWIN, PBC_VAR_MIRROR, PBC_VAR_MIRROR_ASKED},
};

struct ask {
    const char *text;  /* NULL: nothing */
    const char *asked; /* as the user wrote it */
    int from_job;      /* the text is what the job's environment has kept */
};

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
        pbc_options_forget_job();
        leave_tree();
    }
    return 0;
}

static void forget(void)
{
    for (int i = 0; i < PARTS; i++) {
        unsetenv(variable[i].kept);
        unsetenv(variable[i].asked);
    }
    unsetenv(PBC_VAR_ENV);
    unsetenv(PBC_VAR_VERBOSE);
    unsetenv(PBC_VAR_SET);
    unsetenv(PBC_VAR_FAILED);
}

static int put(const char *name, const char *value, struct pbc_error *err)
{
    if (value == NULL || value[0] == '\0')
        unsetenv(name);
    else if (setenv(name, value, 1) < 0)
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot set the environment");
    return 0;
}

static int remember(char *const text[PARTS], char *const asked[PARTS], const char *profile,
                    struct pbc_error *err)
{
    size_t len = 0;
    char number[16];

    for (int i = 0; i < PARTS; i++)
        len += strlen(text[i]) + (asked[i] != NULL ? strlen(asked[i]) : 0);
    if (len > 2 * LIST_MAX || strlen(text[0]) > LIST_MAX)
        return pbc_fail(err, PBC_EXIT_REFUSED, "the list of bundles is longer than %d bytes",
                        LIST_MAX);
    snprintf(number, sizeof(number), "%d", request.verbose);
    for (int i = 0; i < PARTS; i++) {
        if (put(variable[i].kept, text[i], err) < 0 || put(variable[i].asked, asked[i], err) < 0)
            return -1;
    }
    if (put(PBC_VAR_ENV, profile, err) < 0 || put(PBC_VAR_VERBOSE, number, err) < 0)
        return -1;
    unsetenv(PBC_VAR_SET);
    unsetenv(PBC_VAR_FAILED);
    return 0;
}

/* The element of a list that a directory is, malloced: `text` is what the user wrote, or, from the
 * job, the element itself. */
static char *element(enum part part, const struct ask *ask, struct pbc_error *err)
{
    const char *base = getenv("PYTHONUSERBASE"), *home = getenv("HOME");
    char *word = NULL;
    int rc;

    if (ask->from_job)
        rc = (word = strdup(ask->text)) == NULL ? -1 : 0;
    else if (strchr(ask->text, ',') != NULL)
        return pbc_fail(err, PBC_EXIT_REFUSED,
                        "directory %s has a comma in its path, which separates bundles: rename it",
                        ask->text),
               NULL;
    else if (part == MIRROR)
        rc = asprintf(&word, PBC_MIRROR "%s", ask->text);
    else if (strcmp(ask->text, PBC_USERBASE_DEFAULT) != 0)
        rc = asprintf(&word, PBC_USERBASE "%s", ask->text);
    else if (base != NULL && base[0] != '\0')
        rc = asprintf(&word, PBC_USERBASE "%s", base);
    else
        rc = asprintf(&word, PBC_USERBASE "%s/.local", home != NULL ? home : "");
    if (rc < 0) {
        pbc_fail(err, PBC_EXIT_FAILED, "no memory");
        return NULL;
    }
    return word;
}

/* Resolve and look at the whole list, in which the first `count` are the user's. */
static int look(const char *list, size_t count, int from_job, struct pbc_error *err)
{
    struct pbc_where_from from = {
        .job = from_job, .partition = request.in_job ? getenv("SLURM_JOB_PARTITION") : NULL};

    pbc_bundles_free(&request.bundles);
    if (pbc_bundles_parse(list, &request.bundles, err) < 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        if (request.bundles.item[i].kind != PBC_BUNDLE_ARCHIVE)
            return pbc_fail(err, PBC_EXIT_USAGE,
                            "directory %s in the list of bundles: give it with --pbcast-mirror or "
                            "--pbcast-userbase",
                            request.bundles.item[i].path);
    }
    request.bundles.pack_max = request.site.mirror_max;
    return pbc_resolve(&request.bundles, &request.site, &from, err) < 0 ||
                   pbc_bundles_probe(&request.bundles, err) < 0
               ? -1
               : 0;
}

static int prepare(const struct ask ask[PARTS], const char *profile, struct pbc_error *err)
{
    char *text[PARTS] = {NULL}, *asked[PARTS] = {NULL};
    size_t count[PARTS] = {0}, from = 0;
    char *whole = NULL;
    int rc = 0, failed = 0;

    for (int i = 0; i < PARTS && rc == 0; i++) {
        if (ask[i].text == NULL)
            continue;
        text[i] = i == LIST ? strdup(ask[i].text) : element((enum part)i, &ask[i], err);
        asked[i] = strdup(ask[i].asked);
        if (text[i] == NULL || asked[i] == NULL) {
            rc = i == LIST ? pbc_fail(err, PBC_EXIT_FAILED, "no memory") : -1;
            break;
        }
        count[i] = 1;
        for (const char *p = text[i]; i == LIST && *p != '\0'; p++)
            count[i] += *p == ',';
    }
    if (rc == 0) {
        whole = pbc_join_lists(text[LIST], text[USERBASE], text[MIRROR], &failed);
        /* An empty list is for the parser to refuse. */
        rc = failed ? pbc_fail(err, PBC_EXIT_FAILED, "no memory")
                    : look(whole != NULL ? whole : "", count[LIST], ask[LIST].from_job, err);
    }
    for (int i = 0; i < PARTS && rc == 0; i++) {
        free(text[i]);
        text[i] = pbc_bundles_format_some(&request.bundles, from, count[i], err);
        rc = text[i] == NULL ? -1 : 0;
        from += count[i];
    }
    if (rc == 0)
        rc = remember(text, asked, profile, err);
    for (int i = 0; i < PARTS; i++) {
        free(text[i]);
        free(asked[i]);
    }
    free(whole);
    if (rc < 0)
        pbc_bundles_free(&request.bundles);
    return rc;
}

/* What counts for one part. */
static struct ask ask_for(const struct pbc_wish *wish)
{
    struct ask ask;

    ask.text = pbc_wish_list(wish, &ask.asked);
    ask.from_job = ask.text != NULL && ask.text == wish->bundles;
    return ask;
}

/* Fill `ask`. 1 if there is anything to stage. */
static int ask_all(struct ask ask[PARTS])
{
    int none = 0, any = 0;

    for (int i = 0; i < PARTS; i++) {
        struct pbc_wish wish = {
            .option = pbc_option(variable[i].option),
            .twin = getenv(variable[i].twin),
            .bundles = getenv(variable[i].kept),
            .asked = getenv(variable[i].asked),
            .in_job = request.in_job,
        };

        /* sbatch and salloc have decided for the sruns of their job. */
        if (i == LIST && !wish.in_job && request.site.default_bundle[0] != '\0')
            wish.site = request.site.default_bundle;
        if (i == LIST)
            none = pbc_wish_is_none(&wish);
        ask[i] = ask_for(&wish);
        /* --pbcast-bundle=none takes the others along, unless they stand beside it. */
        if (i > LIST && none && (wish.option.text == NULL || wish.option.from_job))
            ask[i] = (struct ask){0};
        any |= ask[i].text != NULL;
    }
    return any;
}

/* The components share one list: the batch script has one environment, and srun calls the hook that
 * stages for one of them only. That one's environment alone gets what the hook adds; so all get the
 * name of the set here. */
static int same_for_all(struct pbc_error *err)
{
    const struct pbc_where_from anywhere = {.job = 1, .partition = ""};
    char set[PBC_SET_ID_LEN + 1] = "";

    if (request.active)
        pbc_bundles_id(&request.bundles, set);
    if (request.calls == 1) {
        memcpy(request.first, set, sizeof(set));
        return 0;
    }
    if (strcmp(request.first, set) != 0)
        return pbc_fail(err, PBC_EXIT_USAGE,
                        "the components of a heterogeneous job share one set of bundles: give the "
                        "options of pbcast before the first colon (or \"hetjob\") only");
    if (!request.active || pbc_slurm_context() != PBC_CTX_SRUN)
        return 0;
    /* They may lie in several partitions: a name means the same in all. */
    if (pbc_resolve_floats(&request.bundles) &&
        (pbc_resolve(&request.bundles, &request.site, &anywhere, err) < 0 ||
         pbc_bundles_probe(&request.bundles, err) < 0))
        return -1;
    pbc_bundles_id(&request.bundles, set);
    return put(PBC_VAR_SET, set, err);
}

int pbc_submit_options(int argc, char *const argv[])
{
    struct ask ask[PARTS];
    const char *profile;
    struct pbc_error err;
    int any;

    request.active = 0;
    request.calls++;
    if (pbc_hook_site(argc, argv, &request.site) < 0)
        return -1;
    request.in_job = pbc_slurm_context() == PBC_CTX_SRUN && getenv("SLURM_JOB_ID") != NULL;
    any = ask_all(ask);
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
        forget();
        return same_for_all(&err) < 0 ? refuse(&err) : 0;
    }
    if (pbc_wish_verbose(pbc_option(PBC_OPT_VERBOSE).text,
                         request.in_job ? getenv(PBC_VAR_VERBOSE) : NULL,
                         getenv(PBC_VAR_VERBOSE_TWIN), &request.verbose, &err) < 0 ||
        pbc_wish_env(pbc_option(PBC_OPT_ENV).text, request.in_job ? getenv(PBC_VAR_ENV) : NULL,
                     getenv(PBC_VAR_ENV_TWIN), &profile, &err) < 0 ||
        prepare(ask, profile, &err) < 0)
        return refuse(&err);
    request.active = 1;
    return same_for_all(&err) < 0 ? refuse(&err) : 0;
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

/* Stage for a step, or a component of one, on `nodes`. */
static int stage_step(const struct pbc_step *step, const struct pbc_component *c, const char *set,
                      const char *nodes, uint32_t count, struct pbc_error *err)
{
    struct pbc_launch launch = {
        .site = &request.site,
        .bundles = &request.bundles,
        .job = step->job,
        .leader = c->leader,
        .component = c->number,
        .set = set,
        .nodes = nodes,
        .count = count,
        .verbose = request.verbose,
        .in_client = 1,
        .slurm_conf = getenv("SLURM_CONF"),
    };

    return already_staged(step, set, nodes) ? 0 : pbc_launch(&launch, err);
}

/* Each component that has a part of the step: it has a job id and a directory of its own. */
static int stage_components(const struct pbc_step *step, const struct pbc_component *list, size_t n,
                            const char *set, struct pbc_error *err)
{
    int rc = 0;

    for (size_t i = 0; i < n && rc == 0; i++) {
        struct pbc_step part = *step;
        uint32_t count = 0;
        char *nodes;

        if (request.calls == 1 && list[i].job != step->job)
            continue;
        part.job = list[i].job;
        nodes = pbc_slurm_step_nodes(part.job, part.step, &count);
        if (nodes != NULL)
            rc = stage_step(&part, &list[i], set, nodes, count, err);
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
static int maybe_het(void)
{
    return request.calls > 1 || getenv("SLURM_HET_SIZE") != NULL ||
           getenv("SLURM_JOB_CPUS_PER_NODE_HET_GROUP_0") != NULL; /* srun --jobid */
}

static int stage(struct spank_handle *sp, char *set, struct pbc_error *err)
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
    if (maybe_het() && (list = pbc_slurm_components(step.job, &n)) == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED,
                        "cannot learn the components of job %u from slurmctld: %s", step.job,
                        pbc_slurm_reason());
    rc = settle(step.job, err);
    if (rc == 0) {
        pbc_bundles_id(&request.bundles, set);
        start = time(NULL);
        rc = stage_components(&step, list != NULL ? list : &alone, n, set, err);
    }
    if (rc == 0)
        warn_of_credential((int64_t)(time(NULL) - start));
    free(list);
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
