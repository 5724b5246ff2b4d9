#include "simulate.h"

#include "tree.h"

#include <stdlib.h>
#include <string.h>

enum kind { READ, FREE, COME, UNPACKED };

struct event {
    double at;
    uint32_t node; /* whose event it is */
    uint8_t kind;
    uint8_t lane;
};

/* A link of the trees: `from` sends the chunks of `lane` to `to`. */
struct edge {
    uint32_t to;
    uint32_t sent; /* chunks of the lane */
    uint8_t lane;
};

struct node {
    uint32_t first, edges;         /* in sim.edges: those on which it sends */
    uint32_t turn;                 /* which is asked first */
    uint32_t feeds[PBC_LANES_MAX]; /* who feeds it */
    uint32_t come[PBC_LANES_MAX];  /* chunks that have come */
    uint32_t way[PBC_LANES_MAX];   /* chunks that were sent to it */
    uint32_t freed[PBC_LANES_MAX];
    uint32_t unpacked;
    uint8_t sending, unpacking, slow;
    double in_free; /* when its link can take the next chunk */
    double sent, done;
};

struct sim {
    const struct pbc_sim *p;
    uint32_t size, arity;
    unsigned lanes;
    uint32_t chunks, read;
    struct node *node;
    struct edge *edge;
    struct event *heap;
    size_t events, room;
    double now;
    int no_memory;
    uint64_t count;
};

/* ---- the queue: a binary heap; what is at the same time comes in order of node and kind ---- */

static int before(const struct event *a, const struct event *b)
{
    if (a->at != b->at)
        return a->at < b->at;
    if (a->node != b->node)
        return a->node < b->node;
    return a->kind < b->kind;
}

