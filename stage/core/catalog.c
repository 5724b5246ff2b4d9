#include "catalog.h"

#include "text.h"
#include "trusted.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LETTERS_DIGITS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
#define WORD_CHARS     LETTERS_DIGITS "._+-"

/* One line: key and value, neither terminated. */
struct line {
    unsigned number;
    const char *key;
    size_t keylen;
    const char *value;
    size_t len;
};

struct parser {
    struct pbc_catalog *cat;
    size_t room; /* of cat->entry */
    int versioned;
    unsigned seen; /* bits of the keys of the entry that is open */
};

static int wrong(const struct line *l, struct pbc_error *err, const char *why)
{
    return pbc_fail(err, PBC_EXIT_FAILED, "line %u: %.*s: %s", l->number, (int)l->keylen, l->key,
                    why);
}

static int is_word(const char *text, size_t len)
{
    if (len == 0 || len >= PBC_CATALOG_NAME || strchr(LETTERS_DIGITS, text[0]) == NULL)
        return 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\0' || strchr(WORD_CHARS, text[i]) == NULL)
            return 0;
    }
    return 1;
}

int pbc_catalog_is_name(const char *text)
{
    size_t len = strcspn(text, "/");

    if (!is_word(text, len) || strcmp(text, "none") == 0)
        return 0;
    return text[len] == '\0' || is_word(text + len + 1, strlen(text + len + 1));
}

static struct pbc_catalog_entry *open_entry(struct parser *p)
{
    return &p->cat->entry[p->cat->count - 1];
}

/* ---- values ---- */

static int take_text(const struct line *l, char **out, struct pbc_error *err)
{
    *out = strndup(l->value, l->len);
    return *out != NULL ? 0 : pbc_fail(err, PBC_EXIT_FAILED, "no memory for the catalogue");
}

static int take_default(struct parser *p, const struct line *l, struct pbc_error *err)
{
    if (l->len == 3 && memcmp(l->value, "yes", 3) == 0)
        open_entry(p)->is_default = 1;
    else if (l->len != 2 || memcmp(l->value, "no", 2) != 0)
        return wrong(l, err, "yes or no is needed");
    return 0;
}

static int take_partitions(struct parser *p, const struct line *l, struct pbc_error *err)
{
    for (size_t at = 0; at <= l->len;) {
        const char *comma = memchr(l->value + at, ',', l->len - at);
        size_t len = comma != NULL ? (size_t)(comma - (l->value + at)) : l->len - at;

        if (!is_word(l->value + at, len))
            return wrong(l, err, "names of partitions with commas between them are needed");
        at += len + 1;
    }
    return take_text(l, &open_entry(p)->partitions, err);
}

static int take_path(struct parser *p, const struct line *l, struct pbc_error *err)
{
    if (l->len == 0 || l->value[0] != '/' || l->len >= PBC_PATH_MAX ||
        memchr(l->value, ',', l->len) != NULL)
        return wrong(l, err, "an absolute path without a comma is needed");
    return take_text(l, &open_entry(p)->path, err);
}

static int take_digest(struct parser *p, const struct line *l, struct pbc_error *err)
{
    char *digest = open_entry(p)->digest;

    if (l->len != PBC_DIGEST_LEN)
        return wrong(l, err, "64 hexadecimal digits are needed (b2sum -l 256)");
    memcpy(digest, l->value, l->len);
    if (!pbc_digest_valid(digest)) {
        digest[0] = '\0';
        return wrong(l, err, "64 lower-case hexadecimal digits are needed (b2sum -l 256)");
    }
    return 0;
}

static int take_description(struct parser *p, const struct line *l, struct pbc_error *err)
{
    return take_text(l, &open_entry(p)->description, err);
}

static int take_profile(struct parser *p, const struct line *l, struct pbc_error *err)
{
    char name[16] = "";

    memcpy(name, l->value, l->len < sizeof(name) ? l->len : sizeof(name) - 1);
    open_entry(p)->has_profile = 1;
    if (pbc_profile_from_name(name, &open_entry(p)->profile) < 0)
        return wrong(l, err, "one of " PBC_PROFILE_NAMES " is needed");
    return 0;
}

