/* The poll loop of a run: sockets, threads, signals and time. */
#include "run_state.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define TICK_MS    100  /* how often time is looked at */
#define TIMEOUT_MS 5000 /* how much later than the root the others give up */
#define REPORT_MS  1000
#define HELLO_MS   5000 /* how long a stranger may take to prove himself */

/* --- polling ------------------------------------------------------------------------------- */

/* What is polled first, in this order; connections follow. */
enum {
    FD_SIGNALS,
    FD_LISTENER,
    FD_CHUNKS,
    FD_UNPACK,
    FD_SOURCE,
    FD_STREAM,
    FD_CHUNKS_TWO, /* of the second tree */
    FIXED_FDS
};

struct polled {
    struct pollfd *fds;
    nfds_t size;
    nfds_t count;
    uint32_t feds; /* of the connections, those to nodes that are fed */
    const struct pbc_conn *from[PBC_LANES_MAX];
};

static void want(struct polled *p, int fd, short events)
{
    p->fds[p->count++] = (struct pollfd){.fd = fd, .events = events};
}

static void want_conn(struct polled *p, const struct pbc_conn *c)
{
    short events = c == NULL ? 0 : pbc_conn_events(c);

    /* Without events poll would still tell of a hang-up, again and again. */
    want(p, events == 0 ? -1 : c->fd, events);
}

static int gather(struct pbc_run *r, struct polled *p)
{
    nfds_t most = FIXED_FDS + 1 + r->lanes + r->children + r->feds + PBC_STRANGERS_MAX;

    if (most > p->size) {
        struct pollfd *more = realloc(p->fds, most * sizeof(*more));

        if (more == NULL)
            return -1;
        p->fds = more;
        p->size = most;
    }
    p->count = 0;
    p->feds = r->feds;
    /* As in the enumeration above. */
    want(p, r->signals, POLLIN);
    want(p, r->listener, POLLIN);
    want(p, pbc_pool_fd(r->chunks), POLLIN);
    want(p, r->unpack != NULL ? pbc_unpack_fd(r->unpack) : -1, POLLIN);
    want(p, r->source != NULL ? pbc_source_fd(r->source) : -1, POLLIN);
    want(p, r->stream != NULL ? pbc_stream_fd(r->stream) : -1, POLLIN);
    want(p, r->lanes > 1 ? pbc_pool_fd(r->lane[1].chunks) : -1, POLLIN);
    want_conn(p, r->parent.conn);
    for (unsigned i = 0; i < r->lanes; i++) {
        p->from[i] = r->lane[i].from.conn;
        want_conn(p, p->from[i]);
    }
    for (uint32_t i = 0; i < r->children; i++)
        want_conn(p, r->child[i].conn);
    for (uint32_t i = 0; i < p->feds; i++)
        want_conn(p, r->fed[i]->conn);
    for (unsigned i = 0; i < PBC_STRANGERS_MAX; i++)
        want_conn(p, r->stranger[i]);
    return 0;
}

static void serve_parent(struct pbc_run *r, short revents, uint64_t now)
{
    struct pbc_error err;

    if (r->parent.conn == NULL)
        return;
    if (pbc_conn_io(r->parent.conn, revents, r->chunks, now, pbc_run_frame, r, &err) != 0)
        pbc_lost_parent(r, &err);
    else if (r->parent.conn->state == PBC_CONN_OPEN)
        r->parent.open = 1;
}

static void serve_from(struct pbc_run *r, struct pbc_lane *l, short revents, uint64_t now)
{
    struct pbc_peer *from = &l->from;
    struct pbc_error err;

    if (pbc_conn_io(from->conn, revents, l->chunks, now, pbc_run_frame, r, &err) != 0)
        pbc_feed_lost(r, from, &err);
    else if (from->conn != NULL && from->conn->state == PBC_CONN_OPEN)
        from->open = 1;
}

