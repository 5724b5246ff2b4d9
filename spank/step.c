/* Tasks: root makes the job's directory for the agents; the user's side puts each task into the
 * staged tree, and stages before the first line of a batch script. */

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
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COMPONENTS_MAX 128 /* of a heterogeneous job, as in Slurm */

struct host {
    char name[256];
};

static struct host this_host(void)
{
    struct host h;

    if (gethostname(h.name, sizeof(h.name)) < 0)
        snprintf(h.name, sizeof(h.name), "?");
    h.name[sizeof(h.name) - 1] = '\0';
    return h;
}

static int in_staging_step(struct spank_handle *sp, const struct pbc_step *step)
{
    char *mark;
    int yes;

    if (step->kind != PBC_STEP_NORMAL)
        return 0;
    mark = pbc_slurm_getenv(sp, PBC_VAR_STEP);
    yes = mark != NULL && strcmp(mark, "1") == 0;
    free(mark);
    return yes;
}

int pbc_step_privileged(struct spank_handle *sp, int argc, char *const argv[])
{
    struct pbc_site site;
    struct pbc_step step;
    struct pbc_error err;

    if (pbc_slurm_step(sp, &step) < 0 || !in_staging_step(sp, &step))
        return 0;
    if (pbc_hook_site(argc, argv, &site) < 0)
        return -1;
    if (pbc_store_make(site.store, step.job, step.uid, step.gid, &err) < 0) {
        pbc_slurm_error("node %s: %s", this_host().name, err.text);
        return -1;
    }
    return 0;
}

static char *get_var(void *sp, const char *name)
{
    return pbc_slurm_getenv(sp, name);
}

static int set_var(void *sp, const char *name, const char *value)
{
    if (value != NULL)
        return pbc_slurm_setenv(sp, name, value);
    pbc_slurm_unsetenv(sp, name);
    return 0;
}

static int relocate(struct spank_handle *sp, const struct pbc_manifest *m, const char *root,
                    struct pbc_error *err)
{
    const struct pbc_env env = {.get = get_var, .set = set_var, .arg = sp};

    /* The script's tree, if this step has another. */
    if (pbc_relocation_undo(&env) < 0)
        return pbc_fail(err, PBC_EXIT_FAILED, "cannot clean the task's environment");
    return pbc_relocation_apply(m, root, &env, err);
}

/* --pbcast-env */
static int override(struct spank_handle *sp, struct pbc_manifest *m, struct pbc_error *err)
{
    char *name = pbc_slurm_getenv(sp, PBC_VAR_ENV);
    enum pbc_profile profile;
    int rc = 0;

    if (name != NULL && pbc_profile_from_name(name, &profile) < 0)
        rc = pbc_fail(err, PBC_EXIT_FAILED, "%s=%s is no profile", PBC_VAR_ENV, name);
    else if (name != NULL)
        rc = pbc_profile_override(m, profile, err);
    free(name);
    return rc;
}

/* Put the task into the tree of `set`, if this node has it. `*ret_alike` is 1 for an error that all
 * nodes have: the trees are the same. */
static int enter(struct spank_handle *sp, const struct pbc_site *site, const struct pbc_step *step,
                 const char *set, int *ret_alike, struct pbc_error *err)
{
    struct pbc_manifest m;
    char *root = NULL;
    int rc;
    int fd = pbc_store_open(site->store, step->job, step->uid, err);

    *ret_alike = 0;
    rc = fd >= 0 ? pbc_manifest_read(fd, set, &m, err) : errno == ENOENT ? 1 : -1;
    if (fd >= 0)
        close(fd);
    if (rc > 0)
        return pbc_fail(err, PBC_EXIT_FAILED,
                        "set %s of job %u is not staged here (no %s/%u/%s.manifest): start the "
                        "task with an srun that has --pbcast-bundle, or run pbcast-stage on this "
                        "node; if that was done, each step sees another %s, and the site needs "
                        "another store=",
                        set, step->job, site->store, step->job, set, site->store);
    if (rc < 0)
        return -1;
    if (asprintf(&root, "%s/%u/%s", site->store, step->job, set) < 0) {
        root = NULL;
        rc = pbc_fail(err, PBC_EXIT_FAILED, "no memory");
    } else if ((rc = override(sp, &m, err)) < 0) {
        *ret_alike = 1;
    } else {
        rc = relocate(sp, &m, root, err);
    }
    free(root);
    pbc_manifest_free(&m);
    return rc;
}

