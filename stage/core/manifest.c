#include "manifest.h"

#include "text.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOWER_HEX "0123456789abcdef"

/* ---- the form of each value: the same for the reader and the writer ---- */

static bool is_text(const char *value)
{
    return !pbc_text_has_control(value, strlen(value));
}

static bool is_path(const char *value)
{
    return value[0] != '\0' && strlen(value) < PBC_PATH_MAX && is_text(value);
}

static bool is_digest(const char *value)
{
    if (strcmp(value, PBC_DIGEST_NONE) == 0)
        return true;
    return strlen(value) == PBC_DIGEST_LEN && strspn(value, LOWER_HEX) == PBC_DIGEST_LEN;
}

static bool is_python(const char *value)
{
    size_t major = strspn(value, "0123456789");
    size_t minor;

    if (major == 0 || value[major] != '.')
        return false;
    minor = strspn(value + major + 1, "0123456789");
    return minor > 0 && value[major + 1 + minor] == '\0' &&
           major + 1 + minor < sizeof(((struct pbc_manifest *)NULL)->python);
}

static bool is_libdir(const char *value)
{
    /* a colon would split LD_LIBRARY_PATH */
    return is_path(value) && strchr(value, ':') == NULL && pbc_text_is_below(value);
}

/* ---- reading ---- */

static int read_u64(const char *value, uint64_t *ret)
{
    return pbc_text_u64(value, strlen(value), ret);
}

/* 0; -1 with errno EINVAL (out of form), E2BIG (one too many) or ENOMEM. */
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

static int read_set(struct pbc_manifest *m, char *value)
{
    if (!pbc_set_id_valid(value))
        return bad(EINVAL);
    memcpy(m->set, value, sizeof(m->set));
    return 0;
}

static int read_profile(struct pbc_manifest *m, char *value)
{
    return pbc_profile_from_name(value, &m->profile) < 0 ? bad(EINVAL) : 0;
}

static int read_flag(const char *value, bool *ret)
{
    *ret = true;
    return strcmp(value, "1") != 0 ? bad(EINVAL) : 0;
}

static int read_stated(struct pbc_manifest *m, char *value)
{
    return read_flag(value, &m->stated);
}

static int read_rewritten(struct pbc_manifest *m, char *value)
{
    return read_flag(value, &m->rewritten);
}

static int read_openmpi(struct pbc_manifest *m, char *value)
{
    return read_flag(value, &m->openmpi);
}

static int read_python(struct pbc_manifest *m, char *value)
{
    if (!is_python(value))
        return bad(EINVAL);
    memcpy(m->python, value, strlen(value) + 1);
    return 0;
}

static int read_bytes(struct pbc_manifest *m, char *value)
{
    return read_u64(value, &m->bytes) < 0 ? bad(EINVAL) : 0;
}

static int read_files(struct pbc_manifest *m, char *value)
{
    return read_u64(value, &m->files) < 0 ? bad(EINVAL) : 0;
}

static int read_nodes(struct pbc_manifest *m, char *value)
{
    return is_text(value) ? copy(&m->nodes, value) : bad(EINVAL);
}

static int read_base(struct pbc_manifest *m, char *value)
{
    return is_libdir(value) ? copy(&m->base, value) : bad(EINVAL);
}

static int read_rhome(struct pbc_manifest *m, char *value)
{
    return is_libdir(value) ? copy(&m->rhome, value) : bad(EINVAL);
}

static int read_dir(struct pbc_dirs *dirs, const char *value)
{
    if (!is_libdir(value))
        return bad(EINVAL);
    if (dirs->count == PBC_DIRS_MAX)
        return bad(E2BIG);
    if (copy(&dirs->dir[dirs->count], value) < 0)
        return -1;
    dirs->count++;
    return 0;
}

static int read_libdir(struct pbc_manifest *m, char *value)
{
    return read_dir(&m->lib, value);
}

static int read_perldir(struct pbc_manifest *m, char *value)
{
    return read_dir(&m->perl, value);
}

static int read_nodedir(struct pbc_manifest *m, char *value)
{
    return read_dir(&m->node, value);
}

static int read_depot(struct pbc_manifest *m, char *value)
{
    return read_dir(&m->depot, value);
}

/* set=NAME=VALUE and so on */
static int read_env(struct pbc_manifest *m, char *value)
{
    const char *how = strsep(&value, "=");
    enum pbc_env_kind kind;

    if (value == NULL || !is_text(value) || pbc_variable_kind(how, &kind) < 0)
        return bad(EINVAL);
    return pbc_variables_read(&m->vars, kind, value);
}

