/* What a run does with each frame. */
#include "run_state.h"

#include <string.h>
#include <unistd.h>

/* --- down ---------------------------------------------------------------------------------- */

/* The tree that this node has said to have. */
static int begin_with(struct pbc_run *r, struct pbc_error *err)
{
    const char *set = r->check.base[r->extends - 1];

    if (!pbc_place_base(&r->place, set, r->extends, &r->base.fd, &r->had))
        return pbc_fail(err, PBC_EXIT_FAILED, "%s/%s, which this set extends, has gone",
                        r->place.dir, set);
    r->base.files = r->had.files;
    r->base.bytes = r->had.bytes;
    if (!r->had.rewritten)
        return 0;
    if (pbc_place_root(&r->place, set, r->base.old_root, err) != 0)
        return -1;
    return pbc_place_root(&r->place, r->check.set, r->base.new_root, err);
}

void pbc_run_look(struct pbc_run *r)
{
    r->has_set = pbc_place_has(&r->place, r->check.set);
    r->bases = r->has_set ? UINT64_MAX : 0;
    for (unsigned i = 1; i < r->check.bundles && !r->has_set; i++) {
        struct pbc_manifest m;
        int fd;

        if (!pbc_place_base(&r->place, r->check.base[i - 1], i, &fd, &m))
            continue;
        pbc_manifest_free(&m);
        close(fd);
        r->bases |= (uint64_t)1 << i;
    }
}

int pbc_run_unpack(struct pbc_run *r, struct pbc_error *err)
{
    struct pbc_unpack_conf conf = {.limits = r->conf->limits, .bundles = r->check.bundles};

    if (r->has_set || r->unpack != NULL)
        return 0;
    if (pbc_place_begin(&r->place, err) != 0)
        return -1;
    conf.rootfd = r->place.treefd;
    if (r->place.memory.levels > 0)
        conf.limits.memory = &r->place.memory;
    conf.archives = r->extends == 0 ? r->check.bytes : 0; /* of the others nobody has told */
    conf.own = pbc_run_own_memory(r);
    if (pbc_place_root(&r->place, r->check.set, conf.root, err) != 0)
        return -1;
    if (r->extends > 0) {
        if (begin_with(r, err) != 0)
            return -1;
        conf.base = &r->base;
    }
    r->unpack = pbc_unpack_start(&conf, err);
    return r->unpack == NULL ? -1 : 0;
}

static int is_stream(uint8_t type)
{
    return type >= PBC_FRAME_BEGIN && type <= PBC_FRAME_DONE;
}

void pbc_run_tell(struct pbc_run *r, struct pbc_chunk *c)
{
    /* Whatever else is sent waits for an answer to CHECK from every child. */
    if (c->frame.type == PBC_FRAME_CHECK)
        r->check_frame = pbc_chunk_ref(c);
    for (uint32_t i = 0; i < r->children; i++) {
        if (r->child[i].open)
            pbc_conn_send(r->child[i].conn, pbc_chunk_ref(c));
    }
    pbc_chunk_unref(c);
}

static int take_check(struct pbc_run *r, const struct pbc_chunk *c, struct pbc_error *err)
{
    if (r->checked)
        return pbc_protocol("CHECK twice", err);
    if (pbc_check_decode(c->data, c->frame.length, &r->check, err) != 0)
        return -1;
    r->checked = 1;
    r->phase = PBC_PHASE_CHECK;
    pbc_run_look(r);
    return 0;
}

/* From the parent, or from who sends the stream in its place. */
static int from_above(struct pbc_run *r, struct pbc_peer *p, struct pbc_chunk *c,
                      struct pbc_error *err)
{
    uint8_t type = c->frame.type;
    struct pbc_lane *l = &r->lane[p->lane];
    int feeds = is_stream(type) || type == PBC_FRAME_LEAF || type == PBC_FRAME_MOVE;
    struct pbc_msg_failed failed;
    int rc = 0;

    if (type != PBC_FRAME_ABORT &&
        (p != (feeds ? pbc_feed_from(r, l) : &r->parent) || (feeds && r->stream != NULL))) {
        pbc_chunk_unref(c);
        return pbc_protocol("a frame from the wrong node", err);
    }
    if (feeds && r->dropped) {
        pbc_chunk_unref(c);
        return 0;
    }
    switch (type) {
    case PBC_FRAME_LEAF:
    case PBC_FRAME_MOVE:
        rc = pbc_feed_frame(r, p, c, err);
        pbc_chunk_unref(c);
        return rc;
    case PBC_FRAME_CHECK:
        rc = take_check(r, c, err);
        break;
    case PBC_FRAME_BEGIN:
    case PBC_FRAME_DATA:
    case PBC_FRAME_END:
    case PBC_FRAME_DONE:
        return pbc_run_take(r, l, c, err);
    case PBC_FRAME_COMMIT:
        if (!r->checked || !(r->has_set || r->told_ready))
            rc = pbc_protocol("COMMIT before READY", err);
        r->phase = PBC_PHASE_COMMIT;
        break;
    default: /* ABORT */
        rc = pbc_failed_decode(c->data, c->frame.length, &failed, err);
        pbc_chunk_unref(c);
        if (rc == 0) { /* of one who only feeds this node the parent need not know yet */
            r->aborted |= p == &r->parent;
            r->user_told |= !r->failed; /* who said it has told, or told on */
            pbc_run_fail(r, failed.node, &failed.error);
        }
        return rc;
    }
    if (rc == 0)
        pbc_run_tell(r, c);
    else
        pbc_chunk_unref(c);
    return rc;
}