static int take_variable(struct parser *p, const struct line *l, enum pbc_env_kind kind,
                         struct pbc_error *err)
{
    char *text = strndup(l->value, l->len);
    int rc = text == NULL ? -1 : pbc_variables_read(&open_entry(p)->vars, kind, text);

    if (text == NULL || (rc < 0 && errno == ENOMEM))
        pbc_fail(err, PBC_EXIT_FAILED, "no memory for the catalogue");
    else if (rc < 0 && errno == EPERM)
        wrong(l, err, "no bundle may touch this variable");
    else if (rc < 0)
        wrong(l, err,
              errno == E2BIG ? "too many variables" : "NAME=VALUE is needed (NAME for unset)");
    free(text);
    return rc;
}

static const struct {
    const char *name;
    int (*take)(struct parser *p, const struct line *l, struct pbc_error *err);
} keys[] = {
    {"path", take_path},       {"digest", take_digest},
    {"default", take_default}, {"default-in", take_partitions},
    {"profile", take_profile}, {"description", take_description},
};
#define NKEYS (sizeof(keys) / sizeof(keys[0]))

/* ---- entries ---- */

static int shares_partition(const char *a, const char *b)
{
    while (a != NULL && *a != '\0') {
        size_t len = strcspn(a, ",");
        const char *p = b;

        while (p != NULL && *p != '\0') {
            size_t n = strcspn(p, ",");

            if (n == len && memcmp(a, p, n) == 0)
                return 1;
            p += n + (p[n] == ',');
        }
        a += len + (a[len] == ',');
    }
    return 0;
}

/* Is the entry that is open whole, and beside the others? */
static int close_entry(struct parser *p, struct pbc_error *err)
{
    const struct pbc_catalog_entry *e, *o;

    if (p->cat->count == 0)
        return 0;
    e = open_entry(p);
    if (e->path == NULL || e->digest[0] == '\0')
        return pbc_fail(err, PBC_EXIT_FAILED, "bundle=%s/%s has no %s=", e->name, e->version,
                        e->path == NULL ? "path" : "digest");
    for (o = p->cat->entry; o < e; o++) {
        if (strcmp(o->name, e->name) != 0)
            continue;
        if (strcmp(o->version, e->version) == 0)
            return pbc_fail(err, PBC_EXIT_FAILED, "bundle=%s/%s is there twice", e->name,
                            e->version);
        if ((o->is_default && e->is_default) || shares_partition(o->partitions, e->partitions))
            return pbc_fail(err, PBC_EXIT_FAILED, "%s/%s and %s/%s are both the default of %s",
                            o->name, o->version, e->name, e->version, e->name);
    }
    return 0;
}

static int take_bundle(struct parser *p, const struct line *l, struct pbc_error *err)
{
    const char *slash = memchr(l->value, '/', l->len);
    size_t len = slash != NULL ? (size_t)(slash - l->value) : 0;
    struct pbc_catalog *cat = p->cat;
    struct pbc_catalog_entry *e;

    if (slash == NULL || !is_word(l->value, len) || !is_word(slash + 1, l->len - len - 1))
        return wrong(
            l, err, "NAME/VERSION is needed, of letters, digits and . _ + -, shorter than 64 each");
    if (close_entry(p, err) < 0)
        return -1;
    if (cat->count == PBC_CATALOG_ENTRIES)
        return wrong(l, err, "too many bundles");
    if (cat->count == p->room) {
        size_t room = p->room == 0 ? 16 : 2 * p->room;

        e = reallocarray(cat->entry, room, sizeof(*e));
        if (e == NULL)
            return pbc_fail(err, PBC_EXIT_FAILED, "no memory for the catalogue");
        cat->entry = e;
        p->room = room;
    }
    e = &cat->entry[cat->count++];
    memset(e, 0, sizeof(*e));
    memcpy(e->name, l->value, len);
    memcpy(e->version, slash + 1, l->len - len - 1);
    p->seen = 0;
    return 0;
}

static int is_key(const struct line *l, const char *key)
{
    return strlen(key) == l->keylen && memcmp(key, l->key, l->keylen) == 0;
}

