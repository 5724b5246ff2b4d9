#include "request.h"

#include "options.h"
#include "resolve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A string of the environment cannot be longer than 128 KiB; Slurm drops those that are. */
#define LIST_MAX 120000

static const struct {
    enum pbc_option option;
    const char *twin, *kept, *asked;
} variable[PBC_PARTS] = {
    [PBC_PART_LIST] = {PBC_OPT_BUNDLE, PBC_VAR_BUNDLE_TWIN, PBC_VAR_BUNDLES, PBC_VAR_ASKED},
    [PBC_PART_USERBASE] = {PBC_OPT_USERBASE, PBC_VAR_USERBASE_TWIN, PBC_VAR_USERBASE,
                           PBC_VAR_USERBASE_ASKED},
    [PBC_PART_MIRROR] = {PBC_OPT_MIRROR, PBC_VAR_MIRROR_TWIN, PBC_VAR_MIRROR, PBC_VAR_MIRROR_ASKED},
};

void pbc_request_forget(void)
{
    for (int i = 0; i < PBC_PARTS; i++) {
        unsetenv(variable[i].kept);
        unsetenv(variable[i].asked);
    }
    unsetenv(PBC_VAR_ENV);
    unsetenv(PBC_VAR_VERBOSE);
    unsetenv(PBC_VAR_SET);
    unsetenv(PBC_VAR_FAILED);
}

int pbc_request_put(const char *name, const char *value, struct pbc_error *err)
{
    if (value == NULL || value[0] == '\0')
        unsetenv(name);
    else if (setenv(name, value, 1) < 0)
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot set the environment");
    return 0;
}

static int remember(const struct pbc_request *r, char *const text[PBC_PARTS],
                    char *const asked[PBC_PARTS], const char *profile, struct pbc_error *err)
{
    size_t len = 0;
    char number[16];

    for (int i = 0; i < PBC_PARTS; i++)
        len += strlen(text[i]) + (asked[i] != NULL ? strlen(asked[i]) : 0);
    if (len > 2 * LIST_MAX || strlen(text[0]) > LIST_MAX)
        return pbc_fail(err, PBC_EXIT_REFUSED, "the list of bundles is longer than %d bytes",
                        LIST_MAX);
    snprintf(number, sizeof(number), "%d", r->verbose);
    for (int i = 0; i < PBC_PARTS; i++) {
        if (pbc_request_put(variable[i].kept, text[i], err) < 0 ||
            pbc_request_put(variable[i].asked, asked[i], err) < 0)
            return -1;
    }
    if (pbc_request_put(PBC_VAR_ENV, profile, err) < 0 ||
        pbc_request_put(PBC_VAR_VERBOSE, number, err) < 0)
        return -1;
    unsetenv(PBC_VAR_SET);
    unsetenv(PBC_VAR_FAILED);
    return 0;
}

/* A directory as an element of the list, malloced. `ask` has what the user wrote, or, from the job,
 * the element itself. */
