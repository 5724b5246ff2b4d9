#include "names.h"

#include "bundle.h"

#include <stdlib.h>
#include <string.h>

int pbc_names_add(struct pbc_names *n, struct pbc_name_of of, struct pbc_error *err)
{
    if (n->count == n->size) {
        size_t size = n->size == 0 ? 1024 : 2 * n->size;
        struct pbc_name_of *more = reallocarray(n->of, size, sizeof(*more));

        if (more == NULL)
            return pbc_fail(err, PBC_EXIT_FAILED, "no memory for the names of members");
        n->of = more;
        n->size = size;
    }
    n->of[n->count++] = of;
    return 0;
}

static int by_name(const void *a, const void *b)
{
    const struct pbc_name_of *x = a;
    const struct pbc_name_of *y = b;

    return strcmp(x->name, y->name);
}

void pbc_names_sort(struct pbc_names *n)
{
    if (n->count > 0)
        qsort(n->of, n->count, sizeof(*n->of), by_name);
}

void pbc_names_free(struct pbc_names *n)
{
    free(n->of);
    memset(n, 0, sizeof(*n));
}

/* The first whose name is not before `name`, of which `len` bytes and a '/' count if `below`. */
static size_t lower_bound(const struct pbc_names *n, const char *name, size_t len, int below)
{
    size_t lo = 0;
    size_t hi = n->count;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const char *other = n->of[mid].name;
        int rc = strncmp(other, name, len);

        if (rc == 0 && below)
            rc = (unsigned char)other[len] < '/' ? -1 : 1;
        else if (rc == 0)
            rc = other[len] == '\0' ? 0 : 1;
        if (rc < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

const struct pbc_name_of *pbc_names_find(const struct pbc_names *n, const char *name)
{
    size_t at = lower_bound(n, name, strlen(name), 0);

    return at < n->count && strcmp(n->of[at].name, name) == 0 ? &n->of[at] : NULL;
}

int pbc_names_has_below(const struct pbc_names *n, const char *name)
{
    size_t len = strlen(name);
    size_t at = lower_bound(n, name, len, 1);

    return at < n->count && strncmp(n->of[at].name, name, len) == 0 && n->of[at].name[len] == '/';
}

/* --- the way of a link --------------------------------------------------------------------- */

struct way {
    char at[PBC_PATH_MAX];   /* where it is, "" the top */
    char rest[PBC_PATH_MAX]; /* what is left to go */
    int hops;
};

/* Put `target` before the rest. */
static int turn_off(struct way *w, const char *target)
{
    size_t len = strlen(target);
    size_t rest = strlen(w->rest);

    if (++w->hops > PBC_NAMES_HOPS || len + 1 + rest >= sizeof(w->rest))
        return -1;
    memmove(w->rest + len + 1, w->rest, rest + 1);
    memcpy(w->rest, target, len);
    w->rest[len] = '/';
    return 0;
}

static void up(char *at)
{
    char *slash = strrchr(at, '/');

    *(slash == NULL ? at : slash) = '\0';
}

/* Into the part `name` of `len` bytes. */
static enum pbc_leads step(const struct pbc_names *n, struct way *w, const char *name, size_t len)
{
    const struct pbc_name_of *of;
    size_t at = strlen(w->at);

    if (len == 0 || (len == 1 && name[0] == '.'))
        return PBC_LEADS_INSIDE;
    if (len == 2 && name[0] == '.' && name[1] == '.') {
        if (at == 0)
            return PBC_LEADS_OUT;
        up(w->at);
        return PBC_LEADS_INSIDE;
    }
    if (at + 1 + len >= sizeof(w->at))
        return PBC_LEADS_ASTRAY;
    if (at > 0)
        w->at[at++] = '/';
    memcpy(w->at + at, name, len);
    w->at[at + len] = '\0';
    of = pbc_names_find(n, w->at);
    if (of == NULL)
        return pbc_names_has_below(n, w->at) ? PBC_LEADS_INSIDE : PBC_LEADS_NOWHERE;
    if (of->target == NULL)
        return of->dir || w->rest[0] == '\0' ? PBC_LEADS_INSIDE : PBC_LEADS_ASTRAY;
    if (of->target[0] == '/')
        return PBC_LEADS_OUT;
    up(w->at);
    return turn_off(w, of->target) == 0 ? PBC_LEADS_INSIDE : PBC_LEADS_ASTRAY;
}

enum pbc_leads pbc_names_follow(const struct pbc_names *n, const char *name, const char *target,
                                char *real)
{
    struct way w = {.hops = 0};

    if (target[0] == '/')
        return PBC_LEADS_OUT;
    if (strlen(name) >= sizeof(w.at) || strlen(target) >= sizeof(w.rest))
        return PBC_LEADS_ASTRAY;
    memcpy(w.at, name, strlen(name) + 1);
    up(w.at);
    memcpy(w.rest, target, strlen(target) + 1);
    while (w.rest[0] != '\0') {
        char part[PBC_PATH_MAX];
        size_t len = strcspn(w.rest, "/");
        size_t skip = len + strspn(w.rest + len, "/");
        enum pbc_leads leads;

        memcpy(part, w.rest, len);
        memmove(w.rest, w.rest + skip, strlen(w.rest + skip) + 1);
        leads = step(n, &w, part, len);
        if (leads != PBC_LEADS_INSIDE)
            return leads;
    }
    if (real != NULL)
        memcpy(real, w.at, strlen(w.at) + 1);
    return PBC_LEADS_INSIDE;
}

char *pbc_names_relative(const char *name, const char *to)
{
    size_t common = 0; /* bytes of directories that both have */
    size_t ups = 0;
    size_t len;
    char *out, *p;

    for (size_t i = 0; name[i] != '\0' && name[i] == to[i]; i++) {
        if (name[i] == '/')
            common = i + 1;
    }
    for (const char *q = name + common; *q != '\0'; q++)
        ups += *q == '/';
    to += common;
    len = strlen(to);
    out = malloc(3 * ups + len + 2);
    if (out == NULL)
        return NULL;
    for (p = out; ups > 0; ups--, p += 3)
        memcpy(p, "../", 3);
    memcpy(p, to, len + 1);
    if (out[0] == '\0')
        memcpy(out, ".", 2);
    return out;
}
