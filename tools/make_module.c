/* pbcast bundle module: what environment modules (Lmod, Environment Modules) add, a bundle for each
 * prefix that they point at.
 */
#include "make.h"

#include "bundle.h"
#include "command.h"
#include "env_changes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIXES_MAX 64

struct modules {
    struct pbc_make *m;
    struct pbc_variables vars; /* what they change */
    char *prefix[PREFIXES_MAX];
    size_t count;
};

/* --- prefixes ------------------------------------------------------------------------------ */

static int is_part(const char *name, size_t len)
{
    static const char *const parts[] = {"bin",     "sbin",  "lib", "lib32", "lib64", "libexec",
                                        "include", "share", "man", "etc",   "info",  "pkgconfig"};

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (strlen(parts[i]) == len && strncmp(name, parts[i], len) == 0)
            return 1;
    }
    return 0;
}

/* /opt/x of /opt/x/lib/python3.11/site-packages and of /opt/x/share/man: what lies above the last
 * part of a prefix, and above those parts that it lies in. */
static size_t prefix_of(const char *dir)
{
    size_t len = strlen(dir), cut = len;

    for (size_t i = len; i > 1; i--) {
        size_t end = i;

        if (i != len && dir[i] != '/')
            continue;
        while (i > 1 && dir[i - 1] != '/')
            i--;
        if (is_part(dir + i, end - i))
            cut = i - 1;
        else if (cut != len)
            break;
    }
    return cut;
}

static int is_common(const char *prefix)
{
    return *prefix == '\0' || strcmp(prefix, "/usr") == 0 || strcmp(prefix, "/usr/local") == 0;
}

