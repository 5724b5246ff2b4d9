/* What makes a Python leave its tree, or compile its modules again. */
#include "findings.h"

#include "bundle.h"
#include "path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- places outside ------------------------------------------------------------------------ */

/* Lines that are absolute paths; "import" lines are code. */
static int check_pth(const struct pbc_seen *m, struct pbc_findings *f, struct pbc_error *err)
{
    int editable = strncmp(pbc_path_last(m->name), "__editable__", 12) == 0;
    const char *p = m->text;

    while (*p != '\0') {
        int len = (int)strcspn(p, "\r\n");

        if (*p == '/' && pbc_finding(f, editable ? PBC_FINDING_EDITABLE : PBC_FINDING_PTH, err,
                                     "%s: %.*s", m->name, len, p) != 0)
            return -1;
        if (strncmp(p, "import __editable__", 19) == 0 &&
            pbc_finding(f, PBC_FINDING_EDITABLE, err, "%s", m->name) != 0)
            return -1;
        p += len;
        p += strspn(p, "\r\n");
    }
    return 0;
}

/* PEP 610 */
static int says_editable(const char *text)
{
    const char *p = strstr(text, "\"editable\"");

    if (p == NULL)
        return 0;
    p += strlen("\"editable\"");
    p += strspn(p, " \t\r\n:");
    return strncmp(p, "true", 4) == 0;
}

static int check_venv(const struct pbc_scan *s, const struct pbc_names *names,
                      const struct pbc_manifest *found, struct pbc_findings *f,
                      struct pbc_error *err)
{
    const struct pbc_name_of *cfg = pbc_names_find(names, "pyvenv.cfg");
    const struct pbc_seen *m = cfg == NULL ? NULL : cfg->item;
    const char *home;

    (void)s;
    if (m == NULL || m->text == NULL || found->python[0] != '\0')
        return 0;
    home = strstr(m->text, "home");
    return pbc_finding(f, PBC_FINDING_VENV, err, "pyvenv.cfg: %.*s",
                       home == NULL ? 0 : (int)strcspn(home, "\r\n"), home == NULL ? "" : home);
}

static int check_places(const struct pbc_scan *s, struct pbc_findings *f, struct pbc_error *err)
{
    for (size_t i = 0; i < s->count; i++) {
        const struct pbc_seen *m = &s->seen[i];
        const char *last = pbc_path_last(m->name);
        int rc = 0;

        if (m->text == NULL)
            continue;
        if (pbc_path_ends(last, ".pth"))
            rc = check_pth(m, f, err);
        else if (pbc_path_ends(last, ".egg-link") ||
                 (strcmp(last, "direct_url.json") == 0 && says_editable(m->text)))
            rc = pbc_finding(f, PBC_FINDING_EDITABLE, err, "%s", m->name);
        if (rc != 0)
            return -1;
    }
    return 0;
}

/* --- compiled modules ---------------------------------------------------------------------- */

static uint32_t get_le(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* By PEP 552; a hash counts as valid. */
static int is_stale(const struct pbc_seen *source, const struct pbc_seen *compiled)
{
    if (compiled->kind != 'f')
        return 0;
    if (compiled->head_len < 16)
        return 1;
    if (get_le(compiled->head + 4) != 0)
        return 0;
    return get_le(compiled->head + 8) != (uint32_t)source->mtime ||
           get_le(compiled->head + 12) != (uint32_t)source->size;
}

static int check_module(const struct pbc_names *names, const struct pbc_seen *m, const char *minor,
                        struct pbc_findings *f, struct pbc_error *err)
{
    const char *last = pbc_path_last(m->name);
    char name[PBC_PATH_MAX];
    const struct pbc_name_of *compiled;

    if ((size_t)snprintf(name, sizeof(name), "%.*s__pycache__/%.*s.cpython-3%s.pyc",
                         (int)(last - m->name), m->name, (int)strlen(last) - 3, last,
                         minor) >= sizeof(name))
        return 0;
    compiled = pbc_names_find(names, name);
    if (compiled == NULL)
        return pbc_finding(f, PBC_FINDING_PYC_MISSING, err, "%s", m->name);
    return is_stale(m, compiled->item) ? pbc_finding(f, PBC_FINDING_PYC_STALE, err, "%s", name) : 0;
}

/* Only modules that the bundle's own Python imports: below pythonX.Y/ or python3/. */
static int check_modules(const struct pbc_scan *s, const struct pbc_names *names,
                         const struct pbc_manifest *found, struct pbc_findings *f,
                         struct pbc_error *err)
{
    const char *minor = strncmp(found->python, "3.", 2) == 0 ? found->python + 2 : "";
    char dir[32];

    if (*minor == '\0')
        return 0;
    snprintf(dir, sizeof(dir), "/python%s/", found->python);
    for (size_t i = 0; i < s->count; i++) {
        const struct pbc_seen *m = &s->seen[i];

        if (m->kind == 'f' && pbc_path_ends(m->name, ".py") && pbc_path_last(m->name)[0] != '.' &&
            (strstr(m->name, dir) != NULL || strstr(m->name, "/python3/") != NULL) &&
            check_module(names, m, minor, f, err) != 0)
            return -1;
    }
    return 0;
}

int pbc_check_python(const struct pbc_scan *s, const struct pbc_names *names,
                     const struct pbc_manifest *found, struct pbc_findings *f,
                     struct pbc_error *err)
{
    if (check_venv(s, names, found, f, err) != 0 || check_places(s, f, err) != 0)
        return -1;
    return check_modules(s, names, found, f, err);
}
