/* What a run does with each frame, and when it goes on to the next phase. */
#include "run_state.h"

#include "relocate.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static int protocol(const char *what, struct pbc_error *err)
{
    return pbc_fail(err, PBC_EXIT_PEER, "protocol error: %s", what);
}

/* --- down ---------------------------------------------------------------------------------- */

static int start_unpacking(struct pbc_run *r, struct pbc_error *err)
{
    struct pbc_unpack_conf conf = {
        .limits = r->conf->limits, .check = r->check, .verify = r->rank != 0, .key = r->key};

    if (r->has_set || r->unpack != NULL)
        return 0;
    if (pbc_place_begin(&r->place, err) != 0)
        return -1;
    conf.rootfd = r->place.treefd;
    r->unpack = pbc_unpack_start(&conf, err);
    return r->unpack == NULL ? -1 : 0;
}

void pbc_run_dispatch(struct pbc_run *r, struct pbc_chunk *c)
{
    /* Whatever else is sent waits for an answer to CHECK from every child. */
    if (c->frame.type == PBC_FRAME_CHECK)
        r->check_frame = pbc_chunk_ref(c);
    for (uint32_t i = 0; i < r->children; i++) {
        if (r->child[i].open)
            pbc_conn_send(r->child[i].conn, pbc_chunk_ref(c));
    }
    if (r->unpack != NULL && c->frame.type >= PBC_FRAME_BEGIN && c->frame.type <= PBC_FRAME_DONE)
        pbc_unpack_push(r->unpack, c);
    else
        pbc_chunk_unref(c);
}

/* The stream is BEGIN DATA* END for each bundle in order, then DONE. */
static int in_order(struct pbc_run *r, const struct pbc_chunk *c, struct pbc_error *err)
{
    const struct pbc_frame *f = &c->frame;
    struct pbc_msg_begin begin;

    if (!r->checked || r->done_seen)
        return protocol("a bundle before CHECK or after DONE", err);
    switch (f->type) {
    case PBC_FRAME_BEGIN:
        if (r->in_bundle || f->bundle != r->next_bundle || f->bundle >= r->check.bundles)
            return protocol("BEGIN out of order", err);
        r->in_bundle = 1;
        r->next_offset = 0;
        if (r->first_byte == 0)
            r->first_byte = pbc_now_ms();
        return pbc_begin_decode(c->data, f->length, &begin, err);
    case PBC_FRAME_DATA:
        if (!r->in_bundle || f->bundle != r->next_bundle || f->aux != r->next_offset ||
            f->length == 0)
            return protocol("DATA out of order", err);
        r->next_offset += f->length;
        r->bytes += f->length;
        return 0;
    case PBC_FRAME_END:
        if (!r->in_bundle || f->bundle != r->next_bundle)
            return protocol("END out of order", err);
        r->in_bundle = 0;
        r->next_bundle++;
        return 0;
    default:
        if (r->in_bundle || r->next_bundle != r->check.bundles)
            return protocol("DONE out of order", err);
        r->done_seen = 1;
        return 0;
    }
}

static int take_check(struct pbc_run *r, const struct pbc_chunk *c, struct pbc_error *err)
{
    if (r->checked)
        return protocol("CHECK twice", err);
    if (pbc_check_decode(c->data, c->frame.length, &r->check, err) != 0)
        return -1;
    r->checked = 1;
    r->phase = PBC_PHASE_CHECK;
    r->has_set = pbc_place_has(&r->place, r->check.set);
    return 0;
}

