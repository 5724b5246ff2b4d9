/* pbcast bundle venv: a virtual environment, and in base/ the Python that it was made with: the
 * interpreter, its standard library, and the shared libraries that any of it needs and that lie in
 * the same prefix. Nothing points back then: the profile `venv` sets PYTHONHOME to base/.
 */
#include "make.h"

#include "bundle.h"
#include "child.h"
#include "command.h"
#include "elf_needs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BASE       "base"
#define ANSWER_MAX (64u << 10)

/* What the environment's own interpreter says of its base: strings ended by NUL. */
static const char script[] =
    "import os, sys, sysconfig\n"
    "base = os.path.realpath(sys.base_prefix)\n"
    "cfg = open(os.path.join(sys.prefix, 'pyvenv.cfg'), errors='replace').read().lower()\n"
    "system = any(l.partition('=')[0].strip() == 'include-system-site-packages'\n"
    "             and l.partition('=')[2].strip() == 'true' for l in cfg.splitlines())\n"
    "for x in ('%d.%d' % sys.version_info[:2], base,\n"
    "          os.path.realpath(getattr(sys, '_base_executable', None) or sys.executable),\n"
    "          os.path.realpath(os.path.dirname(os.__file__)),\n"
    "          sysconfig.get_config_var('MULTIARCH') or '', 'yes' if system else 'no'):\n"
    "    sys.stdout.buffer.write(os.fsencode(x) + b'\\0')\n";

enum { VERSION, PREFIX, PROGRAM, STDLIB, TRIPLET, SYSTEM_SITE, ANSWERS };

struct venv {
    struct pbc_make *m;
    const char *dir;
    char *text; /* which holds the answers */
    const char *answer[ANSWERS];
};

/* --- the base ------------------------------------------------------------------------------ */

static int ask(struct venv *v, struct pbc_error *err)
{
    char python[PBC_PATH_MAX];
    char *argv[] = {python, "-I", "-c", (char *)(uintptr_t)script, NULL};
    size_t len, n = 0;

    snprintf(python, sizeof(python), "%s/pyvenv.cfg", v->dir);
    if (access(python, R_OK) != 0)
        return pbc_fail_errno(err, PBC_EXIT_REFUSED, "%s is no virtual environment: cannot read %s",
                              v->dir, python);
    snprintf(python, sizeof(python), "%s/bin/python", v->dir);
    if (access(python, X_OK) != 0)
        snprintf(python, sizeof(python), "%s/bin/python3", v->dir);
    v->text = pbc_child_output(argv, NULL, ANSWER_MAX, "where its base is", &len, err);
    if (v->text == NULL)
        return -1;
    for (char *p = v->text; n < ANSWERS && p < v->text + len; p += strlen(p) + 1)
        v->answer[n++] = p;
    if (n != ANSWERS || v->text[len - 1] != '\0' || strlen(v->answer[VERSION]) > 8)
        return pbc_fail(err, PBC_EXIT_REFUSED, "%s does not tell where its base is", python);
    return 0;
}

/* Where a path of the base's prefix lies in the bundle. */
static int base_name(const struct venv *v, const char *path, char out[PBC_PATH_MAX],
                     struct pbc_error *err)
{
    const char *prefix = v->answer[PREFIX];
    size_t len = strlen(prefix);

    if (strncmp(path, prefix, len) != 0 || path[len] != '/' ||
        (size_t)snprintf(out, PBC_PATH_MAX, BASE "%s", path + len) >= PBC_PATH_MAX)
        return pbc_fail(err, PBC_EXIT_REFUSED, "%s does not lie in the base's prefix %s", path,
                        prefix);
    return 0;
}

static int add_link(struct venv *v, const char *name, const char *target, struct pbc_error *err)
{
    struct stat st = {.st_mode = S_IFLNK | 0777};

    return pbc_plan_add_found(&v->m->plan, name, name, &st, target, err);
}

static int hide(struct venv *v, const char *pattern, struct pbc_error *err)
{
    if (v->m->walk.nexclude == PBC_EXCLUDES_MAX)
        return pbc_fail(err, PBC_EXIT_USAGE, "more than %d patterns with --exclude",
                        PBC_EXCLUDES_MAX);
    v->m->exclude[v->m->walk.nexclude++] = (struct pbc_exclude){.pattern = pattern, .matched = 1};
    return 0;
}