/* --- up ------------------------------------------------------------------------------------ */

static struct pbc_peer *peer_of(struct pbc_run *r, const struct pbc_conn *conn)
{
    for (unsigned i = 0; i < r->lanes && conn->to_parent; i++) {
        if (conn == r->lane[i].from.conn || conn == r->lane[i].old)
            return &r->lane[i].from;
    }
    if (conn->to_parent)
        return &r->parent;
    for (uint32_t i = 0; i < r->children; i++) {
        if (r->child[i].conn == conn)
            return &r->child[i];
    }
    for (uint32_t i = 0; i < r->feds; i++) {
        if (r->fed[i]->conn == conn)
            return r->fed[i];
    }
    return NULL;
}

void pbc_add_have(struct pbc_msg_have *sum, const struct pbc_msg_have *m)
{
    sum->bases = sum->nodes == 0 ? m->bases : sum->bases & m->bases;
    sum->nodes += m->nodes;
    sum->have += m->have;
    if (m->have < m->nodes && (sum->tightest[0] == '\0' || m->free < sum->free)) {
        sum->free = m->free;
        memcpy(sum->tightest, m->tightest, sizeof(sum->tightest));
    }
}

void pbc_add_ready(struct pbc_msg_ready *sum, const struct pbc_msg_ready *m)
{
    sum->nodes += m->nodes;
    if (m->files > sum->files)
        sum->files = m->files;
    if (m->bytes > sum->bytes)
        sum->bytes = m->bytes;
    if (m->slowest_us >= sum->slowest_us) {
        sum->slowest_us = m->slowest_us;
        memcpy(sum->slowest, m->slowest, sizeof(sum->slowest));
    }
    sum->slow += m->slow;
    if (m->slow_node[0] != '\0')
        memcpy(sum->slow_node, m->slow_node, sizeof(sum->slow_node));
}

static int from_child(struct pbc_run *r, struct pbc_peer *p, const struct pbc_chunk *c,
                      struct pbc_error *err)
{
    struct pbc_msg_have have;
    struct pbc_msg_ready ready;
    struct pbc_msg_failed failed;
    uint32_t most = pbc_tree_subtree(r->arity, r->size, p->rank);

    if (c->frame.type == PBC_FRAME_LEFT || c->frame.type == PBC_FRAME_CLAIM)
        return pbc_feed_frame(r, p, c, err);
    if (p < r->child || p >= r->child + r->children)
        return pbc_protocol("a frame from the wrong node", err);
    switch (c->frame.type) {
    case PBC_FRAME_HAVE:
        if (pbc_have_decode(c->data, c->frame.length, &have, err) != 0)
            return -1;
        if (p->have || have.nodes != most)
            return pbc_protocol("HAVE", err);
        p->have = 1;
        pbc_add_have(&r->have, &have);
        return 0;
    case PBC_FRAME_PROGRESS:
        if (c->frame.aux > most)
            return pbc_protocol("PROGRESS", err);
        p->progress = (uint32_t)c->frame.aux;
        return 0;
    case PBC_FRAME_READY:
        if (pbc_ready_decode(c->data, c->frame.length, &ready, err) != 0)
            return -1;
        if (p->ready || !p->have || ready.nodes != most)
            return pbc_protocol("READY", err);
        p->ready = 1;
        p->progress = most;
        pbc_add_ready(&r->ready, &ready);
        return 0;
    case PBC_FRAME_COMMITTED:
        if (p->committed || c->frame.aux != most)
            return pbc_protocol("COMMITTED", err);
        p->committed = 1;
        r->committed += most;
        return 0;
    default: /* FAILED */
        if (pbc_failed_decode(c->data, c->frame.length, &failed, err) != 0)
            return -1;
        pbc_run_fail(r, failed.node, &failed.error);
        return 0;
    }
}

int pbc_run_frame(void *run, struct pbc_conn *conn, struct pbc_chunk *chunk, struct pbc_error *err)
{
    struct pbc_run *r = run;
    int rc;

    if (r->failed && !(conn->to_parent && chunk->frame.type == PBC_FRAME_ABORT)) {
        pbc_chunk_unref(chunk);
        return 0;
    }
    if (conn->to_parent)
        return from_above(r, peer_of(r, conn), chunk, err);
    rc = from_child(r, peer_of(r, conn), chunk, err);
    pbc_chunk_unref(chunk);
    return rc;
}
