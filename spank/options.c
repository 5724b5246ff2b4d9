#include "options.h"

#include "profile.h"
#include "site.h"
#include "slurm_port.h"

#include <stdlib.h>
#include <string.h>

#define OPT_COUNT (PBC_OPT_VERBOSE + 1)

static struct {
    char *text;
    int from_job;
    unsigned calls; /* for this component */
} given[OPT_COUNT];

static const struct {
    const char *name, *job, *arginfo, *usage;
    int optional;
} table[OPT_COUNT] = {
    [PBC_OPT_BUNDLE] = {"pbcast-bundle", PBC_VAR_JOB("bundle"), "LIST",
                        "[pbcast] comma separated archives (.tar, .tar.gz, .tar.zst, ...) or names "
                        "of the site's catalogue to unpack on every node before the tasks start, "
                        "later ones over earlier ones; 'none' switches it off; also PBCAST_BUNDLE",
                        0},
    [PBC_OPT_USERBASE] = {"pbcast-userbase", PBC_VAR_JOB("userbase"), "DIR",
                          "[pbcast] pack the Python user base DIR (default: PYTHONUSERBASE, "
                          "~/.local) over the bundles; also PBCAST_USERBASE",
                          1},
    [PBC_OPT_MIRROR] = {"pbcast-mirror", PBC_VAR_JOB("mirror"), "DIR[:PART...]",
                        "[pbcast] pack the directory DIR, or its PARTs, over all else: the "
                        "application; also PBCAST_MIRROR",
                        0},
    [PBC_OPT_ENV] = {"pbcast-env", PBC_VAR_JOB("env"), "PROFILE",
                     "[pbcast] environment of the tasks in place of the one that the bundles ask "
                     "for: " PBC_PROFILE_NAMES "; also PBCAST_ENV",
                     0},
    [PBC_OPT_VERBOSE] = {"pbcast-verbose", PBC_VAR_JOB("verbose"), "0-3",
                         "[pbcast] 0 errors only, 1 one summary line (default), 2 phases and "
                         "progress, 3 all that the staging step says; also PBCAST_VERBOSE",
                         0},
};

static int parse_verbose(const char *text, int *ret)
{
    unsigned long value;

    if (pbc_parse_number(text, 0, PBC_VERBOSE_MAX, &value) < 0)
        return -1;
    *ret = (int)value;
    return 0;
}

/* Slurm first hands over what the job's environment has, then each occurrence on the command line:
 * the last one wins. In slurmstepd it may call twice with the same value. For each further
 * component of a heterogeneous job it begins anew: what the environment has does not replace what
 * an earlier component was given. sbatch reads #SBATCH lines before the environment, which then has
 * what the first component was given. */
static int take(int val, const char *optarg, int remote)
{
    const char *inherited;
    char *copy;
    int ignored, from_job;

    if (val < 0 || val >= OPT_COUNT)
        return -1;
    if (table[val].optional &&
        (optarg == NULL || optarg[0] == '\0' || strcmp(optarg, "(null)") == 0))
        optarg = PBC_USERBASE_DEFAULT;
    if (optarg == NULL)
        return -1;
    /* A wrong value was refused where the user sat; here it could only take a node down. */
    if (!remote && val == PBC_OPT_VERBOSE && parse_verbose(optarg, &ignored) < 0) {
        pbc_slurm_error("--pbcast-verbose takes a number from 0 to %d", PBC_VERBOSE_MAX);
        return -1;
    }
    inherited = remote ? NULL : getenv(table[val].job);
    from_job = given[val].calls++ == 0 && inherited != NULL && strcmp(inherited, optarg) == 0;
    if (from_job && given[val].text != NULL && !given[val].from_job)
        return 0;
    if (inherited != NULL && !from_job && pbc_slurm_context() == PBC_CTX_ALLOCATOR)
        unsetenv(table[val].job);
    if (!remote && !from_job && pbc_slurm_is_scrontab()) {
        pbc_slurm_error("scrontab hands options of plugins to no job: give --%s to the srun that "
                        "the entry starts",
                        table[val].name);
        return -1;
    }
    copy = strdup(optarg);
    if (copy == NULL)
        return -1;
    given[val].from_job = from_job;
    free(given[val].text);
    given[val].text = copy;
    return 0;
}

