#include "options.h"

#include "site.h"
#include "slurm_port.h"

#include <stdlib.h>
#include <string.h>

enum { OPT_BUNDLE, OPT_VERBOSE, OPT_COUNT };

static struct {
    char *text;
    int from_job;
    unsigned calls;
} given[OPT_COUNT];

static const char *const job_variable[OPT_COUNT] = {PBC_VAR_JOB_BUNDLE, PBC_VAR_JOB_VERBOSE};

static int parse_verbose(const char *text, int *ret)
{
    unsigned long value;

    if (pbc_parse_number(text, 0, PBC_VERBOSE_MAX, &value) < 0)
        return -1;
    *ret = (int)value;
    return 0;
}

/* Slurm first hands over what the job's environment has, then each occurrence on the command line:
 * the last one wins. In slurmstepd it may call twice with the same value. */
static int take(int val, const char *optarg, int remote)
{
    const char *inherited;
    char *copy;
    int ignored;

    if (val < 0 || val >= OPT_COUNT || optarg == NULL)
        return -1;
    /* A wrong value was refused where the user sat; here it could only take a node down. */
    if (!remote && val == OPT_VERBOSE && parse_verbose(optarg, &ignored) < 0) {
        pbc_slurm_error("--pbcast-verbose takes a number from 0 to %d", PBC_VERBOSE_MAX);
        return -1;
    }
    copy = strdup(optarg);
    if (copy == NULL)
        return -1;
    inherited = remote ? NULL : getenv(job_variable[val]);
    given[val].from_job =
        given[val].calls == 0 && inherited != NULL && strcmp(inherited, optarg) == 0;
    given[val].calls++;
    free(given[val].text);
    given[val].text = copy;
    return 0;
}

int pbc_options_register(struct spank_handle *sp)
{
    if (pbc_slurm_register(sp, "pbcast-bundle", "LIST",
                           "[pbcast] comma separated archives (.tar, .tar.gz, .tar.zst, ...) or "
                           "names of the site's catalogue to unpack on every node before the tasks "
                           "start, later ones over earlier ones; 'none' switches it off; also "
                           "PBCAST_BUNDLE",
                           OPT_BUNDLE, take) < 0)
        return -1;
    return pbc_slurm_register(sp, "pbcast-verbose", "0-3",
                              "[pbcast] 0 errors only, 1 one summary line (default), 2 phases and "
                              "progress, 3 each node; also PBCAST_VERBOSE",
                              OPT_VERBOSE, take);
}

static struct pbc_option_value value_of(int val)
{
    return (struct pbc_option_value){.text = given[val].text, .from_job = given[val].from_job};
}

struct pbc_option_value pbc_option_bundle(void)
{
    return value_of(OPT_BUNDLE);
}

struct pbc_option_value pbc_option_verbose(void)
{
    return value_of(OPT_VERBOSE);
}

static int present(const char *text)
{
    return text != NULL && text[0] != '\0';
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
