/* .pbcast/bundle.conf: what is read, written and read again is the same. */
#include "fuzz.h"

#include "meta.h"

#include <string.h>

static void same_text(const char *a, const char *b)
{
    CLAIM((a == NULL) == (b == NULL));
    CLAIM(a == NULL || strcmp(a, b) == 0);
}

static void same(const struct pbc_meta *a, const struct pbc_meta *b)
{
    CLAIM(a->has_profile == b->has_profile && a->profile == b->profile);
    same_text(a->origin, b->origin);
    CLAIM(a->has_files == b->has_files && a->files == b->files);
    CLAIM(a->has_bytes == b->has_bytes && a->bytes == b->bytes);
    same_text(a->contents, b->contents);
    same_text(a->placeholder, b->placeholder);
    CLAIM(a->vars.count == b->vars.count && a->nrewrites == b->nrewrites);
    for (size_t i = 0; i < a->vars.count; i++) {
        CLAIM(a->vars.item[i].kind == b->vars.item[i].kind);
        same_text(a->vars.item[i].name, b->vars.item[i].name);
        same_text(a->vars.item[i].value, b->vars.item[i].value);
    }
    for (size_t i = 0; i < a->nrewrites; i++) {
        CLAIM(a->rewrite[i].binary == b->rewrite[i].binary);
        same_text(a->rewrite[i].path, b->rewrite[i].path);
    }
}

static void is_safe(const struct pbc_meta *m)
{
    CLAIM(m->vars.count <= PBC_VARIABLES_MAX);
    for (size_t i = 0; i < m->vars.count; i++) {
        const char *name = m->vars.item[i].name;

        CLAIM(strncmp(name, "SLURM", 5) != 0 && strncmp(name, "PMIX_", 5) != 0);
        CLAIM(strcmp(name, "LD_PRELOAD") != 0 && strpbrk(name, "= \n") == NULL);
    }
    CLAIM(m->nrewrites == 0 || m->placeholder != NULL);
    for (size_t i = 0; i < m->nrewrites; i++) {
        const char *path = m->rewrite[i].path;

        CLAIM(path[0] != '/' && path[0] != '\0');
        CLAIM(strncmp(path, "../", 3) != 0 && strstr(path, "/../") == NULL);
        CLAIM(pbc_meta_rewrite(m, path) == &m->rewrite[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct pbc_meta empty;
    struct pbc_meta m, again;
    struct pbc_error err;
    char *text;
    size_t len;

    if (pbc_meta_parse((const char *)data, size, &m, &err) < 0) {
        CLAIM(err.code == PBC_EXIT_REFUSED);
        CLAIM(memcmp(&m, &empty, sizeof(m)) == 0);
        return 0;
    }
    is_safe(&m);
    text = pbc_meta_format(&m, &len, &err);
    CLAIM(text != NULL && strlen(text) == len);
    CLAIM(pbc_meta_parse(text, len, &again, &err) == 0);
    same(&m, &again);
    free(text);
    pbc_meta_free(&m);
    pbc_meta_free(&again);
    return 0;
}
