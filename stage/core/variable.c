#include "variable.h"

#include "text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ROOT "@ROOT@"

static const char *const kinds[] = {
    [PBC_ENV_SET] = "set",
    [PBC_ENV_UNSET] = "unset",
    [PBC_ENV_PREPEND] = "prepend",
    [PBC_ENV_APPEND] = "append",
};

int pbc_variable_kind(const char *key, enum pbc_env_kind *ret)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(kinds[i], key) == 0) {
            *ret = (enum pbc_env_kind)i;
            return 0;
        }
    }
    return -1;
}

bool pbc_variable_allowed(const char *name)
{
    static const char chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
    static const char *const prefix[] = {"SLURM", "SPANK_", "PMI_", "PMI2_", "PMIX_", "PBCAST_"};

    if (name[0] == '\0' || (name[0] >= '0' && name[0] <= '9') ||
        strspn(name, chars) != strlen(name) || strlen(name) > PBC_VARIABLE_NAME_MAX)
        return false;
    for (size_t i = 0; i < sizeof(prefix) / sizeof(prefix[0]); i++) {
        if (strncmp(name, prefix[i], strlen(prefix[i])) == 0)
            return false;
    }
    return strcmp(name, "LD_PRELOAD") != 0 && strcmp(name, "LD_AUDIT") != 0;
}

static int why_not(const struct pbc_variable *v)
{
    if (!pbc_variable_allowed(v->name))
        return EPERM;
    if ((v->kind == PBC_ENV_UNSET) != (v->value == NULL))
        return EINVAL;
    return v->value != NULL && strlen(v->value) > PBC_VARIABLE_VALUE_MAX ? EINVAL : 0;
}

static void free_one(struct pbc_variable *v)
{
    free(v->name);
    free(v->value);
}

int pbc_variables_add(struct pbc_variables *list, enum pbc_env_kind kind, const char *name,
                      const char *value)
{
    struct pbc_variable v = {kind, (char *)name, (char *)value};
    struct pbc_variable *more;

    errno = list->count == PBC_VARIABLES_MAX ? E2BIG : why_not(&v);
    if (errno != 0)
        return -1;
    v.name = strdup(name);
    v.value = value == NULL ? NULL : strdup(value);
    more = reallocarray(list->item, list->count + 1, sizeof(*more));
    if (more != NULL)
        list->item = more;
    if (more == NULL || v.name == NULL || (value != NULL && v.value == NULL)) {
        free_one(&v);
        errno = ENOMEM;
        return -1;
    }
    list->item[list->count++] = v;
    return 0;
}

int pbc_variables_read(struct pbc_variables *list, enum pbc_env_kind kind, char *text)
{
    char *value = text;
    const char *name = strsep(&value, "=");

    if (value != NULL && pbc_text_unescape(value) < 0) {
        errno = EINVAL;
        return -1;
    }
    return pbc_variables_add(list, kind, name, value);
}

void pbc_variables_write(FILE *out, const char *prefix, const struct pbc_variables *list)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct pbc_variable *v = &list->item[i];

        fprintf(out, "%s%s=%s", prefix, kinds[v->kind], v->name);
        if (v->value != NULL) {
            putc('=', out);
            pbc_text_escape(out, v->value);
        }
        putc('\n', out);
    }
}

bool pbc_variables_valid(const struct pbc_variables *list)
{
    for (size_t i = 0; i < list->count; i++) {
        if (why_not(&list->item[i]) != 0)
            return false;
    }
    return list->count <= PBC_VARIABLES_MAX;
}

char *pbc_variable_expand(const char *value, const char *root)
{
    size_t size = strlen(value) + 1;
    const char *at;
    char *text, *p;

    for (at = value; (at = strstr(at, ROOT)) != NULL; at += strlen(ROOT))
        size += strlen(root);
    p = text = malloc(size);
    if (text == NULL)
        return NULL;
    while ((at = strstr(value, ROOT)) != NULL) {
        memcpy(p, value, (size_t)(at - value));
        p = stpcpy(p + (at - value), root);
        value = at + strlen(ROOT);
    }
    stpcpy(p, value);
    return text;
}

void pbc_variables_free(struct pbc_variables *list)
{
    for (size_t i = 0; i < list->count; i++)
        free_one(&list->item[i]);
    free(list->item);
    memset(list, 0, sizeof(*list));
}
