#include "meta.h"

#include "bundle.h"
#include "text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- the form of each value: the same for the reader and the writer ---- */

static bool is_absolute(const char *value)
{
    return value[0] == '/' && strlen(value) < PBC_PATH_MAX;
}

static bool is_placeholder(const char *value)
{
    return is_absolute(value) && strlen(value) >= PBC_META_PLACEHOLDER_MIN;
}

static bool is_digest(const char *value)
{
    return strlen(value) == PBC_META_DIGEST_LEN &&
           strspn(value, "0123456789abcdef") == PBC_META_DIGEST_LEN;
}

static bool is_member(const char *value)
{
    return strlen(value) < PBC_PATH_MAX && pbc_text_is_below(value);
}

/* ---- the member ---- */

int pbc_meta_admit(bool again, bool late, bool regular, uint64_t size, struct pbc_error *err)
{
    if (again)
        return pbc_fail(err, PBC_EXIT_REFUSED, "member '" PBC_META_NAME "' comes a second time");
    if (late)
        return pbc_fail(err, PBC_EXIT_REFUSED,
                        "member '" PBC_META_NAME "' must come before all files and links");
    if (!regular)
        return pbc_fail(err, PBC_EXIT_REFUSED, "member '" PBC_META_NAME "' is not a regular file");
    if (size > PBC_META_MAX)
        return pbc_fail(err, PBC_EXIT_REFUSED, "member '" PBC_META_NAME "' has more than %u bytes",
                        PBC_META_MAX);
    return 0;
}

/* ---- reading ---- */

/* -1 with errno EINVAL (out of form), EPERM, E2BIG or ENOMEM (variable.h). */
static int bad(int why)
{
    errno = why;
    return -1;
}

static int copy(char **out, const char *value)
{
    *out = strdup(value);
    return *out != NULL ? 0 : bad(ENOMEM);
}

static int read_profile(struct pbc_meta *m, char *value)
{
    m->has_profile = true;
    return pbc_profile_from_name(value, &m->profile) < 0 ? bad(EINVAL) : 0;
}

static int read_origin(struct pbc_meta *m, char *value)
{
    if (pbc_text_unescape(value) < 0 || !is_absolute(value))
        return bad(EINVAL);
    return copy(&m->origin, value);
}

static int read_files(struct pbc_meta *m, char *value)
{
    m->has_files = true;
    return pbc_text_u64(value, strlen(value), &m->files) < 0 ? bad(EINVAL) : 0;
}

static int read_bytes(struct pbc_meta *m, char *value)
{
    m->has_bytes = true;
    return pbc_text_u64(value, strlen(value), &m->bytes) < 0 ? bad(EINVAL) : 0;
}

static int read_contents(struct pbc_meta *m, char *value)
{
    if (!is_digest(value))
        return bad(EINVAL);
    memcpy(m->contents, value, sizeof(m->contents));
    return 0;
}

static int read_placeholder(struct pbc_meta *m, char *value)
{
    if (pbc_text_unescape(value) < 0 || !is_placeholder(value))
        return bad(EINVAL);
    return copy(&m->placeholder, value);
}

static int add_rewrite(struct pbc_meta *m, bool binary, const char *path)
{
    struct pbc_rewrite *more = m->rewrite;
    size_t n = m->nrewrites;

    /* room doubles: there may be many */
    if ((n & (n - 1)) == 0) {
        more = reallocarray(m->rewrite, n == 0 ? 1 : 2 * n, sizeof(*more));
        if (more == NULL)
            return bad(ENOMEM);
        m->rewrite = more;
    }
    more[n].binary = binary;
    if (copy(&more[n].path, path) < 0)
        return -1;
    m->nrewrites++;
    return 0;
}

/* text PATH, binary PATH */
static int read_rewrite(struct pbc_meta *m, char *value)
{
    const char *how = strsep(&value, " ");
    bool binary = strcmp(how, "binary") == 0;

    if (value == NULL || (!binary && strcmp(how, "text") != 0) || pbc_text_unescape(value) < 0 ||
        !is_member(value))
        return bad(EINVAL);
    return add_rewrite(m, binary, value);
}

static const struct key {
    const char *name;
    int (*read)(struct pbc_meta *m, char *value);
    bool many;
} keys[] = {
    {"profile", read_profile, false},   {"origin", read_origin, false},
    {"files", read_files, false},       {"bytes", read_bytes, false},
    {"contents", read_contents, false}, {"placeholder", read_placeholder, false},
    {"rewrite", read_rewrite, true},
};
#define NKEYS (sizeof(keys) / sizeof(keys[0]))

