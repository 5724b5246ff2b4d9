/* A run's neighbours: those who come, those who are lost, and how a run fails. */
#include "run_state.h"

#include <string.h>
#include <sys/socket.h>

#define REDIALS   5
#define REDIAL_MS 200

/* Strangers taken in before all else gets its turn: whoever knocks without end must not keep the
 * loop here, and one of ours has some turns for the handshake before he could be pushed out. */
#define STRANGERS_A_TURN 8

void pbc_run_fail(struct pbc_run *r, const char *node, const struct pbc_error *err)
{
    if (r->failed)
        return;
    r->failed = 1;
    r->error = *err;
    memcpy(r->failed_node, node, strlen(node) + 1);
    r->give_up = pbc_clock_ms(&r->clock) + PBC_LINGER_MS;
    if (r->stream != NULL)
        pbc_stream_stop(r->stream);
}

void pbc_run_no_memory(struct pbc_run *r)
{
    struct pbc_error err;

    pbc_fail(&err, PBC_EXIT_FAILED, "no memory for a frame");
    pbc_run_fail(r, r->conf->node, &err);
}

int pbc_protocol(const char *what, struct pbc_error *err)
{
    return pbc_fail(err, PBC_EXIT_PEER, "protocol error: %s", what);
}

/* --- losing neighbours --------------------------------------------------------------------- */

void pbc_peer_at(struct pbc_peer *p, uint32_t rank, const struct pbc_msg_move *at)
{
    p->rank = rank;
    memcpy(p->node, at->node, sizeof(p->node));
    p->address = (struct pbc_address){.family = at->family, .port = at->port};
    memcpy(p->address.bytes, at->address, sizeof(at->address));
}

int pbc_peer_dial(struct pbc_run *r, struct pbc_peer *p, struct pbc_error *err)
{
    int fd = pbc_net_connect(&p->address, err);

    if (fd < 0)
        return -1;
    p->conn = pbc_conn_dialled(fd, r->rank, p->rank, r->key, pbc_clock_ms(&r->clock));
    return p->conn != NULL ? 0 : pbc_fail(err, PBC_EXIT_FAILED, "no memory for a connection");
}

void pbc_peer_gone(struct pbc_peer *p)
{
    pbc_conn_close(p->conn);
    p->conn = NULL;
    p->open = 0;
    p->gone = 1;
}

/* A connection that is open here may have been closed there before the proof came: by a flood, or
 * because one of the two has paused. The first frame says that it was not. */
int pbc_peer_redials(struct pbc_run *r, struct pbc_peer *p)
{
    if ((p->open && p->conn->known) || p->redials >= REDIALS)
        return 0;
    pbc_conn_close(p->conn);
    p->conn = NULL;
    p->open = p->claimed = 0;
    p->redials++;
    p->redial_at = pbc_clock_ms(&r->clock) + REDIAL_MS;
    return 1;
}

/* What went wrong with a connection may be this node's own: then the neighbours still get to hear
 * of it. 1 if so. */
static int own_fault(struct pbc_run *r, const struct pbc_error *why)
{
    if (why->code == PBC_EXIT_PEER || r->failed)
        return 0;
    pbc_run_fail(r, r->conf->node, why);
    return 1;
}

void pbc_lost_child(struct pbc_run *r, struct pbc_peer *p, const struct pbc_error *why)
{
    struct pbc_error err;

    pbc_peer_gone(p);
    if (r->failed || p->committed)
        return;
    if (why->code != PBC_EXIT_PEER)
        err = *why;
    else
        pbc_fail(
            &err, PBC_EXIT_PEER,
            "its agent is gone (%s); was it killed, or did the node fail? see the node's slurmd "
            "log",
            why->text);
    pbc_run_fail(r, p->node, &err);
}

void pbc_lost_parent(struct pbc_run *r, const struct pbc_error *why)
{
    struct pbc_error err;

    if (own_fault(r, why))
        return;
    if (!r->failed && pbc_peer_redials(r, &r->parent))
        return;
    pbc_peer_gone(&r->parent);
    if (r->failed || r->phase == PBC_PHASE_END)
        return;
    pbc_fail(&err, PBC_EXIT_PEER, "lost the connection to %s, which sends to it (%s)",
             r->parent.node, why->text);
    r->orphaned = 1;
    pbc_run_fail(r, r->conf->node, &err);
}

/* --- accepting children -------------------------------------------------------------------- */

void pbc_refuse(struct pbc_run *r, unsigned slot)
{
    pbc_conn_close(r->stranger[slot]);
    r->stranger[slot] = NULL;
    r->refused++;
}

/* A stranger has proved that he knows the key: which child is he? */
void pbc_admit(struct pbc_run *r, unsigned slot)
{
    struct pbc_conn *c = r->stranger[slot];

    for (uint32_t i = 0; i < r->children; i++) {
        struct pbc_peer *p = &r->child[i];

        if (p->rank == c->hs.child && !p->open && !p->gone) {
            p->conn = c;
            p->open = 1;
            p->claimed = 1;
            r->stranger[slot] = NULL;
            if (r->check_frame != NULL)
                pbc_conn_send(c, pbc_chunk_ref(r->check_frame));
            return;
        }
    }
    if (pbc_lane_admit(r, c))
        r->stranger[slot] = NULL;
    else
        pbc_refuse(r, slot);
}

void pbc_accept(struct pbc_run *r, uint64_t now)
{
    for (unsigned i = 0; i < STRANGERS_A_TURN; i++) {
        int fd = accept4(r->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        unsigned slot = 0;

        if (fd < 0)
            return;
        while (slot < PBC_STRANGERS_MAX && r->stranger[slot] != NULL)
            slot++;
        if (slot == PBC_STRANGERS_MAX) { /* the oldest makes room: ours are quick */
            slot = 0;
            for (unsigned k = 1; k < PBC_STRANGERS_MAX; k++) {
                if (r->stranger[k]->heard < r->stranger[slot]->heard)
                    slot = k;
            }
            pbc_refuse(r, slot);
        }
        r->stranger[slot] = pbc_conn_accepted(fd, r->rank, r->key, now);
    }
}
