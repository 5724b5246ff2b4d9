/* Two trees at one node: who may come for a lane, what is kept for them, and that the frames of
 * both are taken in the order of the stream. */
#include "engine_support.h"

#include "run_state.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Of 10 ranks, in the first tree 2 has the parent 1 and the children 4 and 5; in the second, which
 * goes 0 -> 9 -> 8, 7 and so on, nobody gets anything from it. 8 has the children 6 and 5 there. */
#define SIZE 10

struct lanes {
    struct pbc_run r;
    struct pbc_run_conf conf;
    int fd[16];
    unsigned fds;
};

static void begin(struct lanes *t, uint32_t rank, uint32_t arity)
{
    struct pbc_error err;

    memset(t, 0, sizeof(*t));
    t->conf.node = "here";
    t->r.conf = &t->conf;
    t->r.rank = rank;
    t->r.size = SIZE;
    t->r.arity = arity;
    t->r.chunks = pbc_pool_new(PBC_CHUNKS, PBC_CHUNK_BYTES);
    assert_non_null(t->r.chunks);
    assert_int_equal(pbc_lanes_begin(&t->r, &err), 0);
    t->r.checked = 1;
    t->r.check.bundles = 1;
    t->r.has_set = 1; /* passes on, unpacks nothing, and leaves tags to others */
}

static void end(struct lanes *t)
{
    pbc_feed_release(&t->r);
    for (unsigned i = 1; i < t->r.lanes; i++) {
        if (t->r.lane[i].chunks != t->r.chunks)
            pbc_pool_free(t->r.lane[i].chunks);
    }
    pbc_pool_free(t->r.chunks);
    for (unsigned i = 0; i < t->fds; i++)
        close(t->fd[i]);
}

/* A connection of that rank, which has proved that it knows the key. NULL if it is not wanted. */
static struct pbc_peer *come(struct lanes *t, uint32_t rank)
{
    static const uint8_t key[PBC_KEY_BYTES];
    struct pbc_conn *c;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    t->fd[t->fds++] = pair[1];
    c = pbc_conn_accepted(pair[0], t->r.rank, key, 1);
    assert_non_null(c);
    c->state = PBC_CONN_OPEN;
    c->hs.child = rank;
    if (pbc_lane_admit(&t->r, c))
        return t->r.fed[t->r.feds - 1];
    pbc_conn_close(c);
    return NULL;
}

static int claim(struct lanes *t, struct pbc_peer *p, uint8_t lane, uint64_t has)
{
    struct pbc_msg_claim m = {.lane = lane, .node = "there"};
    uint8_t payload[PBC_SMALL_MAX];
    struct pbc_chunk *c =
        pbc_chunk_small(PBC_FRAME_CLAIM, 0, payload, pbc_claim_encode(&m, payload));
    struct pbc_error err;
    int rc;

    c->frame.aux = has;
    rc = pbc_lane_claim(&t->r, p, c, &err);
    if (rc != 0)
        assert_error(&err, PBC_EXIT_PEER, "protocol error: CLAIM");
    pbc_chunk_unref(c);
    return rc;
}

/* The i-th frame of a stream of `n`, by its lane. */
static int take(struct lanes *t, unsigned i, unsigned n)
{
    struct pbc_msg_begin m = {.format = PBC_FORMAT_TAR, .path = "/b"};
    uint8_t payload[PBC_SMALL_MAX];
    struct pbc_chunk *c;
    struct pbc_error err;

    if (i == 0)
        c = pbc_chunk_small(PBC_FRAME_BEGIN, 0, payload, pbc_begin_encode(&m, payload));
    else if (i < n - 2)
        c = pbc_chunk_small(PBC_FRAME_DATA, 0, NULL, 1);
    else
        c = pbc_chunk_small(i == n - 2 ? PBC_FRAME_END : PBC_FRAME_DONE, 0, NULL, 0);
    if (c->frame.type == PBC_FRAME_DATA)
        c->frame.aux = i - 1;
    return pbc_run_take(&t->r, &t->r.lane[i % t->r.lanes], c, &err);
}