static int wrong(unsigned number, const char *name, struct pbc_error *err)
{
    if (errno == ENOMEM)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory for " PBC_META_NAME);
    if (errno == E2BIG)
        return pbc_fail(err, PBC_EXIT_REFUSED,
                        "line %u of " PBC_META_NAME " has one variable too many, the limit is %d",
                        number, PBC_VARIABLES_MAX);
    if (errno == EPERM)
        return pbc_fail(err, PBC_EXIT_REFUSED,
                        "line %u of " PBC_META_NAME
                        " names a variable in %s= that a bundle must not touch",
                        number, name);
    return pbc_fail(err, PBC_EXIT_REFUSED,
                    "line %u of " PBC_META_NAME " has a wrong value for %s=", number, name);
}

static int read_line(struct pbc_meta *m, char *line, unsigned number, bool seen[NKEYS],
                     struct pbc_error *err)
{
    char *value = line;
    const char *name;
    enum pbc_env_kind kind;
    size_t k = 0;

    if (pbc_text_has_control(line, strlen(line)))
        return pbc_fail(err, PBC_EXIT_REFUSED,
                        "line %u of " PBC_META_NAME " has a control character", number);
    if (line[0] == '\0' || line[0] == '#')
        return 0;
    name = strsep(&value, "=");
    if (value == NULL)
        return pbc_fail(err, PBC_EXIT_REFUSED, "line %u of " PBC_META_NAME " has no '=': %.64s",
                        number, name);
    if (pbc_variable_kind(name, &kind) == 0)
        return pbc_variables_read(&m->vars, kind, value) < 0 ? wrong(number, name, err) : 0;
    while (k < NKEYS && strcmp(keys[k].name, name) != 0)
        k++;
    if (k == NKEYS)
        return 0;
    if (seen[k] && !keys[k].many)
        return pbc_fail(err, PBC_EXIT_REFUSED, "line %u of " PBC_META_NAME " has %s= a second time",
                        number, name);
    seen[k] = true;
    return keys[k].read(m, value) < 0 ? wrong(number, name, err) : 0;
}

static int compare_rewrites(const void *a, const void *b)
{
    return strcmp(((const struct pbc_rewrite *)a)->path, ((const struct pbc_rewrite *)b)->path);
}

static int check_rewrites(struct pbc_meta *m, struct pbc_error *err)
{
    if (m->nrewrites == 0)
        return 0;
    if (m->placeholder == NULL)
        return pbc_fail(err, PBC_EXIT_REFUSED, PBC_META_NAME " has rewrite= without placeholder=");
    qsort(m->rewrite, m->nrewrites, sizeof(*m->rewrite), compare_rewrites);
    for (size_t i = 1; i < m->nrewrites; i++) {
        if (compare_rewrites(&m->rewrite[i - 1], &m->rewrite[i]) == 0)
            return pbc_fail(err, PBC_EXIT_REFUSED, PBC_META_NAME " has two rewrite= of '%s'",
                            m->rewrite[i].path);
    }
    return 0;
}

static int read_lines(struct pbc_meta *m, char *text, struct pbc_error *err)
{
    bool seen[NKEYS] = {false};
    unsigned number = 1;
    char *line = strsep(&text, "\n");

    if (strcmp(line, "pbcast-bundle=1") != 0 || text == NULL)
        return pbc_fail(err, PBC_EXIT_REFUSED,
                        "line 1 of " PBC_META_NAME " is not \"pbcast-bundle=%d\": the bundle needs "
                        "another version of pbcast",
                        PBC_META_VERSION);
    while (*text != '\0') {
        line = strsep(&text, "\n");
        number++;
        if (text == NULL)
            return pbc_fail(err, PBC_EXIT_REFUSED, "line %u of " PBC_META_NAME " is cut", number);
        if (read_line(m, line, number, seen, err) < 0)
            return -1;
    }
    return check_rewrites(m, err);
}

