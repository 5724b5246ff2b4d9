#include "runpath.h"

#include "bundle.h"
#include "elf_needs.h"
#include "path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* $ORIGIN is the directory of the file. NULL without memory. */
static char *resolve(const char *file, const char *entry)
{
    static const char *const origins[] = {"$ORIGIN", "${ORIGIN}"};
    char origin[PBC_PATH_MAX] = "/", path[PBC_PATH_MAX];
    char *real;

    for (size_t i = 0; i < 2; i++) {
        size_t n = strlen(origins[i]);

        if (strncmp(entry, origins[i], n) != 0 || (entry[n] != '/' && entry[n] != '\0'))
            continue;
        snprintf(origin, sizeof(origin), "%.*s", (int)(pbc_path_last(file) - file), file);
        entry += n + (entry[n] == '/');
        break;
    }
    if (!pbc_path_join(origin, entry, path))
        return strdup("/");
    real = realpath(path, NULL);
    return real != NULL ? real : strdup(path);
}

static int add_entry(struct pbc_runpaths *r, const char *file, const char *kind, const char *text,
                     size_t len)
{
    const struct pbc_elf *elf = &r->elf[r->files - 1];
    struct pbc_runpath *more = reallocarray(r->item, r->count + 1, sizeof(*more));
    struct pbc_runpath *p;

    if (more == NULL)
        return -1;
    r->item = more;
    p = &r->item[r->count++];
    *p = (struct pbc_runpath){.file = strdup(file),
                              .entry = strndup(text, len),
                              .kind = kind,
                              .needed = elf->needed,
                              .nneeded = elf->nneeded};
    p->dir = p->entry == NULL ? NULL : resolve(file, p->entry);
    return p->file == NULL || p->dir == NULL ? -1 : 0;
}

static int add_entries(struct pbc_runpaths *r, const char *file, const char *kind, const char *path)
{
    while (path != NULL && *path != '\0') {
        size_t len = strcspn(path, ":");

        if (len > 0 && len < PBC_PATH_MAX && add_entry(r, file, kind, path, len) != 0)
            return -1;
        path += len + (path[len] == ':');
    }
    return 0;
}

int pbc_runpaths_add(struct pbc_runpaths *r, const char *file)
{
    struct pbc_elf elf;
    struct pbc_elf *more;

    if (pbc_elf_read(file, &elf) != 1)
        return 0;
    if (elf.rpath == NULL && elf.runpath == NULL) {
        pbc_elf_free(&elf);
        return 0;
    }
    more = reallocarray(r->elf, r->files + 1, sizeof(*more));
    if (more == NULL) {
        pbc_elf_free(&elf);
        return -1;
    }
    r->elf = more;
    r->elf[r->files++] = elf;
    /* The loader ignores RPATH where there is a RUNPATH. */
    return elf.runpath != NULL ? add_entries(r, file, "RUNPATH", elf.runpath)
                               : add_entries(r, file, "RPATH", elf.rpath);
}

/* Directories in which the loader looks first, for kinds of processors: today's and old ones. */
static int is_capability(const char *part, size_t len)
{
    static const char *const names[] = {"glibc-hwcaps", "x86-64-v", "tls",  "avx512_1",
                                        "x86_64",       "haswell",  "sse2", "xeon_phi",
                                        "i686",         "power",    "z1",   "atomics"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (len >= strlen(names[i]) && strncmp(part, names[i], strlen(names[i])) == 0)
            return 1;
    }
    return 0;
}

/* Whether the loader, with that directory, looks into the first `len` bytes of `path`. */
static int looks_into(const struct pbc_runpath *p, const char *path, size_t len)
{
    size_t n = strlen(p->dir);

    if (n == 1)
        n = 0; /* "/" */
    if (len < n || strncmp(path, p->dir, n) != 0)
        return 0;
    while (n < len) {
        size_t part;

        if (path[n] != '/')
            return 0;
        part = strcspn(path + n + 1, "/");
        if (!is_capability(path + n + 1, part))
            return 0;
        n += 1 + part;
    }
    return 1;
}

static int names_dir(const struct pbc_runpath *p, const char *path)
{
    const char *last = pbc_path_last(path);

    return last != path && looks_into(p, path, (size_t)(last - path) - 1);
}

/* Whether it is what one of the names of libraries leads to in the directory. */
static int leads_to(const struct pbc_runpath *p, const char *path)
{
    const char *last = pbc_path_last(path);

    for (size_t i = 0; i < p->nneeded; i++) {
        char link[PBC_PATH_MAX];
        char *real;
        int same;

        if (strcmp(p->needed[i], last) == 0 && names_dir(p, path))
            return 1;
        /* libx.so.1 may be a link to libx.so.1.2, and that one in another directory */
        if (strncmp(p->needed[i], last, strcspn(last, ".")) != 0)
            continue;
        if ((size_t)snprintf(link, sizeof(link), "%s/%s", p->dir, p->needed[i]) >= sizeof(link))
            continue;
        real = realpath(link, NULL);
        same = real != NULL && strcmp(real, path) == 0;
        free(real);
        if (same)
            return 1;
    }
    return 0;
}

const struct pbc_runpath *pbc_runpaths_find(const struct pbc_runpaths *r, const char *path)
{
    for (size_t i = 0; i < r->count; i++) {
        if (leads_to(&r->item[i], path))
            return &r->item[i];
    }
    for (size_t i = 0; i < r->count; i++) {
        if (names_dir(&r->item[i], path))
            return &r->item[i];
    }
    return NULL;
}

const struct pbc_runpath *pbc_runpaths_find_dir(const struct pbc_runpaths *r, const char *path)
{
    for (size_t i = 0; i < r->count; i++) {
        if (looks_into(&r->item[i], path, strlen(path)))
            return &r->item[i];
    }
    return NULL;
}

void pbc_runpaths_free(struct pbc_runpaths *r)
{
    for (size_t i = 0; i < r->count; i++) {
        free(r->item[i].file);
        free(r->item[i].entry);
        free(r->item[i].dir);
    }
    for (size_t i = 0; i < r->files; i++)
        pbc_elf_free(&r->elf[i]);
    free(r->item);
    free(r->elf);
    *r = (struct pbc_runpaths){0};
}