static int add_prefix(struct modules *k, const char *dir, struct pbc_error *err)
{
    size_t len = prefix_of(dir);
    char *prefix = strndup(dir, len);
    struct stat st;

    if (prefix == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory");
    for (size_t i = 0; i < k->count; i++) {
        if (strcmp(k->prefix[i], prefix) == 0)
            prefix[0] = '\0';
    }
    if (is_common(prefix) || stat(prefix, &st) != 0 || !S_ISDIR(st.st_mode)) {
        free(prefix);
        return 0;
    }
    if (k->count == PREFIXES_MAX) {
        free(prefix);
        return pbc_fail(err, PBC_EXIT_REFUSED, "the modules point at more than %d prefixes",
                        PREFIXES_MAX);
    }
    k->prefix[k->count++] = prefix;
    return 0;
}

/* The absolute directories of lists. */
static int find_prefixes(struct modules *k, struct pbc_error *err)
{
    for (size_t i = 0; i < k->vars.count; i++) {
        const struct pbc_variable *v = &k->vars.item[i];
        const char *p = v->value;

        while (p != NULL && *p != '\0') {
            size_t len = strcspn(p, ":");
            char dir[PBC_PATH_MAX];
            struct stat st;

            if (*p == '/' && len < sizeof(dir)) {
                memcpy(dir, p, len);
                dir[len] = '\0';
                if (stat(dir, &st) == 0 && S_ISDIR(st.st_mode) && add_prefix(k, dir, err) != 0)
                    return -1;
            }
            p += len + (p[len] == ':');
        }
    }
    return 0;
}

/* --- variables ----------------------------------------------------------------------------- */

static int add(struct pbc_variables *list, enum pbc_env_kind kind, const char *name,
               const char *value, struct pbc_error *err)
{
    if (pbc_variables_add(list, kind, name, value) == 0 || errno != ENOMEM)
        return 0;
    return pbc_fail(err, PBC_EXIT_FAILED, "no memory for variables");
}

/* Entries of a list that lie in the prefix. */
static int add_entries(struct pbc_variables *list, const struct pbc_variable *v, const char *prefix,
                       struct pbc_error *err)
{
    char *value = pbc_env_in_tree(v->value, prefix);
    char *out = value == NULL ? NULL : malloc(strlen(value) + 1);
    size_t at = 0;
    int rc = 0;

    if (out == NULL) {
        free(value);
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory for variables");
    }
    for (char *p = value; *p != '\0';) {
        size_t len = strcspn(p, ":");

        if (strncmp(p, "@ROOT@", 6) == 0) {
            if (at > 0)
                out[at++] = ':';
            memcpy(out + at, p, len);
            at += len;
        }
        p += len + (p[len] == ':');
    }
    out[at] = '\0';
    if (at > 0)
        rc = add(list, v->kind == PBC_ENV_SET ? PBC_ENV_PREPEND : v->kind, v->name, out, err);
    free(out);
    free(value);
    return rc;
}

static int is_list(const struct pbc_variable *v)
{
    size_t len = strlen(v->name);

    return v->kind == PBC_ENV_PREPEND || v->kind == PBC_ENV_APPEND ||
           (len >= 4 && strcmp(v->name + len - 4, "PATH") == 0);
}

/* Those of the prefix; of those that are no lists the first bundle has the rest as well. What the
 * caller has said counts last: it is in the last bundle. */
static int take_variables(const struct modules *k, size_t index, struct pbc_variables *list,
                          struct pbc_error *err)
{
    const char *prefix = k->prefix[index];

    for (size_t i = 0; i < k->vars.count; i++) {
        const struct pbc_variable *v = &k->vars.item[i];
        char *value;
        int here, rc = 0;

        if (v->kind == PBC_ENV_UNSET) {
            rc = index == 0 ? add(list, v->kind, v->name, NULL, err) : 0;
        } else if (is_list(v)) {
            rc = add_entries(list, v, prefix, err);
        } else {
            value = pbc_env_in_tree(v->value, prefix);
            here = value != NULL && strcmp(value, v->value) != 0;
            if (value == NULL)
                rc = pbc_fail(err, PBC_EXIT_FAILED, "no memory for variables");
            else if (here || (index == 0 && v->value[0] != '/'))
                rc = add(list, v->kind, v->name, value, err);
            free(value);
        }
        if (rc != 0)
            return -1;
    }
    return index + 1 < k->count ? 0 : pbc_make_given(list, &k->m->meta.vars, err);
}

/* --- bundles ------------------------------------------------------------------------------- */

/* OUT.tar.zst, or OUT.2.tar.zst where there are several. Malloced. */
static char *output_of(const struct modules *k, size_t index)
{
    const char *o = k->m->output;
    const char *slash = strrchr(o, '/');
    const char *ext = strstr(slash == NULL ? o : slash, ".t");
    char *out = NULL;

    for (const char *next = ext; next != NULL; next = strstr(next + 1, ".t"))
        ext =
            strncmp(next, ".tar", 4) == 0 || next[strcspn(next + 1, ".") + 1] == '\0' ? next : ext;
    if (k->count == 1 || ext == NULL)
        return strdup(o);
    return asprintf(&out, "%.*s.%zu%s", (int)(ext - o), o, index + 1, ext) < 0 ? NULL : out;
}

static int make_one(const struct modules *k, size_t index, const char *output,
                    struct pbc_error *err)
{
    const struct pbc_make *m = k->m;
    struct pbc_make one;
    char *rest[] = {k->prefix[index], NULL};
    int rc;

    pbc_make_init(&one);
    one.kind = m->kind;
    one.codec = m->codec;
    one.level = m->level;
    one.quiet = m->quiet;
    one.follow = m->follow;
    one.output = output;
    one.rest = rest;
    one.nrest = 1;
    memcpy(one.exclude, m->exclude, sizeof(one.exclude));
    one.walk.nexclude = m->walk.nexclude;
    one.walk.out_dev = m->walk.out_dev;
    one.walk.out_ino = m->walk.out_ino;
    one.progress = one.walk.progress = m->progress;
    one.meta.has_profile = m->meta.has_profile;
    one.meta.profile = m->meta.profile;
    one.meta.origin = strdup(k->prefix[index]);
    rc = take_variables(k, index, &one.meta.vars, err);
    if (rc == 0)
        rc = pbc_make_walk_prefix(&one, k->prefix[index], err);
    if (rc == 0)
        rc = pbc_make_write(&one, output, m->python, false, err);
    one.progress = NULL;
    pbc_make_free(&one);
    return rc;
}

static int make_all(const struct modules *k, struct pbc_error *err)
{
    char *made[PREFIXES_MAX] = {0};
    bool was_there[PREFIXES_MAX];
    int rc = 0;

    for (size_t i = 0; i < k->count && rc == 0; i++) {
        made[i] = output_of(k, i);
        if (made[i] == NULL) {
            rc = pbc_fail(err, PBC_EXIT_FAILED, "no memory");
        } else {
            was_there[i] = access(made[i], F_OK) == 0;
            rc = make_one(k, i, made[i], err);
        }
        /* Nothing new stays; what took the place of an older bundle is better than none. */
        for (size_t j = 0; rc != 0 && j < i; j++) {
            if (!was_there[j])
                unlink(made[j]);
        }
    }
    for (size_t i = 0; i < k->count; i++)
        free(made[i]);
    return rc;
}

int pbc_make_module(struct pbc_make *m, struct pbc_error *err)
{
    static const char text[] =
        "if ! type module >/dev/null 2>&1; then\n"
        "    for f in \"${LMOD_PKG:-/nonexistent}/init/bash\" "
        "\"${MODULESHOME:-/nonexistent}/init/bash\" \\\n"
        "        /usr/share/lmod/lmod/init/bash /usr/share/modules/init/bash \\\n"
        "        /etc/profile.d/lmod.sh /etc/profile.d/modules.sh; do\n"
        "        if [ -r \"$f\" ]; then . \"$f\"; break; fi\n"
        "    done\n"
        "fi\n"
        "type module >/dev/null 2>&1 || { echo 'there is no module command here' >&2; exit 1; }\n"
        "env -0 >&3; printf '\\0' >&3\n"
        "for m in \"$@\"; do\n"
        "    module load \"$m\" || exit 1\n"
        "    case :$LOADEDMODULES: in *:\"$m\":* | *:\"$m\"/*) ;; *) exit 1 ;; esac\n"
        "done";
    struct modules k = {.m = m};
    struct pbc_error why;
    int rc;

    for (size_t i = 0; i < m->nrest; i++) {
        if (m->rest[i][0] == '-' || strchr(m->rest[i], ':') != NULL)
            return pbc_fail(err, PBC_EXIT_USAGE, "'%.128s' is no name of a module", m->rest[i]);
    }
    if (pbc_env_changes(text, m->rest, m->nrest, "what the modules set", &k.vars, &why) != 0)
        return pbc_fail(err, why.code, "cannot load %s%s: %s", m->rest[0],
                        m->nrest > 1 ? " and the other modules" : "", why.text);
    rc = find_prefixes(&k, err);
    if (rc == 0 && k.count == 0)
        rc = pbc_fail(err, PBC_EXIT_REFUSED,
                      "the modules point at no directory outside of the system's");
    if (rc == 0)
        rc = make_all(&k, err);
    for (size_t i = 0; i < k.count; i++)
        free(k.prefix[i]);
    pbc_variables_free(&k.vars);
    return rc;
}
