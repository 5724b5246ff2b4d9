/* When a run goes on to the next phase, and what it does there. */
#include "fix_r.h"
#include "run_state.h"

#include "relocate.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

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

    if (c != NULL)
        pbc_run_tell(r, c);
    else
        pbc_run_no_memory(r);
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
    for (size_t i = 0; i < b->count; i++) {
        r->check.bytes += b->item[i].size;
        if (i > 0)
            pbc_bundles_prefix_id(b, i, r->check.base[i - 1]);
    }
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
        pbc_run_no_memory(r);
        return;
    }
    r->checked = 1;
    pbc_run_look(r);
    r->phase = PBC_PHASE_CHECK;
    pbc_run_tell(r, c);
}

/* Bundles of the longest list that is staged already on all nodes that lack the whole. */
static unsigned most_in_common(const struct pbc_run *r)
{
    unsigned n = r->check.bundles - 1;

    while (n > 0 && !(r->have.bases >> n & 1))
        n--;
    return n;
}

/* Root: all have answered. Nothing to do, no room, or go. */
static void root_go(struct pbc_run *r)
{
    uint64_t need = r->conf->limits.min_free;
    struct pbc_error err;

    if (r->have.have == r->have.nodes) {
        r->phase = PBC_PHASE_COMMIT;
        tell_all(r, PBC_FRAME_COMMIT);
        return;
    }
    r->next_bundle = r->extends = most_in_common(r);
    for (size_t i = r->extends; i < r->conf->bundles->count; i++)
        need += r->conf->bundles->item[i].size;
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
    r->first_byte = r->tick = pbc_clock_ms(&r->clock);
    if (pbc_run_unpack(r, &err) != 0)
        fail_here(r, &err);
    else
        pbc_source_go(r->source, &r->check, r->extends);
}

uint64_t pbc_run_own_memory(const struct pbc_run *r)
{
    const uint64_t chunks = (uint64_t)PBC_CHUNKS * PBC_CHUNK_BYTES;
    const uint64_t blocks = (uint64_t)PBC_BLOCKS * PBC_BLOCK_BYTES;

    const uint64_t window = r->stream != NULL ? PBC_STREAM_WINDOW * PBC_STREAM_BLOCK : 0;

    return blocks + (r->check.bytes < chunks ? r->check.bytes : chunks) +
           (r->check.bytes < window ? r->check.bytes : window);
}

/* Unpacked they take more; this is what is known before anything is sent. With a part of the set
 * here already not even that is. */
static int memory_suffices(struct pbc_run *r, struct pbc_error *err)
{
    uint64_t reserve = pbc_writer_memory_reserve(&r->conf->limits);
    struct pbc_memory_room room = pbc_memory_room(&r->place.memory);

    if (r->has_set || r->bases != 0 ||
        (room.free >= reserve && room.free - reserve >= r->check.bytes))
        return 0;
    return pbc_memory_short(&room, room.limit - room.free + pbc_run_own_memory(r), r->check.bytes,
                            reserve, "the job's memory is too small", err);
}

static void sum_have_here(struct pbc_run *r)
{
    struct pbc_msg_have mine = {.nodes = 1, .have = (uint32_t)r->has_set, .bases = r->bases};

    mine.free = pbc_place_free(&r->place);
    memcpy(mine.tightest, r->conf->node, strlen(r->conf->node) + 1);
    pbc_add_have(&r->have, &mine);
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
    mine.slow = r->slow;
    memcpy(mine.slow_node, r->slow_node, sizeof(mine.slow_node));
    pbc_add_ready(&r->ready, &mine);
}

static int fix_r(struct pbc_run *r, struct pbc_manifest *m, struct pbc_error *err)
{
    char root[PBC_PATH_MAX];

    if (pbc_place_root(&r->place, m->set, root, err) != 0)
        return -1;
    m->rewritten = true;
    return pbc_fix_r(r->place.treefd, m->rhome, root, err);
}

/* With what the set that this one extends has published. */
static void begin_description(struct pbc_run *r)
{
    struct pbc_manifest *m = &r->manifest;

    if (r->extends == 0)
        return;
    m->profile = r->had.profile;
    m->stated = r->had.stated;
    m->rewritten = r->had.rewritten;
    m->vars = r->had.vars;
    memset(&r->had.vars, 0, sizeof(r->had.vars));
    m->nbundles = r->extends;
    memcpy(m->bundle, r->had.bundle, r->extends * sizeof(m->bundle[0]));
}

/* What bundle i says of itself, and what the command line says of it. */
static int describe_bundle(struct pbc_run *r, unsigned i, const struct pbc_unpacked *u,
                           struct pbc_error *err)
{
    static const struct pbc_bundle nothing;
    const struct pbc_bundles *all = r->conf->bundles;
    const struct pbc_bundle *said = i < all->count ? &all->item[i] : &nothing;
    struct pbc_meta meta = u->has_meta ? u->meta : (struct pbc_meta){0};