static void serve(struct pbc_run *r, const struct polled *p, uint64_t now)
{
    const struct pollfd *fd = p->fds + FIXED_FDS;
    struct pbc_error err;

    serve_parent(r, fd->revents, now);
    fd++;
    for (unsigned i = 0; i < r->lanes; i++, fd++) {
        /* The parent may just have said where the stream comes from now. */
        if (p->from[i] != NULL && r->lane[i].from.conn == p->from[i])
            serve_from(r, &r->lane[i], fd->revents, now);
    }
    for (uint32_t i = 0; i < r->children; i++, fd++) {
        struct pbc_peer *c = &r->child[i];

        if (fd->fd >= 0 && c->conn != NULL &&
            pbc_conn_io(c->conn, fd->revents, r->chunks, now, pbc_run_frame, r, &err) != 0)
            pbc_lost_child(r, c, &err);
    }
    for (uint32_t i = 0; i < p->feds; i++, fd++) {
        struct pbc_peer *c = r->fed[i];

        if (fd->fd >= 0 && c->conn != NULL &&
            pbc_conn_io(c->conn, fd->revents, r->chunks, now, pbc_run_frame, r, &err) != 0)
            pbc_feed_lost(r, c, &err);
    }
    for (unsigned i = 0; i < PBC_STRANGERS_MAX; i++, fd++) {
        if (fd->fd < 0 || r->stranger[i] == NULL || fd->revents == 0)
            continue;
        if (pbc_conn_io(r->stranger[i], fd->revents, r->chunks, now, pbc_run_frame, r, &err) != 0)
            pbc_refuse(r, i);
        else if (r->stranger[i]->state == PBC_CONN_OPEN)
            pbc_admit(r, i);
    }
}

static void drain(int fd)
{
    eventfd_t v;

    (void)eventfd_read(fd, &v);
}

static void serve_transport(struct pbc_run *r)
{
    struct pbc_error err;
    struct pbc_chunk *c;

    drain(pbc_stream_fd(r->stream));
    while (r->rank != 0 && !r->failed && (c = pbc_stream_next(r->stream)) != NULL)
        pbc_run_from_transport(r, c);
    if (pbc_stream_failed(r->stream, &err))
        pbc_feed_broke(r, &err);
}

static void serve_threads(struct pbc_run *r)
{
    struct pbc_error err;
    struct pbc_chunk *c;

    if (r->source != NULL) {
        drain(pbc_source_fd(r->source));
        while (!r->failed && (c = pbc_source_next(r->source)) != NULL) {
            pbc_run_from_source(r, c);
            if (r->done_seen)
                r->sent = pbc_clock_ms(&r->clock);
        }
        if (pbc_source_failed(r->source, &err))
            pbc_run_fail(r, r->conf->node, &err);
    }
    if (r->stream != NULL)
        serve_transport(r);
    if (r->unpack != NULL && !r->unpacked) {
        enum pbc_unpack_state state = pbc_unpack_state(r->unpack, &err);

        if (state != PBC_UNPACK_RUNNING)
            drain(pbc_unpack_fd(r->unpack));
        if (state == PBC_UNPACK_FAILED)
            pbc_run_fail(r, r->conf->node, &err);
        r->unpacked = state == PBC_UNPACK_DONE;
        r->unpacked_at = pbc_clock_ms(&r->clock);
    }
}

static void serve_signals(struct pbc_run *r)
{
    struct signalfd_siginfo si;
    struct pbc_error err;

    if (read(r->signals, &si, sizeof(si)) != (ssize_t)sizeof(si))
        return;
    pbc_fail(&err, PBC_EXIT_FAILED, "staging was stopped by signal %u (%s)", si.ssi_signo,
             strsignal((int)si.ssi_signo));
    pbc_run_fail(r, r->conf->node, &err);
}

/* --- time ---------------------------------------------------------------------------------- */