static int from_parent(struct pbc_run *r, struct pbc_chunk *c, struct pbc_error *err)
{
    struct pbc_msg_failed failed;
    int rc = 0;

    switch (c->frame.type) {
    case PBC_FRAME_CHECK:
        rc = take_check(r, c, err);
        break;
    case PBC_FRAME_BEGIN:
        r->phase = PBC_PHASE_STREAM;
        rc = in_order(r, c, err);
        if (rc == 0)
            rc = start_unpacking(r, err);
        break;
    case PBC_FRAME_DATA:
    case PBC_FRAME_END:
    case PBC_FRAME_DONE:
        rc = in_order(r, c, err);
        break;
    case PBC_FRAME_COMMIT:
        if (r->checked ? !(r->has_set || r->told_ready) : 1)
            rc = protocol("COMMIT before READY", err);
        r->phase = PBC_PHASE_COMMIT;
        break;
    default: /* ABORT */
        rc = pbc_failed_decode(c->data, c->frame.length, &failed, err);
        pbc_chunk_unref(c);
        if (rc == 0) {
            r->aborted = 1;
            pbc_run_fail(r, failed.node, &failed.error);
        }
        return rc;
    }
    if (rc != 0) {
        pbc_chunk_unref(c);
        return -1;
    }
    pbc_run_dispatch(r, c);
    return 0;
}

void pbc_run_from_source(struct pbc_run *r, struct pbc_chunk *c)
{
    struct pbc_error err;

    if (in_order(r, c, &err) != 0) {
        pbc_chunk_unref(c);
        pbc_run_fail(r, r->conf->node, &err);
        return;
    }
    pbc_run_dispatch(r, c);
}

/* --- up ------------------------------------------------------------------------------------ */

static struct pbc_peer *peer_of(struct pbc_run *r, const struct pbc_conn *conn)
{
    for (uint32_t i = 0; i < r->children; i++) {
        if (r->child[i].conn == conn)
            return &r->child[i];
    }
    return &r->parent;
}

static void add_have(struct pbc_msg_have *sum, const struct pbc_msg_have *m)
{
    sum->nodes += m->nodes;
    sum->have += m->have;
    if (m->have < m->nodes && (sum->tightest[0] == '\0' || m->free < sum->free)) {
        sum->free = m->free;
        memcpy(sum->tightest, m->tightest, sizeof(sum->tightest));
    }
}

static void add_ready(struct pbc_msg_ready *sum, const struct pbc_msg_ready *m)
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
}

static int from_child(struct pbc_run *r, struct pbc_peer *p, const struct pbc_chunk *c,
                      struct pbc_error *err)
{
    struct pbc_msg_have have;
    struct pbc_msg_ready ready;
    struct pbc_msg_failed failed;
    uint32_t most = pbc_tree_subtree(r->arity, r->size, p->rank);

