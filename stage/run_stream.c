/* What a run does with the frames of the stream: put them in order, check, unpack, pass on. */
#include "run_state.h"
#include "tag.h"

/* The stream is BEGIN DATA* END for each bundle in order, then DONE. */
static int in_order(struct pbc_run *r, const struct pbc_chunk *c, struct pbc_error *err)
{
    const struct pbc_frame *f = &c->frame;
    struct pbc_msg_begin begin;

    if (!r->checked || r->done_seen)
        return pbc_protocol("a bundle before CHECK or after DONE", err);
    switch (f->type) {
    case PBC_FRAME_BEGIN:
        if (r->first_byte == 0 && r->rank != 0) { /* the others are in what this node has */
            if (f->bundle > 0 && f->bundle < r->check.bundles && !(r->bases >> f->bundle & 1))
                return pbc_protocol("BEGIN of a bundle after others that are not here", err);
            r->extends = r->next_bundle = f->bundle;
        }
        if (r->in_bundle || f->bundle != r->next_bundle || f->bundle >= r->check.bundles)
            return pbc_protocol("BEGIN out of order", err);
        r->in_bundle = 1;
        r->next_offset = 0;
        if (r->first_byte == 0)
            r->first_byte = pbc_clock_ms(&r->clock);
        return pbc_begin_decode(c->data, f->length, &begin, err);
    case PBC_FRAME_DATA:
        if (!r->in_bundle || f->bundle != r->next_bundle || f->aux != r->next_offset ||
            f->length == 0)
            return pbc_protocol("DATA out of order", err);
        r->next_offset += f->length;
        r->bytes += f->length;
        return 0;
    case PBC_FRAME_END:
        if (!r->in_bundle || f->bundle != r->next_bundle)
            return pbc_protocol("END out of order", err);
        r->in_bundle = 0;
        r->next_bundle++;
        return 0;
    default:
        if (r->in_bundle || r->next_bundle != r->check.bundles)
            return pbc_protocol("DONE out of order", err);
        r->done_seen = 1;
        return 0;
    }
}

/* Is this what the root has sent? If not the run fails; the connection that brought it is still
 * good, and tells the others. A node that has the set does not use the bytes: those below it check
 * them. */
static void check_proof(struct pbc_run *r, struct pbc_lane *l, const struct pbc_chunk *c)
{
    struct pbc_msg_end end;
    struct pbc_error err;
    struct pbc_error why;
    int rc;

    if (r->has_set)
        return;
    if (c->frame.type == PBC_FRAME_DATA) {
        rc = pbc_tag_check(r->tag_key, &c->frame, c->data, &err);
    } else {
        rc = pbc_end_decode(c->data, c->frame.length, &r->check, c->frame.bundle, r->key, &end,
                            &err);
        if (rc == 0 && end.bytes != r->next_offset)
            rc = pbc_fail(&err, PBC_EXIT_PEER, "bundle %u ended after %llu of %llu bytes",
                          c->frame.bundle, (unsigned long long)r->next_offset,
                          (unsigned long long)end.bytes);
    }
    if (rc == 0)
        return;
    pbc_fail(&why, PBC_EXIT_PEER,
             "%s; it came by %s: is the memory or the network of one of the two at fault? leave "
             "them out",
             err.text, r->stream != NULL ? "MPI" : pbc_feed_from(r, l)->node);
    pbc_run_fail(r, r->conf->node, &why);
}

/* The next frame of the stream, which has come by this lane: 0, also if the run has failed for it;
 * -1 with err if it must not come. */
static int take_next(struct pbc_run *r, struct pbc_lane *l, const struct pbc_chunk *c,
                     struct pbc_error *err)
{
    if (in_order(r, c, err) != 0)
        return -1;
    if (c->frame.type == PBC_FRAME_BEGIN) {
        r->phase = PBC_PHASE_STREAM;
        if (pbc_run_unpack(r, err) != 0)
            pbc_run_fail(r, r->conf->node, err);
    } else if (c->frame.type == PBC_FRAME_END) {
        check_proof(r, l, c);
    }
    return 0;
}

static void unpack_here(struct pbc_run *r, struct pbc_chunk *c)
{
    if (r->unpack != NULL)
        pbc_unpack_push(r->unpack, c);
    else
        pbc_chunk_unref(c);
}

/* A frame that has waited must not come here. Whose lane that was, not whose frame came last. */
static void refuse_early(struct pbc_run *r, struct pbc_lane *l, const struct pbc_error *err)
{
    struct pbc_error why;

    pbc_fail(&why, err->code, "%s; it came by %s", err->text, pbc_feed_from(r, l)->node);
    pbc_run_fail(r, r->conf->node, &why);
}

/* Take what is there in the order of the stream, after a frame has come by a lane: 0, or -1 as
 * take_next. */
static int take_early(struct pbc_run *r, const struct pbc_lane *by, struct pbc_error *err)
{
    while (!r->failed) {
        struct pbc_lane *l = &r->lane[r->seq % r->lanes];
        struct pbc_chunk *c = pbc_fifo_try(&l->early);

        if (c == NULL)
            break;
        if (take_next(r, l, c, err) != 0) {
            pbc_chunk_unref(c);
            if (l == by)
                return -1;
            refuse_early(r, l, err);
            return 0;
        }
        r->seq++;
        if (r->failed)
            pbc_chunk_unref(c);
        else
            unpack_here(r, c);
    }
    return 0;
}

/* What may wait for the other lane: DATA has the buffers of the pool, and of other frames the whole
 * stream has a BEGIN and an END for each bundle, and DONE. */
static int has_room(const struct pbc_run *r, struct pbc_lane *l, const struct pbc_chunk *c,
                    struct pbc_error *err)
{
    uint32_t most = 2 * r->check.bundles + 1;

    if (c->frame.type == PBC_FRAME_DATA || ++l->marks <= most)
        return 0;
    return pbc_fail(err, PBC_EXIT_PEER,
                    "protocol error: more than %u frames BEGIN, END and DONE for %u bundles", most,
                    r->check.bundles);
}

int pbc_run_take(struct pbc_run *r, struct pbc_lane *l, struct pbc_chunk *c, struct pbc_error *err)
{
    int rc;

    if (has_room(r, l, c, err) != 0) {
        pbc_chunk_unref(c);
        return -1;
    }
    l->seq++;
    if (c->frame.type == PBC_FRAME_DATA) {
        l->bytes += c->frame.length;
        check_proof(r, l, c);
    }
    if (!r->failed && pbc_fifo_push(&l->early, pbc_chunk_ref(c)) != 0)
        pbc_run_no_memory(r);
    rc = take_early(r, l, err);
    if (rc == 0 && !r->failed)
        pbc_lane_pass(r, l, c);
    pbc_chunk_unref(c);
    return rc;
}

void pbc_run_from_transport(struct pbc_run *r, struct pbc_chunk *c)
{
    struct pbc_error err;

    if (pbc_run_take(r, &r->lane[0], c, &err) != 0)
        pbc_run_fail(r, r->conf->node, &err);
}

void pbc_run_from_source(struct pbc_run *r, struct pbc_chunk *c)
{
    struct pbc_lane *l = &r->lane[r->seq % r->lanes];
    struct pbc_error err;

    if (in_order(r, c, &err) != 0) {
        pbc_chunk_unref(c);
        pbc_run_fail(r, r->conf->node, &err);
        return;
    }
    r->seq++;
    l->seq++;
    l->bytes += c->frame.type == PBC_FRAME_DATA ? c->frame.length : 0;
    pbc_lane_pass(r, l, c);
    unpack_here(r, c);
}
