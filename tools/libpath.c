#include "libpath.h"

#include "elf_needs.h"
#include "elf_path.h"
#include "names.h"
#include "path.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A file that is reached by a link in another directory. */
struct linked {
    const char *name; /* of the file */
    int hard;
};

struct settle {
    struct pbc_plan *plan;
    struct pbc_names names;
    struct linked *linked;
    size_t nlinked;
    struct pbc_libpaths *figures;
    struct pbc_elf elf; /* of the file at hand */
};

static int no_memory(struct pbc_error *err)
{
    return pbc_fail(err, PBC_EXIT_FAILED, "no memory for library paths");
}

/* --- names --------------------------------------------------------------------------------- */

static int list_names(struct settle *s, struct pbc_error *err)
{
    for (size_t i = 0; i < s->plan->count; i++) {
        const struct pbc_item *item = &s->plan->item[i];
        struct pbc_name_of of = {.name = item->name, .dir = item->kind == PBC_PLAN_DIR};

        if (item->kind == PBC_PLAN_SYMLINK)
            of.target = item->target;
        if (pbc_names_add(&s->names, of, err) != 0)
            return -1;
    }
    pbc_names_sort(&s->names);
    return 0;
}

static int same_directory(const char *a, const char *b)
{
    size_t n = (size_t)(pbc_path_last(a) - a);

    return n == (size_t)(pbc_path_last(b) - b) && memcmp(a, b, n) == 0;
}

static int by_linked(const void *a, const void *b)
{
    const struct linked *x = a, *y = b;
    int rc = strcmp(x->name, y->name);

    return rc != 0 ? rc : x->hard - y->hard;
}

static int list_linked(struct settle *s, struct pbc_error *err)
{
    s->linked = calloc(s->plan->count + 1, sizeof(*s->linked));
    if (s->linked == NULL)
        return no_memory(err);
    for (size_t i = 0; i < s->plan->count; i++) {
        const struct pbc_item *item = &s->plan->item[i];
        const struct pbc_name_of *of;
        char real[PBC_PATH_MAX];

        if (item->kind == PBC_PLAN_HARDLINK && !same_directory(item->name, item->target))
            s->linked[s->nlinked++] = (struct linked){item->target, 1};
        if (item->kind != PBC_PLAN_SYMLINK ||
            pbc_names_follow(&s->names, item->name, item->target, real) != PBC_LEADS_INSIDE ||
            same_directory(item->name, real))
            continue;
        of = pbc_names_find(&s->names, real);
        if (of != NULL && !of->dir)
            s->linked[s->nlinked++] = (struct linked){of->name, 0};
    }
    qsort(s->linked, s->nlinked, sizeof(*s->linked), by_linked);
    return 0;
}

/* Of a program that is started by a symbolic link $ORIGIN is where it really lies. */
static int is_linked(const struct settle *s, const char *name, int program)
{
    struct linked symbolic = {name, 0}, hard = {name, 1};

    return bsearch(&hard, s->linked, s->nlinked, sizeof(hard), by_linked) != NULL ||
           (!program &&
            bsearch(&symbolic, s->linked, s->nlinked, sizeof(symbolic), by_linked) != NULL);
}

/* --- paths --------------------------------------------------------------------------------- */

/* Whether the file finds a library in the directory that was left out of the bundle. */
static int lacks_needed(const struct settle *s, const char *path, const char *name)
{
    for (size_t i = 0; i < s->elf.nneeded; i++) {
        char there[2 * PBC_PATH_MAX], here[PBC_PATH_MAX];

        if (strchr(s->elf.needed[i], '/') != NULL || pbc_elf_is_libc(s->elf.needed[i]))
            continue;
        snprintf(there, sizeof(there), "%s/%s", path, s->elf.needed[i]);
        if (access(there, R_OK) == 0 &&
            ((size_t)snprintf(here, sizeof(here), "./%s/%s", name, s->elf.needed[i]) >=
                 sizeof(here) ||
             pbc_names_follow(&s->names, "", here, NULL) != PBC_LEADS_INSIDE))
            return 1;
    }
    return 0;
}

static int is_packed(const struct settle *s, const char *path, char name[PBC_PATH_MAX])
{
    const struct pbc_name_of *of;
    char real[PBC_PATH_MAX];

    if (!pbc_plan_name_of(s->plan, path, name) ||
        pbc_names_follow(&s->names, "", *name == '\0' ? "." : name, real) != PBC_LEADS_INSIDE)
        return 0;
    of = pbc_names_find(&s->names, real);
    return (of == NULL || of->dir) && !lacks_needed(s, path, name);
}

/* The directory that a path names has this name in the bundle, by the path as it stands or by where
 * links lead. */
static int find_directory(const struct settle *s, const char *entry, char name[PBC_PATH_MAX])
{
    char plain[PBC_PATH_MAX];
    char *real;
    int found;

    if (entry[0] != '/' || !pbc_path_join("", entry, plain))
        return 0;
    if (is_packed(s, plain, name))
        return 1;
    real = realpath(entry, NULL);
    found = real != NULL && is_packed(s, real, name);
    free(real);
    return found;
}

/* "$ORIGIN/../lib" for a directory of the bundle; NULL without memory. */
static char *from_origin(const char *file, const char *dir)
{
    char below[PBC_PATH_MAX + 1];
    char *relative, *text = NULL;
    size_t len;

    snprintf(below, sizeof(below), "%s%s", dir, *dir == '\0' ? "" : "/");
    relative = pbc_names_relative(file, below);
    if (relative == NULL)
        return NULL;
    len = strlen(relative);
    if (strcmp(relative, ".") == 0)
        text = strdup("$ORIGIN");
    else if (asprintf(&text, "$ORIGIN/%.*s", (int)(len - (relative[len - 1] == '/')), relative) < 0)
        text = NULL;
    free(relative);
    return text;
}