static void silent(struct pbc_run *r, const char *node, uint64_t seconds)
{
    struct pbc_error err;

    pbc_fail(&err, PBC_EXIT_PEER,
             "has not answered for %llu s (stall=%u); is the node, its network or its agent "
             "stopped?",
             (unsigned long long)seconds, r->conf->stall);
    pbc_run_fail(r, node, &err);
}

static void look_at_peer(struct pbc_run *r, struct pbc_peer *p, uint64_t since, uint64_t now,
                         int is_child)
{
    uint64_t stall = (uint64_t)r->conf->stall * 1000;
    struct pbc_error err;

    if (p->gone)
        return;
    if (!p->open) {
        if (now <= since + stall)
            return;
        if (is_child)
            pbc_fail(&err, PBC_EXIT_PEER,
                     "did not connect to %s within %u s; is the data network between them up "
                     "(address=)?",
                     r->conf->node, r->conf->stall);
        else
            pbc_fail(&err, PBC_EXIT_PEER, "could not connect to %s within %u s", p->node,
                     r->conf->stall);
        r->orphaned |= p == &r->parent;
        pbc_run_fail(r, is_child ? p->node : r->conf->node, &err);
        return;
    }
    if (now - p->conn->heard > stall) {
        if (is_child && !p->committed)
            silent(r, p->node, (now - p->conn->heard) / 1000);
        else if (!is_child) {
            r->orphaned |= p == &r->parent;
            silent(r, p->node, (now - p->conn->heard) / 1000);
        }
        return;
    }
    if (now - p->conn->spoke > stall / 4 && !pbc_conn_pending(p->conn))
        pbc_conn_send_urgent(p->conn, PBC_FRAME_PING, 0, NULL, 0);
}

static void look_at_time(struct pbc_run *r, uint64_t now)
{
    struct pbc_error err;
    uint32_t done = (uint32_t)(r->unpacked || r->has_set);

    for (unsigned i = 0; i < PBC_STRANGERS_MAX; i++) {
        if (r->stranger[i] != NULL && now - r->stranger[i]->heard > HELLO_MS)
            pbc_refuse(r, i);
    }
    if (r->rank != 0 && r->parent.conn == NULL && !r->parent.gone && now >= r->parent.redial_at &&
        pbc_peer_dial(r, &r->parent, &err) != 0)
        pbc_lost_parent(r, &err);
    if (r->rank != 0)
        look_at_peer(r, &r->parent, r->met, now, 0);
    for (unsigned i = 0; i < r->lanes; i++) {
        if (r->lane[i].moved != 0 && !r->done_seen && r->phase < PBC_PHASE_COMMIT)
            look_at_peer(r, &r->lane[i].from, r->lane[i].moved, now, 0);
    }
    for (uint32_t i = 0; i < r->feds; i++)
        look_at_peer(r, r->fed[i], now, now, 1);
    for (uint32_t i = 0; i < r->children; i++) {
        look_at_peer(r, &r->child[i], r->met, now, 1);
        done += r->child[i].progress;
    }
    /* The root first: the others only look, in case it cannot. */
    if (now - r->met > (uint64_t)r->conf->timeout * 1000 + (r->rank == 0 ? 0 : TIMEOUT_MS)) {
        pbc_fail(&err, PBC_EXIT_PEER,
                 "staging did not end within timeout=%u s, at %u of %u nodes ready below this one",
                 r->conf->timeout, done, pbc_tree_subtree(r->arity, r->size, r->rank));
        pbc_run_fail(r, r->conf->node, &err);
    }
    if (now >= r->tick + REPORT_MS && r->phase == PBC_PHASE_STREAM) {
        r->tick = now;
        if (r->rank == 0)
            pbc_report_progress(r);
        else if (done != r->told_progress && r->parent.open)
            pbc_conn_send_urgent(r->parent.conn, PBC_FRAME_PROGRESS, done, NULL, 0);
        r->told_progress = done;
    }
}

