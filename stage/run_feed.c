/* Going round slow nodes: one that cannot keep pace delays itself, not the nodes below it. All of
 * it happens within one lane; "the stream" is here what goes by that. A node S that is slow to take
 * the stream would hold back all that get it through S. Who sends to S, P, sees that (run_pace.c):
 * the queue for S grows while the stream comes in as before. P then tells S LEAF, in front of all
 * that is queued for S, and from that point on *keeps* the stream. S, when it gets to read that,
 * passes on nothing more; it tells each node G that it has fed to MOVE to P, and answers P with
 * LEFT, how many they are. G connects to P, proves that it knows the key, and says CLAIM, how many
 * frames of the stream it has; P sends it the next and all that follow. When all have come that
 * were announced, P lets go of what it kept.
 *
 * Only the stream, BEGIN to DONE, moves: answers and verdicts go over the tree as before. G may be
 * slow in turn, and so may P; then P tells those that it feeds to move on to where it gets the
 * stream itself. It does so when nobody else is still to come: until then it feeds them, and who
 * told it keeps the stream. New places lie always higher up on the same way to the root, so all
 * this ends. What bounds it is the pool: when that is empty all wait for the slow one, as they
 * would without.
 */
#include "run_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pbc_peer *pbc_feed_from(struct pbc_run *r, struct pbc_lane *l)
{
    return l->moved != 0 ? &l->from : &r->parent;
}

/* --- P: one is slow ------------------------------------------------------------------------ */

/* Both the queue and what is kept are the end of the stream: keep the longer. */
static int keep(struct pbc_lane *l, struct pbc_fifo *queue)
{
    if (l->kept.count >= queue->count)
        return 0;
    pbc_fifo_empty(&l->kept);
    return pbc_fifo_copy(&l->kept, queue, 0);
}

static struct pbc_chunk *go_to(uint8_t type, uint64_t rank, const struct pbc_msg_move *m)
{
    uint8_t payload[PBC_SMALL_MAX];
    uint32_t len = pbc_move_encode(m, payload);
    struct pbc_chunk *c = pbc_chunk_small(type, 0, payload, len);

    if (c != NULL)
        pbc_chunk_set(c, (struct pbc_frame){.type = type, .length = len, .aux = rank});
    return c;
}

void pbc_feed_go_round(struct pbc_run *r, struct pbc_peer *p)
{
    struct pbc_lane *l = &r->lane[p->lane];
    struct pbc_msg_move here = {.family = r->mine.family, .port = r->mine.port};
    struct pbc_chunk *leaf;

    memcpy(here.address, r->mine.bytes, sizeof(here.address));
    memcpy(here.node, r->conf->node, strlen(r->conf->node) + 1);
    leaf = go_to(PBC_FRAME_LEAF, 0, &here);

    if (keep(l, &p->conn->stream) != 0) {
        pbc_chunk_unref(leaf);
        pbc_run_no_memory(r);
        return;
    }
    if (leaf == NULL || pbc_fifo_push_first(&p->conn->stream, leaf) != 0) {
        pbc_run_no_memory(r);
        return;
    }
    p->leaf = 1;
    l->owed++;
    r->slow++;
    memcpy(r->slow_node, p->node, sizeof(r->slow_node));
}

static int take_left(struct pbc_run *r, struct pbc_peer *p, uint64_t n, struct pbc_error *err)
{
    struct pbc_lane *l = &r->lane[p->lane];

    if (p->leaf != 1 || n > r->size)
        return pbc_protocol("LEFT", err);
    p->leaf = 2; /* answered */
    l->owed--;
    l->expected += (uint32_t)n;
    pbc_lane_let_go(l);
    return 0;
}

/* --- S: told to pass nothing on ------------------------------------------------------------ */

/* Nobody is still to come: tell all to go on to where the stream comes from. After DONE there is
 * nothing that they could get there. */
static void become_leaf(struct pbc_run *r, struct pbc_lane *l)
{
    struct pbc_peer *from = pbc_feed_from(r, l);
    struct pbc_chunk *c;
    uint64_t n = 0;
    int rc = 0;

    for (uint32_t i = 0; i < pbc_takers(r) && !r->done_seen; i++) {
        struct pbc_peer *p = pbc_lane_taker(r, l, i);

        if (p == NULL)
            continue;
        c = go_to(PBC_FRAME_MOVE, from->rank, &l->elsewhere);
        rc |= c == NULL ? -1 : pbc_conn_send(p->conn, c);
        p->moved = 1;
        n++;
    }
    l->leaf_asked = 0;
    l->leaf |= !r->done_seen;
    if (from->open)
        rc |= pbc_conn_send_urgent(from->conn, PBC_FRAME_LEFT, n, NULL, 0);
    if (rc != 0)
        pbc_run_no_memory(r);
}

/* --- G: told to move ----------------------------------------------------------------------- */

int pbc_feed_dial(struct pbc_run *r, struct pbc_lane *l, uint32_t rank,
                  const struct pbc_msg_move *at, struct pbc_error *err)
{
    l->old = l->from.conn; /* it may be this that is being served: closed later */
    memset(&l->from, 0, sizeof(l->from));
    l->from.lane = l->index;
    pbc_peer_at(&l->from, rank, at);
    l->moved = pbc_clock_ms(&r->clock);
    return pbc_peer_dial(r, &l->from, err);
}

static int take_move(struct pbc_run *r, const struct pbc_peer *p, const struct pbc_chunk *c,
                     struct pbc_error *err)
{
    struct pbc_lane *l = &r->lane[p->lane];
    uint64_t to = c->frame.aux;
    struct pbc_msg_move m;
    struct pbc_error why;

