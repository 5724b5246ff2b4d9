#include "run.h"

#include "run_state.h"
#include "store.h"
#include "tag.h"

#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

/* How long the shape waits for the sizes of the bundles, and what it is made for without them. */
#define SIZES_MS    1000
#define SIZES_GUESS (256u << 20)

static void fail_here(struct pbc_run *r, const struct pbc_error *err)
{
    pbc_run_fail(r, r->conf->node, err);
}

/* Root: bytes that will be sent. A shared file system that is slow to tell must not keep the
 * others waiting in the exchange. */
static uint64_t bytes_to_send(struct pbc_run *r)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    const struct pbc_bundles *b = r->conf->bundles;
    uint64_t until = pbc_now_ms() + SIZES_MS;
    uint64_t bytes = 0;

    if (r->source == NULL || r->size < 3 || r->carried)
        return 0; /* there is one shape only, or nothing to send over it */
    while (!pbc_source_probed(r->source)) {
        if (pbc_source_failed(r->source, NULL))
            return 0;
        if (pbc_now_ms() > until)
            return SIZES_GUESS;
        nanosleep(&pause, NULL);
    }
    for (size_t i = 0; i < b->count; i++)
        bytes += b->item[i].size;
    return bytes;
}

static void fill_record(struct pbc_run *r, struct pbc_record *rec)
{
    memset(rec, 0, sizeof(*rec));
    rec->family = r->mine.family;
    memcpy(rec->address, r->mine.bytes, sizeof(rec->address));
    rec->port = r->mine.port;
    memcpy(rec->node, r->conf->node, strlen(r->conf->node) + 1);
    if (r->rank == 0) {
        memcpy(rec->key, r->key, sizeof(rec->key));
        r->arity = r->conf->arity != 0 ? r->conf->arity
                                       : pbc_tree_arity(r->size, bytes_to_send(r), PBC_CHUNK_BYTES,
                                                        PBC_LINK_RATE, PBC_LINK_LATENCY);
        if (r->size < 3 && r->arity == PBC_TREE_TWO)
            r->arity = 1; /* both would join the same two, and which is which nobody says */
        rec->arity = (uint8_t)r->arity;
    }
}

static int get_record(struct pbc_run *r, uint32_t rank, struct pbc_record *rec,
                      struct pbc_error *err)
{
    uint8_t wire[PBC_RECORD_BYTES];

    if (r->coord->get(r->coord, rank, wire, sizeof(wire), err) != 0)
        return -1;
    return pbc_record_decode(wire, rec, err);
}