/* What was installed into the base: <its standard library>/<dir>, `name` in the bundle. */
static int hide_packages(struct venv *v, const char *dir, const char *name, struct pbc_error *err)
{
    char path[PBC_PATH_MAX];

    snprintf(path, sizeof(path), "%.4000s/%s", v->answer[STDLIB], dir);
    if (!v->m->quiet && access(path, F_OK) == 0)
        pbc_note("not packed, because the environment does not use it: %s", path);
    return hide(v, name, err);
}

/* The standard library without what was installed into it, unless the environment uses that. */
static int add_library(struct venv *v, struct pbc_error *err)
{
    char site[PBC_PATH_MAX], dist[PBC_PATH_MAX], name[PBC_PATH_MAX], other[PBC_PATH_MAX];
    size_t before = v->m->walk.nexclude;
    int system = strcmp(v->answer[SYSTEM_SITE], "yes") == 0;
    struct stat st;
    int rc;

    if (base_name(v, v->answer[STDLIB], name, err) != 0)
        return -1;
    snprintf(site, sizeof(site), "%.4000s/site-packages", name);
    snprintf(dist, sizeof(dist), "%.4000s/dist-packages", name);
    if (!system && (hide_packages(v, "site-packages", site, err) != 0 ||
                    hide_packages(v, "dist-packages", dist, err) != 0))
        return -1;
    rc = pbc_walk(&v->m->walk, v->answer[STDLIB], name, err);
    v->m->walk.nexclude = before;
    /* Debian's */
    snprintf(other, sizeof(other), "%.4000s/lib/python3/dist-packages", v->answer[PREFIX]);
    if (rc == 0 && system && stat(other, &st) == 0)
        rc = pbc_walk(&v->m->walk, other, BASE "/lib/python3/dist-packages", err);
    return rc;
}

static int add_programs(struct venv *v, struct pbc_error *err)
{
    char name[64], link[64];

    snprintf(name, sizeof(name), BASE "/bin/python%s", v->answer[VERSION]);
    if (pbc_walk(&v->m->walk, v->answer[PROGRAM], name, err) != 0)
        return -1;
    snprintf(link, sizeof(link), "python%s", v->answer[VERSION]);
    if (add_link(v, BASE "/bin/python3", link, err) != 0)
        return -1;
    snprintf(name, sizeof(name), "bin/python%s", v->answer[VERSION]);
    return add_link(v, "bin/python", "python3", err) == 0 &&
                   add_link(v, "bin/python3", link, err) == 0 &&
                   (snprintf(link, sizeof(link), "../" BASE "/bin/python%s", v->answer[VERSION]),
                    add_link(v, name, link, err)) == 0
               ? 0
               : -1;
}

/* --- shared libraries ---------------------------------------------------------------------- */

static int has_name(const struct pbc_plan *p, const char *name)
{
    for (size_t i = 0; i < p->count; i++) {
        if (strcmp(p->item[i].name, name) == 0)
            return 1;
    }
    return 0;
}

/* Whether the environment brings a library of that name itself. */
static int has_library(const struct pbc_plan *p, const char *library)
{
    size_t len = strlen(library);

    for (size_t i = 0; i < p->count; i++) {
        const char *name = p->item[i].name;
        size_t n = strlen(name);

        if (n >= len && strcmp(name + n - len, library) == 0 &&
            (n == len || name[n - len - 1] == '/'))
            return 1;
    }
    return 0;
}

