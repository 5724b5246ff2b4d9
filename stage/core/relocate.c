#include "relocate.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what each profile sets ---- */

#define P(profile) (1u << PBC_PROFILE_##profile)
#define ALL        (~0u)
#define SOME       (~P(NONE))
#define PYTHONS    (P(PYTHON) | P(VENV) | P(CONDA))
/* conda's and Julia's programs know where their libraries lie, relative to themselves; the system's
 * would load them too. */
#define NEED_LIBS (SOME & ~P(CONDA) & ~P(JULIA))

/* Where a value comes from. */
enum source {
    NOTHING, /* PBC_ENV_UNSET */
    WORD,    /* the text itself */
    BELOW,   /* the text below the tree, the tree itself for "" */
    BASE,    /* the home of the Python */
    RHOME,   /* the text below R's home */
    LIBS,    /* directories that were found; no operation without any */
    RLIBS,   /* R's own and those */
    PERLS,
    NODES,
    DEPOTS,
    OPENMPI, /* the tree, if it has a whole OpenMPI */
};

static const struct rule {
    unsigned profiles;
    enum pbc_env_kind kind;
    const char *name;
    enum source source;
    const char *text;
} rules[] = {
    {ALL, PBC_ENV_SET, "PBCAST_ROOT", BELOW, ""},
    {P(PYTHON), PBC_ENV_SET, "PYTHONHOME", BELOW, ""},
    {P(VENV), PBC_ENV_SET, "PYTHONHOME", BASE, ""},
    {P(CONDA), PBC_ENV_UNSET, "PYTHONHOME", NOTHING, NULL},
    {PYTHONS, PBC_ENV_UNSET, "PYTHONPATH", NOTHING, NULL},
    /* set to the tree itself it would enable a user site there */
    {P(PYTHON), PBC_ENV_SET, "PYTHONUSERBASE", BELOW, ".no-user-base"},
    {PYTHONS, PBC_ENV_SET, "PYTHONNOUSERSITE", WORD, "1"},
    {P(CONDA), PBC_ENV_SET, "CONDA_PREFIX", BELOW, ""},
    {P(VENV), PBC_ENV_SET, "VIRTUAL_ENV", BELOW, ""},
    {P(R), PBC_ENV_SET, "R_HOME", RHOME, ""},
    {P(R), PBC_ENV_SET, "RHOME", RHOME, ""}, /* of Rscript */
    {P(R), PBC_ENV_UNSET, "R_LIBS", NOTHING, NULL},
    {P(R), PBC_ENV_SET, "R_LIBS_SITE", RHOME, "site-library"},
    {P(R), PBC_ENV_SET, "R_LIBS_USER", BELOW, ".no-user-library"},
    {P(R), PBC_ENV_SET, "R_LD_LIBRARY_PATH", RLIBS, NULL},
    {P(JULIA), PBC_ENV_SET, "JULIA_DEPOT_PATH", DEPOTS, NULL},
    {P(JULIA), PBC_ENV_UNSET, "JULIA_LOAD_PATH", NOTHING, NULL},
    {P(PERL), PBC_ENV_SET, "PERL5LIB", PERLS, NULL},
    {P(NODE), PBC_ENV_SET, "NODE_PATH", NODES, NULL},
    {SOME, PBC_ENV_SET, "OPAL_PREFIX", OPENMPI, ""},
    {SOME, PBC_ENV_PREPEND, "PATH", BELOW, "bin"},
    {NEED_LIBS, PBC_ENV_PREPEND, "LD_LIBRARY_PATH", LIBS, NULL},
    {P(GENERIC), PBC_ENV_PREPEND, "MANPATH", BELOW, "share/man"},
};
#define NRULES (sizeof(rules) / sizeof(rules[0]))

/* `dir` below `root`, and `text` below that; "" or NULL is no step down. NULL without memory. */
static char *below(const char *root, const char *dir, const char *text)
{
    const char *part[] = {dir, text};
    char *path = malloc(strlen(root) + 1 + (dir == NULL ? 0 : strlen(dir)) + 1 + strlen(text) + 1);
    char *p = path;

    if (path == NULL)
        return NULL;
    p = stpcpy(p, root);
    for (size_t i = 0; i < 2; i++) {
        if (part[i] != NULL && part[i][0] != '\0')
            p = stpcpy(stpcpy(p, "/"), part[i]);
    }
    return path;
}

/* Each of the directories below `root`, joined by ':', `first` before them unless it is NULL. */
static char *joined(const struct pbc_dirs *dirs, const char *root, const char *first)
{
    size_t size = 1 + (first == NULL ? 0 : strlen(first) + 1);
    char *text, *p;

    for (size_t i = 0; i < dirs->count; i++)
        size += strlen(root) + 1 + strlen(dirs->dir[i]) + 1;
    p = text = malloc(size);
    if (text == NULL)
        return NULL;
    *p = '\0';
    if (first != NULL)
        p = stpcpy(p, first);
    for (size_t i = 0; i < dirs->count; i++) {
        if (p != text)
            *p++ = ':';
        p = stpcpy(stpcpy(stpcpy(p, root), "/"), dirs->dir[i]);
    }
    return text;
}

