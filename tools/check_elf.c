/* Programs and libraries of a bundle: where they look for what they need. */
#include "findings.h"

#include "bundle.h"
#include "path.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- library paths ------------------------------------------------------------------------- */

/* One entry of an RPATH or RUNPATH, in a file at `name`. 1 if it leaves the bundle. */
static int leaves(const struct pbc_names *names, const char *name, const char *entry)
{
    static const char *const origins[] = {"$ORIGIN", "${ORIGIN}"};
    char target[PBC_PATH_MAX];

    for (size_t i = 0; i < 2; i++) {
        size_t len = strlen(origins[i]);

        if (strncmp(entry, origins[i], len) != 0 || (entry[len] != '/' && entry[len] != '\0'))
            continue;
        if ((size_t)snprintf(target, sizeof(target), ".%s", entry + len) >= sizeof(target))
            return 1;
        return pbc_names_follow(names, name, target, NULL) == PBC_LEADS_OUT;
    }
    return 1;
}

static int check_path(const struct pbc_scan *s, const struct pbc_names *names,
                      const struct pbc_seen *m, const char *kind, const char *path,
                      struct pbc_findings *f, struct pbc_error *err)
{
    while (path != NULL && *path != '\0') {
        char entry[PBC_PATH_MAX];
        size_t len = strcspn(path, ":");

        if (len < sizeof(entry)) {
            memcpy(entry, path, len);
            entry[len] = '\0';
            if (!pbc_scan_is_below(s, entry) && leaves(names, m->name, entry) &&
                pbc_finding(f, PBC_FINDING_RPATH, err, "%s: %s %s", m->name, kind,
                            len == 0 ? "(empty: the working directory)" : entry) != 0)
                return -1;
        }
        path += len + (path[len] == ':');
    }
    return 0;
}

/* --- libraries ----------------------------------------------------------------------------- */

struct need {
    const char *library;
    const char *user;
};

static int by_library(const void *a, const void *b)
{
    const struct need *x = a;
    const struct need *y = b;
    int rc = strcmp(x->library, y->library);

    return rc != 0 ? rc : strcmp(x->user, y->user);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Names by which a library may be found: of files and links, and its own. Sorted. */
static const char **list_libraries(const struct pbc_scan *s, size_t *ret)
{
    const char **list = calloc(2 * s->count + 1, sizeof(*list));
    size_t n = 0;

    for (size_t i = 0; list != NULL && i < s->count; i++) {
        const struct pbc_seen *m = &s->seen[i];

        if (m->kind != 'd' && strstr(pbc_path_last(m->name), ".so") != NULL)
            list[n++] = pbc_path_last(m->name);
        if (m->elf != NULL && m->elf->soname != NULL)
            list[n++] = m->elf->soname;
    }
    if (list != NULL)
        qsort(list, n, sizeof(*list), by_text);
    *ret = n;
    return list;
}

static int tell_needs(const struct need *need, size_t count, struct pbc_findings *f,
                      struct pbc_error *err)
{
    for (size_t i = 0, same; i < count; i += same) {
        for (same = 1; i + same < count && strcmp(need[i].library, need[i + same].library) == 0;)
            same++;
        if (pbc_finding(f, PBC_FINDING_NEEDED, err, "%s, for %s%s", need[i].library, need[i].user,
                        same > 1 ? " and others" : "") != 0)
            return -1;
    }
    return 0;
}

static int check_needed(const struct pbc_scan *s, struct pbc_findings *f, struct pbc_error *err)
{
    size_t nlibraries, all = 0, count = 0;
    const char **libraries = list_libraries(s, &nlibraries);
    struct need *need;
    int rc;

    for (size_t i = 0; i < s->count; i++)
        all += s->seen[i].elf != NULL ? s->seen[i].elf->nneeded : 0;
    need = calloc(all + 1, sizeof(*need));
    if (libraries == NULL || need == NULL) {
        free(libraries);
        free(need);
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory");
    }
    for (size_t i = 0; i < s->count; i++) {
        const struct pbc_elf *e = s->seen[i].elf;

        for (size_t k = 0; e != NULL && k < e->nneeded; k++) {
            const char *name = pbc_path_last(e->needed[k]);

            if (!pbc_elf_is_libc(name) &&
                bsearch(&name, libraries, nlibraries, sizeof(*libraries), by_text) == NULL)
                need[count++] = (struct need){e->needed[k], s->seen[i].name};
        }
    }
    qsort(need, count, sizeof(*need), by_library);
    rc = tell_needs(need, count, f, err);
    free(libraries);
    free(need);
    return rc;
}

/* --- all ----------------------------------------------------------------------------------- */

/* e_machine and size of words of this program. */
static int look_at_self(uint16_t *machine, uint8_t *bits)
{
    uint8_t head[64] = {0};
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, head, sizeof(head));

    if (fd >= 0)
        close(fd);
    if (n != (ssize_t)sizeof(head))
        return -1;
    memcpy(machine, head + 18, sizeof(*machine)); /* in the order of this machine */
    *bits = head[4] == 2 ? 64 : 32;
    return 0;
}

int pbc_check_elf(const struct pbc_scan *s, const struct pbc_names *names, struct pbc_findings *f,
                  struct pbc_error *err)
{
    uint16_t machine = 0;
    uint8_t bits = 0;
    int known = look_at_self(&machine, &bits) == 0;

    for (size_t i = 0; i < s->count; i++) {
        const struct pbc_seen *m = &s->seen[i];
        int rc = 0;

        if (m->broken_elf)
            rc = pbc_finding(f, PBC_FINDING_BROKEN_ELF, err, "%s", m->name);
        if (m->elf == NULL || rc != 0) {
            if (rc != 0)
                return -1;
            continue;
        }
        if (known && (m->elf->machine != machine || m->elf->bits != bits))
            rc = pbc_finding(f, PBC_FINDING_MACHINE, err, "%s: %s, %u bits", m->name,
                             pbc_elf_machine(m->elf->machine), m->elf->bits);
        /* With a RUNPATH the loader does not look at RPATH: ld.so(8). */
        if (rc == 0 && m->elf->runpath == NULL)
            rc = check_path(s, names, m, "RPATH", m->elf->rpath, f, err);
        if (rc == 0)
            rc = check_path(s, names, m, "RUNPATH", m->elf->runpath, f, err);
        if (rc != 0)
            return -1;
    }
    return check_needed(s, f, err);
}
