/* The way back out of a staged tree. */
#include "relocate.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

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

/* Whether taking the tree out of a variable's value leaves something that is ours all the same: 1,
 * 0, -1 without memory. */
static int leaves_some(const struct pbc_env_op *op, const char *root)
{
    char *left;
    int some;

    if (op->kind != PBC_ENV_SET)
        return 0;
    left = without(op->value, root);
    some = left == NULL ? -1 : left[0] != '\0';
    free(left);
    return some;
}

char *pbc_relocation_touched(const struct pbc_env_ops *ops, const char *root)
{
    size_t size = 1;
    char *text, *p;

    for (size_t i = 0; i < ops->count; i++)
        size += strlen(ops->item[i].name) + 2;
    p = text = malloc(size);
    if (text == NULL)
        return NULL;
    *p = '\0';
    for (size_t i = 0; i < ops->count; i++) {
        const struct pbc_env_op *op = &ops->item[i];
        int some;

        if (op->kind == PBC_ENV_UNSET || strcmp(op->name, "PBCAST_ROOT") == 0)
            continue;
        some = leaves_some(op, root);
        if (some < 0) {
            free(text);
            return NULL;
        }
        if (p != text)
            *p++ = ':';
        p = stpcpy(p, op->name);
        if (some)
            p = stpcpy(p, "=");
    }
    return text;
}

/* "NAME" or "NAME=". What is not a name that could be ours is left alone. */
static int undo_one(const struct pbc_env *env, char *name, const char *root)
{
    char *equal = strchr(name, '=');
    char *old, *left;
    int rc = 0;

    if (equal != NULL)
        *equal = '\0';
    if (!pbc_variable_allowed(name))
        return 0;
    if (equal != NULL)
        return env->set(env->arg, name, NULL);
    old = env->get(env->arg, name);
    if (old == NULL)
        return 0;
    left = without(old, root);
    if (left == NULL)
        rc = -1;
    else if (strcmp(old, left) != 0)
        rc = env->set(env->arg, name, left[0] == '\0' ? NULL : left);
    free(old);
    free(left);
    return rc;
}

int pbc_relocation_undo(const struct pbc_env *env)
{
    char *root = env->get(env->arg, "PBCAST_ROOT");
    /* If --export has dropped the list. */
    char usual[] = "PATH:LD_LIBRARY_PATH:MANPATH:PYTHONHOME:PYTHONUSERBASE:PYTHONNOUSERSITE=";
    char *touched, *rest, *name;
    int rc = 0;

    if (root == NULL || !is_tree(root)) {
        free(root);
        return 0;
    }
    touched = env->get(env->arg, PBC_TOUCHED);
    rest = touched == NULL ? usual : touched;
    while (rc == 0 && (name = strsep(&rest, ":")) != NULL)
        rc = undo_one(env, name, root);
    free(touched);
    if (rc == 0)
        rc = env->set(env->arg, PBC_TOUCHED, NULL);
    if (rc == 0)
        rc = env->set(env->arg, "PBCAST_ROOT", NULL);
    free(root);
    return rc;
}
