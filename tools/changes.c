#include "changes.h"

#include "relocate.h"

#include <stdlib.h>
#include <string.h>

static struct pbc_change *find(const struct pbc_changes *c, const char *name)
{
    for (size_t i = 0; i < c->count; i++) {
        if (strcmp(c->item[i].name, name) == 0)
            return &c->item[i];
    }
    return NULL;
}

static char *get_var(void *arg, const char *name)
{
    const struct pbc_change *change = find(arg, name);
    const char *value = change != NULL ? change->value : getenv(name);

    return value == NULL ? NULL : strdup(value);
}

static int set_var(void *arg, const char *name, const char *value)
{
    struct pbc_changes *c = arg;
    struct pbc_change *change = find(c, name);
    char *copy = value == NULL ? NULL : strdup(value);

    if (value != NULL && copy == NULL)
        return -1;
    if (change == NULL) {
        struct pbc_change *more = reallocarray(c->item, c->count + 1, sizeof(*more));
        char *key = strdup(name);

        if (more != NULL)
            c->item = more;
        if (more == NULL || key == NULL) {
            free(key);
            free(copy);
            return -1;
        }
        change = &c->item[c->count++];
        *change = (struct pbc_change){.name = key};
    }
    free(change->value);
    change->value = copy;
    return 0;
}

int pbc_changes_make(const struct pbc_staged *staged, struct pbc_changes *ret,
                     struct pbc_error *err)
{
    const struct pbc_env env = {.get = get_var, .set = set_var, .arg = ret};

    memset(ret, 0, sizeof(*ret));
    if (pbc_relocation_undo(&env) < 0)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory");
    return pbc_relocation_apply(&staged->manifest, staged->root, &env, err);
}

void pbc_changes_free(struct pbc_changes *c)
{
    for (size_t i = 0; i < c->count; i++) {
        free(c->item[i].name);
        free(c->item[i].value);
    }
    free(c->item);
}
