/* The stream, from node to node: to the children, or to whoever comes for it.
 *
 * Two lanes, which frames of the stream take in turn, are two trees. The first is that of the
 * answers and verdicts. In the second a node connects to the one above it and says CLAIM; until it
 * has come, that one *keeps* the lane from its first frame on. Each lane has buffers of its own at
 * a node: else those that wait for frames of the other lane could take what that lane needs to
 * arrive.
 */
#include "run_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int pbc_lanes_begin(struct pbc_run *r, struct pbc_error *err)
{
    uint32_t first;

    r->lanes = r->carried ? 1 : pbc_tree_lanes(r->arity);
    for (unsigned i = 0; i < r->lanes; i++) {
        struct pbc_lane *l = &r->lane[i];

        l->index = l->from.lane = i;
        l->chunks = r->chunks; /* the root's reader has them all, and nothing comes to it */
        if (i > 0 && r->rank != 0) {
            l->chunks = pbc_pool_new(PBC_CHUNKS / r->lanes, PBC_CHUNK_BYTES);
            pbc_pool_limit(r->chunks, PBC_CHUNKS / r->lanes);
        }
        if (l->chunks == NULL || pbc_fifo_init(&l->early) != 0 || pbc_fifo_init(&l->kept) != 0)
            return pbc_fail(err, PBC_EXIT_FAILED, "no memory for the tree");
        if (i > 0)
            l->expected =
                pbc_tree_children(r->arity, r->size, pbc_tree_place(i, r->size, r->rank), &first);
    }
    return 0;
}

/* --- passing on ---------------------------------------------------------------------------- */

int pbc_taker_gets(const struct pbc_peer *p)
{
    return p->open && !p->moved && p->claimed;
}

struct pbc_peer *pbc_taker(struct pbc_run *r, uint32_t i)
{
    return i < r->children ? &r->child[i] : r->fed[i - r->children];
}

uint32_t pbc_takers(const struct pbc_run *r)
{
    return r->children + r->feds;
}

/* The i-th, if it gets this lane. */
struct pbc_peer *pbc_lane_taker(struct pbc_run *r, const struct pbc_lane *l, uint32_t i)
{
    struct pbc_peer *p = pbc_taker(r, i);

    return p->lane == l->index && pbc_taker_gets(p) ? p : NULL;
}

int pbc_lane_keeps(const struct pbc_lane *l)
{
    return l->owed > 0 || l->came < l->expected;
}

void pbc_lane_pass(struct pbc_run *r, struct pbc_lane *l, struct pbc_chunk *c)
{
    struct pbc_peer *p;
    int rc = 0;

    if (r->stream != NULL) {
        if (r->rank == 0 && pbc_stream_send(r->stream, pbc_chunk_ref(c)) != 0)
            pbc_run_no_memory(r);
        return;
    }
    if (l->leaf)
        return;
    for (uint32_t i = 0; i < pbc_takers(r); i++) {
        if ((p = pbc_lane_taker(r, l, i)) != NULL)
            rc |= pbc_conn_send(p->conn, pbc_chunk_ref(c));
    }
    if (pbc_lane_keeps(l))
        rc |= pbc_fifo_push(&l->kept, pbc_chunk_ref(c));
    if (rc != 0)
        pbc_run_no_memory(r);
}

void pbc_lane_let_go(struct pbc_lane *l)
{
    if (!pbc_lane_keeps(l))
        pbc_fifo_empty(&l->kept);
}

void pbc_lanes_drop(struct pbc_run *r)
{
    if (r->dropped || (r->lanes == 1 && !r->failed))
        return;
    r->dropped = 1;
    for (unsigned i = 0; i < r->lanes; i++) {
        pbc_fifo_empty(&r->lane[i].early);
        pbc_fifo_empty(&r->lane[i].kept);
    }
    for (uint32_t i = 0; i < pbc_takers(r); i++) {
        struct pbc_peer *p = pbc_taker(r, i);

        if (!p->open)
            continue;
        if (pbc_tree_is_above(r->arity, r->rank, p->rank))
            pbc_conn_drop_stream(p->conn);
        else
            pbc_peer_gone(p);
    }
}

/* --- P: those who come --------------------------------------------------------------------- */

/* Connections that this rank has here to get something from. */
static unsigned times_fed(const struct pbc_run *r, uint32_t rank)
{
    unsigned n = 0;

    for (uint32_t i = 0; i < r->feds; i++)
        n += r->fed[i]->rank == rank && !r->fed[i]->gone;
    return n;
}

static int gets_lane(const struct pbc_run *r, const struct pbc_lane *l, uint32_t rank)
{
    for (uint32_t i = 0; i < r->feds; i++) {
        const struct pbc_peer *p = r->fed[i];

        if (p->rank == rank && p->claimed && p->lane == l->index && !p->gone)
            return 1;
    }
    return 0;
}

int pbc_lane_is_above(const struct pbc_run *r, const struct pbc_lane *l, uint32_t above,
                      uint32_t rank)
{
    return pbc_tree_is_above(r->arity, pbc_tree_place(l->index, r->size, above),
                             pbc_tree_place(l->index, r->size, rank));
}

/* One of that rank may come for the lane. */
static int waits_for(const struct pbc_run *r, const struct pbc_lane *l, uint32_t rank)
{
    return pbc_lane_keeps(l) && pbc_lane_is_above(r, l, r->rank, rank) && !gets_lane(r, l, rank);
}

static struct pbc_peer *new_fed(struct pbc_run *r)
{
    struct pbc_peer **more = realloc(r->fed, (r->feds + 1) * sizeof(struct pbc_peer *));
    struct pbc_peer *p = calloc(1, sizeof(*p));

    if (more != NULL)
        r->fed = more;
    if (more == NULL || p == NULL) {
        free(p);
        return NULL;
    }
    r->fed[r->feds++] = p;
    return p;
}

int pbc_lane_admit(struct pbc_run *r, struct pbc_conn *c)
{
    uint32_t rank = c->hs.child;
    struct pbc_peer *p;
    int waited = 0;

    for (unsigned i = 0; i < r->lanes && rank < r->size; i++)
        waited |= waits_for(r, &r->lane[i], rank);
    if (!waited || times_fed(r, rank) >= r->lanes || (p = new_fed(r)) == NULL)
        return 0;
    p->rank = rank;
    snprintf(p->node, sizeof(p->node), "of rank %u", p->rank); /* until it says its name */
    p->conn = c;
    p->open = 1;
    return 1;
}

int pbc_lane_claim(struct pbc_run *r, struct pbc_peer *p, const struct pbc_chunk *c,
                   struct pbc_error *err)
{
    uint64_t has = c->frame.aux;
    struct pbc_msg_claim m;
    struct pbc_lane *l;

    if (pbc_claim_decode(c->data, c->frame.length, &m, err) != 0)
        return -1;
    if (m.lane >= r->lanes)
        return pbc_protocol("CLAIM of a lane that there is not", err);
    l = &r->lane[m.lane];
    if (p->claimed || !waits_for(r, l, p->rank) || has > l->seq || l->seq - has > l->kept.count)
        return pbc_protocol("CLAIM", err);
    if (pbc_fifo_copy(&p->conn->stream, &l->kept, l->kept.count - (l->seq - has)) != 0)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory for a frame");
    p->claimed = 1;
    p->lane = m.lane;
    memcpy(p->node, m.node, sizeof(p->node));
    p->taken = l->bytes;
    l->came++;
    pbc_lane_let_go(l);
    return 0;
}