    if (pbc_move_decode(c->data, c->frame.length, &m, err) != 0)
        return -1;
    if (to >= r->size || !pbc_lane_is_above(r, l, (uint32_t)to, p->rank) || l->leaf_asked ||
        l->old != NULL || (r->done_seen && r->lanes == 1))
        return pbc_protocol("MOVE", err);
    if (r->done_seen) /* it came by the other lane: there is nothing more to be had */
        return 0;
    if (pbc_feed_dial(r, l, (uint32_t)to, &m, &why) != 0)
        pbc_feed_lost(r, &l->from, &why);
    return 0;
}

static int say_claim(struct pbc_run *r, struct pbc_lane *l)
{
    struct pbc_msg_claim m = {.lane = (uint8_t)l->index};
    uint8_t payload[PBC_SMALL_MAX];

    memcpy(m.node, r->conf->node, strlen(r->conf->node) + 1);
    return pbc_conn_send_urgent(l->from.conn, PBC_FRAME_CLAIM, l->seq, payload,
                                pbc_claim_encode(&m, payload));
}

/* The stream has come to its end, or the connection has just opened. */
static void look_at_from(struct pbc_run *r, struct pbc_lane *l, uint64_t now)
{
    struct pbc_error err;

    if (l->moved == 0 || l->from.gone)
        return;
    if (l->from.open && !l->from.claimed) {
        l->from.claimed = 1;
        if (say_claim(r, l) != 0)
            pbc_run_no_memory(r);
    }
    if (r->done_seen && l->from.open && !pbc_conn_pending(l->from.conn))
        pbc_peer_gone(&l->from);
    else if (!l->from.open && l->from.conn == NULL && now >= l->from.redial_at &&
             pbc_peer_dial(r, &l->from, &err) != 0)
        pbc_feed_lost(r, &l->from, &err);
}

/* --- for the loop -------------------------------------------------------------------------- */

int pbc_feed_frame(struct pbc_run *r, struct pbc_peer *p, const struct pbc_chunk *c,
                   struct pbc_error *err)
{
    struct pbc_lane *l = &r->lane[p->lane];

    switch (c->frame.type) {
    case PBC_FRAME_LEAF:
        if (l->leaf_asked)
            return pbc_protocol("LEAF twice", err);
        l->leaf_asked = 1;
        return pbc_move_decode(c->data, c->frame.length, &l->elsewhere, err);
    case PBC_FRAME_MOVE:
        return take_move(r, p, c, err);
    case PBC_FRAME_LEFT:
        return take_left(r, p, c->frame.aux, err);
    default:
        return pbc_lane_claim(r, p, c, err);
    }
}

/* Nothing that it sends is needed any more. */
static int is_over(const struct pbc_run *r)
{
    return (r->done_seen && r->rank != 0) || r->phase >= PBC_PHASE_COMMIT;
}

void pbc_feed_missing(struct pbc_run *r, struct pbc_lane *l, const struct pbc_error *why)
{
    if (r->failed || l->lost_at != 0)
        return;
    l->lost = *why;
    l->lost_at = pbc_clock_ms(&r->clock);
}

void pbc_feed_lost(struct pbc_run *r, struct pbc_peer *p, const struct pbc_error *why)
{
    struct pbc_lane *l = &r->lane[p->lane];
    int is_from = p == &l->from;
    int over = is_from ? is_over(r) : p->moved;
    struct pbc_error err;

    if (is_from && !over && pbc_peer_redials(r, p))
        return;
    pbc_peer_gone(p);
    if (r->failed || over)
        return;
    if (why->code != PBC_EXIT_PEER)
        pbc_run_fail(r, r->conf->node, why);
    else if (is_from) {
        pbc_fail(&err, PBC_EXIT_PEER, "lost the connection to %s, which sends to it (%s)", p->node,
                 why->text);
        pbc_feed_missing(r, l, &err);
    }
    /* Of one that was fed, its parent tells why it has gone; or it does, if it has not. */
}

void pbc_feed_broke(struct pbc_run *r, const struct pbc_error *why)
{
    if (!is_over(r))
        pbc_feed_missing(r, &r->lane[0], why);
}

void pbc_feed_look(struct pbc_run *r, uint64_t now)
{
    for (unsigned i = 0; i < r->lanes; i++) {
        struct pbc_lane *l = &r->lane[i];

        pbc_conn_close(l->old);
        l->old = NULL;
        if (l->leaf_asked && !pbc_lane_keeps(l))
            become_leaf(r, l);
        look_at_from(r, l, now);
        /* Until there is a stream the second lane is not missed: all may have the set. */
        if (l->lost_at == 0 || is_over(r) || (i > 0 && r->phase != PBC_PHASE_STREAM))
            continue;
        pbc_lanes_drop(r);
        /* Who fed it may have ended for a reason that is still on its way down the tree. */
        if (now >= l->lost_at + PBC_LINGER_MS)
            pbc_run_fail(r, r->conf->node, &l->lost);
    }
}

void pbc_feed_release(struct pbc_run *r)
{
    for (uint32_t i = 0; i < r->feds; i++) {
        pbc_conn_close(r->fed[i]->conn);
        free(r->fed[i]);
    }
    free(r->fed);
    r->fed = NULL;
    r->feds = 0;
    for (unsigned i = 0; i < r->lanes; i++) {
        struct pbc_lane *l = &r->lane[i];

        pbc_conn_close(l->old);
        pbc_conn_close(l->from.conn);
        l->old = l->from.conn = NULL;
        pbc_fifo_destroy(&l->kept);
        pbc_fifo_destroy(&l->early);
    }
}