/* --- the end ------------------------------------------------------------------------------- */

/* 1 when it knows or is gone. */
static int tell_below(struct pbc_peer *p, const uint8_t *payload, uint32_t len)
{
    if (p->open && !p->told) {
        p->told = 1;
        pbc_conn_drop_stream(p->conn);
        pbc_conn_send_urgent(p->conn, PBC_FRAME_ABORT, 0, payload, len);
    }
    return p->gone;
}

/* Tell the neighbours of the failure. 1 when all know or have gone. */
static int tell_failure(struct pbc_run *r)
{
    struct pbc_msg_failed m = {.error = r->error};
    uint8_t payload[PBC_SMALL_MAX];
    uint32_t len;
    int all = 1;

    pbc_lanes_drop(r);
    memcpy(m.node, r->failed_node, sizeof(m.node));
    len = pbc_failed_encode(&m, payload);
    if (r->rank != 0 && !r->aborted && !r->parent.gone) {
        if (r->parent.open && !r->parent.told) {
            r->parent.told = 1;
            pbc_conn_send_urgent(r->parent.conn, PBC_FRAME_FAILED, 0, payload, len);
        }
        all = 0; /* until it answers with ABORT, or is gone */
    }
    for (uint32_t i = 0; i < r->children; i++)
        all &= tell_below(&r->child[i], payload, len);
    /* Those that are not below this node hear of it from their parents: a node that has lost its
     * own must not be the first to speak, by way of another one's. (With two trees they only see
     * that their lane has ended.) */
    for (uint32_t i = 0; i < r->feds; i++) {
        if (pbc_tree_is_above(r->arity, r->rank, r->fed[i]->rank))
            all &= tell_below(r->fed[i], payload, len);
    }
    return all;
}

static int is_over(struct pbc_run *r, uint64_t now)
{
    if (r->failed && r->rank == 0)
        pbc_run_tell_user(r); /* before the others end: a launcher may then end this one as well */
    if (r->failed)
        return tell_failure(r) || now >= r->give_up;
    if (r->phase != PBC_PHASE_END)
        return 0;
    if (r->rank == 0 || r->parent.gone)
        return 1;
    /* To close with a PING unread would reset the connection, and with it what we sent last: say
     * that there is no more to come, and let the parent close. */
    if (r->leaving == 0 && !pbc_conn_pending(r->parent.conn)) {
        (void)shutdown(r->parent.conn->fd, SHUT_WR);
        r->leaving = now + PBC_LINGER_MS;
    }
    return r->leaving != 0 && now >= r->leaving;
}

void pbc_run_loop(struct pbc_run *r)
{
    struct polled p = {0};
    struct pbc_error err;

    pbc_run_advance(r);
    for (;;) {
        uint64_t now;

        if (gather(r, &p) != 0 || (poll(p.fds, p.count, TICK_MS) < 0 && errno != EINTR)) {
            pbc_fail_errno(&err, PBC_EXIT_FAILED, "poll");
            pbc_run_fail(r, r->conf->node, &err);
            break;
        }
        now = pbc_clock_ms(&r->clock);
        if (p.fds[FD_SIGNALS].revents != 0)
            serve_signals(r);
        if (p.fds[FD_LISTENER].revents != 0)
            pbc_accept(r, now);
        if (p.fds[FD_CHUNKS].revents != 0)
            drain(p.fds[FD_CHUNKS].fd);
        if (p.fds[FD_CHUNKS_TWO].revents != 0)
            drain(p.fds[FD_CHUNKS_TWO].fd);
        serve_threads(r);
        serve(r, &p, now);
        pbc_run_advance(r);
        if (!r->failed) {
            pbc_pace_look(r, now);
            pbc_feed_look(r, now);
            look_at_time(r, now);
        }
        if (is_over(r, now))
            break;
    }
    free(p.fds);
}
