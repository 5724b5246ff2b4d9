/* run_state.h - the state of a run. Private to run*.c. */
#ifndef PBC_RUN_STATE_H
#define PBC_RUN_STATE_H

#include "clock.h"
#include "conn.h"
#include "net.h"
#include "place.h"
#include "run.h"
#include "source.h"
#include "stream.h"
#include "tree.h"
#include "unpack.h"

#define PBC_LINGER_MS     3000 /* after a failure: how long neighbours get to hear of it */
#define PBC_STRANGERS_MAX 32   /* connections that have not proved themselves yet */

/* A neighbour in the tree: the parent or a child. */
struct pbc_peer {
    uint32_t rank;
    char node[PBC_NODE_MAX];
    struct pbc_address address; /* of one that this node connects to */
    struct pbc_conn *conn;      /* NULL before there is one and after it */
    int open;                   /* the handshake is done and the connection lives */
    int gone;                   /* it was open and is closed */
    int told;                   /* FAILED or ABORT is sent */
    int have;                   /* its subtree's answers have come */
    int ready;
    int committed;
    uint32_t progress;
    int leaf;           /* was told LEAF */
    int moved;          /* was told MOVE: gets the stream elsewhere */
    int claimed;        /* it is known from where on it gets the stream; a child gets all */
    unsigned redials;   /* a flood of strangers can push us out before we are known */
    uint64_t redial_at; /* ms, while there is no connection */
    uint64_t taken;     /* bytes of the stream sent to it, when the pace was last looked at */
    uint64_t queued;    /* and those waiting */
    uint64_t rate;      /* and bytes/s that it took */
    unsigned lagging;   /* how often in a row it was slow */
    unsigned lane;      /* of what it gets from here, or sends to here */
};

enum pbc_phase {
    PBC_PHASE_CONNECT, /* until all children and the parent are connected */
    PBC_PHASE_PROBE,   /* root: its reader looks at the bundles */
    PBC_PHASE_LOCK,    /* root: another run may be staging the same set */
    PBC_PHASE_CHECK,   /* who has the set? */
    PBC_PHASE_STREAM,  /* bundles on the way */
    PBC_PHASE_COMMIT,  /* all are ready */
    PBC_PHASE_END,     /* nothing is left to do but to flush */
};

/* A tree that carries the stream: one carries all its frames, of two each every second. What
 * follows is about those alone. See run_feed.c. */
struct pbc_lane {
    unsigned index;
    struct pbc_pool *chunks; /* for what comes */
    uint64_t seq;            /* frames that this node has got */
    uint32_t marks;          /* of them, that are not DATA, and so have no buffer of the pool */
    uint64_t bytes;          /* of archives in them */
    struct pbc_fifo early;   /* those that wait for frames of the other lane */

    /* For those that get them from here. */
    struct pbc_fifo kept; /* the last ones, for those who will come */
    uint32_t owed;        /* nodes told LEAF that have not answered */
    uint32_t expected;    /* nodes that come */
    uint32_t came;
    struct pbc_msg_move elsewhere; /* where those that get them here can have them, then */
    int leaf_asked;                /* this node is to pass on nothing more, */
    int leaf;                      /* and does not */

    /* Where this node gets them, if not from its parent. */
    struct pbc_peer from;
    struct pbc_conn *old;  /* of the one before that, to be closed */
    uint64_t moved;        /* ms: when it was told to, 0: never */
    uint64_t lost_at;      /* ms: when it lost who feeds it, 0: never */
    struct pbc_error lost; /* and why */

    uint64_t pace; /* bytes/s at which they came */
};

struct pbc_run {
    const struct pbc_run_conf *conf;
    struct pbc_coord *coord;
    uint32_t rank;
    uint32_t size;
    uint32_t arity;
    uint8_t key[PBC_KEY_BYTES];
    uint8_t tag_key[PBC_KEY_BYTES];
    enum pbc_phase phase;

    struct pbc_place place;
    struct pbc_pool *chunks; /* of the first lane */
    struct pbc_unpack *unpack;
    struct pbc_source *source; /* root */
    int carried;               /* not the tree, `coord` carries the stream, */
    struct pbc_stream *stream; /* by this; else NULL */

    int listener;
    struct pbc_address mine; /* what it listens at */
    int signals;
    struct pbc_peer parent;
    uint32_t children;
    struct pbc_peer *child;
    unsigned lanes;
    struct pbc_lane lane[PBC_LANES_MAX];
    uint64_t seq;          /* frames of the stream that were taken, in their order */
    int dropped;           /* nothing more is made of the stream: pbc_lanes_drop */
    struct pbc_peer **fed; /* those that get some from here without being children */
    uint32_t feds;         /* those that are gone included */
    uint64_t paced;        /* ms: when the pace of all was last looked at */
    int ended;             /* the stream had come then */
    uint32_t slow;         /* how often LEAF was said here */
    char slow_node[PBC_NODE_MAX];
    struct pbc_conn *stranger[PBC_STRANGERS_MAX];
    unsigned refused; /* connections that were not ours */

