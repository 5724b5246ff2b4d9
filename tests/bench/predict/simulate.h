/* simulate.h - a discrete-event simulation of one staging run: chunks that go down the trees of
 * core/tree.h and are unpacked on every node.
 *
 * The model. A node has one link, of the same rate both ways. It sends one chunk at a time, in
 * turns to those of its children that can take one; a chunk is passed on when it has wholly come,
 * and `hop` seconds later. A child can take one while fewer than `window` of those under way to it
 * have not come, and while it has a buffer: a node has `pool` buffers, of two trees half for each,
 * and one is in use from the start of the chunk's way to the node until it has been sent to all
 * children and unpacked. A receiver that is slower than its sender takes a chunk at its own rate,
 * and the sender does other work meanwhile. Each node unpacks chunks in order at its own rate, in
 * turn those of both trees. The root reads in that order, at `read_rate` and into any of its
 * buffers. The network between the links has no limit: a full fat tree.
 *
 * With `handover` the parent of a slow node feeds the children of that node as well, in each tree
 * and from the start; the slow node then sends nothing.
 *
 * Pure: no input or output; the same parameters give the same result.
 */
#ifndef PBC_SIMULATE_H
#define PBC_SIMULATE_H

#include <stdint.h>

struct pbc_sim {
    uint64_t bytes;     /* of the bundle */
    uint32_t chunk;     /* bytes */
    double rate;        /* of a link, bytes/s */
    double latency;     /* of a link, seconds */
    double hop;         /* from a chunk's arrival to its readiness for the next, seconds */
    double read_rate;   /* of the shared file system, bytes/s; 0: no limit */
    double unpack_rate; /* bytes of archive a second; 0: no limit */
    uint32_t pool;      /* buffers of a node, in chunks */
    uint32_t window;    /* chunks under way on one connection, one for each tree */
    double slow_share;  /* of the nodes but the root, 0..1 */
    double slow_factor; /* their links and unpacking are slower by this, at least 1 */
    int slow_rank;      /* this one is slow too; 0: none */
    int handover;
    uint64_t seed; /* which nodes are slow */
};

struct pbc_sim_result {
    double sent;      /* when the last chunk was on all nodes, seconds from the root's first read */
    double done;      /* when all were unpacked on all nodes */
    double fast_sent; /* the same of the nodes that are not slow */
    double fast_done;
    uint32_t slow_nodes;
    uint32_t degree; /* most children that a node fed */
    uint64_t events;
};

/* `arity` as in core/tree.h, PBC_TREE_TWO included. Returns -1 without memory, for parameters that
 * make no sense (a size, arity, rate, chunk or pool of 0), or if all wait for each other. */
int pbc_simulate(uint32_t size, uint32_t arity, const struct pbc_sim *p,
                 struct pbc_sim_result *ret);

#endif
