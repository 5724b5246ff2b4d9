/* pbcast bundle conda: an environment, without conda. */
#include "make.h"

#include "bundle.h"
#include "command.h"
#include "conda.h"
#include "env_changes.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX        (1u << 30) /* bytes of a file that has the prefix in it */
#define PLACEHOLDER_MIN 100        /* a shorter one has no room for the path of a staged tree */
#define PLACEHOLDER     "/opt/pbcast_placehold_placehold_placehold_placehold_placehold_placehold"

struct marked {
    char *path;
    size_t room; /* bytes of the placeholder that it was built with */
    bool binary;
};

struct conda {
    struct pbc_make *m;
    const char *prefix; /* as the files have it */
    const char *other;  /* as they may have it too; the shorter of the two */
    struct marked *marked;
    size_t count;
    char *placeholder;
    size_t short_room; /* binary files with a placeholder that is of no use */
    char first_short[256];
    size_t stuck;
    char first_stuck[256];
    size_t looked; /* marked files that are there */
};

/* --- records ------------------------------------------------------------------------------- */

static int no_memory(struct pbc_error *err)
{
    return pbc_fail(err, PBC_EXIT_FAILED, "no memory for the records of conda");
}

/* The shortest placeholder of binary files that will do is the bundle's: each file has room for it.
 */
static int take_file(void *arg, const struct pbc_conda_file *f, struct pbc_error *err)
{
    struct conda *c = arg;
    size_t room = strlen(f->placeholder);
    struct marked *more;

    if (f->binary && room < PLACEHOLDER_MIN) {
        if (c->short_room++ == 0)
            snprintf(c->first_short, sizeof(c->first_short), "%s", f->path);
        return 0;
    }
    if (f->binary && (c->placeholder == NULL || room < strlen(c->placeholder))) {
        free(c->placeholder);
        c->placeholder = strdup(f->placeholder);
        if (c->placeholder == NULL)
            return no_memory(err);
    }
    more = reallocarray(c->marked, c->count + 1, sizeof(*more));
    if (more == NULL)
        return no_memory(err);
    c->marked = more;
    more[c->count] = (struct marked){strdup(f->path), room, f->binary};
    return more[c->count++].path == NULL ? no_memory(err) : 0;
}

static int read_records(struct conda *c, struct pbc_error *err)
{
    const struct pbc_plan *p = &c->m->plan;
    size_t records = 0;

    for (size_t i = 0; i < p->count; i++) {
        const struct pbc_item *item = &p->item[i];
        size_t len = strlen(item->name);
        struct pbc_error why;
        uint8_t *text;
        int rc;

        if (item->kind != PBC_PLAN_FILE || strncmp(item->name, "conda-meta/", 11) != 0 ||
            len < 17 || strchr(item->name + 11, '/') != NULL ||
            strcmp(item->name + len - 5, ".json") != 0)
            continue;
        text = pbc_plan_contents(p, item, PBC_CONDA_RECORD_MAX, err);
        if (text == NULL)
            return -1;
        rc = pbc_conda_record((const char *)text, (size_t)item->size, take_file, c, &why);
        free(text);
        if (rc != 0)
            return pbc_fail(err, why.code, "%s: %s", item->source, why.text);
        records++;
    }
    if (records == 0)
        return pbc_fail(err, PBC_EXIT_REFUSED, "%s/conda-meta has no record of a package",
                        c->prefix);
    return 0;
}

/* --- files --------------------------------------------------------------------------------- */

/* The environment was made by a path that may be the one which was given or the real one. The first
 * marked file with either decides, and the longer is looked for first: the shorter may be its end.
 */
