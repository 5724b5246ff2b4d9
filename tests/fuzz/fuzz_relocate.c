/* An environment: a value on the first line, what the variable held on the second, a manifest after
 * that. */
#include "fuzz.h"

#include "relocate.h"

#include <stdbool.h>
#include <string.h>

static void prepend(const char *value, const char *old)
{
    char *once = pbc_env_prepend(value, old), *twice;

    CLAIM(once != NULL);
    CLAIM(strncmp(once, value, strlen(value)) == 0);
    twice = pbc_env_prepend(value, once);
    CLAIM(twice != NULL && strcmp(once, twice) == 0);
    free(once);
    free(twice);
}

/* An environment of no variables, which takes note of what is set. */
static char *get_nothing(void *arg, const char *name)
{
    (void)arg;
    (void)name;
    return NULL;
}

static int set_allowed(void *arg, const char *name, const char *value)
{
    (void)arg;
    (void)value;
    CLAIM(pbc_variable_allowed(name) || strncmp(name, "PBCAST_", 7) == 0);
    return 0;
}

/* What takes the place of PBC_TOUCHED is anybody's. */
static char *get_hostile(void *arg, const char *name)
{
    if (strcmp(name, "PBCAST_ROOT") == 0)
        return strdup("/s/1/0123456789abcdef0123456789abcdef");
    return strdup(arg);
}

static void relocate(const struct pbc_manifest *m, const char *root)
{
    const struct pbc_env env = {.get = get_nothing, .set = set_allowed};
    bool has_path = false;
    struct pbc_env_ops ops;
    struct pbc_error err;

    if (pbc_relocate(m, root, &ops, &err) < 0) {
        CLAIM(root[0] != '/' || strchr(root, ':') != NULL);
        CLAIM(ops.count == 0 && ops.item == NULL);
        return;
    }
    for (size_t i = 0; i < ops.count; i++) {
        const struct pbc_env_op *op = &ops.item[i];

        CLAIM((op->value == NULL) == (op->kind == PBC_ENV_UNSET));
        has_path = has_path || strcmp(op->name, "PATH") == 0;
        if (op->kind != PBC_ENV_PREPEND)
            continue;
        /* each entry of the profile lies in the tree */
        for (const char *p = op->value; m->vars.count == 0; p++) {
            CLAIM(strncmp(p, root, strlen(root)) == 0);
            p += strcspn(p, ":");
            if (*p == '\0')
                break;
        }
        prepend(op->value, root);
    }
    CLAIM(has_path || m->profile == PBC_PROFILE_NONE);
    pbc_env_ops_free(&ops);
    CLAIM(pbc_relocation_apply(m, root, &env, &err) == 0);
}

static void undo(char *hostile)
{
    const struct pbc_env env = {.get = get_hostile, .set = set_allowed, .arg = hostile};

    CLAIM(pbc_relocation_undo(&env) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), *rest = text, *value, *old;
    struct pbc_manifest m;

    if (text == NULL)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    value = strsep(&rest, "\n");
    old = strsep(&rest, "\n");
    prepend(value, old);
    undo(value);
    if (rest != NULL && pbc_manifest_parse(rest, size - (size_t)(rest - text), &m, NULL) == 0) {
        relocate(&m, value);
        pbc_manifest_free(&m);
    }
    free(text);
    return 0;
}