static int has_entry(const char *path, const char *entry)
{
    size_t n = strlen(entry);

    for (;; path++) {
        size_t len = strcspn(path, ":");

        if (len == n && memcmp(path, entry, n) == 0)
            return 1;
        path += len;
        if (*path == '\0')
            return 0;
    }
}

/* One entry of the path into `out`, with `had` entries before it. 1 if it is another now. */
static int put_entry(const struct settle *s, const char *file, const char *entry, char **out,
                     size_t had)
{
    char name[PBC_PATH_MAX];
    char *text = NULL, *more = NULL;
    int changed = find_directory(s, entry, name) && strpbrk(name, ":$") == NULL;

    if (changed && (text = from_origin(file, name)) == NULL)
        return -1;
    if (changed && had > 0 && has_entry(*out, text)) { /* the loader would look there twice */
        free(text);
        return 1;
    }
    if (asprintf(&more, "%s%s%s", *out, had > 0 ? ":" : "", changed ? text : entry) < 0)
        more = NULL;
    free(text);
    if (more == NULL)
        return -1;
    free(*out);
    *out = more;
    return changed;
}

/* The path that is to stand in the file in place of `text`, malloced. 1; 0 if nothing changes, -1
 * without memory. */
static int make_path(const struct settle *s, const char *file, const char *text, char **ret)
{
    char *rest = strdup(text), *out = strdup("");
    char *entry = rest, *end;
    int changed = 0, rc = rest == NULL || out == NULL ? -1 : 0;

    for (size_t had = 0; rc >= 0 && entry != NULL; had++, entry = end) {
        end = strchr(entry, ':');
        if (end != NULL)
            *end++ = '\0';
        rc = put_entry(s, file, entry, &out, had);
        changed |= rc > 0;
    }
    free(rest);
    if (rc >= 0 && changed) {
        *ret = out;
        return 1;
    }
    free(out);
    return rc < 0 ? -1 : 0;
}

/* --- files --------------------------------------------------------------------------------- */

static void keep(struct settle *s, const struct pbc_item *i, const char *why)
{
    if (s->figures->kept++ == 0)
        snprintf(s->figures->first, sizeof(s->figures->first), "%.160s (%s)", i->name, why);
}

static int settle_contents(struct settle *s, struct pbc_item *i, const uint8_t *data,
                           struct pbc_error *err)
{
    struct pbc_elf_path path;
    enum pbc_elf_path_state state = pbc_elf_path(data, (size_t)i->size, &path);
    char *text;
    size_t len;
    int rc = 0;

    if (state != PBC_ELF_PATH_NONE && pbc_elf_parse(data, (size_t)i->size, &s->elf) == 1) {
        rc = make_path(s, i->name, path.text, &text);
        pbc_elf_free(&s->elf);
    }
    if (rc < 0)
        return no_memory(err);
    if (rc == 0)
        return 0;
    len = strlen(text);
    if (state == PBC_ELF_PATH_FREE && len <= path.room && !is_linked(s, i->name, path.program)) {
        uint8_t *bytes = calloc(1, path.room + 1);

        if (bytes != NULL) {
            memcpy(bytes, text, len);
            pbc_plan_patch(i, path.offset, bytes, path.room);
            s->figures->changed++;
        }
        free(text);
        return bytes == NULL ? no_memory(err) : 0;
    }
    keep(s, i,
         state == PBC_ELF_PATH_SHARED ? "another string of the file may use its bytes"
         : len > path.room            ? "a relative one is longer"
                                      : "it has a name in another directory too");
    free(text);
    return 0;
}

static int settle_file(struct settle *s, struct pbc_item *i, struct pbc_error *err)
{
    char magic[SELFMAG];
    void *map;
    int fd, rc;

    if (i->size < sizeof(Elf32_Ehdr) || i->spool >= 0)
        return 0;
    if (i->data != NULL)
        return settle_contents(s, i, i->data, err);
    fd = pbc_plan_open(i, err);
    if (fd < 0)
        return -1;
    if (pread(fd, magic, SELFMAG, 0) != SELFMAG || memcmp(magic, ELFMAG, SELFMAG) != 0) {
        close(fd);
        return 0;
    }
    map = mmap(NULL, (size_t)i->size, PROT_READ, MAP_PRIVATE, fd, 0);
    rc = map == MAP_FAILED ? pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot map %s", i->source)
                           : settle_contents(s, i, map, err);
    if (map != MAP_FAILED)
        munmap(map, (size_t)i->size);
    close(fd);
    return rc;
}

int pbc_libpath_settle(struct pbc_plan *p, struct pbc_progress *progress, struct pbc_libpaths *ret,
                       struct pbc_error *err)
{
    struct settle s = {.plan = p, .figures = ret};
    int rc = 0;

    *ret = (struct pbc_libpaths){.changed = 0};
    if (p->nroots > 0)
        rc = list_names(&s, err) == 0 ? list_linked(&s, err) : -1;
    for (size_t i = 0; i < p->count && p->nroots > 0 && rc == 0; i++) {
        if (pbc_plan_may_be_elf(&p->item[i]))
            rc = settle_file(&s, &p->item[i], err);
        if (rc == 0)
            rc = pbc_progress_tick(progress, err);
    }
    free(s.linked);
    pbc_names_free(&s.names);
    return rc;
}