/* DIGEST BYTES FILES PATH */
static int read_bundle(struct pbc_manifest *m, char *value)
{
    struct pbc_manifest_bundle *b;
    const char *digest = strsep(&value, " ");
    const char *bytes = strsep(&value, " ");
    const char *files = strsep(&value, " ");

    if (m->nbundles == PBC_BUNDLES_MAX)
        return bad(E2BIG);
    b = &m->bundle[m->nbundles];
    if (value == NULL || !is_digest(digest) || read_u64(bytes, &b->bytes) < 0 ||
        read_u64(files, &b->files) < 0 || !is_path(value))
        return bad(EINVAL);
    strcpy(b->digest, digest); /* of that length, or shorter */
    if (copy(&b->path, value) < 0)
        return -1;
    m->nbundles++;
    return 0;
}

static const struct key {
    const char *name;
    int (*read)(struct pbc_manifest *m, char *value);
    bool many;
} keys[] = {
    {"set", read_set, false},        {"profile", read_profile, false},
    {"stated", read_stated, false},  {"rewritten", read_rewritten, false},
    {"python", read_python, false},  {"base", read_base, false},
    {"rhome", read_rhome, false},    {"openmpi", read_openmpi, false},
    {"bytes", read_bytes, false},    {"files", read_files, false},
    {"nodes", read_nodes, false},    {"libdir", read_libdir, true},
    {"perldir", read_perldir, true}, {"nodedir", read_nodedir, true},
    {"depot", read_depot, true},     {"env", read_env, true},
    {"bundle", read_bundle, true},
};
#define NKEYS (sizeof(keys) / sizeof(keys[0]))

static int read_line(struct pbc_manifest *m, char *line, unsigned number, bool seen[NKEYS],
                     struct pbc_error *err)
{
    char *value = line;
    const char *name = strsep(&value, "=");
    size_t k = 0;

    while (k < NKEYS && strcmp(keys[k].name, name) != 0)
        k++;
    if (value == NULL || k == NKEYS)
        return pbc_fail(err, PBC_EXIT_FAILED, "line %u of the manifest has an unknown key: %.64s",
                        number, name);
    if (seen[k] && !keys[k].many)
        return pbc_fail(err, PBC_EXIT_FAILED, "line %u of the manifest has %s= a second time",
                        number, name);
    seen[k] = true;
    if (keys[k].read(m, value) == 0)
        return 0;
    if (errno == ENOMEM)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory for the manifest");
    if (errno == E2BIG)
        return pbc_fail(err, PBC_EXIT_FAILED, "line %u of the manifest has one %s= too many",
                        number, name);
    return pbc_fail(err, PBC_EXIT_FAILED,
                    "line %u of the manifest has a wrong value for %s=", number, name);
}

static int read_lines(struct pbc_manifest *m, char *text, struct pbc_error *err)
{
    bool seen[NKEYS] = {false};
    char *line = strsep(&text, "\n");
    unsigned number = 1;

    if (strcmp(line, "pbcast-manifest=1") != 0)
        return pbc_fail(err, PBC_EXIT_FAILED,
                        "line 1 of the manifest is not \"pbcast-manifest=1\": another version "
                        "of pbcast wrote it, or none");
    while (text != NULL && *text != '\0') {
        line = strsep(&text, "\n");
        if (text == NULL)
            return pbc_fail(err, PBC_EXIT_FAILED, "line %u of the manifest is cut", number + 1);
        if (read_line(m, line, ++number, seen, err) < 0)
            return -1;
    }
    if (m->set[0] == '\0')
        return pbc_fail(err, PBC_EXIT_FAILED, "the manifest ends at line %u without set=", number);
    if (pbc_profile_fits(m, m->profile, NULL) < 0)
        return pbc_fail(err, PBC_EXIT_FAILED,
                        "the manifest's profile %s does not fit what it says of the tree",
                        pbc_profile_name(m->profile));
    return 0;
}

int pbc_manifest_parse(const char *text, size_t len, struct pbc_manifest *out,
                       struct pbc_error *err)
{
    char *work;
    int rc;