int pbc_options_register(struct spank_handle *sp)
{
    for (int i = 0; i < OPT_COUNT; i++) {
        if (pbc_slurm_register(sp, table[i].name, table[i].arginfo, table[i].usage,
                               table[i].optional, i, take) < 0)
            return -1;
    }
    return 0;
}

struct pbc_option_value pbc_option(enum pbc_option option)
{
    return (struct pbc_option_value){.text = given[option].text,
                                     .from_job = given[option].from_job};
}

void pbc_options_forget_job(void)
{
    for (int i = 0; i < OPT_COUNT; i++)
        unsetenv(table[i].job);
}

void pbc_options_next_component(void)
{
    for (int i = 0; i < OPT_COUNT; i++)
        given[i].calls = 0;
}

static int present(const char *text)
{
    return text != NULL && text[0] != '\0';
}

int pbc_wish_is_none(const struct pbc_wish *w)
{
    const char *text = w->option.text;

    if (text == NULL && !(w->in_job && present(w->bundles)))
        text = w->twin;
    return text != NULL && strcmp(text, PBC_BUNDLE_NONE) == 0;
}

char *pbc_join_lists(const char *list, const char *userbase, const char *mirror, int *ret_failed)
{
    const char *part[] = {list, userbase, mirror};
    size_t size = 1;
    char *text, *p;

    *ret_failed = 0;
    for (size_t i = 0; i < 3; i++)
        size += present(part[i]) ? strlen(part[i]) + 1 : 0;
    if (size == 1)
        return NULL;
    p = text = malloc(size);
    if (text == NULL) {
        *ret_failed = 1;
        return NULL;
    }
    for (size_t i = 0; i < 3; i++) {
        if (!present(part[i]))
            continue;
        if (p > text)
            *p++ = ',';
        p = stpcpy(p, part[i]);
    }
    *p = '\0';
    return text;
}

const char *pbc_wish_list(const struct pbc_wish *w, const char **asked)
{
    const char *list = NULL;
    const char *text = NULL;

    if (w->option.text != NULL) {
        list = text = w->option.text;
        if (w->in_job && w->option.from_job && present(w->bundles) && w->asked != NULL &&
            strcmp(w->asked, text) == 0)
            list = w->bundles;
    } else if (w->in_job && present(w->bundles)) {
        list = w->bundles;
        text = w->asked != NULL ? w->asked : w->bundles;
    } else if (present(w->twin)) {
        list = text = w->twin;
    } else {
        list = text = w->site;
    }
    if (list != NULL && strcmp(list, PBC_BUNDLE_NONE) == 0)
        list = text = NULL;
    *asked = text;
    return list;
}

int pbc_wish_env(const char *option, const char *job, const char *twin, const char **ret,
                 struct pbc_error *err)
{
    const char *name = present(option) ? option : present(job) ? job : present(twin) ? twin : NULL;
    enum pbc_profile profile;

    *ret = name;
    if (name == NULL || pbc_profile_from_name(name, &profile) == 0)
        return 0;
    return pbc_fail(err, PBC_EXIT_USAGE,
                    "'%.64s' is no profile: --pbcast-env and " PBC_VAR_ENV_TWIN
                    " take one of " PBC_PROFILE_NAMES,
                    name);
}

int pbc_wish_verbose(const char *option, const char *job, const char *twin, int *ret,
                     struct pbc_error *err)
{
    if (option != NULL && parse_verbose(option, ret) == 0)
        return 0;
    if (job != NULL && parse_verbose(job, ret) == 0)
        return 0;
    if (present(twin)) {
        if (parse_verbose(twin, ret) < 0)
            return pbc_fail(err, PBC_EXIT_USAGE, "%s=%s: it takes a number from 0 to %d",
                            PBC_VAR_VERBOSE_TWIN, twin, PBC_VERBOSE_MAX);
        return 0;
    }
    *ret = PBC_VERBOSE_DEFAULT;
    return 0;
}