/* The whole list of the job, malloced; NULL if there is none. */
static char *job_list(struct spank_handle *sp)
{
    char *list = pbc_slurm_getenv(sp, PBC_VAR_BUNDLES);
    char *userbase = pbc_slurm_getenv(sp, PBC_VAR_USERBASE);
    char *mirror = pbc_slurm_getenv(sp, PBC_VAR_MIRROR);
    int failed;
    char *whole = pbc_join_lists(list, userbase, mirror, &failed);

    free(list);
    free(userbase);
    free(mirror);
    return whole;
}

/* A variable of a component of the job, or of the job if `component` is -1. */
static char *job_var(struct spank_handle *sp, const char *name, int component)
{
    char full[64];

    if (component < 0)
        return pbc_slurm_getenv(sp, name);
    snprintf(full, sizeof(full), "%s_HET_GROUP_%d", name, component);
    return pbc_slurm_getenv(sp, full);
}

/* The nodes of the whole allocation, as slurmstepd put them into the batch script's environment. */
static char *job_nodes(struct spank_handle *sp, int component, uint32_t *count,
                       struct pbc_error *err)
{
    char *nodes = job_var(sp, "SLURM_JOB_NODELIST", component);
    char *number = job_var(sp, "SLURM_JOB_NUM_NODES", component);
    unsigned long n = 0;
    int good = nodes != NULL && number != NULL && nodes[0] != '\0' &&
               pbc_parse_number(number, 1, 1u << 20, &n) == 0 &&
               strspn(nodes, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                             "._-,[]") == strlen(nodes) &&
               pbc_slurm_hosts_count(nodes) == (int)n;

    free(number);
    if (!good) {
        free(nodes);
        pbc_fail(err, PBC_EXIT_FAILED,
                 "SLURM_JOB_NODELIST and SLURM_JOB_NUM_NODES do not name the job's nodes");
        return NULL;
    }
    *count = (uint32_t)n;
    return nodes;
}

/* The number in a variable of the job's environment, 0 if there is none. */
static unsigned long job_number(struct spank_handle *sp, const char *name, int component)
{
    char *text = job_var(sp, name, component);
    unsigned long n = 0;

    if (text == NULL || pbc_parse_number(text, 1, UINT32_MAX, &n) < 0)
        n = 0;
    free(text);
    return n;
}

/* How many components the job has; 0 if it is not heterogeneous. The variables may be those of a
 * heterogeneous job in which this one was submitted: then the ids differ. */
static int count_components(struct spank_handle *sp, const struct pbc_step *step)
{
    unsigned long n = job_number(sp, "SLURM_HET_SIZE", -1);

    return n <= COMPONENTS_MAX && job_number(sp, "SLURM_JOB_ID", 0) == step->job ? (int)n : 0;
}

/* Stage on all nodes of the job, one component after the other. A job without components counts as
 * one, with the number -1 (job_var). */
static int stage_nodes(struct spank_handle *sp, const struct pbc_step *step,
                       struct pbc_launch *launch, struct pbc_error *err)
{
    int n = count_components(sp, step);
    int rc = 0;

    for (int i = n > 0 ? 0 : -1; i < n && rc == 0; i++) {
        char *nodes = job_nodes(sp, i, &launch->count, err);

        if (i >= 0) {
            launch->leader = step->job;
            launch->component = (uint32_t)i;
            launch->job = (uint32_t)job_number(sp, "SLURM_JOB_ID", i);
        }
        launch->nodes = nodes;
        rc = nodes == NULL ? -1 : pbc_launch(launch, err);
        free(nodes);
    }
    launch->nodes = NULL;
    return rc;
}

/* Look up the names of the list, of which the environment may say anything, in the catalogue. The
 * versions found go back into the environment: the sruns of the job get the same ones, even if a
 * default moves meanwhile. */
