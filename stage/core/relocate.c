#include "relocate.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static int add(struct pbc_env_ops *ops, enum pbc_env_kind kind, const char *name, char *value)
{
    if (kind != PBC_ENV_UNSET && value == NULL)
        return -1;
    ops->item[ops->count++] = (struct pbc_env_op){kind, name, value};
    return 0;
}

/* `dir` below `root`. NULL without memory. */
static char *below(const char *root, const char *dir)
{
    char *path = malloc(strlen(root) + 1 + strlen(dir) + 1);

    if (path != NULL)
        stpcpy(stpcpy(stpcpy(path, root), "/"), dir);
    return path;
}

/* Each of the libdirs below `root`, joined by ':'. */
static char *libdirs(const struct pbc_manifest *m, const char *root)
{
    size_t size = 1;
    char *text, *p;

    for (size_t i = 0; i < m->nlibdirs; i++)
        size += strlen(root) + 1 + strlen(m->libdir[i]) + 1;
    p = text = malloc(size);
    if (text == NULL)
        return NULL;
    *p = '\0';
    for (size_t i = 0; i < m->nlibdirs; i++) {
        if (i > 0)
            *p++ = ':';
        p = stpcpy(p, root);
        *p++ = '/';
        p = stpcpy(p, m->libdir[i]);
    }
    return text;
}

static int add_all(const struct pbc_manifest *m, const char *root, struct pbc_env_ops *ops)
{
    if (add(ops, PBC_ENV_SET, "PBCAST_ROOT", strdup(root)) < 0)
        return -1;
    if (m->profile == PBC_PROFILE_PYTHON) {
        /* PYTHONUSERBASE set to the tree itself would enable a user site there */
        if (add(ops, PBC_ENV_SET, "PYTHONHOME", strdup(root)) < 0 ||
            add(ops, PBC_ENV_UNSET, "PYTHONPATH", NULL) < 0 ||
            add(ops, PBC_ENV_SET, "PYTHONUSERBASE", below(root, ".no-user-base")) < 0 ||
            add(ops, PBC_ENV_SET, "PYTHONNOUSERSITE", strdup("1")) < 0)
            return -1;
    }
    if (add(ops, PBC_ENV_PREPEND, "PATH", below(root, "bin")) < 0)
        return -1;
    if (m->nlibdirs > 0 && add(ops, PBC_ENV_PREPEND, "LD_LIBRARY_PATH", libdirs(m, root)) < 0)
        return -1;
    if (m->profile == PBC_PROFILE_GENERIC &&
        add(ops, PBC_ENV_PREPEND, "MANPATH", below(root, "share/man")) < 0)
        return -1;
    return 0;
}

int pbc_relocate(const struct pbc_manifest *m, const char *root, struct pbc_env_ops *out,
                 struct pbc_error *err)
{
    memset(out, 0, sizeof(*out));
    if (root[0] != '/' || strchr(root, ':') != NULL)
        return pbc_fail(err, PBC_EXIT_FAILED,
                        "a staged tree must have an absolute path without ':': %s", root);
    if (add_all(m, root, out) < 0) {
        pbc_env_ops_free(out);
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory for the tasks' environment");
    }
    return 0;
}

/* Whether `list`, joined by ':', has the entry. */
static bool has_entry(const char *list, const char *entry, size_t len)
{
    for (const char *p = list;; p++) {
        size_t n = strcspn(p, ":");

        if (n == len && memcmp(p, entry, len) == 0)
            return true;
        p += n;
        if (*p == '\0')
            return false;
    }
}

/* `to` and the entries of `list` that `other` does not have. */
static char *add_entries(char *to, const char *list, const char *other)
{
    for (;; list++) {
        size_t len = strcspn(list, ":");

        if (!has_entry(other, list, len)) {
            *to++ = ':';
            memcpy(to, list, len);
            to += len;
        }
        list += len;
        if (*list == '\0')
            break;
    }
    *to = '\0';
    return to;
}

/* `first`, then what `second` has besides. */
static char *join_lists(const char *first, const char *second)
{
    char *text;

    /* an empty entry means the current directory: none must come of joining with nothing */
    if (second == NULL || second[0] == '\0')
        return strdup(first == NULL ? "" : first);
    if (first == NULL || first[0] == '\0')
        return strdup(second);
    text = malloc(strlen(first) + 1 + strlen(second) + 1);
    if (text != NULL)
        add_entries(stpcpy(text, first), second, first);
    return text;
}

char *pbc_env_prepend(const char *value, const char *old)
{
    return join_lists(value, old);
}

char *pbc_env_append(const char *value, const char *old)
{
    return join_lists(old, value);
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

/* `list` without the entries that are `root` or lie below it; "" when none is left. */
static char *without(const char *list, const char *root)
{
    size_t root_len = strlen(root);
    char *text = malloc(strlen(list) + 1);
    char *p = text;
    bool first = true;

    if (text == NULL)
        return NULL;
    for (;; list++) {
        size_t len = strcspn(list, ":");

        if (len < root_len || strncmp(list, root, root_len) != 0 ||
            (len > root_len && list[root_len] != '/')) {
            if (!first)
                *p++ = ':';
            memcpy(p, list, len);
            p += len;
            first = false;
        }
        list += len;
        if (*list == '\0')
            break;
    }
    *p = '\0';
    return text;
}

/* Whether the path is one of ours, <store>/<job>/<set>: others may use the variable's name. */
static bool is_tree(const char *root)
{
    const char *set = strrchr(root, '/');
    const char *job = set;

    if (root[0] != '/' || set == root || !pbc_set_id_valid(set + 1))
        return false;
    while (job > root && job[-1] >= '0' && job[-1] <= '9')
        job--;
    return job < set && job > root + 1 && job[-1] == '/';
}

int pbc_relocation_undo(const struct pbc_env *env)
{
    static const char *const lists[] = {"PYTHONHOME",      "PYTHONUSERBASE", "PATH",
                                        "LD_LIBRARY_PATH", "MANPATH",        NULL};
    char *root = env->get(env->arg, "PBCAST_ROOT");
    int rc = 0;

    if (root == NULL || !is_tree(root)) {
        free(root);
        return 0;
    }
    for (size_t i = 0; lists[i] != NULL && rc == 0; i++) {
        char *old = env->get(env->arg, lists[i]);
        char *left = old == NULL ? NULL : without(old, root);

        if (old != NULL && left == NULL)
            rc = -1;
        else if (old != NULL && strcmp(old, left) != 0)
            rc = env->set(env->arg, lists[i], left[0] == '\0' ? NULL : left);
        free(old);
        free(left);
    }
    if (rc == 0)
        rc = env->set(env->arg, "PYTHONNOUSERSITE", NULL);
    if (rc == 0)
        rc = env->set(env->arg, "PBCAST_ROOT", NULL);
    free(root);
    return rc;
}

void pbc_env_ops_free(struct pbc_env_ops *ops)
{
    for (size_t i = 0; i < ops->count; i++)
        free(ops->item[i].value);
    memset(ops, 0, sizeof(*ops));
}
