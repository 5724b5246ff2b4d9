#include "shapes.h"

#include "tree.h"

#include <stdlib.h>
#include <string.h>

static int allocate(struct pbc_shape *s, uint32_t size, unsigned streams)
{
    memset(s, 0, sizeof(*s));
    s->size = size;
    s->streams = streams;
    for (unsigned i = 0; i < streams; i++) {
        s->parent[i] = calloc(size, sizeof(**s->parent));
        s->first[i] = calloc((size_t)size + 1, sizeof(**s->first));
        s->children[i] = calloc(size, sizeof(**s->children));
        if (s->parent[i] == NULL || s->first[i] == NULL || s->children[i] == NULL) {
            pbc_shape_free(s);
            return -1;
        }
    }
    return 0;
}

void pbc_shape_free(struct pbc_shape *s)
{
    for (unsigned i = 0; i < PBC_STREAMS_MAX; i++) {
        free(s->parent[i]);
        free(s->first[i]);
        free(s->children[i]);
    }
    memset(s, 0, sizeof(*s));
}

/* From the parents of a stream: the lists of children, in order of rank. */
static int list_children(struct pbc_shape *s, unsigned stream)
{
    const int64_t *parent = s->parent[stream];
    uint32_t *first = s->first[stream];
    uint32_t *at = calloc((size_t)s->size + 1, sizeof(*at));

    if (at == NULL)
        return -1;
    for (uint32_t v = 0; v < s->size; v++) {
        if (parent[v] >= 0)
            first[parent[v] + 1]++;
    }
    for (uint32_t v = 0; v < s->size; v++)
        first[v + 1] += first[v];
    memcpy(at, first, ((size_t)s->size + 1) * sizeof(*at));
    for (uint32_t v = 0; v < s->size; v++) {
        if (parent[v] >= 0)
            s->children[stream][at[parent[v]]++] = v;
    }
    free(at);
    return 0;
}

int pbc_shape_heap(struct pbc_shape *s, uint32_t size, uint32_t arity)
{
    if (allocate(s, size, 1) != 0)
        return -1;
    s->arity = arity;
    for (uint32_t v = 0; v < size; v++)
        s->parent[0][v] = pbc_tree_parent(arity, v);
    if (list_children(s, 0) != 0) {
        pbc_shape_free(s);
        return -1;
    }
    return 0;
}

/* The root of the in-order binary tree over lo..hi; those below it get their parents. The leaves
 * of such a tree, and they alone, are the odd ones of 1..n where all levels are complete; with
 * lo..hi of any length the split at the highest power of two keeps it so. */
static uint32_t in_order(int64_t *parent, uint32_t lo, uint32_t hi)
{
    uint32_t n = hi - lo + 1, half = 1, root;

    while (2 * half <= n)
        half *= 2;
    root = lo + half - 1;
    if (root > lo)
        parent[in_order(parent, lo, root - 1)] = root;
    if (root < hi)
        parent[in_order(parent, root + 1, hi)] = root;
    return root;
}

int pbc_shape_two_trees(struct pbc_shape *s, uint32_t size)
{
    uint32_t others = size - 1;

    if (allocate(s, size, 2) != 0)
        return -1;
    s->parent[0][0] = s->parent[1][0] = -1;
    if (others > 0) {
        s->parent[0][in_order(s->parent[0], 1, others)] = 0;
        if (others % 2 == 0) {
            /* the mirror image: rank r is where n + 1 - r was, which is of the other parity */
            for (uint32_t v = 1; v <= others; v++) {
                int64_t p = s->parent[0][others + 1 - v];

                s->parent[1][v] = p <= 0 ? 0 : (int64_t)others + 1 - p;
            }
        } else {
            /* the shift: rank r is where r - 1 was, and the first where the last was */
            for (uint32_t v = 1; v <= others; v++) {
                int64_t p = s->parent[0][v == 1 ? others : v - 1];

                s->parent[1][v] = p <= 0 ? 0 : p == others ? 1 : p + 1;
            }
        }
    }
    if (list_children(s, 0) != 0 || list_children(s, 1) != 0) {
        pbc_shape_free(s);
        return -1;
    }
    return 0;
}

uint32_t pbc_shape_depth(const struct pbc_shape *s)
{
    uint32_t deepest = 0;

    if (s->arity > 0)
        return pbc_tree_depth(s->arity, s->size);
    for (unsigned i = 0; i < s->streams; i++) {
        for (uint32_t v = 1; v < s->size; v++) {
            uint32_t depth = 0;

            for (int64_t at = v; at > 0; at = s->parent[i][at])
                depth++;
            deepest = depth > deepest ? depth : deepest;
        }
    }
    return deepest;
}