static void frames_of_both_lanes_are_taken_in_the_order_of_the_stream(void **state)
{
    struct lanes t;

    (void)state;
    begin(&t, 2, PBC_TREE_TWO);
    assert_int_equal(take(&t, 1, 7), 0); /* before BEGIN, which goes by the other */
    assert_int_equal(take(&t, 3, 7), 0);
    assert_int_equal(t.r.seq, 0);
    assert_int_equal(take(&t, 0, 7), 0);
    assert_int_equal(t.r.seq, 2);
    assert_int_equal(take(&t, 5, 7), 0);
    assert_int_equal(take(&t, 2, 7), 0);
    assert_int_equal(t.r.seq, 4);
    assert_int_equal(t.r.bytes, 3);
    assert_int_equal(take(&t, 4, 7), 0);
    assert_int_equal(t.r.seq, 6);
    assert_false(t.r.done_seen);
    assert_int_equal(take(&t, 6, 7), 0);
    assert_true(t.r.done_seen);
    assert_int_equal(take(&t, 7, 7), -1); /* and that was all */
    end(&t);
}

/* A frame that holds no buffer of the pool. */
static int take_begin(struct lanes *t, unsigned lane, struct pbc_error *err)
{
    struct pbc_msg_begin m = {.format = PBC_FORMAT_TAR, .path = "/b"};
    uint8_t payload[PBC_SMALL_MAX];
    struct pbc_chunk *c =
        pbc_chunk_small(PBC_FRAME_BEGIN, 0, payload, pbc_begin_encode(&m, payload));

    return pbc_run_take(&t->r, &t->r.lane[lane], c, err);
}

/* The second lane comes from n9. */
static void come_from_two(struct lanes *t)
{
    static const uint8_t key[PBC_KEY_BYTES];
    struct pbc_peer *from = &t->r.lane[1].from;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    t->fd[t->fds++] = pair[1];
    from->conn = pbc_conn_dialled(pair[0], 2, 9, key, 1);
    assert_non_null(from->conn);
    from->conn->known = 1;
    strcpy(t->r.parent.node, "n1");
    strcpy(from->node, "n9");
    from->open = from->claimed = 1;
    t->r.lane[1].moved = 1;
    t->r.phase = PBC_PHASE_STREAM;
}

static void frames_without_a_buffer_wait_as_many_as_the_stream_has_and_no_more(void **state)
{
    struct pbc_error err;
    struct lanes t;

    (void)state;
    begin(&t, 2, PBC_TREE_TWO);
    come_from_two(&t);
    t.r.check.bundles = PBC_BUNDLES_MAX;
    for (unsigned i = 0; i < 2 * PBC_BUNDLES_MAX + 1; i++)
        assert_int_equal(take_begin(&t, 1, &err), 0);
    assert_int_equal(take(&t, 3, 1000), 0); /* DATA has one */
    assert_int_equal(t.r.lane[1].early.count, 2 * PBC_BUNDLES_MAX + 2);
    assert_int_equal(take_begin(&t, 1, &err), -1);
    assert_int_equal(t.r.lane[1].early.count, 2 * PBC_BUNDLES_MAX + 2);
    pbc_feed_lost(&t.r, &t.r.lane[1].from, &err); /* as the loop does */
    assert_error(&t.r.lane[1].lost, PBC_EXIT_PEER,
                 "lost the connection to n9, which sends to it (protocol error: more than 129 "
                 "frames BEGIN, END and DONE for 64 bundles)");
    end(&t);
}

/* n9's waits until n1's has come, which is as it should be. */
static void a_frame_that_has_waited_in_vain_is_told_of_who_sent_it(void **state)
{
    struct pbc_error err;
    struct lanes t;

    (void)state;
    begin(&t, 2, PBC_TREE_TWO);
    come_from_two(&t);
    assert_int_equal(take_begin(&t, 1, &err), 0);
    assert_int_equal(take_begin(&t, 0, &err), 0);
    assert_true(t.r.failed);
    assert_string_equal(t.r.failed_node, "here");
    assert_error(&t.r.error, PBC_EXIT_PEER, "protocol error: BEGIN out of order; it came by n9");
    end(&t);
}

