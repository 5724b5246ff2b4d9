/* Links of a plan hold wherever its tree is unpacked. */
#include "bundle.h"
#include "names.h"
#include "walk.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS_MAX 16 /* of links that show up behind links */

struct settle {
    struct pbc_walk *w;
    struct pbc_names names; /* as they were when the round began */
    char **old;             /* names and targets of those that are no longer the items' */
    size_t nold;
    bool follow;
    size_t followed;
    /* Of the links that cannot be settled the first is told. */
    size_t broken;
    size_t leaving;
    char first[PBC_ERROR_MAX];
};

/* Take over what the list of names still has. */
static int keep(struct settle *s, char *text, struct pbc_error *err)
{
    char **more = reallocarray(s->old, s->nold + 1, sizeof(*more));

    if (more == NULL) {
        free(text);
        s->names.count = 0;
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory for a link");
    }
    s->old = more;
    s->old[s->nold++] = text;
    return 0;
}

static void forget_names(struct settle *s)
{
    s->names.count = 0;
    while (s->nold > 0)
        free(s->old[--s->nold]);
}

static int list_names(struct settle *s, struct pbc_error *err)
{
    struct pbc_plan *p = s->w->plan;

    forget_names(s);
    for (size_t i = 0; i < p->count; i++) {
        struct pbc_item *item = &p->item[i];
        struct pbc_name_of of = {.name = item->name, .dir = item->kind == PBC_PLAN_DIR};

        if (item->kind == PBC_PLAN_SYMLINK)
            of.target = item->target;
        if (pbc_names_add(&s->names, of, err) != 0)
            return -1;
    }
    pbc_names_sort(&s->names);
    return 0;
}

static int is_above_a_root(const struct pbc_plan *p, const char *dir)
{
    size_t len = strcmp(dir, "/") == 0 ? 0 : strlen(dir);

    for (size_t i = 0; i < p->nroots; i++) {
        if (strncmp(p->root[i].dir, dir, len) == 0 && p->root[i].dir[len] == '/')
            return 1;
    }
    return 0;
}

static int retarget(struct settle *s, struct pbc_item *i, const char *to, struct pbc_error *err)
{
    char *target = pbc_names_relative(i->name, to);
    char *old = i->target;

    if (target == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory for a link");
    i->target = target;
    return keep(s, old, err);
}

/* In place of the link comes what is at `real`. The item is marked by having no name. */
static int replace(struct settle *s, size_t index, const char *real, struct pbc_error *err)
{
    char *name = s->w->plan->item[index].name;

    s->w->plan->item[index].name = NULL;
    s->followed++;
    return keep(s, name, err) == 0 ? pbc_walk(s->w, real, name, err) : -1;
}

static void tell(struct settle *s, const char *fmt, const struct pbc_item *i, const char *real)
{
    if (s->first[0] == '\0')
        snprintf(s->first, sizeof(s->first), "%s %s %s%s%s",
                 i->source == NULL ? i->name : i->source, fmt, i->target, real == NULL ? "" : ": ",
                 real == NULL ? "" : real);
}

static int settle_link(struct settle *s, size_t index, struct pbc_error *err)
{
    struct pbc_item *i = &s->w->plan->item[index];
    char name[PBC_PATH_MAX];
    char *real;
    int rc = 0;

    if (pbc_names_follow(&s->names, i->name, i->target, NULL) == PBC_LEADS_INSIDE)
        return 0;
    if (i->target[0] == '/' && pbc_plan_name_of(s->w->plan, i->target, name) &&
        pbc_names_follow(&s->names, "", *name == '\0' ? "." : name, NULL) == PBC_LEADS_INSIDE)
        return retarget(s, i, name, err);
    real = i->source == NULL ? NULL : realpath(i->source, NULL);
    if (real == NULL) {
        s->broken++;
        tell(s, "is a link to nothing,", i, NULL);
    } else if (pbc_plan_name_of(s->w->plan, real, name) &&
               pbc_names_follow(&s->names, "", *name == '\0' ? "." : name, NULL) ==
                   PBC_LEADS_INSIDE) {
        rc = retarget(s, i, name, err);
    } else if (s->follow && is_above_a_root(s->w->plan, real)) {
        rc = pbc_fail(err, PBC_EXIT_REFUSED,
                      "%s leads to %s, in which the tree itself lies: leave it out with --exclude",
                      i->source, real);
    } else if (s->follow) {
        rc = replace(s, index, real, err);
    } else {
        s->leaving++;
        tell(s, "is a link to what is not in the bundle,", i, NULL);
    }
    free(real);
    return rc;
}

static void drop_replaced(struct pbc_plan *p)
{
    size_t kept = 0;

    for (size_t i = 0; i < p->count; i++) {
        if (p->item[i].name != NULL) {
            p->item[kept++] = p->item[i];
        } else {
            free(p->item[i].source);
            free(p->item[i].target);
        }
    }
    p->count = kept;
}

static int complain(const struct settle *s, struct pbc_error *err)
{
    size_t more = s->broken + s->leaving - 1;
    char others[48] = "";

    if (more > 0)
        snprintf(others, sizeof(others), " (and %zu more such link%s)", more, more == 1 ? "" : "s");
    if (s->broken > 0 && s->leaving == 0)
        return pbc_fail(err, PBC_EXIT_REFUSED, "%s%s: repair it, or leave it out with --exclude",
                        s->first, others);
    return pbc_fail(err, PBC_EXIT_REFUSED,
                    "%s%s: pack what it leads to with --follow, or leave it out with --exclude",
                    s->first, others);
}

static int settle_round(struct settle *s, struct pbc_error *err)
{
    size_t count = s->w->plan->count; /* replacing adds more */

    if (list_names(s, err) != 0)
        return -1;
    s->followed = 0;
    for (size_t i = 0; i < count; i++) {
        if (s->w->plan->item[i].kind == PBC_PLAN_SYMLINK && settle_link(s, i, err) != 0)
            return -1;
    }
    if (s->broken + s->leaving > 0)
        return complain(s, err);
    return 0;
}

int pbc_walk_settle(struct pbc_walk *w, bool follow, struct pbc_error *err)
{
    struct settle s = {.w = w, .follow = follow};
    int rc = pbc_plan_sort(w->plan, err);
    int rounds = 0;

    while (rc == 0) {
        rc = settle_round(&s, err);
        drop_replaced(w->plan);
        if (rc == 0)
            rc = pbc_plan_sort(w->plan, err);
        if (rc != 0 || s.followed == 0)
            break;
        if (++rounds == ROUNDS_MAX)
            rc =
                pbc_fail(err, PBC_EXIT_REFUSED,
                         "links lead to links more than %d times over: --follow does not help here",
                         ROUNDS_MAX);
    }
    forget_names(&s);
    free(s.old);
    pbc_names_free(&s.names);
    return rc;
}
