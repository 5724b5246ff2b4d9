#include "env_changes.h"

#include "child.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OUTPUT_MAX (16u << 20)

static int is_own(const char *name)
{
    static const char *const names[] = {
        "_",         "SHLVL",      "PWD",          "OLDPWD",     "PS1", "LOADEDMODULES",
        "_LMFILES_", "MODULEPATH", "CONDA_PREFIX", "CONDA_SHLVL"};
    static const char *const starts[] = {"BASH_",    "LMOD_",     "__LMOD",  "_LMOD",
                                         "MODULES_", "__MODULES", "_Module", "MODULEPATH_"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(name, names[i]) == 0)
            return 1;
    }
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        if (strncmp(name, starts[i], strlen(starts[i])) == 0)
            return 1;
    }
    return 0;
}

/* The next variable of env[0..len) that is not a module system's or a shell's own, from *at on,
 * which moves behind it: its value, its name in name[PBC_VARIABLE_NAME_MAX + 1]. NULL at the end.
 */
static const char *next_variable(const char *env, size_t len, const char **at, char *name)
{
    while (*at < env + len) {
        const char *p = *at;
        size_t n = strcspn(p, "=");

        *at += strlen(p) + 1;
        if (p[n] != '=' || n == 0 || n > PBC_VARIABLE_NAME_MAX)
            continue;
        memcpy(name, p, n);
        name[n] = '\0';
        if (!is_own(name))
            return p + n + 1;
    }
    return NULL;
}

/* The value of the variable `name`; NULL if there is none. */
static const char *value_in(const char *env, size_t len, const char *name)
{
    size_t n = strlen(name);

    for (const char *p = env; p < env + len; p += strlen(p) + 1) {
        if (strncmp(p, name, n) == 0 && p[n] == '=')
            return p + n + 1;
    }
    return NULL;
}

static int add(struct pbc_variables *list, enum pbc_env_kind kind, const char *name,
               const char *value)
{
    /* Neither what no bundle may touch nor what it cannot hold is an error here. */
    return pbc_variables_add(list, kind, name, value) == 0 || errno != ENOMEM ? 0 : -1;
}

static int add_part(struct pbc_variables *list, enum pbc_env_kind kind, const char *name,
                    const char *value, size_t len)
{
    char *part = strndup(value, len);
    int rc = part == NULL ? -1 : add(list, kind, name, part);

    free(part);
    return rc;
}

static int has_entry(const char *list, const char *entry, size_t len)
{
    while (*list != '\0') {
        size_t n = strcspn(list, ":");

        if (n == len && strncmp(list, entry, len) == 0)
            return 1;
        list += n + (list[n] == ':');
    }
    return 0;
}

static int is_list(const char *name)
{
    size_t len = strlen(name);

    return len >= 4 && strcmp(name + len - 4, "PATH") == 0;
}

/* Module systems put a list in order while they are at it: what counts are the entries that it did
 * not have. */
static int add_entries(struct pbc_variables *list, const char *name, const char *old,
                       const char *new)
{
    char *out = malloc(strlen(new) + 1);
    size_t at = 0;
    int rc = 0;

    if (out == NULL)
        return -1;
    while (*new != '\0') {
        size_t n = strcspn(new, ":");

        if (n > 0 && !has_entry(old, new, n)) {
            if (at > 0)
                out[at++] = ':';
            memcpy(out + at, new, n);
            at += n;
        }
        new += n + (new[n] == ':');
    }
    out[at] = '\0';
    if (at > 0)
        rc = add(list, PBC_ENV_PREPEND, name, out);
    free(out);
    return rc;
}

static int compare(const char *name, const char *old, const char *new, struct pbc_variables *ret)
{
    size_t was = old == NULL ? 0 : strlen(old);
    size_t is = strlen(new);

    if (old != NULL && strcmp(old, new) == 0)
        return 0;
    if (was > 0 && is > was && new[is - was - 1] == ':' && strcmp(new + is - was, old) == 0)
        return add_part(ret, PBC_ENV_PREPEND, name, new, is - was - 1);
    if (was > 0 && is > was && new[was] == ':' && strncmp(new, old, was) == 0)
        return add_part(ret, PBC_ENV_APPEND, name, new + was + 1, is - was - 1);
    if (old != NULL && is_list(name))
        return add_entries(ret, name, old, new);
    return add(ret, PBC_ENV_SET, name, new);
}

int pbc_env_compare(const char *before, size_t before_len, const char *after, size_t after_len,
                    struct pbc_variables *ret)
{
    char name[PBC_VARIABLE_NAME_MAX + 1];
    const char *at = after;
    const char *value;

    while ((value = next_variable(after, after_len, &at, name)) != NULL) {
        if (compare(name, value_in(before, before_len, name), value, ret) != 0)
            return -1;
    }
    at = before;
    while (next_variable(before, before_len, &at, name) != NULL) {
        if (value_in(after, after_len, name) == NULL && add(ret, PBC_ENV_UNSET, name, NULL) != 0)
            return -1;
    }
    return 0;
}

/* The two are parted by an empty string. */
static int take_output(const char *text, size_t len, struct pbc_variables *ret,
                       struct pbc_error *err)
{
    const char *part = memmem(text, len, "\0\0", 2);

    if (part == NULL)
        return pbc_fail(err, PBC_EXIT_REFUSED, "bash has not told its environment");
    if (pbc_env_compare(text, (size_t)(part + 1 - text), part + 2, len - (size_t)(part + 2 - text),
                        ret) != 0)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory for variables");
    return 0;
}

int pbc_env_changes(const char *text, char *const *argument, size_t arguments, const char *what,
                    struct pbc_variables *ret, struct pbc_error *err)
{
    char **argv = calloc(arguments + 7, sizeof(*argv));
    char *script = NULL, *output = NULL;
    size_t n = 0, len;
    int rc = -1;

    memset(ret, 0, sizeof(*ret));
    if (asprintf(&script, "exec 3>&1 1>&2\n%s\nrc=$?\n[ $rc = 0 ] || exit $rc\nenv -0 >&3\n",
                 text) < 0)
        script = NULL;
    if (argv == NULL || script == NULL) {
        pbc_fail(err, PBC_EXIT_FAILED, "no memory");
    } else {
        argv[n++] = (char *)(uintptr_t) "bash";
        argv[n++] = (char *)(uintptr_t) "--noprofile";
        argv[n++] = (char *)(uintptr_t) "--norc";
        argv[n++] = (char *)(uintptr_t) "-c";
        argv[n++] = script;
        argv[n++] = (char *)(uintptr_t) "pbcast";
        for (size_t i = 0; i < arguments; i++)
            argv[n++] = argument[i];
        output = pbc_child_output(argv, NULL, OUTPUT_MAX, what, &len, err);
    }
    if (output != NULL)
        rc = take_output(output, len, ret, err);
    if (rc != 0)
        pbc_variables_free(ret);
    free(output);
    free(script);
    free(argv);
    return rc;
}

char *pbc_env_in_tree(const char *value, const char *prefix)
{
    static const char root[] = "@ROOT@";
    size_t n = strlen(prefix), len = strlen(value);
    char *out = malloc(len * sizeof(root) + 1);
    char *p = out;

    if (out == NULL)
        return NULL;
    while (*value != '\0') {
        if (n > 0 && strncmp(value, prefix, n) == 0 &&
            (value[n] == '/' || value[n] == ':' || value[n] == '\0')) {
            memcpy(p, root, sizeof(root) - 1);
            p += sizeof(root) - 1;
            value += n;
        } else {
            *p++ = *value++;
        }
    }
    *p = '\0';
    return out;
}