static void each_lane_has_half_of_the_buffers_for_itself(void **state)
{
    struct pbc_chunk *taken[PBC_CHUNKS + 1];
    unsigned n = 0;
    struct lanes t;

    (void)state;
    begin(&t, 2, PBC_TREE_TWO);
    for (unsigned lane = 0; lane < 2; lane++) {
        struct pbc_chunk *c;

        while ((c = pbc_pool_try(t.r.lane[lane].chunks)) != NULL)
            taken[n++] = c;
        assert_int_equal(n, (lane + 1) * (PBC_CHUNKS / 2));
    }
    while (n > 0)
        pbc_chunk_unref(taken[--n]);
    end(&t);
}

static void a_child_of_the_second_tree_gets_its_lane_from_the_first_frame_on(void **state)
{
    struct pbc_peer *p, *q;
    struct lanes t;

    (void)state;
    begin(&t, 8, PBC_TREE_TWO);
    for (unsigned i = 0; i < 9; i++)
        assert_int_equal(take(&t, i, 20), 0);
    assert_int_equal(t.r.lane[0].kept.count, 0);
    assert_int_equal(t.r.lane[1].kept.count, 4);
    p = come(&t, 6);
    assert_non_null(p);
    assert_int_equal(p->conn->stream.count, 0); /* it may not be for this */
    assert_int_equal(claim(&t, p, 1, 0), 0);
    assert_int_equal(p->conn->stream.count, 4);
    assert_int_equal(take(&t, 9, 20), 0);
    assert_int_equal(take(&t, 10, 20), 0); /* of the other lane */
    assert_int_equal(p->conn->stream.count, 5);
    assert_int_equal(t.r.lane[1].kept.count, 5);
    q = come(&t, 5);
    assert_non_null(q);
    assert_int_equal(claim(&t, q, 1, 0), 0);
    assert_int_equal(q->conn->stream.count, 5);
    assert_int_equal(t.r.lane[1].kept.count, 0); /* all have come */
    end(&t);
}

static void nobody_else_may_come_and_nobody_for_more_than_there_is(void **state)
{
    struct pbc_peer *p;
    struct lanes t;

    (void)state;
    begin(&t, 8, PBC_TREE_TWO);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(take(&t, i, 20), 0);
    assert_null(come(&t, 0));    /* above */
    assert_null(come(&t, 7));    /* beside */
    assert_null(come(&t, 8));    /* itself */
    assert_null(come(&t, SIZE)); /* no such rank */
    assert_null(come(&t, UINT32_MAX));
    p = come(&t, 6);
    assert_non_null(p);
    assert_int_equal(claim(&t, p, 2, 0), -1); /* no such lane */
    assert_int_equal(claim(&t, p, 255, 0), -1);
    assert_int_equal(claim(&t, p, 0, 0), -1); /* of which it gets nothing here */
    assert_int_equal(claim(&t, p, 1, 3), -1); /* of 2 */
    assert_int_equal(claim(&t, p, 1, UINT64_MAX), -1);
    assert_int_equal(claim(&t, p, 1, 2), 0);
    assert_int_equal(claim(&t, p, 1, 2), -1); /* twice */
    p = come(&t, 6);                          /* by another connection */
    assert_null(p);
    assert_non_null(come(&t, 5));
    assert_non_null(come(&t, 5)); /* a lane each, perhaps */
    assert_null(come(&t, 5));
    end(&t);
}

static void with_one_tree_nobody_comes_until_a_node_is_gone_round(void **state)
{
    struct lanes t;

    (void)state;
    begin(&t, 1, 1);
    assert_int_equal(t.r.lanes, 1);
    assert_int_equal(take(&t, 0, 20), 0);
    assert_int_equal(t.r.lane[0].kept.count, 0);
    assert_null(come(&t, 2));
    assert_null(come(&t, 3));
    end(&t);
}

