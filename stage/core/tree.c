#include "tree.h"

static uint64_t at_least_one(uint32_t arity)
{
    return arity > 0 ? arity : 1;
}

int64_t pbc_tree_parent(uint32_t arity, uint32_t rank)
{
    if (rank == 0)
        return -1;
    return (int64_t)((rank - 1) / at_least_one(arity));
}

uint32_t pbc_tree_children(uint32_t arity, uint32_t size, uint32_t rank, uint32_t *first)
{
    uint64_t k = at_least_one(arity);
    uint64_t child = k * rank + 1;

    if (child >= size) {
        *first = 0;
        return 0;
    }
    *first = (uint32_t)child;
    return (uint32_t)(size - child < k ? size - child : k);
}

uint32_t pbc_tree_depth(uint32_t arity, uint32_t size)
{
    uint64_t k = at_least_one(arity);
    uint32_t depth = 0;

    if (size == 0)
        return 0;
    if (k == 1)
        return size - 1;
    /* the last rank is as deep as any */
    for (uint64_t rank = size - 1; rank > 0; rank = (rank - 1) / k)
        depth++;
    return depth;
}

uint32_t pbc_tree_subtree(uint32_t arity, uint32_t size, uint32_t rank)
{
    uint64_t k = at_least_one(arity);
    uint64_t lo = rank, hi = rank, count = 0;

    if (rank >= size)
        return 0;
    if (k == 1)
        return size - rank;
    /* level by level: the descendants of a rank are a contiguous range in each */
    while (lo < size) {
        if (hi >= size)
            hi = size - 1;
        count += hi - lo + 1;
        lo = k * lo + 1;
        hi = k * hi + k;
    }
    return (uint32_t)count;
}

unsigned pbc_tree_pause(uint32_t size)
{
    return 300 + 10 * pbc_tree_depth(2, size);
}

int pbc_tree_is_above(uint32_t arity, uint32_t above, uint32_t rank)
{
    uint32_t at = rank;

    while (at > above)
        at = (uint32_t)pbc_tree_parent(arity, at);
    return at == above && at != rank;
}

uint32_t pbc_tree_arity(uint32_t size, uint64_t bytes, uint32_t chunk, double rate, double latency)
{
    uint32_t best = 1;
    double best_time = 0;

    if (size <= 2)
        return 1;
    if (!(rate > 0) || !(latency >= 0))
        return 2;
    for (uint32_t k = 1; k <= PBC_ARITY_MAX; k++) {
        double hops = (double)pbc_tree_depth(k, size) - 1;
        double time =
            k * (double)bytes / rate + hops * (k * (double)chunk / rate + latency) + latency;

        if (k == 1 || time < best_time) {
            best = k;
            best_time = time;
        }
    }
    return best;
}