static int choose_prefix(struct conda *c, struct pbc_error *err)
{
    for (size_t i = 0; i < c->count; i++) {
        struct pbc_item *item = pbc_plan_find(&c->m->plan, c->marked[i].path);
        const char *const prefix[] = {c->prefix, c->other};
        uint8_t *data;

        if (item == NULL || item->kind != PBC_PLAN_FILE)
            continue;
        c->looked++;
        data = pbc_plan_contents(&c->m->plan, item, FILE_MAX, err);
        if (data == NULL)
            return -1;
        for (size_t k = 0; k < 2; k++) {
            if (memmem(data, (size_t)item->size, prefix[k], strlen(prefix[k])) != NULL) {
                c->prefix = prefix[k];
                free(data);
                return 0;
            }
        }
        free(data);
    }
    if (c->looked > 0 && !c->m->quiet)
        pbc_note("none of the %zu files that packages have marked has the path of the environment, "
                 "%s: if it was moved, or made by another path, its scripts lead there; make it "
                 "anew, or name it by that path",
                 c->looked, c->prefix);
    return 0;
}

static int restore(struct conda *c, const struct marked *k, struct pbc_error *err)
{
    struct pbc_item *item = pbc_plan_find(&c->m->plan, k->path);
    size_t len, count = 0, stuck = 0;
    uint8_t *data, *text;

    if (item == NULL || item->kind != PBC_PLAN_FILE) /* left out, or removed since */
        return 0;
    data = pbc_plan_contents(&c->m->plan, item, FILE_MAX, err);
    if (data == NULL)
        return -1;
    len = (size_t)item->size;
    if (k->binary) {
        pbc_conda_restore_binary(data, len, c->prefix, c->placeholder, k->room, &count, &stuck);
        if (stuck > 0 && c->stuck++ == 0)
            snprintf(c->first_stuck, sizeof(c->first_stuck), "%s", k->path);
    } else {
        text = pbc_conda_restore_text(data, len, c->prefix, c->placeholder, &len, &count);
        free(data);
        data = text;
        if (data == NULL)
            return no_memory(err);
    }
    if (count == 0) {
        free(data);
        return 0;
    }
    pbc_plan_replace(item, data, len);
    return pbc_meta_add_rewrite(&c->m->meta, k->binary, k->path, err);
}

static int restore_all(struct conda *c, struct pbc_error *err)
{
    if (c->placeholder == NULL)
        c->placeholder = strdup(PLACEHOLDER);
    if (c->placeholder == NULL)
        return no_memory(err);
    for (size_t i = 0; i < c->count; i++) {
        if (pbc_progress_tick(c->m->progress, err) != 0 || restore(c, &c->marked[i], err) != 0)
            return -1;
    }
    if (c->m->meta.nrewrites > 0) {
        c->m->meta.placeholder = c->placeholder;
        c->placeholder = NULL;
    }
    pbc_progress_clear(c->m->progress);
    if (c->short_room > 0 && !c->m->quiet)
        pbc_note("%zu files were built with a placeholder that is too short to be put right on a "
                 "node, and keep the path of the environment: '%s' for one",
                 c->short_room, c->first_short);
    if (c->stuck > 0 && !c->m->quiet)
        pbc_note("%zu files have been changed since they were installed, and keep the path of the "
                 "environment: '%s' for one",
                 c->stuck, c->first_stuck);
    return 0;
}

/* --- variables ----------------------------------------------------------------------------- */