static int add_needed(struct venv *v, const char *library, struct pbc_error *err)
{
    char dirs[3][PBC_PATH_MAX];

    snprintf(dirs[0], sizeof(dirs[0]), "lib/%.256s", v->answer[TRIPLET]);
    snprintf(dirs[1], sizeof(dirs[1]), "lib");
    snprintf(dirs[2], sizeof(dirs[2]), "lib64");
    if (strchr(library, '/') != NULL || pbc_elf_is_libc(library) ||
        has_library(&v->m->plan, library))
        return 0;
    for (size_t i = v->answer[TRIPLET][0] == '\0'; i < 3; i++) {
        char path[PBC_PATH_MAX], name[PBC_PATH_MAX];

        if ((size_t)snprintf(path, sizeof(path), "%s/%s/%s", v->answer[PREFIX], dirs[i], library) >=
                sizeof(path) ||
            access(path, R_OK) != 0)
            continue;
        snprintf(name, sizeof(name), BASE "/%.300s/%.3000s", dirs[i], library);
        return has_name(&v->m->plan, name) ? 0 : pbc_walk(&v->m->walk, path, name, err);
    }
    return 0;
}

/* What the items need, those included that are added on the way. */
static int add_libraries(struct venv *v, struct pbc_error *err)
{
    struct pbc_plan *p = &v->m->plan;

    for (size_t i = 0; i < p->count; i++) {
        const struct pbc_item *item = &p->item[i];
        struct pbc_elf e;
        int rc = 0;

        if (!pbc_plan_may_be_elf(item) || pbc_elf_read(item->source, &e) != 1)
            continue;
        for (size_t k = 0; k < e.nneeded && rc == 0; k++)
            rc = add_needed(v, e.needed[k], err);
        pbc_elf_free(&e);
        if (rc != 0)
            return -1;
    }
    return 0;
}

/* --- the whole ----------------------------------------------------------------------------- */

/* Of no use elsewhere, but the file is what makes it an environment. */
static int put_config(struct venv *v, struct pbc_error *err)
{
    struct pbc_item *item = pbc_plan_find(&v->m->plan, "pyvenv.cfg");
    uint8_t *data;
    char *text = NULL;
    int n;

    if (item == NULL)
        return 0;
    n = asprintf(&text, "home = " BASE "/bin\ninclude-system-site-packages = %s\nversion = %s\n",
                 strcmp(v->answer[SYSTEM_SITE], "yes") == 0 ? "true" : "false", v->answer[VERSION]);
    if (n < 0)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory");
    data = (uint8_t *)text;
    if (item->kind == PBC_PLAN_SYMLINK) { /* what it leads to would point back */
        free(item->target);
        item->target = NULL;
        item->kind = PBC_PLAN_FILE;
        item->mode = 0644;
    }
    pbc_plan_replace(item, data, (size_t)n);
    return 0;
}

static int make(struct venv *v, struct pbc_error *err)
{
    struct pbc_make *m = v->m;
    char versioned[32], python[PBC_PATH_MAX];
    size_t before = m->walk.nexclude;
    int rc;

    snprintf(versioned, sizeof(versioned), "bin/python%s", v->answer[VERSION]);
    if (hide(v, "bin/python", err) != 0 || hide(v, "bin/python3", err) != 0 ||
        hide(v, versioned, err) != 0)
        return -1;
    rc = pbc_walk(&m->walk, m->rest[0], "", err);
    m->walk.nexclude = before;
    if (rc != 0 || pbc_plan_add_root(&m->plan, v->answer[PREFIX], BASE, err) != 0 ||
        add_programs(v, err) != 0 || add_library(v, err) != 0 || add_libraries(v, err) != 0 ||
        pbc_plan_sort(&m->plan, err) != 0 || put_config(v, err) != 0)
        return -1;
    if (!m->meta.has_profile) {
        m->meta.has_profile = true;
        m->meta.profile = PBC_PROFILE_VENV;
    }
    m->follow = true; /* nothing may point back */
    snprintf(python, sizeof(python), "%s", v->answer[PROGRAM]);
    return pbc_make_write(m, m->output, python, true, err);
}

int pbc_make_venv(struct pbc_make *m, struct pbc_error *err)
{
    struct venv v = {.m = m};
    int rc;

    m->meta.origin = realpath(m->rest[0], NULL);
    if (m->meta.origin == NULL)
        return pbc_fail_errno(err, PBC_EXIT_REFUSED, "cannot read the directory %s", m->rest[0]);
    v.dir = m->meta.origin;
    rc = ask(&v, err);
    if (rc == 0)
        rc = make(&v, err);
    free(v.text);
    return rc;
}
