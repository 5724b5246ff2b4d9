/* Going round slow nodes: one that cannot keep pace delays itself, not the nodes below it.
 *
 * A node S that is slow to take the stream would hold back all that get it through S. Who sends to
 * S, P, sees that: the queue for S grows while the stream comes in as before. P then tells S LEAF,
 * in front of all that is queued for S, and from that point on *keeps* the stream. S, when it gets
 * to read that, passes on nothing more; it tells each node G that it has fed to MOVE to P, and
 * answers P with LEFT, how many they are. G connects to P, proves that it knows the key, and says
 * CLAIM, how many frames of the stream it has; P sends it the next and all that follow. When all
 * have come that were announced, P lets go of what it kept.
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

/* Slow is who has LAG_BYTES queued, and LAG_TIMES in a row, LAG_MS apart, has taken less than
 * 1/LAG_RATIO of what others would. Whoever goes round a node that takes half has nothing of it:
 * two then share the link that one had. */
#ifndef LAG_BYTES
#define LAG_BYTES (2u << 20)
#define LAG_MS    100
#define LAG_RATIO 3
#define LAG_TIMES 3
#endif

struct pbc_peer *pbc_feed_from(struct pbc_run *r)
{
    return r->feeding.moved != 0 ? &r->feeding.from : &r->parent;
}

/* --- passing on ---------------------------------------------------------------------------- */

static int gets_stream(const struct pbc_peer *p)
{
    return p->open && !p->moved && p->claimed;
}

/* The i-th of those that may get the stream from here: children, then the others. */
static struct pbc_peer *nth(struct pbc_run *r, uint32_t i)
{
    return i < r->children ? &r->child[i] : r->feeding.fed[i - r->children];
}

static uint32_t count(const struct pbc_run *r)
{
    return r->children + r->feeding.feds;
}

static int keeps(const struct pbc_feeding *f)
{
    return f->owed > 0 || f->came < f->expected;
}

void pbc_feed_pass(struct pbc_run *r, struct pbc_chunk *c)
{
    struct pbc_feeding *f = &r->feeding;
    int rc = 0;

    if (r->stream != NULL) {
        if (r->rank == 0 && pbc_stream_send(r->stream, pbc_chunk_ref(c)) != 0)
            pbc_run_no_memory(r);
        return;
    }
    if (f->leaf)
        return;
    for (uint32_t i = 0; i < count(r); i++) {
        if (gets_stream(nth(r, i)))
            rc |= pbc_conn_send(nth(r, i)->conn, pbc_chunk_ref(c));
    }
    if (keeps(f))
        rc |= pbc_fifo_push(&f->kept, pbc_chunk_ref(c));
    if (rc != 0)
        pbc_run_no_memory(r);
}

static void let_go(struct pbc_run *r)
{
    struct pbc_feeding *f = &r->feeding;
    struct pbc_chunk *c;

    while (!keeps(f) && (c = pbc_fifo_try(&f->kept)) != NULL)
        pbc_chunk_unref(c);
}

/* --- P: who is slow ------------------------------------------------------------------------ */

