/* Who connects to an agent's port. The kernel's queue of them is stood in for. */
#include "engine_support.h"

#include "run_state.h"

#include <errno.h>
#include <poll.h>
#include <sodium.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ENOUGH 1000

static int waiting; /* connections in the queue */
static int taken;

int __wrap_accept4(int fd, void *address, void *len, int flags);

int __wrap_accept4(int fd, void *address, void *len, int flags)
{
    int pair[2];

    (void)fd, (void)address, (void)len;
    assert_true(taken < ENOUGH); /* a turn that does not end */
    if (waiting == 0) {
        errno = EAGAIN;
        return -1;
    }
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | flags, 0, pair), 0);
    close(pair[1]);
    waiting--;
    taken++;
    return pair[0];
}

static void hang_up(struct pbc_run *r)
{
    for (unsigned i = 0; i < PBC_STRANGERS_MAX; i++)
        pbc_conn_close(r->stranger[i]);
}

static void all_who_wait_are_taken_in_after_some_turns(void **state)
{
    struct pbc_run r = {.listener = 0};

    (void)state;
    waiting = 20;
    taken = 0;
    for (int turn = 0; turn < 20 && waiting > 0; turn++)
        pbc_accept(&r, 1000);
    assert_int_equal(waiting, 0);
    assert_int_equal(taken, 20);
    assert_int_equal(r.refused, 0);
    hang_up(&r);
}

/* Else the agent would hear neither its neighbours nor signals nor the clock. */
static void a_flood_does_not_keep_the_agent_from_its_work(void **state)
{
    struct pbc_run r = {.listener = 0};

    (void)state;
    waiting = 2 * ENOUGH;
    taken = 0;
    pbc_accept(&r, 1000);
    assert_true(taken > 0 && waiting > 0);
    hang_up(&r);
}

/* Whoever came before the last turns has had time for the handshake. */
static void a_flood_leaves_those_who_came_before_it_a_turn(void **state)
{
    struct pbc_run r = {.listener = 0};
    struct pbc_conn *first;

    (void)state;
    waiting = 1;
    taken = 0;
    pbc_accept(&r, 1000);
    first = r.stranger[0];
    assert_non_null(first);
    waiting = 2 * ENOUGH;
    pbc_accept(&r, 1001);
    pbc_accept(&r, 1002);
    assert_ptr_equal(r.stranger[0], first);
    assert_int_equal(r.refused, 0);
    hang_up(&r);
}

/* ---- the other side ---- */

static int no_frames(void *arg, struct pbc_conn *c, struct pbc_chunk *chunk, struct pbc_error *err)
{
    (void)arg, (void)c, (void)chunk, (void)err;
    fail_msg("a frame");
    return -1;
}

/* A node that has sent its proof to node1, and the connection as it is there. */
struct pair {
    struct pbc_run r;
    struct pbc_pool *chunks;
    struct pbc_conn *there;
};

static void shake_hands(struct pair *t)
{
    static const uint8_t key[PBC_KEY_BYTES];
    struct pbc_conn *c;
    struct pbc_error err;
    int fd[2];

    memset(t, 0, sizeof(*t));
    t->r.parent.rank = 1;
    strcpy(t->r.parent.node, "node1");
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
    t->chunks = pbc_pool_new(1, PBC_CHUNK_BYTES);
    t->r.parent.conn = c = pbc_conn_dialled(fd[0], 3, 1, key, 1);
    t->there = pbc_conn_accepted(fd[1], 1, key, 1);
    assert_int_equal(pbc_conn_io(c, POLLOUT, t->chunks, 1, no_frames, NULL, &err), 0);
    assert_int_equal(pbc_conn_io(t->there, POLLIN, t->chunks, 1, no_frames, NULL, &err), 0);
    assert_int_equal(pbc_conn_io(c, POLLIN, t->chunks, 1, no_frames, NULL, &err), 0);
    assert_int_equal(c->state, PBC_CONN_OPEN);
    t->r.parent.open = 1;
}

static void lose_parent(struct pair *t)
{
    static const struct pbc_run_conf conf = {.node = "here"};
    struct pbc_error err;

    t->r.conf = &conf;
    pbc_conn_close(t->there);
    assert_int_equal(pbc_conn_io(t->r.parent.conn, POLLIN, t->chunks, 2, no_frames, NULL, &err),
                     -1);
    pbc_lost_parent(&t->r, &err);
}

static void end_pair(struct pair *t)
{
    pbc_conn_close(t->r.parent.conn);
    pbc_pool_free(t->chunks);
}

/* Its parent waits for it, and would until it counts as lost. */
static void a_child_that_is_pushed_out_before_its_proof_is_read_dials_again(void **state)
{
    struct pair t;

    (void)state;
    shake_hands(&t);
    lose_parent(&t);
    assert_false(t.r.failed);
    assert_false(t.r.parent.gone);
    assert_false(t.r.parent.open);
    assert_int_equal(t.r.parent.redials, 1);
    assert_null(t.r.parent.conn); /* to be dialled at redial_at */
    end_pair(&t);
}

static void a_child_that_has_heard_of_its_parent_does_not(void **state)
{
    struct pbc_error err;
    struct pair t;

    (void)state;
    shake_hands(&t);
    assert_int_equal(pbc_conn_io(t.there, POLLIN, t.chunks, 1, no_frames, NULL, &err), 0);
    assert_int_equal(pbc_conn_send_urgent(t.there, PBC_FRAME_PING, 0, NULL, 0), 0);
    assert_int_equal(pbc_conn_io(t.there, POLLOUT, t.chunks, 1, no_frames, NULL, &err), 0);
    assert_int_equal(pbc_conn_io(t.r.parent.conn, POLLIN, t.chunks, 2, no_frames, NULL, &err), 0);
    lose_parent(&t);
    assert_true(t.r.failed);
    assert_true(t.r.parent.gone);
    assert_error(&t.r.error, PBC_EXIT_PEER, "lost the connection to node1");
    end_pair(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_that_is_pushed_out_before_its_proof_is_read_dials_again),
        cmocka_unit_test(a_child_that_has_heard_of_its_parent_does_not),
        cmocka_unit_test(all_who_wait_are_taken_in_after_some_turns),
        cmocka_unit_test(a_flood_does_not_keep_the_agent_from_its_work),
        cmocka_unit_test(a_flood_leaves_those_who_came_before_it_a_turn),
    };

    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
