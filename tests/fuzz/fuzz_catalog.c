/* The site's catalogue, and names that users write: the text, a NUL, a name. */
#include "fuzz.h"

#include "catalog.h"

#include <string.h>

static void entry(const struct pbc_catalog *cat, const struct pbc_catalog_entry *e)
{
    char text[2 * PBC_CATALOG_NAME];
    struct pbc_error err;

    CLAIM(snprintf(text, sizeof(text), "%s/%s", e->name, e->version) < (int)sizeof(text));
    CLAIM(e->path[0] == '/' && strlen(e->path) < PBC_PATH_MAX && strchr(e->path, ',') == NULL);
    CLAIM(pbc_digest_valid(e->digest));
    CLAIM(pbc_catalog_is_name(text) || strcmp(e->name, "none") == 0);
    CLAIM(!pbc_catalog_is_name(text) || pbc_catalog_find(cat, text, NULL, &err) == e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *nul = memchr(data, '\0', size);
    size_t len = nul != NULL ? (size_t)(nul - data) : size;
    struct pbc_catalog cat;
    struct pbc_error err;
    char *name;

    if (pbc_catalog_parse((const char *)data, len, &cat, &err) < 0) {
        CLAIM(err.code == PBC_EXIT_FAILED && cat.count == 0 && cat.entry == NULL);
        return 0;
    }
    CLAIM(cat.count <= PBC_CATALOG_ENTRIES);
    for (size_t i = 0; i < cat.count; i++)
        entry(&cat, &cat.entry[i]);
    name = strndup(nul != NULL ? (const char *)nul + 1 : "", nul != NULL ? size - len - 1 : 0);
    if (name != NULL && pbc_catalog_find(&cat, name, "p", &err) == NULL)
        CLAIM(err.code == PBC_EXIT_REFUSED);
    if (name != NULL && pbc_catalog_has(&cat, name))
        CLAIM(pbc_catalog_is_name(name));
    free(name);
    pbc_catalog_free(&cat);
    return 0;
}
