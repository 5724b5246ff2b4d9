#include "tree.h"

static uint64_t at_least_one(uint32_t arity)
{
    return arity > 0 ? arity : 1;
}

unsigned pbc_tree_lanes(uint32_t arity)
{
    return arity == PBC_TREE_TWO ? 2 : 1;
}

uint32_t pbc_tree_place(unsigned lane, uint32_t size, uint32_t rank)
{
    return lane == 0 || rank == 0 ? rank : size - rank;
}

int64_t pbc_tree_parent(uint32_t arity, uint32_t rank)
{
    if (rank == 0)
        return -1;
    if (arity == PBC_TREE_TWO)
        return rank / 2;
    return (int64_t)((rank - 1) / at_least_one(arity));
}

uint32_t pbc_tree_children(uint32_t arity, uint32_t size, uint32_t rank, uint32_t *first)
{
    int two = arity == PBC_TREE_TWO;
    uint64_t k = two ? rank == 0 ? 1 : 2 : at_least_one(arity);
    uint64_t child = k * rank + (!two || rank == 0);

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

    if (size < 2)
        return 0;
    if (arity == PBC_TREE_TWO)
        return 1 + pbc_tree_depth(2, size - 1);
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
    if (arity == PBC_TREE_TWO)
        return rank == 0 ? size : pbc_tree_subtree(2, size - 1, rank - 1);
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

/* `bytes` over a way of `depth` links, of which each node sends on every byte `times`, a chunk to
 * all of its `children` before the next. */
static double pipelined(double bytes, double chunk, double times, double children, double depth,
                        double rate, double latency)
{
    return times * bytes / rate + (depth - 1) * (children * chunk / rate + latency) + latency;
}

uint32_t pbc_tree_arity(uint32_t size, uint64_t bytes, uint32_t chunk, double rate, double latency)
{
    uint32_t best = 1;
    double best_time = 0;
    double two;

    if (size <= 2)
        return 1;
    if (!(rate > 0) || !(latency >= 0))
        return 2;
    for (uint32_t k = 1; k <= PBC_ARITY_MAX; k++) {
        double time = pipelined((double)bytes, chunk, k, k, pbc_tree_depth(k, size), rate, latency);

        if (k == 1 || time < best_time) {
            best = k;
            best_time = time;
        }
    }
    two = pipelined((double)bytes, chunk, 1, 2, pbc_tree_depth(PBC_TREE_TWO, size), rate, latency);
    return two + PBC_TREE_SECOND < best_time ? PBC_TREE_TWO : best;
}