int pbc_meta_parse(const char *text, size_t len, struct pbc_meta *out, struct pbc_error *err)
{
    char *work;
    int rc;

    memset(out, 0, sizeof(*out));
    if (len > PBC_META_MAX)
        return pbc_fail(err, PBC_EXIT_REFUSED, PBC_META_NAME " has more than %u bytes",
                        PBC_META_MAX);
    if (memchr(text, '\0', len) != NULL)
        return pbc_fail(err, PBC_EXIT_REFUSED, PBC_META_NAME " has a NUL in it");
    work = strndup(text, len);
    if (work == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory for " PBC_META_NAME);
    rc = read_lines(out, work, err);
    free(work);
    if (rc < 0)
        pbc_meta_free(out);
    return rc;
}

/* ---- writing ---- */

static const char *wrong_value(const struct pbc_meta *m)
{
    if (m->origin != NULL && !is_absolute(m->origin))
        return "origin";
    if (m->contents[0] != '\0' && !is_digest(m->contents))
        return "contents";
    if (!pbc_variables_valid(&m->vars))
        return "set, prepend, append or unset";
    if (m->placeholder != NULL ? !is_placeholder(m->placeholder) : m->nrewrites > 0)
        return "placeholder";
    for (size_t i = 0; i < m->nrewrites; i++) {
        if (!is_member(m->rewrite[i].path))
            return "rewrite";
    }
    return NULL;
}

static void write_escaped(FILE *out, const char *key, const char *value)
{
    if (value == NULL)
        return;
    fputs(key, out);
    pbc_text_escape(out, value);
    putc('\n', out);
}

static void write_lines(FILE *out, const struct pbc_meta *m)
{
    fprintf(out, "pbcast-bundle=%d\n", PBC_META_VERSION);
    if (m->has_profile)
        fprintf(out, "profile=%s\n", pbc_profile_name(m->profile));
    write_escaped(out, "origin=", m->origin);
    if (m->has_files)
        fprintf(out, "files=%llu\n", (unsigned long long)m->files);
    if (m->has_bytes)
        fprintf(out, "bytes=%llu\n", (unsigned long long)m->bytes);
    if (m->contents[0] != '\0')
        fprintf(out, "contents=%s\n", m->contents);
    pbc_variables_write(out, "", &m->vars);
    write_escaped(out, "placeholder=", m->placeholder);
    for (size_t i = 0; i < m->nrewrites; i++)
        write_escaped(out, m->rewrite[i].binary ? "rewrite=binary " : "rewrite=text ",
                      m->rewrite[i].path);
}

char *pbc_meta_format(const struct pbc_meta *m, size_t *ret_len, struct pbc_error *err)
{
    const char *what = wrong_value(m);
    char *text = NULL;
    size_t len = 0;
    bool failed;
    FILE *out;

    if (what != NULL) {
        pbc_fail(err, PBC_EXIT_REFUSED, PBC_META_NAME " cannot hold such a value of %s=", what);
        return NULL;
    }
    out = open_memstream(&text, &len);
    if (out == NULL) {
        pbc_fail(err, PBC_EXIT_FAILED, "no memory for " PBC_META_NAME);
        return NULL;
    }
    write_lines(out, m);
    failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed) {
        free(text);
        pbc_fail(err, PBC_EXIT_FAILED, "no memory for " PBC_META_NAME);
        return NULL;
    }
    if (len > PBC_META_MAX) {
        free(text);
        pbc_fail(err, PBC_EXIT_REFUSED,
                 PBC_META_NAME " has more than %u bytes: too many files to "
                               "rewrite",
                 PBC_META_MAX);
        return NULL;
    }
    *ret_len = len;
    return text;
}

int pbc_meta_add_rewrite(struct pbc_meta *m, bool binary, const char *path, struct pbc_error *err)
{
    if (add_rewrite(m, binary, path) < 0)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory for " PBC_META_NAME);
    return 0;
}

const struct pbc_rewrite *pbc_meta_rewrite(const struct pbc_meta *m, const char *path)
{
    struct pbc_rewrite key = {.path = (char *)path};

    if (m->rewrite == NULL)
        return NULL;
    return bsearch(&key, m->rewrite, m->nrewrites, sizeof(*m->rewrite), compare_rewrites);
}

void pbc_meta_forget_rewrites(struct pbc_meta *m)
{
    for (size_t i = 0; m->rewrite != NULL && i < m->nrewrites; i++)
        free(m->rewrite[i].path);
    free(m->rewrite);
    m->rewrite = NULL;
}

void pbc_meta_free(struct pbc_meta *m)
{
    free(m->origin);
    free(m->placeholder);
    pbc_variables_free(&m->vars);
    pbc_meta_forget_rewrites(m);
    memset(m, 0, sizeof(*m));
}