    struct pbc_msg_check check;
    struct pbc_chunk *check_frame; /* CHECK, for children that connect after it has come */
    int checked;                   /* CHECK has come, or, at the root, was sent */
    int has_set;                   /* on this node */
    uint64_t bases;                /* what this node has of it, as in HAVE */
    unsigned extends;              /* bundles of the set that it is to begin with */
    struct pbc_base base;          /* its tree */
    struct pbc_manifest had;       /* and what that has published */
    int told_have;
    int told_ready;
    int unpacked;  /* everything, here */
    int done_seen; /* DONE has come */
    unsigned next_bundle;
    int in_bundle;
    uint64_t next_offset;
    struct pbc_msg_have have; /* sums of the subtree, this node included */
    struct pbc_msg_ready ready;
    struct pbc_manifest manifest; /* what this node will publish; `nodes` and paths are borrowed */
    uint32_t committed;
    uint32_t told_progress;

    int failed;
    int user_told;
    int aborted;  /* the parent said so: it knows, and others print */
    int orphaned; /* the parent was lost, nobody above hears us */
    struct pbc_error error;
    char failed_node[PBC_NODE_MAX];

    struct pbc_clock clock; /* for what follows, in ms */
    uint64_t began;
    uint64_t met; /* the exchange was over */
    uint64_t connected;
    uint64_t first_byte;
    uint64_t sent; /* root: DONE passed on */
    uint64_t unpacked_at;
    uint64_t all_ready; /* below this node, and here */
    uint64_t leaving;   /* after COMMITTED: when to stop waiting for the parent to close */
    uint64_t give_up;   /* after a failure: when to stop waiting for the neighbours */
    uint64_t tick;      /* when progress was last looked at */
    uint64_t bytes;     /* of archives, that came by here */
};

/* Let the run fail, because of `err` on `node`. Only the first failure counts. */
void pbc_run_fail(struct pbc_run *r, const char *node, const struct pbc_error *err);

/* The same, because this node has no memory. */
void pbc_run_no_memory(struct pbc_run *r);

/* A neighbour has sent `what`, which must not come here and now: fills err, returns -1. */
int pbc_protocol(const char *what, struct pbc_error *err);

/* Tell all children: CHECK or COMMIT. Takes over the reference. */
void pbc_run_tell(struct pbc_run *r, struct pbc_chunk *c);

/* Take a frame of the stream that has come by a lane: check that it is the root's and in order,
 * pass it on, and unpack it. Takes over the reference. 0, also if the run has failed because of it;
 * -1 with err if the frame must not come now. */
int pbc_run_take(struct pbc_run *r, struct pbc_lane *l, struct pbc_chunk *c, struct pbc_error *err);

/* Root: the next frame of the stream, from its reader. Takes over the reference. */
void pbc_run_from_source(struct pbc_run *r, struct pbc_chunk *c);

/* Any other node: the next frame, from a transport other than the tree. Takes over the reference.
 */
void pbc_run_from_transport(struct pbc_run *r, struct pbc_chunk *c);

/* The handler that pbc_conn_io calls for each frame that has come. */
int pbc_run_frame(void *run, struct pbc_conn *conn, struct pbc_chunk *chunk, struct pbc_error *err);

/* Find out whether this node has the set of r->check, or one that it extends: fills r->has_set and
 * r->bases. */
void pbc_run_look(struct pbc_run *r);

/* --- the stream from node to node: to whom (run_lanes.c) --- */

/* Set up as many lanes as the shape has. Nodes that are to get the second one from here connect
 * later. */
int pbc_lanes_begin(struct pbc_run *r, struct pbc_error *err);

/* All peers that get a lane from here, or may come to: first the children, then the others. */
uint32_t pbc_takers(const struct pbc_run *r);
struct pbc_peer *pbc_taker(struct pbc_run *r, uint32_t i);

/* 1 if it gets its lane from here now. */
int pbc_taker_gets(const struct pbc_peer *p);

/* The i-th taker if it gets this lane now, or NULL. */
struct pbc_peer *pbc_lane_taker(struct pbc_run *r, const struct pbc_lane *l, uint32_t i);

/* 1 while somebody is still to come for the lane: what is passed on is kept as well. */
int pbc_lane_keeps(const struct pbc_lane *l);

/* Let go of what was kept, if nobody is to come any more. */
void pbc_lane_let_go(struct pbc_lane *l);

/* 1 if rank `above` is on the lane's way from the root to `rank`. */
int pbc_lane_is_above(const struct pbc_run *r, const struct pbc_lane *l, uint32_t above,
                      uint32_t rank);