static int look_up_names(struct spank_handle *sp, const struct pbc_site *site,
                         struct pbc_bundles *bundles, struct pbc_error *err)
{
    char *partition = pbc_slurm_getenv(sp, "SLURM_JOB_PARTITION");
    struct pbc_where_from from = {.job = 1, .partition = partition};
    char *list = NULL;
    size_t count = 0;
    int rc;

    if (partition == NULL) /* the first component's counts for all */
        from.partition = partition = job_var(sp, "SLURM_JOB_PARTITION", 0);
    if (partition == NULL)
        from.partition = "";
    rc = pbc_resolve(bundles, site, &from, err);

    free(partition);
    while (count < bundles->count && bundles->item[count].kind == PBC_BUNDLE_ARCHIVE)
        count++;
    if (rc == 0 && (list = pbc_bundles_format(bundles, 0, count, err)) == NULL)
        rc = -1;
    if (rc == 0 && count > 0 && pbc_slurm_setenv(sp, PBC_VAR_BUNDLES, list) < 0)
        rc = pbc_fail(err, PBC_EXIT_FAILED, "cannot set %s in the script's environment",
                      PBC_VAR_BUNDLES);
    free(list);
    return rc;
}

/* Before the first line of the script: the bundles may have changed since they were submitted, so
 * they are looked at again. */
static int stage_batch(struct spank_handle *sp, const struct pbc_site *site,
                       const struct pbc_step *step, const char *list, char *set,
                       struct pbc_error *err)
{
    struct pbc_bundles bundles;
    struct pbc_launch launch = {
        .site = site,
        .bundles = &bundles,
        .job = step->job,
        .set = set,
        /* That of slurmstepd, not that of the script: it is the daemon's word. */
        .slurm_conf = getenv("SLURM_CONF"),
    };
    char *verbose;
    int rc = -1;

    if (pbc_bundles_parse(list, &bundles, err) < 0)
        return -1;
    bundles.pack_max = site->mirror_max;
    if (look_up_names(sp, site, &bundles, err) < 0) {
        pbc_bundles_free(&bundles);
        return -1;
    }
    verbose = pbc_slurm_getenv(sp, PBC_VAR_VERBOSE);
    if (pbc_bundles_probe(&bundles, err) == 0 &&
        pbc_wish_verbose(NULL, verbose, NULL, &launch.verbose, err) == 0) {
        pbc_bundles_id(&bundles, set);
        rc = stage_nodes(sp, step, &launch, err);
    }
    if (rc == 0 && pbc_slurm_setenv(sp, PBC_VAR_SET, set) < 0)
        rc = pbc_fail(err, PBC_EXIT_FAILED, "cannot set %s in the script's environment",
                      PBC_VAR_SET);
    free(verbose);
    pbc_bundles_free(&bundles);
    return rc;
}

/* Whether one of our options asks for bundles. Slurm brings the options to the step by itself,
 * whatever became of the environment. */
static int option_given(void)
{
    const enum pbc_option options[] = {PBC_OPT_BUNDLE, PBC_OPT_USERBASE, PBC_OPT_MIRROR};

    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        const char *text = pbc_option(options[i]).text;

        if (text != NULL && strcmp(text, PBC_BUNDLE_NONE) != 0)
            return 1;
        if (text != NULL && options[i] == PBC_OPT_BUNDLE)
            return 0; /* none switches the others off too; those given beside it are in the
                         environment */
    }
    return 0;
}