static char *element(enum pbc_part part, const struct pbc_ask *ask, struct pbc_error *err)
{
    const char *base = getenv("PYTHONUSERBASE"), *home = getenv("HOME");
    char *word = NULL;
    int rc;

    if (!ask->from_job && strchr(ask->text, ',') != NULL) {
        pbc_fail(err, PBC_EXIT_REFUSED,
                 "directory %s has a comma in its path, which separates bundles: rename it",
                 ask->text);
        return NULL;
    }
    if (ask->from_job)
        rc = (word = strdup(ask->text)) == NULL ? -1 : 0;
    else if (part == PBC_PART_MIRROR)
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

/* Resolve and look at the whole list. Its first `count` elements are those of the list of bundles;
 * directories come after them. */
static int look(struct pbc_request *r, const char *list, size_t count, int from_job,
                struct pbc_error *err)
{
    struct pbc_where_from from = {.job = from_job,
                                  .partition = r->in_job ? getenv("SLURM_JOB_PARTITION") : NULL};

    pbc_bundles_free(&r->bundles);
    if (pbc_bundles_parse(list, &r->bundles, err) < 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        if (r->bundles.item[i].kind != PBC_BUNDLE_ARCHIVE)
            return pbc_fail(err, PBC_EXIT_USAGE,
                            "directory %s in the list of bundles: give it with --pbcast-mirror or "
                            "--pbcast-userbase",
                            r->bundles.item[i].path);
    }
    r->bundles.pack_max = r->site.mirror_max;
    return pbc_resolve(&r->bundles, &r->site, &from, err) < 0 ||
                   pbc_bundles_probe(&r->bundles, err) < 0
               ? -1
               : 0;
}

static size_t elements(const char *list)
{
    size_t n = 1;

    for (const char *p = list; *p != '\0'; p++)
        n += *p == ',';
    return n;
}

/* Of one part that is asked for: its elements as text, what the user wrote for it, both malloced,
 * and the number of elements. */
static int take_part(const struct pbc_request *r, enum pbc_part part, char **text, char **asked,
                     size_t *count, struct pbc_error *err)
{
    const struct pbc_ask *ask = &r->ask[part];

    *asked = strdup(ask->asked);
    *text = part == PBC_PART_LIST ? strdup(ask->text) : NULL;
    if (*asked == NULL || (part == PBC_PART_LIST && *text == NULL))
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory");
    if (part != PBC_PART_LIST && (*text = element(part, ask, err)) == NULL)
        return -1;
    *count = part == PBC_PART_LIST ? elements(*text) : 1;
    return 0;
}

/* From what is asked for to r->bundles, looked at, and to what the environment keeps. */
static int prepare(struct pbc_request *r, const char *profile, struct pbc_error *err)
{
    char *text[PBC_PARTS] = {NULL}, *asked[PBC_PARTS] = {NULL};
    size_t count[PBC_PARTS] = {0}, from = 0;
    char *whole = NULL;
    int rc = 0, failed = 0;

    for (int i = 0; i < PBC_PARTS && rc == 0; i++) {
        if (r->ask[i].text != NULL)
            rc = take_part(r, (enum pbc_part)i, &text[i], &asked[i], &count[i], err);
    }
    if (rc == 0) {
        whole = pbc_join_lists(text[PBC_PART_LIST], text[PBC_PART_USERBASE], text[PBC_PART_MIRROR],
                               &failed);
        /* An empty list is for the parser to refuse. */
        rc = failed ? pbc_fail(err, PBC_EXIT_FAILED, "no memory")
                    : look(r, whole != NULL ? whole : "", count[PBC_PART_LIST],
                           r->ask[PBC_PART_LIST].from_job, err);
    }
    /* The same parts again, as they were resolved. */
    for (int i = 0; i < PBC_PARTS && rc == 0; i++) {
        free(text[i]);
        text[i] = pbc_bundles_format(&r->bundles, from, count[i], err);
        rc = text[i] == NULL ? -1 : 0;
        from += count[i];
    }
    if (rc == 0)
        rc = remember(r, text, asked, profile, err);
    for (int i = 0; i < PBC_PARTS; i++) {
        free(text[i]);
        free(asked[i]);
    }
    free(whole);
    if (rc < 0)
        pbc_bundles_free(&r->bundles);
    return rc;
}

/* What counts for one part. */
static struct pbc_ask ask_for(const struct pbc_wish *wish)
{
    struct pbc_ask ask;

    ask.text = pbc_wish_list(wish, &ask.asked);
    ask.from_job = ask.text != NULL && ask.text == wish->bundles;
    return ask;
}

int pbc_request_ask(struct pbc_request *r)
{
    int none = 0, any = 0;

    for (int i = 0; i < PBC_PARTS; i++) {
        struct pbc_wish wish = {
            .option = pbc_option(variable[i].option),
            .twin = getenv(variable[i].twin),
            .bundles = getenv(variable[i].kept),
            .asked = getenv(variable[i].asked),
            .in_job = r->in_job,
        };

        /* sbatch and salloc have decided for the sruns of their job. */
        if (i == PBC_PART_LIST && !wish.in_job && r->site.default_bundle[0] != '\0')
            wish.site = r->site.default_bundle;
        if (i == PBC_PART_LIST)
            none = pbc_wish_is_none(&wish);
        r->ask[i] = ask_for(&wish);
        /* --pbcast-bundle=none takes the others along, unless they stand beside it. */
        if (i > PBC_PART_LIST && none && (wish.option.text == NULL || wish.option.from_job))
            r->ask[i] = (struct pbc_ask){0};
        any |= r->ask[i].text != NULL;
    }
    return any;
}

/* Who has not asked for the list that fails cannot know what it is. What is wrong with it is wrong
 * without the directories as well. */
static int blame_default(struct pbc_request *r, struct pbc_error *err)
{
    const char *list = r->site.default_bundle;
    struct pbc_error alone;
    int rc;

    if (r->ask[PBC_PART_LIST].text != list)
        return -1;
    rc = look(r, list, elements(list), 0, &alone);
    pbc_bundles_free(&r->bundles);
    if (rc == 0 || strcmp(alone.text, err->text) != 0)
        return -1;
    return pbc_fail(err, alone.code,
                    "the site's default_bundle= (--pbcast-bundle=none goes without it): %s",
                    alone.text);
}

int pbc_request_look(struct pbc_request *r, struct pbc_error *err)
{
    const char *profile;

    if (pbc_wish_verbose(pbc_option(PBC_OPT_VERBOSE).text,
                         r->in_job ? getenv(PBC_VAR_VERBOSE) : NULL, getenv(PBC_VAR_VERBOSE_TWIN),
                         &r->verbose, err) < 0 ||
        pbc_wish_env(pbc_option(PBC_OPT_ENV).text, r->in_job ? getenv(PBC_VAR_ENV) : NULL,
                     getenv(PBC_VAR_ENV_TWIN), &profile, err) < 0)
        return -1;
    return prepare(r, profile, err) < 0 ? blame_default(r, err) : 0;
}

int pbc_request_look_again(struct pbc_request *r, const char *partition, struct pbc_error *err)
{
    const struct pbc_where_from from = {.job = 1, .partition = partition};

    return pbc_resolve(&r->bundles, &r->site, &from, err) < 0 ||
                   pbc_bundles_probe(&r->bundles, err) < 0
               ? -1
               : 0;
}