static int meet_children(struct pbc_run *r, struct pbc_error *err)
{
    uint32_t first;
    uint32_t n = pbc_tree_children(r->arity, r->size, r->rank, &first);

    r->child = calloc(n + 1, sizeof(*r->child));
    if (r->child == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory for the children");
    for (uint32_t i = 0; i < n; i++) {
        struct pbc_record rec;

        if (get_record(r, first + i, &rec, err) != 0)
            return -1;
        r->child[i].rank = first + i;
        memcpy(r->child[i].node, rec.node, sizeof(rec.node));
        r->children = i + 1;
    }
    return 0;
}

/* The record of a node that sends to this one. */
static int get_sender(struct pbc_run *r, uint32_t rank, struct pbc_msg_move *ret,
                      struct pbc_error *err)
{
    struct pbc_record rec;

    if (get_record(r, rank, &rec, err) != 0)
        return -1;
    *ret = (struct pbc_msg_move){.family = rec.family, .port = rec.port};
    memcpy(ret->address, rec.address, sizeof(ret->address));
    memcpy(ret->node, rec.node, sizeof(ret->node));
    return 0;
}

/* By its address: no other agent of the run listens there. */
static void agent_name(const uint8_t address[16], uint16_t port, char out[48])
{
    char hex[2 * 16 + 1];

    sodium_bin2hex(hex, sizeof(hex), address, 16);
    snprintf(out, 48, "%s-%u", hex, (unsigned)port);
}

/* Every node unpacks for itself. Had all the same directory, each would do so there, and the tasks
 * would read from the file system that they are to be kept off. */
static void check_own_store(struct pbc_run *r, const struct pbc_msg_move *parent)
{
    struct pbc_error err;
    char name[48];

    agent_name(parent->address, parent->port, name);
    if (r->place.dirfd < 0 || !pbc_place_marked(&r->place, name))
        return;
    pbc_fail(
        &err, PBC_EXIT_FAILED,
        "%s is the same directory as on %s: store= must be storage of each node's own, such as "
        "%s",
        r->place.dir, parent->node, PBC_STORE_DEFAULT);
    fail_here(r, &err);
}

static int has_no_address(const struct pbc_msg_move *at, struct pbc_error *err)
{
    return pbc_fail(err, PBC_EXIT_PEER, "%s has no address for data", at->node);
}

static int dial_parent(struct pbc_run *r, struct pbc_error *err)
{
    uint32_t rank = (uint32_t)pbc_tree_parent(r->arity, r->rank);
    struct pbc_msg_move at;

    if (get_sender(r, rank, &at, err) != 0)
        return -1;
    pbc_peer_at(&r->parent, rank, &at);
    if (at.family == 0) {
        r->aborted = 1; /* it cannot be reached, knows it, and says why itself */
        return has_no_address(&at, err);
    }
    check_own_store(r, &at);
    return pbc_peer_dial(r, &r->parent, err);
}

/* The ones above this node in the other trees. */
static int dial_others(struct pbc_run *r, struct pbc_error *err)
{
    for (unsigned i = 1; i < r->lanes; i++) {
        uint32_t place = pbc_tree_place(i, r->size, r->rank);
        uint32_t above = pbc_tree_place(i, r->size, (uint32_t)pbc_tree_parent(r->arity, place));
        struct pbc_msg_move at;

        if (get_sender(r, above, &at, err) != 0)
            return -1;
        if ((at.family == 0 ? has_no_address(&at, err)
                            : pbc_feed_dial(r, &r->lane[i], above, &at, err)) != 0)
            pbc_feed_missing(r, &r->lane[i], err);
    }
    return 0;
}

/* Exchange the records, take the root's key and shape, and dial those above. */
static int meet(struct pbc_run *r, struct pbc_error *err)
{
    uint8_t wire[PBC_RECORD_BYTES];
    struct pbc_record rec;

    fill_record(r, &rec);
    pbc_record_encode(&rec, wire);
    if (r->coord->exchange(r->coord, wire, sizeof(wire), r->conf->fence, err) != 0)
        return -1;
    if (r->rank != 0) {
        if (get_record(r, 0, &rec, err) != 0)
            return -1;
        memcpy(r->key, rec.key, sizeof(r->key));
        pbc_tag_key(r->key, r->tag_key);
        r->arity = rec.arity;
        if ((r->arity < 1 || r->arity > PBC_ARITY_MAX) && r->arity != PBC_TREE_TWO)
            return pbc_fail(err, PBC_EXIT_PEER, "the root's record is malformed");
    }
    if (meet_children(r, err) != 0 || pbc_lanes_begin(r, err) != 0)
        return -1;
    if (r->rank == 0)
        return 0;
    return dial_parent(r, err) != 0 ? -1 : dial_others(r, err);
}

static int open_signals(struct pbc_error *err)
{
    sigset_t set;
    int fd;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1); /* sent by batch systems before a limit */
    sigprocmask(SIG_BLOCK, &set, NULL);
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        pbc_fail_errno(err, PBC_EXIT_FAILED, "signalfd");
    return fd;
}

/* One node speaks: the root, to which all errors go. Another does only when it could tell nobody:
 * there was no connection yet, or the root was lost, perhaps before it could say what it was told.
 * Those further down leave that to the root's children, by whom all goes. */
void pbc_run_tell_user(struct pbc_run *r)
{
    if (r->user_told)
        return;
    r->user_told = 1;
    if (r->rank != 0 && (r->aborted || (r->parent.rank != 0 && (r->parent.told || r->orphaned))))
        return;
    fprintf(stderr, "pbcast: %s: node %s: %s\n",
            r->error.code == PBC_EXIT_AGAIN ? "again" : "error", r->failed_node, r->error.text);
}

/* What can fail on one node alone. A node that fails here takes part in the exchange all the same,
 * for the others wait for it there, and tells them afterwards. */