/* Pass a frame of the stream, BEGIN to DONE, on to all that get the lane. Borrows it. */
void pbc_lane_pass(struct pbc_run *r, struct pbc_lane *l, struct pbc_chunk *c);

/* 1 if the stranger, who has proved that he knows the key, is one that a lane waits for: the
 * connection is then taken over. */
int pbc_lane_admit(struct pbc_run *r, struct pbc_conn *c);

/* Where the run is lost, or with two trees a lane: make nothing more of the stream, and let go of
 * all that waits or is kept, so that the parent's verdict can be read behind it. Those that are not
 * below this node see their connections close, and do the same; the others hear what it is. */
void pbc_lanes_drop(struct pbc_run *r);

/* CLAIM has come from a node that is to get a lane from here: 0, or -1 with err if that is an error
 * of the protocol. */
int pbc_lane_claim(struct pbc_run *r, struct pbc_peer *p, const struct pbc_chunk *c,
                   struct pbc_error *err);

/* --- from whom, and going round slow nodes (run_feed.c, run_pace.c) --- */

/* Who sends the lane to this node: the parent, or another node above. */
struct pbc_peer *pbc_feed_from(struct pbc_run *r, struct pbc_lane *l);

/* Get the lane from the node of that rank and address from now on: connect to it. */
int pbc_feed_dial(struct pbc_run *r, struct pbc_lane *l, uint32_t rank,
                  const struct pbc_msg_move *at, struct pbc_error *err);

/* The peer is slow: go round it. */
void pbc_feed_go_round(struct pbc_run *r, struct pbc_peer *p);

/* LEAF, MOVE, LEFT or CLAIM has come from the peer: as pbc_lane_claim. */
int pbc_feed_frame(struct pbc_run *r, struct pbc_peer *p, const struct pbc_chunk *c,
                   struct pbc_error *err);

/* The connection to a node that gets a lane from here, or to the one that sends it, has failed. */
void pbc_feed_lost(struct pbc_run *r, struct pbc_peer *p, const struct pbc_error *why);

/* The lane does not reach this node any more: the run fails, unless the verdict comes down the tree
 * first. */
void pbc_feed_missing(struct pbc_run *r, struct pbc_lane *l, const struct pbc_error *why);

/* A transport other than the tree has failed. */
void pbc_feed_broke(struct pbc_run *r, const struct pbc_error *why);

/* Do what has become due at `now`. */
void pbc_feed_look(struct pbc_run *r, uint64_t now);

/* Measure the takers, and go round those that are slow. */
void pbc_pace_look(struct pbc_run *r, uint64_t now);

void pbc_feed_release(struct pbc_run *r);

/* The connection to a child or to the parent has failed: dial again, or let the run fail. */
void pbc_lost_child(struct pbc_run *r, struct pbc_peer *p, const struct pbc_error *why);
void pbc_lost_parent(struct pbc_run *r, const struct pbc_error *why);

/* Accept some of those who connect, as strangers; take over one that has proved to know the key;
 * close one that is not ours. */
void pbc_accept(struct pbc_run *r, uint64_t now);
void pbc_admit(struct pbc_run *r, unsigned slot);
void pbc_refuse(struct pbc_run *r, unsigned slot);

/* Note that the peer is the node of that rank, which listens at `at`; and connect to it. */
void pbc_peer_at(struct pbc_peer *p, uint32_t rank, const struct pbc_msg_move *at);
int pbc_peer_dial(struct pbc_run *r, struct pbc_peer *p, struct pbc_error *err);

/* Close the connection; the peer is gone. */
void pbc_peer_gone(struct pbc_peer *p);

/* A connection that this node has dialled has failed. If there is to be another try: close it, set
 * the time for that, and return 1; else return 0. */
int pbc_peer_redials(struct pbc_run *r, struct pbc_peer *p);

/* Bytes of memory that the agent may come to need for itself in this run, as far as they matter. */
uint64_t pbc_run_own_memory(const struct pbc_run *r);

/* Begin to unpack here, unless this node has the set. */
int pbc_run_unpack(struct pbc_run *r, struct pbc_error *err);

/* Add a subtree to a sum. */
void pbc_add_have(struct pbc_msg_have *sum, const struct pbc_msg_have *m);
void pbc_add_ready(struct pbc_msg_ready *sum, const struct pbc_msg_ready *m);

void pbc_run_forget_manifest(struct pbc_run *r);

/* Do what the state allows: answer the parent, go to the next phase. */
void pbc_run_advance(struct pbc_run *r);

/* Poll and serve until the run is over. */
void pbc_run_loop(struct pbc_run *r);

/* The error, on standard error, once. */
void pbc_run_tell_user(struct pbc_run *r);

/* What the root prints. */
void pbc_report_progress(const struct pbc_run *r);
void pbc_report_summary(const struct pbc_run *r);

#endif