/* Both the queue and what is kept are the end of the stream: keep the longer. */
static int keep(struct pbc_feeding *f, struct pbc_fifo *queue)
{
    if (f->kept.ring == NULL && pbc_fifo_init(&f->kept) != 0)
        return -1;
    if (f->kept.count >= queue->count)
        return 0;
    for (struct pbc_chunk *c; (c = pbc_fifo_try(&f->kept)) != NULL;)
        pbc_chunk_unref(c);
    return pbc_fifo_copy(&f->kept, queue, 0);
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

static void go_round(struct pbc_run *r, struct pbc_peer *p)
{
    struct pbc_msg_move here = {.family = r->mine.family, .port = r->mine.port};
    struct pbc_chunk *leaf;

    memcpy(here.address, r->mine.bytes, sizeof(here.address));
    memcpy(here.node, r->conf->node, strlen(r->conf->node) + 1);
    leaf = go_to(PBC_FRAME_LEAF, 0, &here);

    if (keep(&r->feeding, &p->conn->stream) != 0) {
        pbc_chunk_unref(leaf);
        pbc_run_no_memory(r);
        return;
    }
    if (leaf == NULL || pbc_fifo_push_first(&p->conn->stream, leaf) != 0) {
        pbc_run_no_memory(r);
        return;
    }
    p->leaf = 1;
    r->feeding.owed++;
    r->feeding.slow++;
    memcpy(r->feeding.slow_node, p->node, sizeof(r->feeding.slow_node));
}

/* Bytes per second at which a taker might go. A link is as fast one way as the other: the stream
 * goes out as it has come in, shared by all. The root reads it from a file system, which says
 * nothing of links: it compares those who take with each other. 0: not known. */
static uint64_t pace(const struct pbc_run *r, uint64_t took_most, uint32_t takers)
{
    if (r->rank == 0)
        return takers > 1 ? took_most : 0;
    return r->feeding.pace / takers;
}

/* What it has taken since the last look. */
static void measure(const struct pbc_run *r, struct pbc_peer *p, uint64_t ms)
{
    uint64_t before = p->taken;

    p->queued = (uint64_t)p->conn->stream.count * PBC_CHUNK_BYTES;
    p->taken = r->bytes > p->queued ? r->bytes - p->queued : 0;
    p->rate = (p->taken > before ? p->taken - before : 0) * 1000 / ms;
}

static void look_at_paces(struct pbc_run *r, uint64_t now)
{
    struct pbc_feeding *f = &r->feeding;
    uint64_t least;
    uint64_t most = 0;
    uint32_t takers = 0;
    uint32_t first;

    if (f->leaf_asked || r->phase != PBC_PHASE_STREAM)
        return;
    if (!f->ended)
        f->pace = r->bytes * 1000 / (now > r->first_byte ? now - r->first_byte : 1);
    f->ended = r->done_seen;
    if (now < f->paced + LAG_MS)
        return;
    for (uint32_t i = 0; i < count(r); i++) {
        struct pbc_peer *p = nth(r, i);

        if (!gets_stream(p))
            continue;
        measure(r, p, now - f->paced);
        if (p->rate > most)
            most = p->rate;
        takers++;
    }
    f->paced = now;
    least = takers == 0 ? 0 : pace(r, most, takers);
    for (uint32_t i = 0; i < count(r) && takers < PBC_ARITY_MAX; i++) {
        struct pbc_peer *p = nth(r, i);

        if (!gets_stream(p))
            continue;
        p->lagging = p->queued >= LAG_BYTES && p->rate * LAG_RATIO < least ? p->lagging + 1 : 0;
        if (p->lagging >= LAG_TIMES && !p->leaf &&
            pbc_tree_children(r->arity, r->size, p->rank, &first) > 0)
            go_round(r, p);
    }
}

/* --- P: those who come --------------------------------------------------------------------- */

static int is_fed(const struct pbc_feeding *f, uint32_t rank)
{
    for (uint32_t i = 0; i < f->feds; i++) {
        if (f->fed[i]->rank == rank && !f->fed[i]->gone)
            return 1;
    }
    return 0;
}

static struct pbc_peer *new_fed(struct pbc_feeding *f)
{
    struct pbc_peer **more = realloc(f->fed, (f->feds + 1) * sizeof(struct pbc_peer *));
    struct pbc_peer *p = calloc(1, sizeof(*p));

    if (more != NULL)
        f->fed = more;
    if (more == NULL || p == NULL) {
        free(p);
        return NULL;
    }
    f->fed[f->feds++] = p;
    return p;
}

int pbc_feed_admit(struct pbc_run *r, struct pbc_conn *c)
{
    struct pbc_feeding *f = &r->feeding;
    struct pbc_peer *p;

    if (!keeps(f) || c->hs.child >= r->size || !pbc_tree_is_above(r->arity, r->rank, c->hs.child) ||
        is_fed(f, c->hs.child) || (p = new_fed(f)) == NULL)
        return 0;
    p->rank = c->hs.child;
    snprintf(p->node, sizeof(p->node), "of rank %u", p->rank); /* until it says its name */
    p->conn = c;
    p->open = 1;
    return 1;
}

static int take_claim(struct pbc_run *r, struct pbc_peer *p, const struct pbc_chunk *c,
                      struct pbc_error *err)
{
    struct pbc_feeding *f = &r->feeding;
    uint64_t has = c->frame.aux;
    struct pbc_msg_claim m;

    if (pbc_claim_decode(c->data, c->frame.length, &m, err) != 0)
        return -1;
    if (p->claimed || !keeps(f) || has > f->seq || f->seq - has > f->kept.count)
        return pbc_protocol("CLAIM", err);
    if (pbc_fifo_copy(&p->conn->stream, &f->kept, f->kept.count - (f->seq - has)) != 0)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory for a frame");
    p->claimed = 1;
    memcpy(p->node, m.node, sizeof(p->node));
    p->taken = r->bytes;
    f->came++;
    let_go(r);
    return 0;
}

static int take_left(struct pbc_run *r, struct pbc_peer *p, uint64_t n, struct pbc_error *err)
{
    if (p->leaf != 1 || n > r->size)
        return pbc_protocol("LEFT", err);
    p->leaf = 2; /* answered */
    r->feeding.owed--;
    r->feeding.expected += (uint32_t)n;
    let_go(r);
    return 0;
}

/* --- S: told to pass nothing on ------------------------------------------------------------ */

/* Nobody is still to come: tell all to go on to where the stream comes from. After DONE there is
 * nothing that they could get there. */
static void become_leaf(struct pbc_run *r)
{
    struct pbc_feeding *f = &r->feeding;
    struct pbc_peer *from = pbc_feed_from(r);
    struct pbc_chunk *c;
    uint64_t n = 0;
    int rc = 0;

    for (uint32_t i = 0; i < count(r) && !r->done_seen; i++) {
        if (!gets_stream(nth(r, i)))
            continue;
        c = go_to(PBC_FRAME_MOVE, from->rank, &f->elsewhere);
        rc |= c == NULL ? -1 : pbc_conn_send(nth(r, i)->conn, c);
        nth(r, i)->moved = 1;
        n++;
    }
    f->leaf_asked = 0;
    f->leaf |= !r->done_seen;
    if (from->open)
        rc |= pbc_conn_send_urgent(from->conn, PBC_FRAME_LEFT, n, NULL, 0);
    if (rc != 0)
        pbc_run_no_memory(r);
}

/* --- G: told to move ----------------------------------------------------------------------- */

static int dial(struct pbc_run *r, struct pbc_error *err)
{
    struct pbc_feeding *f = &r->feeding;
    int fd = pbc_net_connect(&f->address, err);

    if (fd < 0)
        return -1;
    f->from.conn = pbc_conn_dialled(fd, r->rank, f->from.rank, r->key, pbc_now_ms());
    return f->from.conn != NULL ? 0 : pbc_fail(err, PBC_EXIT_FAILED, "no memory for a connection");
}

static int take_move(struct pbc_run *r, const struct pbc_peer *p, const struct pbc_chunk *c,
                     struct pbc_error *err)
{
    struct pbc_feeding *f = &r->feeding;
    uint64_t to = c->frame.aux;
    struct pbc_msg_move m;
    struct pbc_error why;

    if (pbc_move_decode(c->data, c->frame.length, &m, err) != 0)
        return -1;
    if (to >= r->size || !pbc_tree_is_above(r->arity, (uint32_t)to, p->rank) || f->leaf_asked ||
        r->done_seen)
        return pbc_protocol("MOVE", err);
    f->old = f->from.conn; /* it may be this that is being served: closed later */
    memset(&f->from, 0, sizeof(f->from));
    f->from.rank = (uint32_t)to;
    memcpy(f->from.node, m.node, sizeof(f->from.node));
    f->address = (struct pbc_address){.family = m.family, .port = m.port};
    memcpy(f->address.bytes, m.address, sizeof(m.address));
    f->moved = pbc_now_ms();
    if (dial(r, &why) != 0)
        pbc_feed_lost(r, &f->from, &why);
    return 0;
}

static int say_claim(struct pbc_run *r)
{
    uint8_t payload[PBC_SMALL_MAX];
    struct pbc_msg_claim m;

    memcpy(m.node, r->conf->node, strlen(r->conf->node) + 1);
    return pbc_conn_send_urgent(r->feeding.from.conn, PBC_FRAME_CLAIM, r->feeding.seq, payload,
                                pbc_claim_encode(&m, payload));
}

/* The stream has come to its end, or the connection has just opened. */
static void look_at_from(struct pbc_run *r, uint64_t now)
{
    struct pbc_feeding *f = &r->feeding;
    struct pbc_error err;

    if (f->moved == 0 || f->from.gone)
        return;
    if (f->from.open && !f->from.claimed) {
        f->from.claimed = 1;
        if (say_claim(r) != 0)
            pbc_run_no_memory(r);
    }
    if (r->done_seen && !f->leaf_asked && f->from.open && !pbc_conn_pending(f->from.conn))
        pbc_peer_gone(&f->from);
    else if (!f->from.open && f->from.conn == NULL && now >= f->from.redial_at &&
             dial(r, &err) != 0)
        pbc_feed_lost(r, &f->from, &err);
}

/* --- for the loop -------------------------------------------------------------------------- */

int pbc_feed_frame(struct pbc_run *r, struct pbc_peer *p, const struct pbc_chunk *c,
                   struct pbc_error *err)
{
    switch (c->frame.type) {
    case PBC_FRAME_LEAF:
        if (r->feeding.leaf_asked)
            return pbc_protocol("LEAF twice", err);
        r->feeding.leaf_asked = 1;
        return pbc_move_decode(c->data, c->frame.length, &r->feeding.elsewhere, err);
    case PBC_FRAME_MOVE:
        return take_move(r, p, c, err);
    case PBC_FRAME_LEFT:
        return take_left(r, p, c->frame.aux, err);
    default:
        return take_claim(r, p, c, err);
    }
}

void pbc_feed_lost(struct pbc_run *r, struct pbc_peer *p, const struct pbc_error *why)
{
    int is_from = p == &r->feeding.from;
    int over = is_from ? r->done_seen : p->moved;

    if (is_from && pbc_peer_redials(p))
        return;
    pbc_peer_gone(p);
    if (r->failed || over)
        return;
    if (why->code != PBC_EXIT_PEER)
        pbc_run_fail(r, r->conf->node, why);
    else if (is_from) {
        pbc_fail(&r->feeding.lost, PBC_EXIT_PEER,
                 "lost the connection to %s, which sends to it (%s)", p->node, why->text);
        r->feeding.lost_at = pbc_now_ms();
    }
    /* Of one that was fed, its parent tells why it has gone; or it does, if it has not. */
}

void pbc_feed_broke(struct pbc_run *r, const struct pbc_error *why)
{
    int over = r->rank == 0 ? r->phase >= PBC_PHASE_COMMIT : r->done_seen;

    if (r->failed || over || r->feeding.lost_at != 0)
        return;
    r->feeding.lost = *why;
    r->feeding.lost_at = pbc_now_ms();
}

void pbc_feed_look(struct pbc_run *r, uint64_t now)
{
    struct pbc_feeding *f = &r->feeding;

    pbc_conn_close(f->old);
    f->old = NULL;
    look_at_paces(r, now);
    if (f->leaf_asked && !keeps(f))
        become_leaf(r);
    look_at_from(r, now);
    /* Who fed it may have ended for a reason that is still on its way down the tree. */
    if (f->lost_at != 0 && now >= f->lost_at + PBC_LINGER_MS)
        pbc_run_fail(r, r->conf->node, &f->lost);
}

void pbc_feed_release(struct pbc_run *r)
{
    struct pbc_feeding *f = &r->feeding;

    pbc_conn_close(f->old);
    pbc_conn_close(f->from.conn);
    for (uint32_t i = 0; i < f->feds; i++) {
        pbc_conn_close(f->fed[i]->conn);
        free(f->fed[i]);
    }
    free(f->fed);
    f->fed = NULL;
    f->feds = 0;
    f->old = f->from.conn = NULL;
    pbc_fifo_destroy(&f->kept);
}