static void prepare(struct pbc_run *r)
{
    const struct pbc_run_conf *conf = r->conf;
    struct pbc_error err;

    r->signals = open_signals(&err);
    if (r->signals < 0 || pbc_place_open(&r->place, conf->store, conf->job, &err) != 0)
        fail_here(r, &err);
    if (r->rank == 0) {
        randombytes_buf(r->key, sizeof(r->key));
        r->source =
            pbc_source_start(conf->bundles, r->chunks, r->key, r->size == 1, conf->pack, &err);
        if (r->source == NULL)
            fail_here(r, &err);
    }
    if (r->size > 1 && (pbc_net_choose(conf->address, conf->node, &r->mine, &err) != 0 ||
                        (r->listener = pbc_net_listen(&r->mine, 64, &err)) < 0)) {
        r->mine = (struct pbc_address){0}; /* nobody is to call here */
        fail_here(r, &err);
    }
    if (r->listener >= 0 && r->place.dirfd >= 0) {
        char name[48];

        agent_name(r->mine.bytes, r->mine.port, name);
        pbc_place_mark(&r->place, name);
    }
}

static void hang_up(struct pbc_run *r)
{
    pbc_peer_gone(&r->parent);
    pbc_feed_release(r);
    for (uint32_t i = 0; i < r->children; i++)
        pbc_peer_gone(&r->child[i]);
    for (unsigned i = 0; i < PBC_STRANGERS_MAX; i++) {
        pbc_conn_close(r->stranger[i]);
        r->stranger[i] = NULL;
    }
}

static void begin_transport(struct pbc_run *r)
{
    r->stream = pbc_stream_new(r->chunks);
    if (r->stream == NULL)
        pbc_run_no_memory(r);
    else
        r->coord->carry(r->coord, r->stream, r->conf->stall);
}

/* 1 once the transport is no longer in use. Our connections are closed first: the others wait for
 * that before they end theirs. */
static int end_transport(struct pbc_run *r)
{
    if (r->stream == NULL)
        return 1;
    hang_up(r);
    pbc_stream_stop(r->stream);
    r->coord->close(r->coord);
    if (!pbc_stream_ended(r->stream))
        return 0;
    pbc_stream_free(r->stream);
    r->stream = NULL;
    return 1;
}

static void release(struct pbc_run *r)
{
    hang_up(r);
    pbc_chunk_unref(r->check_frame);
    pbc_pool_close(r->chunks);
    pbc_source_free(r->source);
    for (unsigned i = 1; i < r->lanes; i++) {
        if (r->lane[i].chunks != r->chunks)
            pbc_pool_free(r->lane[i].chunks);
    }
    pbc_pool_free(r->chunks);
    free(r->child);
    if (r->listener >= 0)
        close(r->listener);
    if (r->signals >= 0)
        close(r->signals);
    free(r);
}

enum pbc_exit pbc_run(const struct pbc_run_conf *conf, struct pbc_coord *coord)
{
    struct pbc_run *r = calloc(1, sizeof(*r));
    struct pbc_error err;
    enum pbc_exit code = PBC_EXIT_OK;
    int ended;

    if (r == NULL || (r->chunks = pbc_pool_new(PBC_CHUNKS, PBC_CHUNK_BYTES)) == NULL) {
        fprintf(stderr, "pbcast: error: node %s: no memory\n", conf->node);
        free(r);
        return PBC_EXIT_FAILED;
    }
    r->conf = conf;
    r->coord = coord;
    r->rank = coord->rank;
    r->size = coord->size;
    r->arity = 1;
    r->lanes = 1;
    r->carried = coord->carry != NULL && !conf->over_tree;
    r->began = pbc_now_ms();
    r->listener = r->signals = r->base.fd = -1;
    r->place.dirfd = r->place.lockfd = r->place.treefd = r->place.manifestfd = -1;
    r->place.markfd = -1;
    prepare(r);
    if (meet(r, &err) != 0) {
        r->failed = 0; /* without the others, only this matters */
        fail_here(r, &err);
    } else {
        if (r->carried)
            begin_transport(r);
        else
            coord->close(coord); /* it has done its part */
        r->met = pbc_clock_ms(&r->clock);
        r->give_up = r->met + PBC_LINGER_MS;
        pbc_run_loop(r);
    }
    if (r->failed) {
        pbc_run_tell_user(r);
        code = r->error.code;
    } else if (r->rank == 0) {
        pbc_report_summary(r);
    }
    pbc_unpack_free(r->unpack);
    pbc_run_forget_manifest(r);
    pbc_manifest_free(&r->had);
    if (r->base.fd >= 0)
        close(r->base.fd);
    if (r->place.dirfd >= 0)
        pbc_place_close(&r->place);
    /* After a failure the reader may hang in a file system that does not answer; the end of the
     * process takes it along, and what it uses must stay until then. */
    pbc_pool_close(r->chunks);
    ended = end_transport(r);
    if ((r->source == NULL || pbc_source_stop(r->source)) && ended)
        release(r);
    return code;
}