static void push(struct sim *s, double at, enum kind kind, uint32_t node, unsigned lane)
{
    struct event e = {at, node, (uint8_t)kind, (uint8_t)lane};
    size_t i = s->events;

    if (s->events == s->room) {
        size_t room = 2 * s->room + 1024;
        struct event *more = realloc(s->heap, room * sizeof(*more));

        if (more == NULL) {
            s->no_memory = 1;
            return;
        }
        s->heap = more;
        s->room = room;
    }
    s->events++;
    while (i > 0 && before(&e, &s->heap[(i - 1) / 2])) {
        s->heap[i] = s->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    s->heap[i] = e;
}

static struct event pop(struct sim *s)
{
    struct event top = s->heap[0], last = s->heap[--s->events];
    size_t i = 0;

    for (;;) {
        size_t child = 2 * i + 1;

        if (child >= s->events)
            break;
        if (child + 1 < s->events && before(&s->heap[child + 1], &s->heap[child]))
            child++;
        if (!before(&s->heap[child], &last))
            break;
        s->heap[i] = s->heap[child];
        i = child;
    }
    s->heap[i] = last;
    return top;
}

/* ---- the model ---- */

/* How many of the first `chunks` chunks are of a lane. */
static uint32_t of_lane(const struct sim *s, uint32_t chunks, unsigned lane)
{
    return (chunks + s->lanes - 1 - lane) / s->lanes;
}

static double chunk_time(const struct sim *s, uint32_t chunk)
{
    uint64_t at = (uint64_t)chunk * s->p->chunk;
    uint64_t len = s->p->bytes - at < s->p->chunk ? s->p->bytes - at : s->p->chunk;

    return (double)len / s->p->rate;
}

static double slowness(const struct sim *s, uint32_t node)
{
    return s->node[node].slow ? s->p->slow_factor : 1;
}

static void send_next(struct sim *s, uint32_t from);
static void read_next(struct sim *s);

/* Buffers of a node that are no longer needed; who waits for one may go on. */
static void release(struct sim *s, uint32_t v, unsigned lane)
{
    struct node *n = &s->node[v];
    uint32_t least = of_lane(s, n->unpacked, lane);

    for (uint32_t i = 0; i < n->edges; i++) {
        const struct edge *e = &s->edge[n->first + i];
        uint32_t gone = e->sent - (n->sending && i + 1 == n->turn);

        if (e->lane == lane && gone < least)
            least = gone;
    }
    if (least <= n->freed[lane])
        return;
    n->freed[lane] = least;
    if (v == 0)
        read_next(s);
    else
        send_next(s, n->feeds[lane]);
}

static void unpack_next(struct sim *s, uint32_t v)
{
    struct node *n = &s->node[v];
    unsigned lane = n->unpacked % s->lanes;

    if (n->unpacking || n->unpacked == s->chunks || n->come[lane] <= n->unpacked / s->lanes)
        return;
    n->unpacking = 1;
    push(s,
         s->now + (s->p->unpack_rate > 0 ? chunk_time(s, n->unpacked) * s->p->rate /
                                               s->p->unpack_rate * slowness(s, v)
                                         : 0),
         UNPACKED, v, lane);
}

static int can_take(const struct sim *s, const struct edge *e)
{
    const struct node *to = &s->node[e->to];

    return to->way[e->lane] - to->freed[e->lane] < s->p->pool / s->lanes &&
           to->way[e->lane] - to->come[e->lane] < s->p->window;
}

static void send_next(struct sim *s, uint32_t from)
{
    struct node *n = &s->node[from];

    if (n->sending)
        return;
    for (uint32_t k = 0; k < n->edges; k++) {
        struct edge *e = &s->edge[n->first + (n->turn + k) % n->edges];
        struct node *to = &s->node[e->to];
        double begun, ended, came, took;

        if (e->sent >= n->come[e->lane] || !can_take(s, e))
            continue;
        took = chunk_time(s, e->sent * s->lanes + e->lane);
        ended = s->now + took * slowness(s, from);
        begun = s->now + s->p->latency;
        if (begun < to->in_free)
            begun = to->in_free;
        came = begun + took * slowness(s, e->to);
        if (came < ended + s->p->latency)
            came = ended + s->p->latency;
        to->in_free = came;
        to->way[e->lane]++;
        e->sent++;
        n->turn = (uint32_t)(e - &s->edge[n->first]) + 1;
        n->sending = 1;
        push(s, ended, FREE, from, e->lane);
        push(s, came + s->p->hop, COME, e->to, e->lane);
        return;
    }
}

static void read_next(struct sim *s)
{
    struct node *root = &s->node[0];
    unsigned lane = s->read % s->lanes;
    uint32_t come = 0, freed = 0;
    double took;

    for (unsigned i = 0; i < s->lanes; i++) {
        come += root->come[i];
        freed += root->freed[i];
    }
    if (s->read == s->chunks || s->read > come || s->read - freed >= s->p->pool)
        return; /* it reads one at a time, into whichever buffer is free */
    took = s->p->read_rate > 0 ? chunk_time(s, s->read) * s->p->rate / s->p->read_rate : 0;
    root->way[lane]++;
    s->read++;
    push(s, s->now + took, READ, 0, lane);
}

static void handle(struct sim *s, const struct event *e)
{
    struct node *n = &s->node[e->node];

    switch (e->kind) {
    case READ:
    case COME:
        n->come[e->lane]++;
        if (e->kind == READ)
            read_next(s);
        else
            send_next(s, n->feeds[e->lane]); /* its window is open again */
        n->sent = s->now;
        send_next(s, e->node);
        unpack_next(s, e->node);
        break;
    case FREE:
        n->sending = 0;
        release(s, e->node, e->lane);
        send_next(s, e->node);
        break;
    default:
        n->unpacking = 0;
        n->unpacked++;
        n->done = s->now;
        release(s, e->node, e->lane);
        unpack_next(s, e->node);
    }
}

/* ---- a run ---- */

/* xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled",
 * ACM TOMS 42 (2016). */
static double uniform(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (double)((*state * 0x2545F4914F6CDD1DULL) >> 11) / 9007199254740992.0;
}

static uint32_t choose_slow(struct sim *s)
{
    uint64_t state = s->p->seed * 0x9E3779B97F4A7C15ULL + 1;
    uint32_t slow = 0;

    for (uint32_t v = 1; v < s->size; v++) {
        s->node[v].slow = uniform(&state) < s->p->slow_share ||
                          (s->p->slow_rank > 0 && v == (uint32_t)s->p->slow_rank);
        slow += s->node[v].slow;
    }
    return slow;
}

static int64_t parent(const struct sim *s, unsigned lane, uint32_t v)
{
    int64_t up = pbc_tree_parent(s->arity, pbc_tree_place(lane, s->size, v));

    return up < 0 ? up : pbc_tree_place(lane, s->size, (uint32_t)up);
}

/* Who feeds `v`: its parent, or with handover the nearest ancestor that is not slow. */
static uint32_t feeder(const struct sim *s, uint32_t v, unsigned lane)
{
    int64_t u = parent(s, lane, v);

    while (s->p->handover && u > 0 && s->node[u].slow)
        u = parent(s, lane, (uint32_t)u);
    return (uint32_t)u;
}

static uint32_t connect(struct sim *s)
{
    uint32_t at = 0, degree = 0;

    for (unsigned lane = 0; lane < s->lanes; lane++) {
        for (uint32_t v = 1; v < s->size; v++) {
            s->node[v].feeds[lane] = feeder(s, v, lane);
            s->node[s->node[v].feeds[lane]].edges++;
        }
    }
    for (uint32_t v = 0; v < s->size; v++) {
        s->node[v].first = at;
        at += s->node[v].edges;
        degree = s->node[v].edges > degree ? s->node[v].edges : degree;
        s->node[v].edges = 0;
    }
    for (unsigned lane = 0; lane < s->lanes; lane++) {
        for (uint32_t v = 1; v < s->size; v++) {
            struct node *u = &s->node[s->node[v].feeds[lane]];

            s->edge[u->first + u->edges++] = (struct edge){.to = v, .lane = (uint8_t)lane};
        }
    }
    return degree;
}

/* Whether all nodes have all, with the times of the last. */
static int gather(const struct sim *s, struct pbc_sim_result *ret)
{
    int whole = 1;

    for (uint32_t v = 0; v < s->size; v++) {
        const struct node *n = &s->node[v];

        whole = whole && n->unpacked == s->chunks;
        ret->sent = n->sent > ret->sent ? n->sent : ret->sent;
        ret->done = n->done > ret->done ? n->done : ret->done;
        if (n->slow)
            continue;
        ret->fast_sent = n->sent > ret->fast_sent ? n->sent : ret->fast_sent;
        ret->fast_done = n->done > ret->fast_done ? n->done : ret->fast_done;
    }
    return whole;
}

int pbc_simulate(uint32_t size, uint32_t arity, const struct pbc_sim *p, struct pbc_sim_result *ret)
{
    struct sim s = {.p = p, .size = size, .arity = arity, .lanes = pbc_tree_lanes(arity)};
    int rc = -1;

    if (size == 0 || arity == 0 || p->bytes == 0 || p->chunk == 0 || !(p->rate > 0) ||
        p->pool < s.lanes || p->window == 0 || p->bytes / p->chunk >= UINT32_MAX)
        return -1;
    s.chunks = (uint32_t)((p->bytes + p->chunk - 1) / p->chunk);
    s.node = calloc(size, sizeof(*s.node));
    s.edge = calloc((size_t)size * s.lanes, sizeof(*s.edge));
    if (s.node == NULL || s.edge == NULL)
        goto out;
    memset(ret, 0, sizeof(*ret));
    ret->slow_nodes = choose_slow(&s);
    ret->degree = connect(&s);
    read_next(&s);
    while (s.events > 0 && !s.no_memory) {
        struct event e = pop(&s);

        s.now = e.at;
        s.count++;
        handle(&s, &e);
    }
    ret->events = s.count;
    rc = gather(&s, ret) ? 0 : -1;
out:
    free(s.node);
    free(s.edge);
    free(s.heap);
    return rc;
}