static char *r_libs(const struct pbc_manifest *m, const char *root)
{
    char *own = below(root, m->rhome, "lib");
    char *all = own == NULL ? NULL : joined(&m->lib, root, own);

    free(own);
    return all;
}

/* Whether the rule has anything to say of this tree. */
static bool applies(const struct rule *r, const struct pbc_manifest *m)
{
    if (!(r->profiles & (1u << m->profile)))
        return false;
    switch (r->source) {
    case LIBS:
        return m->lib.count > 0;
    case NODES:
        return m->node.count > 0;
    case OPENMPI:
        return m->openmpi;
    default:
        return true;
    }
}

static char *value_of(const struct rule *r, const struct pbc_manifest *m, const char *root)
{
    switch (r->source) {
    case NOTHING:
        break;
    case WORD:
        return strdup(r->text);
    case BELOW:
    case OPENMPI:
        return below(root, NULL, r->text);
    case BASE:
        return below(root, m->base, r->text);
    case RHOME:
        return below(root, m->rhome, r->text);
    case LIBS:
        return joined(&m->lib, root, NULL);
    case RLIBS:
        return r_libs(m, root);
    case PERLS:
        return joined(&m->perl, root, NULL);
    case NODES:
        return joined(&m->node, root, NULL);
    case DEPOTS:
        return m->depot.count > 0 ? joined(&m->depot, root, NULL) : below(root, NULL, "depot");
    }
    return NULL;
}

/* ---- operations ---- */

/* Takes over `value`. */
static int add(struct pbc_env_ops *ops, enum pbc_env_kind kind, const char *name, char *value)
{
    if (kind != PBC_ENV_UNSET && value == NULL)
        return -1;
    ops->item[ops->count++] = (struct pbc_env_op){kind, name, value};
    return 0;
}

static int add_all(const struct pbc_manifest *m, const char *root, struct pbc_env_ops *ops)
{
    char *touched;

    for (size_t i = 0; i < NRULES; i++) {
        const struct rule *r = &rules[i];

        if (applies(r, m) && add(ops, r->kind, r->name, value_of(r, m, root)) < 0)
            return -1;
    }
    for (size_t i = 0; i < m->vars.count; i++) {
        const struct pbc_variable *v = &m->vars.item[i];

        if (add(ops, v->kind, v->name,
                v->value == NULL ? NULL : pbc_variable_expand(v->value, root)) < 0)
            return -1;
    }
    touched = pbc_relocation_touched(ops, root);
    return add(ops, PBC_ENV_SET, PBC_TOUCHED, touched);
}

int pbc_relocate(const struct pbc_manifest *m, const char *root, struct pbc_env_ops *out,
                 struct pbc_error *err)
{
    memset(out, 0, sizeof(*out));
    if (root[0] != '/' || strchr(root, ':') != NULL)
        return pbc_fail(err, PBC_EXIT_FAILED,
                        "a staged tree must have an absolute path without ':': %s", root);
    if (pbc_profile_fits(m, m->profile, err) < 0)
        return -1;
    out->item = reallocarray(NULL, NRULES + m->vars.count + 1, sizeof(*out->item));
    if (out->item == NULL || add_all(m, root, out) < 0) {
        pbc_env_ops_free(out);
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory for the tasks' environment");
    }
    return 0;
}

int pbc_profile_override(struct pbc_manifest *m, enum pbc_profile profile, struct pbc_error *err)
{
    if (pbc_profile_fits(m, profile, err) < 0)
        return -1;
    m->profile = profile;
    return 0;
}

static int apply(const struct pbc_env *env, const struct pbc_env_op *op)
{
    char *old, *value;
    int rc;

    if (op->kind == PBC_ENV_UNSET || op->kind == PBC_ENV_SET)
        return env->set(env->arg, op->name, op->value);
    old = env->get(env->arg, op->name);
    /* --export=NONE leaves no PATH, for which a shell would use its own; ours must not be all. */
    if (old == NULL && strcmp(op->name, "PATH") == 0)
        old = strdup("/usr/local/bin:/usr/bin:/bin");
    /* An empty entry stands for the system's own pages: manpath(1). */
    if (old == NULL && strcmp(op->name, "MANPATH") == 0)
        old = strdup(":");
    value = op->kind == PBC_ENV_PREPEND ? pbc_env_prepend(op->value, old)
                                        : pbc_env_append(op->value, old);
    rc = value == NULL ? -1 : env->set(env->arg, op->name, value);
    free(old);
    free(value);
    return rc;
}

int pbc_relocation_apply(const struct pbc_manifest *m, const char *root, const struct pbc_env *env,
                         struct pbc_error *err)
{
    struct pbc_env_ops ops;
    int rc = 0;

    if (pbc_relocate(m, root, &ops, err) < 0)
        return -1;
    for (size_t i = 0; i < ops.count && rc == 0; i++) {
        rc = apply(env, &ops.item[i]);
        if (rc < 0)
            pbc_fail(err, PBC_EXIT_FAILED, "cannot set %s in the environment", ops.item[i].name);
    }
    pbc_env_ops_free(&ops);
    return rc;
}

void pbc_env_ops_free(struct pbc_env_ops *ops)
{
    for (size_t i = 0; i < ops->count; i++)
        free(ops->item[i].value);
    free(ops->item);
    memset(ops, 0, sizeof(*ops));
}
