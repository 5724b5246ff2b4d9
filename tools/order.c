#include "order.h"

#include "beneath.h"

#include <stdlib.h>
#include <string.h>

struct item {
    char *name;
    char *target; /* of a hard link */
    size_t place; /* in the archive */
    enum pbc_order_kind kind;
};

struct pbc_order {
    struct item *item;
    size_t count;
    size_t size;
};

struct pbc_order *pbc_order_new(void)
{
    return calloc(1, sizeof(struct pbc_order));
}

void pbc_order_free(struct pbc_order *o)
{
    if (o == NULL)
        return;
    for (size_t i = 0; i < o->count; i++) {
        free(o->item[i].name);
        free(o->item[i].target);
    }
    free(o->item);
    free(o);
}

static char *plain_name(const char *text, struct pbc_error *err)
{
    struct pbc_name n;
    char joined[PBC_PATH_MAX];
    char *copy;

    if (pbc_name_parse(text, &n, err) != 0)
        return NULL;
    pbc_name_join(&n, n.depth, joined);
    copy = strdup(joined);
    if (copy == NULL)
        pbc_fail(err, PBC_EXIT_FAILED, "no memory for the names of members");
    return copy;
}

int pbc_order_add(struct pbc_order *o, enum pbc_order_kind kind, const char *name,
                  const char *target, struct pbc_error *err)
{
    struct item *i;

    if (o->count == o->size) {
        size_t size = o->size == 0 ? 1024 : 2 * o->size;
        struct item *more = reallocarray(o->item, size, sizeof(*more));

        if (more == NULL)
            return pbc_fail(err, PBC_EXIT_FAILED, "no memory for the names of members");
        o->item = more;
        o->size = size;
    }
    i = &o->item[o->count];
    *i = (struct item){.kind = kind, .place = o->count};
    i->name = plain_name(name, err);
    if (i->name != NULL && target != NULL) {
        i->target = plain_name(target, err);
        if (i->target == NULL) {
            free(i->name);
            return -1;
        }
    }
    if (i->name == NULL)
        return -1;
    o->count++;
    return 0;
}

static int by_name(const void *a, const void *b)
{
    const struct item *x = a;
    const struct item *y = b;
    int rc = strcmp(x->name, y->name);

    if (rc != 0)
        return rc;
    return x->place < y->place ? -1 : x->place > y->place;
}

/* Any member of that name, once they are sorted. */
static const struct item *find(const struct pbc_order *o, const char *name)
{
    size_t lo = 0;
    size_t hi = o->count;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int rc = strcmp(o->item[mid].name, name);

        if (rc == 0)
            return &o->item[mid];
        if (rc < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

/* 1 if a member that is no directory is above `name`. */
static int below_another(const struct pbc_order *o, const char *name)
{
    char above[PBC_PATH_MAX];

    for (const char *p = strchr(name, '/'); p != NULL; p = strchr(p + 1, '/')) {
        const struct item *i;

        memcpy(above, name, (size_t)(p - name));
        above[p - name] = '\0';
        i = find(o, above);
        if (i != NULL && i->kind != PBC_ORDER_DIR)
            return 1;
    }
    return 0;
}

static int in_the_way(const struct pbc_order *o, const struct item *i)
{
    const struct item *target;

    if (i > o->item && strcmp(i[-1].name, i->name) == 0 &&
        (i[-1].kind != PBC_ORDER_DIR || i->kind != PBC_ORDER_DIR))
        return 1;
    if (below_another(o, i->name))
        return 1;
    if (i->target == NULL)
        return 0;
    target = find(o, i->target);
    return (target != NULL && target->place > i->place) || below_another(o, i->target);
}

const char *pbc_order_obstacle(struct pbc_order *o)
{
    if (o->count > 0)
        qsort(o->item, o->count, sizeof(*o->item), by_name);
    for (size_t k = 0; k < o->count; k++) {
        if (in_the_way(o, &o->item[k]))
            return o->item[k].name;
    }
    return NULL;
}