static int take_line(struct parser *p, const struct line *l, struct pbc_error *err)
{
    enum pbc_env_kind kind;
    char key[16] = "";

    if (!p->versioned) {
        if (!is_key(l, "pbcast-catalog"))
            return pbc_fail(err, PBC_EXIT_FAILED, "line %u: pbcast-catalog=1 must come first",
                            l->number);
        if (l->len != 1 || l->value[0] != '0' + PBC_CATALOG_VERSION)
            return wrong(l, err, "this version of pbcast reads catalogues of version 1");
        p->versioned = 1;
        return 0;
    }
    if (is_key(l, "bundle"))
        return take_bundle(p, l, err);
    memcpy(key, l->key, l->keylen < sizeof(key) ? l->keylen : 0);
    if (p->cat->count > 0 && pbc_variable_kind(key, &kind) == 0)
        return take_variable(p, l, kind, err);
    for (size_t k = 0; k < NKEYS; k++) {
        if (!is_key(l, keys[k].name))
            continue;
        if (p->cat->count == 0)
            return wrong(l, err, "it belongs after a bundle=");
        if (p->seen & 1u << k)
            return wrong(l, err, "is given twice for one bundle");
        p->seen |= 1u << k;
        return keys[k].take(p, l, err);
    }
    return pbc_fail(err, PBC_EXIT_FAILED, "line %u: unknown key \"%.*s\"", l->number,
                    (int)(l->keylen < 64 ? l->keylen : 64), l->key);
}

static int parse(struct parser *p, const char *text, size_t len, struct pbc_error *err)
{
    struct line l = {0};

    for (size_t at = 0; at < len;) {
        const char *line = text + at;
        const char *end = memchr(line, '\n', len - at);
        size_t n = end != NULL ? (size_t)(end - line) : len - at;
        const char *equals;

        at += n + 1;
        l.number++;
        if (n == 0 || line[0] == '#')
            continue;
        if (pbc_text_has_control(line, n))
            return pbc_fail(err, PBC_EXIT_FAILED, "line %u has a control character", l.number);
        equals = memchr(line, '=', n);
        if (equals == NULL)
            return pbc_fail(err, PBC_EXIT_FAILED, "line %u is not key=value", l.number);
        l.key = line;
        l.keylen = (size_t)(equals - line);
        l.value = equals + 1;
        l.len = n - l.keylen - 1;
        if (take_line(p, &l, err) < 0)
            return -1;
    }
    if (!p->versioned)
        return pbc_fail(err, PBC_EXIT_FAILED, "it has no line pbcast-catalog=1");
    return close_entry(p, err);
}

int pbc_catalog_parse(const char *text, size_t len, struct pbc_catalog *out, struct pbc_error *err)
{
    struct parser p = {.cat = out};

    memset(out, 0, sizeof(*out));
    if (len > PBC_CATALOG_MAX)
        return pbc_fail(err, PBC_EXIT_FAILED, "it is longer than %u bytes", PBC_CATALOG_MAX);
    if (parse(&p, text, len, err) == 0)
        return 0;
    pbc_catalog_free(out);
    return -1;
}

int pbc_catalog_read(const char *path, struct pbc_catalog *out, struct pbc_error *err)
{
    struct pbc_error why;
    size_t len;
    char *text;
    int rc;

    memset(out, 0, sizeof(*out));
    text = pbc_trusted_read(path, PBC_CATALOG_MAX, &len, &why);
    if (text == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "the site's catalogue: %s", why.text);
    rc = pbc_catalog_parse(text, len, out, &why);
    free(text);
    if (rc < 0)
        return pbc_fail(err, PBC_EXIT_FAILED, "the site's catalogue %s: %s", path, why.text);
    return 0;
}

void pbc_catalog_free(struct pbc_catalog *cat)
{
    for (size_t i = 0; i < cat->count; i++) {
        free(cat->entry[i].partitions);
        free(cat->entry[i].path);
        free(cat->entry[i].description);
        pbc_variables_free(&cat->entry[i].vars);
    }
    free(cat->entry);
    memset(cat, 0, sizeof(*cat));
}