    memset(out, 0, sizeof(*out));
    if (len > PBC_MANIFEST_MAX)
        return pbc_fail(err, PBC_EXIT_FAILED, "the manifest has more than %u bytes",
                        PBC_MANIFEST_MAX);
    if (memchr(text, '\0', len) != NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "the manifest has a NUL in it");
    work = strndup(text, len);
    if (work == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory for the manifest");
    rc = read_lines(out, work, err);
    free(work);
    if (rc == 0 && out->nodes == NULL) {
        out->nodes = strdup("");
        if (out->nodes == NULL)
            rc = pbc_fail(err, PBC_EXIT_FAILED, "no memory for the manifest");
    }
    if (rc < 0)
        pbc_manifest_free(out);
    return rc;
}

/* ---- writing ---- */

static bool are_libdirs(const struct pbc_dirs *dirs)
{
    if (dirs->count > PBC_DIRS_MAX)
        return false;
    for (size_t i = 0; i < dirs->count; i++) {
        if (!is_libdir(dirs->dir[i]))
            return false;
    }
    return true;
}

static const char *wrong_value(const struct pbc_manifest *m)
{
    if (!pbc_set_id_valid(m->set))
        return "set";
    if (m->python[0] != '\0' && !is_python(m->python))
        return "python";
    if (m->base != NULL && !is_libdir(m->base))
        return "base";
    if (m->rhome != NULL && !is_libdir(m->rhome))
        return "rhome";
    if (m->nodes != NULL && !is_text(m->nodes))
        return "nodes";
    if (!are_libdirs(&m->lib))
        return "libdir";
    if (!are_libdirs(&m->perl))
        return "perldir";
    if (!are_libdirs(&m->node))
        return "nodedir";
    if (!are_libdirs(&m->depot))
        return "depot";
    if (!pbc_variables_valid(&m->vars))
        return "env";
    if (pbc_profile_fits(m, m->profile, NULL) < 0)
        return "profile";
    if (m->nbundles > PBC_BUNDLES_MAX)
        return "bundle";
    for (size_t i = 0; i < m->nbundles; i++) {
        if (!is_digest(m->bundle[i].digest) || !is_path(m->bundle[i].path))
            return "bundle";
    }
    return NULL;
}

static void write_dirs(FILE *out, const char *key, const struct pbc_dirs *dirs)
{
    for (size_t i = 0; i < dirs->count; i++)
        fprintf(out, "%s=%s\n", key, dirs->dir[i]);
}

static void write_tree(FILE *out, const struct pbc_manifest *m)
{
    fprintf(out, "profile=%s\n", pbc_profile_name(m->profile));
    if (m->stated)
        fputs("stated=1\n", out);
    if (m->rewritten)
        fputs("rewritten=1\n", out);
    if (m->python[0] != '\0')
        fprintf(out, "python=%s\n", m->python);
    if (m->base != NULL)
        fprintf(out, "base=%s\n", m->base);
    if (m->rhome != NULL)
        fprintf(out, "rhome=%s\n", m->rhome);
    if (m->openmpi)
        fputs("openmpi=1\n", out);
    write_dirs(out, "libdir", &m->lib);
    write_dirs(out, "perldir", &m->perl);
    write_dirs(out, "nodedir", &m->node);
    write_dirs(out, "depot", &m->depot);
    pbc_variables_write(out, "env=", &m->vars);
}

static void write_lines(FILE *out, const struct pbc_manifest *m)
{
    fprintf(out, "pbcast-manifest=%d\nset=%s\n", PBC_MANIFEST_VERSION, m->set);
    write_tree(out, m);
    fprintf(out, "bytes=%llu\nfiles=%llu\nnodes=%s\n", (unsigned long long)m->bytes,
            (unsigned long long)m->files, m->nodes != NULL ? m->nodes : "");
    for (size_t i = 0; i < m->nbundles; i++)
        fprintf(out, "bundle=%s %llu %llu %s\n", m->bundle[i].digest,
                (unsigned long long)m->bundle[i].bytes, (unsigned long long)m->bundle[i].files,
                m->bundle[i].path);
}

char *pbc_manifest_format(const struct pbc_manifest *m, size_t *ret_len, struct pbc_error *err)
{
    const char *wrong = wrong_value(m);
    char *text = NULL;
    size_t len = 0;
    bool failed;
    FILE *out;

    if (wrong != NULL) {
        pbc_fail(err, PBC_EXIT_FAILED, "the manifest cannot hold such a value of %s=", wrong);
        return NULL;
    }
    out = open_memstream(&text, &len);
    if (out == NULL) {
        pbc_fail(err, PBC_EXIT_FAILED, "no memory for the manifest");
        return NULL;
    }
    write_lines(out, m);
    failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed) {
        free(text);
        pbc_fail(err, PBC_EXIT_FAILED, "no memory for the manifest");
        return NULL;
    }
    if (len > PBC_MANIFEST_MAX) {
        free(text);
        pbc_fail(err, PBC_EXIT_FAILED, "the manifest has more than %u bytes", PBC_MANIFEST_MAX);
        return NULL;
    }
    *ret_len = len;
    return text;
}

void pbc_manifest_free(struct pbc_manifest *m)
{
    free(m->nodes);
    pbc_manifest_forget_tree(m);
    for (size_t i = 0; i < m->nbundles; i++)
        free(m->bundle[i].path);
    memset(m, 0, sizeof(*m));
}
