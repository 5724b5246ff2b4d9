/* Which of those that a node sends to are slow. */
#include "run_state.h"

/* A taker is slow if it has LAG_BYTES queued and has taken less than 1/LAG_RATIO of what others
 * would, at LAG_TIMES looks in a row, LAG_MS apart. To go round one that takes half as much would
 * gain nothing: two would then share the link that one had. */
#ifndef LAG_BYTES
#define LAG_BYTES (2u << 20)
#define LAG_MS    100
#define LAG_RATIO 3
#define LAG_TIMES 3
#endif

/* Bytes per second at which a taker of the lane might go. A link is as fast one way as the other:
 * the stream goes out as it has come in, shared by all who take, and no lane goes faster than it
 * comes. The root reads it from a file system, which says nothing of links: it compares those who
 * take with each other. 0: not known. */
static uint64_t pace(const struct pbc_run *r, const struct pbc_lane *l, uint64_t took_most,
                     uint32_t takers)
{
    uint64_t all = 0;

    if (r->rank == 0)
        return takers > 1 ? took_most : 0;
    for (unsigned i = 0; i < r->lanes; i++)
        all += r->lane[i].pace;
    return all / takers < l->pace ? all / takers : l->pace;
}

/* What it has taken since the last look. */
static void measure(const struct pbc_run *r, struct pbc_peer *p, uint64_t ms)
{
    uint64_t bytes = r->lane[p->lane].bytes;
    uint64_t before = p->taken;

    p->queued = (uint64_t)p->conn->stream.count * PBC_CHUNK_BYTES;
    p->taken = bytes > p->queued ? bytes - p->queued : 0;
    p->rate = (p->taken > before ? p->taken - before : 0) * 1000 / ms;
}

static int has_children(const struct pbc_run *r, const struct pbc_peer *p)
{
    uint32_t first;

    return pbc_tree_children(r->arity, r->size, pbc_tree_place(p->lane, r->size, p->rank), &first) >
           0;
}

void pbc_pace_look(struct pbc_run *r, uint64_t now)
{
    uint64_t most = 0;
    uint32_t takers = 0;

    if (r->phase != PBC_PHASE_STREAM)
        return;
    for (unsigned i = 0; i < r->lanes && !r->ended; i++)
        r->lane[i].pace = r->lane[i].bytes * 1000 / (now > r->first_byte ? now - r->first_byte : 1);
    r->ended = r->done_seen;
    if (now < r->paced + LAG_MS)
        return;
    for (uint32_t i = 0; i < pbc_takers(r); i++) {
        struct pbc_peer *p = pbc_taker(r, i);

        if (!pbc_taker_gets(p))
            continue;
        measure(r, p, now - r->paced);
        if (p->rate > most)
            most = p->rate;
        takers++;
    }
    r->paced = now;
    for (uint32_t i = 0; i < pbc_takers(r) && takers < PBC_ARITY_MAX; i++) {
        struct pbc_peer *p = pbc_taker(r, i);
        struct pbc_lane *l = &r->lane[p->lane];

        if (!pbc_taker_gets(p) || l->leaf_asked)
            continue;
        p->lagging = p->queued >= LAG_BYTES && p->rate * LAG_RATIO < pace(r, l, most, takers)
                         ? p->lagging + 1
                         : 0;
        if (p->lagging >= LAG_TIMES && !p->leaf && has_children(r, p))
            pbc_feed_go_round(r, p);
    }
}