/* A node is told to MOVE behind the last frame of a lane, and the end comes by the other first. */
static void moving_when_all_has_come_is_not_an_error_but_needless(void **state)
{
    struct pbc_msg_move m = {.family = 4, .address = {127, 0, 0, 1}, .port = 1, .node = "n1"};
    struct pbc_peer from = {.rank = 2};
    uint8_t payload[PBC_SMALL_MAX];
    struct pbc_chunk *c = pbc_chunk_small(PBC_FRAME_MOVE, 0, payload, pbc_move_encode(&m, payload));
    struct pbc_error err;
    struct lanes t;

    (void)state;
    begin(&t, 4, PBC_TREE_TWO);
    c->frame.aux = 3; /* not on its way */
    assert_int_equal(pbc_feed_frame(&t.r, &from, c, &err), -1);
    assert_error(&err, PBC_EXIT_PEER, "protocol error: MOVE");
    c->frame.aux = 1;
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(take(&t, i, 4), 0);
    assert_true(t.r.done_seen);
    assert_int_equal(pbc_feed_frame(&t.r, &from, c, &err), 0);
    assert_int_equal(t.r.lane[0].moved, 0);
    pbc_chunk_unref(c);
    end(&t);
}

/* The connection that has said it is closed before a new one can say anything. */
static void moving_twice_at_once_is_refused(void **state)
{
    struct pbc_address here = {.family = 4, .bytes = {127, 0, 0, 1}};
    struct pbc_msg_move m = {.family = 4, .address = {127, 0, 0, 1}, .node = "n1"};
    struct pbc_peer from = {.rank = 2};
    uint8_t payload[PBC_SMALL_MAX];
    struct pbc_chunk *c;
    struct pbc_error err;
    struct lanes t;

    (void)state;
    begin(&t, 4, PBC_TREE_TWO);
    t.fd[t.fds] = pbc_net_listen(&here, 4, &err);
    assert_true(t.fd[t.fds++] >= 0);
    m.port = here.port;
    c = pbc_chunk_small(PBC_FRAME_MOVE, 0, payload, pbc_move_encode(&m, payload));
    c->frame.aux = 1;
    assert_int_equal(pbc_feed_frame(&t.r, &from, c, &err), 0);
    assert_int_equal(t.r.lane[0].from.rank, 1);
    assert_int_equal(pbc_feed_frame(&t.r, &from, c, &err),
                     0); /* from the parent: nothing is closed */
    assert_int_equal(pbc_feed_frame(&t.r, &from, c, &err), -1);
    assert_error(&err, PBC_EXIT_PEER, "protocol error: MOVE");
    pbc_chunk_unref(c);
    end(&t);
}

/* Else what waits for the lost lane would keep the buffers that the verdict must come behind. */
static void when_a_lane_is_lost_nothing_waits_for_it(void **state)
{
    const struct pbc_error why = {.code = PBC_EXIT_PEER, .text = "gone"};
    struct pbc_peer *p;
    struct lanes t;

    (void)state;
    begin(&t, 8, PBC_TREE_TWO);
    assert_int_equal(take(&t, 0, 20), 0);
    assert_int_equal(take(&t, 1, 20), 0);
    assert_int_equal(take(&t, 2, 20), 0);
    assert_int_equal(take(&t, 4, 20), 0); /* after one of the other lane */
    p = come(&t, 6);
    assert_non_null(p);
    assert_int_equal(claim(&t, p, 1, 0), 0);
    assert_int_equal(t.r.lane[0].early.count, 1);
    assert_int_equal(t.r.lane[1].kept.count, 1); /* for 5 */
    pbc_feed_missing(&t.r, &t.r.lane[1], &why);
    pbc_feed_look(&t.r, t.r.lane[1].lost_at);
    assert_false(t.r.failed); /* the verdict may be on its way */
    assert_int_equal(t.r.lane[0].early.count, 0);
    assert_int_equal(t.r.lane[1].kept.count, 0);
    assert_true(p->gone); /* is not below: hears from here only that its lane is lost as well */
    end(&t);
}

/* The same for what is kept where a slow node is gone round. Until the run is lost they may come.
 */
