/* tree.h - who sends to whom: shapes of the broadcast as pure functions.
 *
 * Ranks 0..size-1, rank 0 is the root. A tree of arity k is the heap: the children of r are
 * k*r+1 .. k*r+k. Arity 1 is a chain, which uses every link at its full rate in both directions;
 * each further child divides the rate at which a node can forward, and shortens the way.
 *
 * Two trees, each for every second chunk, have both: the full rate and the short way. They are
 * those of Sanders, Speck, Traeff, "Two-tree algorithms for full bandwidth broadcast, reduction and
 * scan", Parallel Computing 35 (2009): no rank but the root sends on in both, so that each sends
 * every byte at most once. The first is the root over the heap of the other ranks, with two
 * children each; the second is the same with the other ranks in reverse order.
 */
#ifndef PBC_TREE_H
#define PBC_TREE_H

#include <stdint.h>

#define PBC_ARITY_MAX 8
#define PBC_TREE_TWO  255 /* for an arity: two trees. What follows is then of the first. */
#define PBC_LANES_MAX 2

/* What the shape is made for: the links of a middling cluster network. */
#define PBC_LINK_RATE    1.25e9 /* bytes/s */
#define PBC_LINK_LATENCY 50e-6  /* seconds from one agent to the next */

/* Seconds that two trees must gain over one, for a second connection of each node. */
#define PBC_TREE_SECOND 5e-3

/* How many trees there are, which the chunks go down in turn: the lanes. */
unsigned pbc_tree_lanes(uint32_t arity);

/* Where in the first tree a rank would be that is at the place of `rank` in the tree `lane`; also
 * what leads back from there. */
uint32_t pbc_tree_place(unsigned lane, uint32_t size, uint32_t rank);

/* The parent of `rank`, -1 for the root. */
int64_t pbc_tree_parent(uint32_t arity, uint32_t rank);

/* First child of `rank` in *first; returns how many it has in a tree of `size` ranks (0..arity). */
uint32_t pbc_tree_children(uint32_t arity, uint32_t size, uint32_t rank, uint32_t *first);

/* Links on the longest way from the root. */
uint32_t pbc_tree_depth(uint32_t arity, uint32_t size);

/* Ranks in the subtree of `rank`, itself included. */
uint32_t pbc_tree_subtree(uint32_t arity, uint32_t size, uint32_t rank);

/* The arity, 1..PBC_ARITY_MAX or PBC_TREE_TWO, with the least predicted time to send `bytes` in
 * chunks of `chunk` bytes over links of `rate` bytes/s with `latency` seconds per hop:
 *     T(k) = k*bytes/rate + (depth(k) - 1)*(k*chunk/rate + latency) + latency
 *     T(two trees) = bytes/rate + (depth - 1)*(2*chunk/rate + latency) + latency + PBC_TREE_SECOND
 * the pipelined broadcasts of Sanders, Speck, Traeff (see above), section 2. 2 for a rate or
 * latency that makes no sense. */
uint32_t pbc_tree_arity(uint32_t size, uint64_t bytes, uint32_t chunk, double rate, double latency);

/* Milliseconds that an agent of `size` waits after its start before all meet: the slowest of n
 * starts comes later by log(n), and so does the launch message, which goes down a tree of Slurm's.
 * See "Slurm's PMIx start-up race" in docs/architecture.md. */
unsigned pbc_tree_pause(uint32_t size);

/* 1 if `above` is on the way from the root to `rank`, and not `rank` itself. */
int pbc_tree_is_above(uint32_t arity, uint32_t above, uint32_t rank);

#endif