/* The set for this task in `set`: 1 there is one, 0 none is asked for, -1 with err. */
static int find_set(struct spank_handle *sp, const struct pbc_site *site,
                    const struct pbc_step *step, char *set, struct pbc_error *err)
{
    char *bundles = job_list(sp);
    char *staged = pbc_slurm_getenv(sp, PBC_VAR_SET);
    int rc = 0;

    if (step->kind == PBC_STEP_BATCH) {
        if (bundles != NULL)
            rc = stage_batch(sp, site, step, bundles, set, err) < 0 ? -1 : 1;
        else if (option_given())
            rc = pbc_fail(err, PBC_EXIT_FAILED,
                          "bundles are asked for, but the job's environment has lost %s (was it "
                          "replaced by --export-file?); the script would run from the shared file "
                          "system",
                          PBC_VAR_BUNDLES);
    } else if (staged != NULL) {
        if (pbc_set_id_valid(staged)) {
            memcpy(set, staged, PBC_SET_ID_LEN + 1);
            rc = 1;
        } else {
            rc = pbc_fail(err, PBC_EXIT_FAILED, "%s=%s is not the name of a set", PBC_VAR_SET,
                          staged);
        }
    } else if ((bundles != NULL || option_given()) && step->kind == PBC_STEP_NORMAL) {
        /* srun has neither staged nor failed: an `optional` line in plugstack.conf hides its error,
         * or the step was started without srun's plugins. */
        rc = pbc_fail(err, PBC_EXIT_FAILED,
                      "bundles are asked for (%s) but this step has staged none; the task would "
                      "run from the shared file system (is pbcast 'required' in plugstack.conf?)",
                      bundles != NULL ? bundles : "--pbcast-...");
    }
    free(bundles);
    free(staged);
    return rc;
}

/* Whether anything is asked of us in this step. */
static int concerned(struct spank_handle *sp)
{
    char *bundles = job_list(sp);
    char *staged = pbc_slurm_getenv(sp, PBC_VAR_SET);
    int yes = bundles != NULL || staged != NULL || option_given();

    free(bundles);
    free(staged);
    return yes;
}

/* 1 if srun has marked the step as one whose staging has failed in another component. */
static int failed_elsewhere(const struct pbc_site *site, const struct pbc_step *step)
{
    int fd = pbc_store_open(site->store, step->job, step->uid, NULL);
    char name[32];
    int yes;

    if (fd < 0)
        return 0;
    snprintf(name, sizeof(name), PBC_MARK_FAILED "%u", (unsigned)step->step);
    yes = faccessat(fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    close(fd);
    return yes;
}

/* pbc_hook_site, but for who says it. */
static int read_site(int argc, char *const argv[], struct pbc_site *site, struct pbc_error *err)
{
    struct pbc_error why;

    pbc_site_defaults(site);
    if (pbc_site_parse(argc, argv, site, &why) == 0)
        return 0;
    return pbc_fail(err, why.code, "plugstack.conf: %s", why.text);
}

int pbc_step_task(struct spank_handle *sp, int argc, char *const argv[])
{
    char set[PBC_SET_ID_LEN + 1];
    struct pbc_site site;
    struct pbc_step step;
    struct pbc_error err;
    char *failed;
    int rc, alike = 0;

    if (pbc_slurm_step(sp, &step) < 0 || step.kind == PBC_STEP_EXTERN ||
        in_staging_step(sp, &step) || !concerned(sp))
        return 0;
    failed = pbc_slurm_getenv(sp, PBC_VAR_FAILED);
    if (failed != NULL && step.kind != PBC_STEP_BATCH) {
        free(failed);
        return -1; /* srun has said why */
    }
    free(failed);
    /* A wrong key in plugstack.conf is no reason to fail jobs that want nothing of us. */
    rc = read_site(argc, argv, &site, &err);
    if (rc == 0 && step.kind == PBC_STEP_NORMAL && failed_elsewhere(&site, &step))
        return -1; /* srun has said why */
    if (rc == 0) {
        rc = find_set(sp, &site, &step, set, &err);
        alike = 1; /* the environment is that of all */
    }
    if (rc > 0)
        rc = enter(sp, &site, &step, set, &alike, &err);
    /* All tasks of a node, or of the step, fail for the same reason: one of them says it. */
    if (rc < 0 && (alike ? pbc_slurm_global_task(sp) : (uint32_t)pbc_slurm_local_task(sp)) == 0) {
        if (strncmp(err.text, "node ", 5) == 0) /* an agent's, with the node where it happened */
            pbc_slurm_error("%s", err.text);
        else
            pbc_slurm_error("node %s: %s", this_host().name, err.text);
    }
    return rc < 0 ? -1 : 0;
}
