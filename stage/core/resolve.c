#include "resolve.h"

#include "catalog.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int is_path(const char *word)
{
    return word[0] == '/' || strncmp(word, "./", 2) == 0 || strncmp(word, "../", 3) == 0;
}

/* A directory is no bundle: one that is called as a name does not make it ambiguous. */
static int is_file(const char *word)
{
    struct stat st;

    return stat(word, &st) == 0 && !S_ISDIR(st.st_mode);
}

/* A path that could be a name, if there were a catalogue. */
static int is_missing_name(const char *word)
{
    return !is_path(word) && pbc_catalog_is_name(word) && access(word, F_OK) < 0 && errno == ENOENT;
}

static int take_entry(struct pbc_bundle *b, const struct pbc_catalog_entry *e, int floats,
                      struct pbc_error *err)
{
    char *path = strdup(e->path);
    char *name = NULL;

    if (path == NULL ||
        asprintf(&name, "%s%s%s", e->name, floats ? "" : "/", floats ? "" : e->version) < 0) {
        free(path);
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory for the list of bundles");
    }
    free(b->path);
    free(b->name);
    b->path = path;
    b->name = name;
    b->has_profile = e->has_profile;
    b->profile = e->profile;
    pbc_variables_free(&b->vars);
    for (size_t i = 0; i < e->vars.count; i++) {
        const struct pbc_variable *v = &e->vars.item[i];

        if (pbc_variables_add(&b->vars, v->kind, v->name, v->value) < 0)
            return pbc_fail(err, PBC_EXIT_FAILED, "no memory for the list of bundles");
    }
    memcpy(b->digest, e->digest, sizeof(b->digest));
    return 0;
}

static int refuse_path(const struct pbc_site *site, const char *path, struct pbc_error *err)
{
    if (site->catalog[0] == '\0')
        return pbc_fail(err, PBC_EXIT_REFUSED,
                        "bundle %s: this site allows bundles of its catalogue only, and has none: "
                        "tell the administrator (allow_user_bundles=no without catalog=)",
                        path);
    return pbc_fail(err, PBC_EXIT_REFUSED,
                    "bundle %s: this site allows bundles of its catalogue only; see 'pbcast "
                    "catalog list'",
                    path);
}

static int take_name(struct pbc_bundle *b, const struct pbc_catalog *cat, const char *word,
                     const char *partition, struct pbc_error *err)
{
    const struct pbc_catalog_entry *e = pbc_catalog_find(cat, word, partition, err);

    return e == NULL ? -1
                     : take_entry(b, e, partition == NULL && pbc_catalog_floats(cat, word), err);
}

static int resolve_one(struct pbc_bundle *b, const struct pbc_site *site,
                       const struct pbc_catalog *cat, const struct pbc_where_from *from,
                       struct pbc_error *err)
{
    struct pbc_error why;
    int file;

    if (b->kind != PBC_BUNDLE_ARCHIVE)
        return site->allow_user_bundles ? 0 : refuse_path(site, b->path, err);
    if (b->name != NULL || (from->job && !is_path(b->path))) {
        if (cat != NULL)
            return take_name(b, cat, b->name != NULL ? b->name : b->path, from->partition, err);
        return pbc_fail(err, PBC_EXIT_REFUSED,
                        "bundle %s is a name, and this site has no catalogue (catalog=)",
                        b->name != NULL ? b->name : b->path);
    }
    if (site->catalog[0] == '\0' && site->allow_user_bundles && is_missing_name(b->path))
        return pbc_fail(err, PBC_EXIT_REFUSED,
                        "bundle %s: there is no such file, and this site has no catalogue of names "
                        "(is the path right on this machine?)",
                        b->path);
    file = is_file(b->path);
    if (cat == NULL || is_path(b->path) || (file && !pbc_catalog_has(cat, b->path)) ||
        !pbc_catalog_is_name(b->path))
        return site->allow_user_bundles ? 0 : refuse_path(site, b->path, err);
    if (file)
        return pbc_fail(err, PBC_EXIT_REFUSED,
                        "bundle %s is a name of the site's catalogue, and a file here: write ./%s "
                        "for the file, or call from another directory for the name",
                        b->path, b->path);
    if (pbc_catalog_has(cat, b->path))
        return take_name(b, cat, b->path, from->partition, err);
    (void)pbc_catalog_find(cat, b->path, NULL, &why);
    return pbc_fail(err, why.code, "bundle %s: there is no such file, and %s", b->path, why.text);
}

int pbc_resolve(struct pbc_bundles *list, const struct pbc_site *site,
                const struct pbc_where_from *from, struct pbc_error *err)
{
    struct pbc_catalog cat = {0};
    int needed = 0, rc = 0;

    for (size_t i = 0; i < list->count; i++)
        needed |= list->item[i].kind == PBC_BUNDLE_ARCHIVE &&
                  (list->item[i].name != NULL || !is_path(list->item[i].path));
    needed = needed && site->catalog[0] != '\0';
    if (needed && pbc_catalog_read(site->catalog, &cat, err) < 0)
        return -1;
    for (size_t i = 0; i < list->count && rc == 0; i++)
        rc = resolve_one(&list->item[i], site, needed ? &cat : NULL, from, err);
    pbc_catalog_free(&cat);
    return rc;
}

int pbc_resolve_floats(const struct pbc_bundles *list)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->item[i].name != NULL && strchr(list->item[i].name, '/') == NULL)
            return 1;
    }
    return 0;
}