    if (said->has_profile) {
        meta.has_profile = true;
        meta.profile = said->profile;
    }
    if (pbc_manifest_add_meta(&r->manifest, i == 0, &meta, err) != 0)
        return -1;
    if (said->vars.count == 0)
        return 0;
    meta.vars = said->vars;
    return pbc_manifest_add_meta(&r->manifest, false, &meta, err);
}

/* What will be published, while a failure can still stop the others: 0, or -1 after the failure. */
static int describe(struct pbc_run *r)
{
    struct pbc_manifest *m = &r->manifest;
    struct pbc_writer_count count;
    struct pbc_error err;

    if (r->has_set)
        return 0;
    m->nodes = (char *)(uintptr_t)r->conf->nodes;
    memcpy(m->set, r->check.set, sizeof(m->set));
    pbc_unpack_counts(r->unpack, &count);
    m->files = count.files;
    m->bytes = count.bytes;
    begin_description(r);
    for (unsigned i = r->extends; i < r->check.bundles; i++) {
        const struct pbc_unpacked *u = pbc_unpack_result(r->unpack, i);
        struct pbc_manifest_bundle *b = &m->bundle[m->nbundles++];

        if (sodium_is_zero(u->digest, sizeof(u->digest)))
            memcpy(b->digest, PBC_DIGEST_NONE, sizeof(PBC_DIGEST_NONE));
        else
            sodium_bin2hex(b->digest, sizeof(b->digest), u->digest, sizeof(u->digest));
        b->bytes = u->archive_bytes;
        b->files = u->files;
        b->path = (char *)(uintptr_t)u->path;
        if (describe_bundle(r, i, u, &err) != 0) {
            fail_here(r, &err);
            return -1;
        }
    }
    if (pbc_profile_detect(r->place.treefd, m, &err) == 0 &&
        (m->rhome == NULL || fix_r(r, m, &err) == 0) && pbc_place_describe(&r->place, m, &err) == 0)
        return 0;
    fail_here(r, &err);
    return -1;
}

void pbc_run_forget_manifest(struct pbc_run *r)
{
    pbc_manifest_forget_tree(&r->manifest);
}

static int publish(struct pbc_run *r)
{
    struct pbc_error err;

    if (r->has_set || pbc_place_publish(&r->place, r->check.set, &err) == 0)
        return 0;
    fail_here(r, &err);
    return -1;
}

static void tell_parent(struct pbc_run *r, uint8_t type, uint64_t aux, const uint8_t *payload,
                        uint32_t len)
{
    if (pbc_conn_send_urgent(r->parent.conn, type, aux, payload, len) != 0)
        pbc_run_no_memory(r);
}

void pbc_run_advance(struct pbc_run *r)
{
    uint8_t payload[PBC_SMALL_MAX];
    int root = r->rank == 0;

    if (r->failed)
        return;
    if (r->phase == PBC_PHASE_CONNECT && root && all(r, is_open)) {
        r->connected = pbc_clock_ms(&r->clock);
        r->phase = PBC_PHASE_PROBE;
    }
    if (r->phase == PBC_PHASE_PROBE && pbc_source_probed(r->source))
        root_probed(r);
    if (r->phase == PBC_PHASE_LOCK)
        root_check(r);
    if (r->checked && !r->told_have && all(r, is_have)) {
        struct pbc_error err;

        r->told_have = 1;
        if (memory_suffices(r, &err) != 0) {
            fail_here(r, &err);
            return;
        }
        sum_have_here(r);
        if (root)
            root_go(r);
        else
            tell_parent(r, PBC_FRAME_HAVE, 0, payload, pbc_have_encode(&r->have, payload));
    }
    if (r->done_seen && (r->has_set || r->unpacked) && !r->told_ready && all(r, is_ready)) {
        if (describe(r) != 0)
            return;
        r->told_ready = 1;
        sum_ready_here(r);
        r->all_ready = pbc_clock_ms(&r->clock);
        if (root) {
            r->phase = PBC_PHASE_COMMIT;
            tell_all(r, PBC_FRAME_COMMIT);
        } else {
            tell_parent(r, PBC_FRAME_READY, 0, payload, pbc_ready_encode(&r->ready, payload));
        }
    }
    /* The root comes last: its manifest, which later steps trust, means that all have the set. */
    if (r->phase == PBC_PHASE_COMMIT && !r->failed && all(r, is_committed) && publish(r) == 0) {
        r->committed++;
        r->phase = PBC_PHASE_END;
        if (!root)
            tell_parent(r, PBC_FRAME_COMMITTED, r->committed, NULL, 0);
    }
}