/* Of `conda env config vars` and of the packages' activation scripts, which are run. */
static int take_variables(struct conda *c, struct pbc_error *err)
{
    static const char text[] =
        "export CONDA_PREFIX=\"$1\" CONDA_DEFAULT_ENV=\"$1\" PATH=\"$1/bin:$PATH\"\n"
        "env -0 >&3; printf '\\0' >&3\n"
        "set --; for f in \"$CONDA_PREFIX\"/etc/conda/activate.d/*.sh; do\n"
        "    if [ -r \"$f\" ]; then . \"$f\" || exit; fi\n"
        "done\ntrue";
    char *argument[] = {(char *)(uintptr_t)c->prefix};
    struct pbc_variables given = c->m->meta.vars; /* count last */
    struct pbc_variables vars;
    struct stat st;
    char path[PBC_PATH_MAX];
    int rc = 0;

    snprintf(path, sizeof(path), "%.4000s/etc/conda/activate.d", c->prefix);
    if (stat(path, &st) != 0)
        return 0;
    if (pbc_env_changes(text, argument, 1, "what activation sets", &vars, err) != 0)
        return -1;
    c->m->meta.vars = (struct pbc_variables){0};
    for (size_t i = 0; i < vars.count && rc == 0; i++) {
        const struct pbc_variable *v = &vars.item[i];
        char *value = v->value == NULL ? NULL : pbc_env_in_tree(v->value, c->prefix);

        if (strcmp(v->name, "CONDA_DEFAULT_ENV") != 0 && (v->value == NULL || value != NULL) &&
            pbc_variables_add(&c->m->meta.vars, v->kind, v->name, value) != 0 && errno == ENOMEM)
            rc = no_memory(err);
        free(value);
    }
    if (rc == 0)
        rc = pbc_make_given(&c->m->meta.vars, &given, err);
    pbc_variables_free(&given);
    pbc_variables_free(&vars);
    return rc;
}

/* --- the whole ----------------------------------------------------------------------------- */

/* What the base environment has of others. */
static int hide_others(struct pbc_make *m, const char *prefix, struct pbc_error *err)
{
    static const char *const others[] = {"envs/*", "pkgs/*"};

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        char path[PBC_PATH_MAX];
        struct stat st;

        snprintf(path, sizeof(path), "%.4000s/%.4s", prefix, others[i]);
        if (stat(path, &st) != 0)
            continue;
        if (m->walk.nexclude == PBC_EXCLUDES_MAX)
            return pbc_fail(err, PBC_EXIT_USAGE, "more than %d patterns with --exclude",
                            PBC_EXCLUDES_MAX);
        m->exclude[m->walk.nexclude++] = (struct pbc_exclude){.pattern = others[i], .matched = 1};
        if (!m->quiet)
            pbc_note("not packed, because it belongs to other environments: %.4s", others[i]);
    }
    return 0;
}

static int make(struct conda *c, const char *real, struct pbc_error *err)
{
    struct pbc_make *m = c->m;
    char path[PBC_PATH_MAX];
    struct stat st;

    snprintf(path, sizeof(path), "%.4000s/conda-meta", real);
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
        return pbc_fail(err, PBC_EXIT_REFUSED, "%s is no conda environment: it has no conda-meta",
                        m->rest[0]);
    if (hide_others(m, real, err) != 0 || pbc_walk(&m->walk, m->rest[0], "", err) != 0 ||
        pbc_walk_settle(&m->walk, m->follow, err) != 0 || read_records(c, err) != 0 ||
        choose_prefix(c, err) != 0 || restore_all(c, err) != 0 || take_variables(c, err) != 0)
        return -1;
    m->meta.origin = strdup(c->prefix);
    if (m->meta.origin == NULL)
        return no_memory(err);
    if (!m->meta.has_profile) {
        m->meta.has_profile = true;
        m->meta.profile = PBC_PROFILE_CONDA;
    }
    snprintf(path, sizeof(path), "%.4000s/bin/python3", real);
    return pbc_make_write(m, m->output, access(path, X_OK) == 0 ? path : NULL, true, err);
}

int pbc_make_conda(struct pbc_make *m, struct pbc_error *err)
{
    char *real = realpath(m->rest[0], NULL);
    char given[PBC_PATH_MAX];
    struct conda c = {.m = m};
    int rc;

    if (real == NULL)
        return pbc_fail_errno(err, PBC_EXIT_REFUSED, "cannot read the directory %s", m->rest[0]);
    rc = pbc_walk_given(m->rest[0], given, err);
    if (rc == 0) {
        c.prefix = strlen(given) > strlen(real) ? given : real;
        c.other = c.prefix == real ? given : real;
        rc = make(&c, real, err);
    }
    for (size_t i = 0; i < c.count; i++)
        free(c.marked[i].path);
    free(c.marked);
    free(c.placeholder);
    free(real);
    return rc;
}
