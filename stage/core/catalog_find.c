/* What a name means, and which names are near one that means nothing. */
#include "catalog.h"

#include <stdio.h>
#include <string.h>

#define NEAR_MAX   5 /* names in a message */
#define NEAR_EDITS 3

/* A name taken apart: `version` is NULL without one. */
struct asked {
    char name[PBC_CATALOG_NAME];
    const char *version;
};

static void take_apart(const char *text, struct asked *a)
{
    size_t len = strcspn(text, "/");

    memcpy(a->name, text, len);
    a->name[len] = '\0';
    a->version = text[len] == '/' ? text + len + 1 : NULL;
}

int pbc_catalog_has(const struct pbc_catalog *cat, const char *text)
{
    struct asked a;

    if (!pbc_catalog_is_name(text))
        return 0;
    take_apart(text, &a);
    for (size_t i = 0; i < cat->count; i++) {
        if (strcmp(cat->entry[i].name, a.name) == 0)
            return 1;
    }
    return 0;
}

static int is_one_of(const char *word, const char *list)
{
    size_t len = strlen(word);

    for (const char *p = list; p != NULL; p = strchr(p, ',')) {
        p += *p == ',';
        if (strncmp(p, word, len) == 0 && (p[len] == ',' || p[len] == '\0'))
            return 1;
    }
    return 0;
}

int pbc_catalog_floats(const struct pbc_catalog *cat, const char *text)
{
    for (size_t i = 0; i < cat->count; i++) {
        if (strcmp(cat->entry[i].name, text) == 0 && cat->entry[i].partitions != NULL)
            return 1;
    }
    return 0;
}

/* What a name without version means. */
static const struct pbc_catalog_entry *default_of(const struct pbc_catalog *cat, const char *name,
                                                  const char *partition)
{
    const struct pbc_catalog_entry *everywhere = NULL, *somewhere = NULL, *only = NULL;
    size_t versions = 0;

    for (size_t i = 0; i < cat->count; i++) {
        const struct pbc_catalog_entry *e = &cat->entry[i];

        if (strcmp(e->name, name) != 0)
            continue;
        if (partition != NULL && is_one_of(partition, e->partitions))
            return e;
        if (partition == NULL && e->partitions != NULL)
            somewhere = e;
        if (e->is_default)
            everywhere = e;
        only = e;
        versions++;
    }
    if (everywhere != NULL)
        return everywhere;
    return versions == 1 ? only : somewhere;
}

/* Insertions, deletions and replacements that make one word of the other (Levenshtein); words are
 * shorter than PBC_CATALOG_NAME. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[PBC_CATALOG_NAME];
    size_t n = strlen(b);

    for (size_t j = 0; j <= n; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        unsigned diagonal = row[0];

        row[0] = (unsigned)i;
        for (size_t j = 1; j <= n; j++) {
            unsigned best = diagonal + (a[i - 1] != b[j - 1]);

            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[n];
}

static unsigned edits(const struct pbc_catalog_entry *e, const struct asked *a)
{
    unsigned d = distance(e->name, a->name);

    /* More than half of a short word is another word. */
    return 2 * d > strlen(a->name) ? NEAR_EDITS + 1 : d;
}

/* Names with up to NEAR_EDITS edits, the nearest first; all versions of the nearest name. */
static void append_near(const struct pbc_catalog *cat, const struct asked *a, char *out,
                        size_t size)
{
    unsigned listed = 0;
    size_t at = 0;

    for (unsigned d = 0; d <= NEAR_EDITS; d++) {
        for (size_t i = 0; i < cat->count; i++) {
            const struct pbc_catalog_entry *e = &cat->entry[i];

            if (edits(e, a) != d)
                continue;
            if (++listed > NEAR_MAX || at >= size) {
                if (at < size)
                    snprintf(out + at, size - at, ", ...");
                return;
            }
            at += (size_t)snprintf(out + at, size - at, "%s%s/%s", listed > 1 ? ", " : "", e->name,
                                   e->version);
        }
    }
}

const struct pbc_catalog_entry *pbc_catalog_find(const struct pbc_catalog *cat, const char *text,
                                                 const char *partition, struct pbc_error *err)
{
    const struct pbc_catalog_entry *e;
    char near[PBC_ERROR_MAX / 2] = "";
    struct asked a;

    if (!pbc_catalog_is_name(text)) {
        pbc_fail(err, PBC_EXIT_REFUSED, "'%.256s' is not a name of the site's catalogue", text);
        return NULL;
    }
    take_apart(text, &a);
    if (a.version == NULL) {
        e = default_of(cat, a.name, partition);
        if (e != NULL)
            return e;
    }
    for (size_t i = 0; i < cat->count && a.version != NULL; i++) {
        e = &cat->entry[i];
        if (strcmp(e->name, a.name) == 0 && strcmp(e->version, a.version) == 0)
            return e;
    }
    append_near(cat, &a, near, sizeof(near));
    if (a.version == NULL && pbc_catalog_has(cat, text))
        pbc_fail(err, PBC_EXIT_REFUSED,
                 "the site's catalogue has several versions of %s and no default: choose of %s",
                 text, near);
    else
        pbc_fail(err, PBC_EXIT_REFUSED, "the site's catalogue has no %s%s%s", text,
                 near[0] != '\0' ? "; near it are " : "; see 'pbcast catalog list'", near);
    return NULL;
}