    switch (c->frame.type) {
    case PBC_FRAME_HAVE:
        if (pbc_have_decode(c->data, c->frame.length, &have, err) != 0)
            return -1;
        if (p->have || have.nodes != most)
            return protocol("HAVE", err);
        p->have = 1;
        add_have(&r->have, &have);
        return 0;
    case PBC_FRAME_PROGRESS:
        if (c->frame.aux > most)
            return protocol("PROGRESS", err);
        p->progress = (uint32_t)c->frame.aux;
        return 0;
    case PBC_FRAME_READY:
        if (pbc_ready_decode(c->data, c->frame.length, &ready, err) != 0)
            return -1;
        if (p->ready || !p->have || ready.nodes != most)
            return protocol("READY", err);
        p->ready = 1;
        p->progress = most;
        add_ready(&r->ready, &ready);
        return 0;
    case PBC_FRAME_COMMITTED:
        if (p->committed || c->frame.aux != most)
            return protocol("COMMITTED", err);
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
        return from_parent(r, chunk, err);
    rc = from_child(r, peer_of(r, conn), chunk, err);
    pbc_chunk_unref(chunk);
    return rc;
}

/* --- phases -------------------------------------------------------------------------------- */

static int all(const struct pbc_run *r, int (*is)(const struct pbc_peer *))
{
    for (uint32_t i = 0; i < r->children; i++) {
        if (!is(&r->child[i]))
            return 0;
    }
    return 1;
}

static int is_open(const struct pbc_peer *p)
{
    return p->open;
}

static int is_have(const struct pbc_peer *p)
{
    return p->have;
}

static int is_ready(const struct pbc_peer *p)
{
    return p->ready;
}

static int is_committed(const struct pbc_peer *p)
{
    return p->committed;
}

static void fail_here(struct pbc_run *r, const struct pbc_error *err)
{
    pbc_run_fail(r, r->conf->node, err);
}

/* Tell the children something without a payload, and do it here. */
static void tell_all(struct pbc_run *r, uint8_t type)
{
    struct pbc_chunk *c = pbc_chunk_small(type, 0, NULL, 0);
    struct pbc_error err;

    if (c != NULL) {
        pbc_run_dispatch(r, c);
        return;
    }
    pbc_fail(&err, PBC_EXIT_FAILED, "no memory for a frame");
    fail_here(r, &err);
}

/* Root: the bundles are known, and so is the set. */
static void root_probed(struct pbc_run *r)
{
    const struct pbc_bundles *b = r->conf->bundles;
    struct pbc_error err;

    pbc_bundles_id(b, r->check.set);
    if (r->conf->set != NULL && strcmp(r->conf->set, r->check.set) != 0) {
        pbc_fail(&err, PBC_EXIT_REFUSED,
                 "%s%s changed between the check and the staging; run it again once %s complete",
                 b->item[0].path, b->count > 1 ? " or a bundle after it" : "",
                 b->count > 1 ? "they are" : "it is");
        fail_here(r, &err);
        return;
    }
    r->check.bundles = (uint32_t)b->count;
    for (size_t i = 0; i < b->count; i++)
        r->check.bytes += b->item[i].size;
    r->phase = PBC_PHASE_LOCK;
}

/* Root: the set is ours to stage. Ask who has it. */
static void root_check(struct pbc_run *r)
{
    uint8_t payload[PBC_SMALL_MAX];
    struct pbc_error err;
    struct pbc_chunk *c;
    int rc = pbc_place_lock(&r->place, r->check.set, &err);

    if (rc < 0)
        fail_here(r, &err);
    if (rc <= 0)
        return;
    c = pbc_chunk_small(PBC_FRAME_CHECK, 0, payload, pbc_check_encode(&r->check, payload));
    if (c == NULL) {
        pbc_fail(&err, PBC_EXIT_FAILED, "no memory for a frame");
        fail_here(r, &err);
        return;
    }
    r->checked = 1;
    r->has_set = pbc_place_has(&r->place, r->check.set);
    r->phase = PBC_PHASE_CHECK;
    pbc_run_dispatch(r, c);
}

/* Root: all have answered. Nothing to do, no room, or go. */
static void root_go(struct pbc_run *r)
{
    uint64_t need = r->check.bytes + r->conf->limits.min_free;
    struct pbc_error err;

    if (r->have.have == r->have.nodes) {
        r->phase = PBC_PHASE_COMMIT;
        tell_all(r, PBC_FRAME_COMMIT);
        return;
    }
    if (r->have.free < need) {
        pbc_fail(&err, PBC_EXIT_NOSPACE,
                 "the store is too small: the bundles alone need %llu bytes (min_free=%llu "
                 "included), %llu are free; free some memory there, leave the node out or stage "
                 "less",
                 (unsigned long long)need, (unsigned long long)r->conf->limits.min_free,
                 (unsigned long long)r->have.free);
        pbc_run_fail(r, r->have.tightest, &err);
        return;
    }
    r->phase = PBC_PHASE_STREAM;
    r->first_byte = r->tick = pbc_now_ms();
    if (start_unpacking(r, &err) != 0)
        fail_here(r, &err);
    else
        pbc_source_go(r->source, &r->check);
}

static void sum_have_here(struct pbc_run *r)
{
    struct pbc_msg_have mine = {.nodes = 1, .have = (uint32_t)r->has_set};

    mine.free = pbc_place_free(&r->place);
    memcpy(mine.tightest, r->conf->node, strlen(r->conf->node) + 1);
    add_have(&r->have, &mine);
}

static void sum_ready_here(struct pbc_run *r)
{
    struct pbc_msg_ready mine = {.nodes = 1};
    struct pbc_writer_count count = {0};

    if (r->unpack != NULL)
        pbc_unpack_counts(r->unpack, &count);
    mine.files = count.files;
    mine.bytes = count.bytes;
    if (r->unpacked)
        mine.slowest_us = (r->unpacked_at - r->first_byte) * 1000;
    memcpy(mine.slowest, r->conf->node, strlen(r->conf->node) + 1);
    add_ready(&r->ready, &mine);
}

static void publish(struct pbc_run *r)
{
    struct pbc_manifest m = {.nodes = (char *)(uintptr_t)r->conf->nodes};
    struct pbc_writer_count count;
    struct pbc_error err;

    if (r->published || r->has_set) {
        r->published = 1;
        return;
    }
    memcpy(m.set, r->check.set, sizeof(m.set));
    pbc_unpack_counts(r->unpack, &count);
    m.files = count.files;
    m.bytes = count.bytes;
    for (unsigned i = 0; i < r->check.bundles; i++) {
        const struct pbc_unpacked *u = pbc_unpack_result(r->unpack, i);
        struct pbc_manifest_bundle *b = &m.bundle[m.nbundles++];

        sodium_bin2hex(b->digest, sizeof(b->digest), u->digest, sizeof(u->digest));
        b->bytes = u->archive_bytes;
        b->files = u->files;
        b->path = (char *)(uintptr_t)u->path;
    }
    r->published = 1;
    if (pbc_profile_detect(r->place.treefd, &m, &err) != 0 ||
        pbc_place_publish(&r->place, &m, &err) != 0)
        fail_here(r, &err);
    for (size_t i = 0; i < m.nlibdirs; i++)
        free(m.libdir[i]);
}

static void tell_parent(struct pbc_run *r, uint8_t type, uint64_t aux, const uint8_t *payload,
                        uint32_t len)
{
    struct pbc_error err;

    if (pbc_conn_send_urgent(r->parent.conn, type, aux, payload, len) == 0)
        return;
    pbc_fail(&err, PBC_EXIT_FAILED, "no memory for a frame");
    fail_here(r, &err);
}

void pbc_run_advance(struct pbc_run *r)
{
    uint8_t payload[PBC_SMALL_MAX];
    int root = r->rank == 0;

    if (r->failed)
        return;
    if (r->phase == PBC_PHASE_CONNECT && root && all(r, is_open)) {
        r->connected = pbc_now_ms();
        r->phase = PBC_PHASE_PROBE;
    }
    if (r->phase == PBC_PHASE_PROBE && pbc_source_probed(r->source))
        root_probed(r);
    if (r->phase == PBC_PHASE_LOCK)
        root_check(r);
    if (r->checked && !r->told_have && all(r, is_have)) {
        r->told_have = 1;
        sum_have_here(r);
        if (root)
            root_go(r);
        else
            tell_parent(r, PBC_FRAME_HAVE, 0, payload, pbc_have_encode(&r->have, payload));
    }
    if (r->done_seen && (r->has_set || r->unpacked) && !r->told_ready && all(r, is_ready)) {
        r->told_ready = 1;
        sum_ready_here(r);
        r->all_ready = pbc_now_ms();
        if (root) {
            r->phase = PBC_PHASE_COMMIT;
            tell_all(r, PBC_FRAME_COMMIT);
        } else {
            tell_parent(r, PBC_FRAME_READY, 0, payload, pbc_ready_encode(&r->ready, payload));
        }
    }
    if (r->phase == PBC_PHASE_COMMIT && !r->failed) {
        publish(r);
        if (!r->failed && !r->told_committed && all(r, is_committed)) {
            r->told_committed = 1;
            r->committed++;
            r->phase = PBC_PHASE_END;
            if (!root)
                tell_parent(r, PBC_FRAME_COMMITTED, r->committed, NULL, 0);
        }
    }
}