static void with_one_tree_a_lost_run_keeps_nothing(void **state)
{
    const struct pbc_error why = {.code = PBC_EXIT_PEER, .text = "gone"};
    struct lanes t;

    (void)state;
    begin(&t, 1, 1);
    t.r.lane[0].owed = 1;
    assert_int_equal(take(&t, 0, 20), 0);
    assert_int_equal(take(&t, 1, 20), 0);
    assert_int_equal(t.r.lane[0].kept.count, 2);
    pbc_lanes_drop(&t.r);
    assert_int_equal(t.r.lane[0].kept.count, 2);
    pbc_run_fail(&t.r, "there", &why);
    pbc_lanes_drop(&t.r);
    assert_int_equal(t.r.lane[0].kept.count, 0);
    end(&t);
}

/* It says nothing more by the connection, and would count as silent there. */
static void a_node_that_has_all_leaves_its_sender_though_others_are_to_come(void **state)
{
    static const uint8_t key[PBC_KEY_BYTES];
    struct lanes t;
    struct pbc_lane *l;
    int pair[2];

    (void)state;
    begin(&t, 8, PBC_TREE_TWO);
    l = &t.r.lane[1];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    t.fd[t.fds++] = pair[1];
    l->from.rank = 9;
    l->from.conn = pbc_conn_dialled(pair[0], 8, 9, key, 1);
    assert_non_null(l->from.conn);
    l->from.open = l->from.claimed = 1;
    l->moved = 1;
    l->leaf_asked = 1; /* but neither 6 nor 5 has come */
    for (unsigned i = 0; i < 4; i++) {
        pbc_feed_look(&t.r, 2);
        assert_false(l->from.gone);
        assert_int_equal(take(&t, i, 4), 0);
    }
    pbc_feed_look(&t.r, 2);
    assert_true(l->from.gone);
    assert_int_equal(l->kept.count, 2); /* for them */
    end(&t);
}

/* Where all have the set there is no stream, and who is done leaves before the others. */
static void the_second_tree_is_not_missed_where_nothing_is_sent(void **state)
{
    const struct pbc_error why = {.code = PBC_EXIT_PEER, .text = "gone"};
    struct lanes t;
    uint64_t later;

    (void)state;
    begin(&t, 8, PBC_TREE_TWO);
    t.r.phase = PBC_PHASE_CHECK;
    pbc_feed_missing(&t.r, &t.r.lane[1], &why);
    later = t.r.lane[1].lost_at + PBC_LINGER_MS;
    pbc_feed_look(&t.r, later);
    assert_false(t.r.failed);
    t.r.phase = PBC_PHASE_COMMIT;
    pbc_feed_look(&t.r, later);
    assert_false(t.r.failed);
    t.r.phase = PBC_PHASE_CHECK;
    assert_int_equal(take(&t, 0, 20), 0);
    pbc_feed_look(&t.r, later);
    assert_true(t.r.failed);
    end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_of_both_lanes_are_taken_in_the_order_of_the_stream),
        cmocka_unit_test(frames_without_a_buffer_wait_as_many_as_the_stream_has_and_no_more),
        cmocka_unit_test(a_frame_that_has_waited_in_vain_is_told_of_who_sent_it),
        cmocka_unit_test(each_lane_has_half_of_the_buffers_for_itself),
        cmocka_unit_test(a_child_of_the_second_tree_gets_its_lane_from_the_first_frame_on),
        cmocka_unit_test(nobody_else_may_come_and_nobody_for_more_than_there_is),
        cmocka_unit_test(with_one_tree_nobody_comes_until_a_node_is_gone_round),
        cmocka_unit_test(moving_twice_at_once_is_refused),
        cmocka_unit_test(when_a_lane_is_lost_nothing_waits_for_it),
        cmocka_unit_test(with_one_tree_a_lost_run_keeps_nothing),
        cmocka_unit_test(a_node_that_has_all_leaves_its_sender_though_others_are_to_come),
        cmocka_unit_test(the_second_tree_is_not_missed_where_nothing_is_sent),
        cmocka_unit_test(moving_when_all_has_come_is_not_an_error_but_needless),
    };

    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
