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

static void relocate(const struct pbc_manifest *m, const char *root)
{
    bool has_path = false;
    struct pbc_env_ops ops;
    struct pbc_error err;

    if (pbc_relocate(m, root, &ops, &err) < 0) {
        CLAIM(root[0] != '/' || strchr(root, ':') != NULL);
        CLAIM(ops.count == 0);
        return;
    }
    CLAIM(ops.count <= PBC_ENV_OPS_MAX);
    for (size_t i = 0; i < ops.count; i++) {
        const struct pbc_env_op *op = &ops.item[i];

        CLAIM((op->value == NULL) == (op->kind == PBC_ENV_UNSET));
        has_path = has_path || strcmp(op->name, "PATH") == 0;
        if (op->kind != PBC_ENV_PREPEND)
            continue;
        /* each entry lies in the tree */
        for (const char *p = op->value;; p++) {
            CLAIM(strncmp(p, root, strlen(root)) == 0);
            p += strcspn(p, ":");
            if (*p == '\0')
                break;
        }
        prepend(op->value, root);
    }
    CLAIM(has_path);
    pbc_env_ops_free(&ops);
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
    if (rest != NULL && pbc_manifest_parse(rest, size - (size_t)(rest - text), &m, NULL) == 0) {
        relocate(&m, value);
        pbc_manifest_free(&m);
    }
    free(text);
    return 0;
}
