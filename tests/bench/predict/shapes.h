/* shapes.h - who sends to whom in a simulated broadcast.
 *
 * A shape has one stream, which is a tree for all chunks, or two, each a tree for every second
 * chunk. It holds for each stream the children of each rank, as ranges of one array.
 */
#ifndef PBC_SHAPES_H
#define PBC_SHAPES_H

#include <stdint.h>

#define PBC_STREAMS_MAX 2

struct pbc_shape {
    uint32_t size;
    unsigned streams;
    uint32_t arity;                      /* of a heap; 0: none */
    int64_t *parent[PBC_STREAMS_MAX];    /* by rank, -1 for the root */
    uint32_t *first[PBC_STREAMS_MAX];    /* by rank, size + 1 of them: index of the first child */
    uint32_t *children[PBC_STREAMS_MAX]; /* ranks, size - 1 of them */
};

/* pbcast's own tree of this arity, by the functions of core/tree.h. Returns -1 without memory. */
int pbc_shape_heap(struct pbc_shape *s, uint32_t size, uint32_t arity);

/* Two binary trees over all ranks but the root, in which no rank has more than two children in both
 * together, so that each sends every byte at most once: Sanders, Speck, Traeff, "Two-tree
 * algorithms for full bandwidth broadcast, reduction and scan", Parallel Computing 35 (2009),
 * section 2. The root sends to the roots of both. Returns -1 without memory. */
int pbc_shape_two_trees(struct pbc_shape *s, uint32_t size);

/* Links on the longest way from the root, of any stream. */
uint32_t pbc_shape_depth(const struct pbc_shape *s);

void pbc_shape_free(struct pbc_shape *s);

#endif
