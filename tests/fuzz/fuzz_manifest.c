/* A manifest: what is read, written and read again is the same. */
#include "fuzz.h"

#include "manifest.h"

#include <string.h>

static void same_dirs(const struct pbc_dirs *a, const struct pbc_dirs *b)
{
    CLAIM(a->count == b->count);
    for (size_t i = 0; i < a->count; i++)
        CLAIM(strcmp(a->dir[i], b->dir[i]) == 0);
}

static void same(const struct pbc_manifest *a, const struct pbc_manifest *b)
{
    CLAIM(strcmp(a->set, b->set) == 0);
    CLAIM(a->profile == b->profile);
    CLAIM(strcmp(a->python, b->python) == 0);
    CLAIM(a->stated == b->stated && a->rewritten == b->rewritten && a->openmpi == b->openmpi);
    CLAIM((a->base == NULL) == (b->base == NULL) && (a->rhome == NULL) == (b->rhome == NULL));
    same_dirs(&a->lib, &b->lib);
    same_dirs(&a->perl, &b->perl);
    same_dirs(&a->node, &b->node);
    same_dirs(&a->depot, &b->depot);
    CLAIM(a->vars.count == b->vars.count);
    for (size_t i = 0; i < a->vars.count; i++)
        CLAIM(strcmp(a->vars.item[i].name, b->vars.item[i].name) == 0);
    CLAIM(a->bytes == b->bytes && a->files == b->files);
    CLAIM(strcmp(a->nodes, b->nodes) == 0);
    CLAIM(a->lib.count == b->lib.count && a->nbundles == b->nbundles);

    for (size_t i = 0; i < a->nbundles; i++) {
        CLAIM(strcmp(a->bundle[i].digest, b->bundle[i].digest) == 0);
        CLAIM(strcmp(a->bundle[i].path, b->bundle[i].path) == 0);
        CLAIM(a->bundle[i].bytes == b->bundle[i].bytes);
        CLAIM(a->bundle[i].files == b->bundle[i].files);
    }
}

static void stays_below(const char *libdir)
{
    char path[PBC_PATH_MAX + 2];

    CLAIM((size_t)snprintf(path, sizeof(path), "/%s/", libdir) < sizeof(path));
    CLAIM(strstr(path, "//") == NULL && strstr(path, "/./") == NULL);
    CLAIM(strstr(path, "/../") == NULL && strchr(path, ':') == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pbc_manifest m, again;
    struct pbc_error err;
    char *text;
    size_t len;

    if (pbc_manifest_parse((const char *)data, size, &m, &err) < 0) {
        CLAIM(err.code == PBC_EXIT_FAILED);
        CLAIM(m.nbundles == 0 && m.lib.count == 0 && m.nodes == NULL);
        return 0;
    }
    CLAIM(pbc_set_id_valid(m.set));
    CLAIM(m.lib.count <= PBC_DIRS_MAX && m.nbundles <= PBC_BUNDLES_MAX);
    for (size_t i = 0; i < m.lib.count; i++)
        stays_below(m.lib.dir[i]);
    text = pbc_manifest_format(&m, &len, &err);
    CLAIM(text != NULL);
    CLAIM(pbc_manifest_parse(text, len, &again, &err) == 0);
    same(&m, &again);
    free(text);
    pbc_manifest_free(&m);
    pbc_manifest_free(&again);
    return 0;
}
