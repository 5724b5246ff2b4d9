/* A connection between two agents, over a pair of sockets: handshake and frames. */
#include "engine_support.h"

#include "conn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const uint8_t key[PBC_KEY_BYTES] = {1};
static const uint8_t other_key[PBC_KEY_BYTES] = {2};

/* Both ends, and what their handlers were given. */
struct ends {
    struct pbc_conn *parent, *child;
    struct pbc_pool *pool;
    struct pbc_error err;
    uint64_t now;
    unsigned frames;
    uint8_t types[64];
    struct bytes data;
};

static void set_nonblocking(int fd)
{
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
}

static void pair_of(int fd[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
    set_nonblocking(fd[0]);
    set_nonblocking(fd[1]);
}

static int setup(void **state)
{
    struct ends *e = calloc(1, sizeof(*e));

    no_longer_than(120);
    e->pool = pbc_pool_new(4, PBC_CHUNK_BYTES);
    e->now = 1000;
    *state = e;
    return 0;
}

static int teardown(void **state)
{
    struct ends *e = *state;

    pbc_conn_close(e->parent);
    pbc_conn_close(e->child);
    pbc_pool_free(e->pool);
    bytes_free(&e->data);
    free(e);
    return 0;
}

static int collect(void *arg, struct pbc_conn *c, struct pbc_chunk *chunk, struct pbc_error *err)
{
    struct ends *e = arg;

    (void)c, (void)err;
    e->types[e->frames++ % sizeof(e->types)] = chunk->frame.type;
    bytes_add(&e->data, chunk->data, chunk->frame.length);
    pbc_chunk_unref(chunk);
    return 0;
}

/* What poll says of it, and the work. */
static int turn(struct ends *e, struct pbc_conn *c)
{
    struct pollfd p = {.fd = c->fd, .events = pbc_conn_events(c)};

    assert_true(poll(&p, 1, 0) >= 0);
    return pbc_conn_io(c, p.revents, e->pool, e->now, collect, e, &e->err);
}

static int turns(struct ends *e, int n)
{
    while (n-- > 0) {
        if (turn(e, e->parent) != 0 || turn(e, e->child) != 0)
            return -1;
    }
    return 0;
}

static void connect_ends(struct ends *e, const uint8_t *parent_key, const uint8_t *child_key)
{
    int fd[2];

    pair_of(fd);
    e->parent = pbc_conn_accepted(fd[0], 2, parent_key, e->now);
    e->child = pbc_conn_dialled(fd[1], 5, 2, child_key, e->now);
}

static void open_ends(struct ends *e)
{
    connect_ends(e, key, key);
    assert_int_equal(turns(e, 4), 0);
    assert_int_equal(e->parent->state, PBC_CONN_OPEN);
    assert_int_equal(e->child->state, PBC_CONN_OPEN);
}

/* A parent's end, and a socket for the test to be the child. */
static int be_child(struct ends *e)
{
    int fd[2];

    pair_of(fd);
    e->parent = pbc_conn_accepted(fd[0], 2, key, e->now);
    return fd[1];
}

/* ---- handshake ---- */

static void two_agents_of_a_run_open_a_connection(void **state)
{
    struct ends *e = *state;

    open_ends(e);
    assert_int_equal(e->parent->hs.child, 5);
    assert_int_equal(e->frames, 0);
}

static void another_key_is_refused_at_both_ends(void **state)
{
    struct ends *e = *state;

    connect_ends(e, other_key, key);
    assert_int_equal(turns(e, 4), -1);
    assert_error(&e->err, PBC_EXIT_PEER, "key");
    assert_int_not_equal(e->parent->state, PBC_CONN_OPEN);
    assert_int_not_equal(e->child->state, PBC_CONN_OPEN);
}

static void a_child_that_cannot_prove_itself_is_refused(void **state)
{
    struct ends *e = *state;
    struct pbc_handshake hs = {.child = 5, .parent = 2};
    uint8_t msg[PBC_CHALLENGE_BYTES];
    int fd = be_child(e);

    pbc_hello_make(&hs, msg);
    assert_int_equal(write(fd, msg, PBC_HELLO_BYTES), PBC_HELLO_BYTES);
    assert_int_equal(turn(e, e->parent), 0);
    assert_int_equal(read(fd, msg, sizeof(msg)), PBC_CHALLENGE_BYTES);
    assert_int_equal(write(fd, msg, PBC_PROOF_BYTES), PBC_PROOF_BYTES); /* its own words back */
    assert_int_equal(turn(e, e->parent), -1);
    assert_error(&e->err, PBC_EXIT_PEER, "key");
    close(fd);
}

static void garbage_is_refused_after_as_much_as_a_hello(void **state)
{
    struct ends *e = *state;
    uint8_t garbage[4096];
    int fd = be_child(e);

    randombytes_buf(garbage, sizeof(garbage));
    assert_int_equal(write(fd, garbage, sizeof(garbage)), sizeof(garbage));
    assert_int_equal(turn(e, e->parent), -1);
    assert_error(&e->err, PBC_EXIT_PEER, "not pbcast's");
    assert_int_equal(recv(fd, garbage, 1, 0), -1); /* and not a byte of answer */
    assert_int_equal(errno, EAGAIN);
    close(fd);
}

static void another_version_is_refused_by_name(void **state)
{
    struct ends *e = *state;
    struct pbc_handshake hs = {.child = 5, .parent = 2};
    uint8_t msg[PBC_HELLO_BYTES];
    int fd = be_child(e);

    pbc_hello_make(&hs, msg);
    msg[11]++;
    assert_int_equal(write(fd, msg, sizeof(msg)), sizeof(msg));
    assert_int_equal(turn(e, e->parent), -1);
    assert_error(&e->err, PBC_EXIT_PEER, "version 4, expected 3");
    close(fd);
}

static void a_handshake_may_come_byte_by_byte_but_not_for_ever(void **state)
{
    struct ends *e = *state;
    struct pbc_handshake hs = {.child = 5, .parent = 2};
    uint8_t msg[PBC_CHALLENGE_BYTES];
    int fd = be_child(e);

    pbc_hello_make(&hs, msg);
    for (size_t i = 0; i < PBC_HELLO_BYTES; i++) {
        assert_int_equal(e->parent->state, PBC_CONN_HELLO);
        assert_int_equal(write(fd, msg + i, 1), 1);
        e->now += 1000;
        assert_int_equal(turn(e, e->parent), 0);
    }
    assert_int_equal(e->parent->heard, 1000); /* a stranger's time runs from the beginning */
    assert_int_equal(read(fd, msg, sizeof(msg)), PBC_CHALLENGE_BYTES);
    assert_int_equal(pbc_challenge_take(&hs, key, msg, &e->err), 0);
    pbc_proof_make(&hs, key, msg);
    for (size_t i = 0; i < PBC_PROOF_BYTES; i++) {
        assert_int_equal(e->parent->state, PBC_CONN_PROOF);
        assert_int_equal(write(fd, msg + i, 1), 1);
        assert_int_equal(turn(e, e->parent), 0);
    }
    assert_int_equal(e->parent->state, PBC_CONN_OPEN);
    assert_int_equal(e->parent->heard, e->now);
    close(fd);
}

static void a_peer_that_closes_is_noticed_in_every_state(void **state)
{
    struct ends *e = *state;
    int fd = be_child(e);

    close(fd);
    assert_int_equal(turn(e, e->parent), -1);
    assert_error(&e->err, PBC_EXIT_PEER, "closed");
    pbc_conn_close(e->parent);
    open_ends(e);
    pbc_conn_close(e->child);
    e->child = NULL;
    assert_int_equal(turn(e, e->parent), -1);
    assert_error(&e->err, PBC_EXIT_PEER, "closed");
}

/* ---- frames ---- */

static struct pbc_chunk *data_chunk(struct ends *e, uint64_t seed, uint32_t len)
{
    struct pbc_chunk *c = pbc_chunk_small(PBC_FRAME_DATA, 0, NULL, len);
    struct bytes b = {0};

    bytes_noise(&b, len, seed);
    memcpy(c->data, b.data, len);
    bytes_free(&b);
    (void)e;
    return c;
}

static void frames_arrive_whole_and_in_order(void **state)
{
    struct ends *e = *state;
    struct bytes want = {0};

    open_ends(e);
    for (unsigned i = 0; i < 20; i++) { /* far more than a socket's buffer */
        struct pbc_chunk *c = data_chunk(e, i, i % 3 == 0 ? PBC_CHUNK_BYTES : 1 + i);

        bytes_add(&want, c->data, c->frame.length);
        pbc_conn_send(e->parent, c);
    }
    for (int i = 0; i < 100000 && e->frames < 20; i++)
        assert_int_equal(turns(e, 1), 0);
    assert_int_equal(e->frames, 20);
    assert_int_equal(e->data.len, want.len);
    assert_memory_equal(e->data.data, want.data, want.len);
    assert_false(pbc_conn_pending(e->parent));
    bytes_free(&want);
}

static void urgent_frames_overtake_the_stream(void **state)
{
    struct ends *e = *state;
    struct pbc_msg_failed m = {.error = {.code = PBC_EXIT_FAILED}};
    uint8_t payload[PBC_SMALL_MAX];

    open_ends(e);
    for (unsigned i = 0; i < 3; i++)
        pbc_conn_send(e->parent, data_chunk(e, i, 10));
    pbc_conn_send_urgent(e->parent, PBC_FRAME_ABORT, 0, payload, pbc_failed_encode(&m, payload));
    assert_int_equal(turns(e, 4), 0);
    assert_int_equal(e->frames, 4);
    assert_int_equal(e->types[0], PBC_FRAME_ABORT);
    pbc_conn_send(e->parent, data_chunk(e, 9, 10));
    pbc_conn_drop_stream(e->parent);
    assert_int_equal(turns(e, 4), 0);
    assert_int_equal(e->frames, 4);
}

static void a_ping_is_heard_but_not_handed_on(void **state)
{
    struct ends *e = *state;

    open_ends(e);
    e->now += 5000;
    pbc_conn_send_urgent(e->child, PBC_FRAME_PING, 0, NULL, 0);
    assert_int_equal(turns(e, 2), 0);
    assert_int_equal(e->frames, 0);
    assert_int_equal(e->parent->heard, e->now);
    assert_int_equal(e->child->spoke, e->now);
}

static void a_frame_too_long_or_from_the_wrong_side_ends_the_connection(void **state)
{
    struct ends *e = *state;
    uint8_t wire[PBC_FRAME_HEADER];

    open_ends(e);
    pbc_frame_encode(&(struct pbc_frame){.type = PBC_FRAME_DATA, .length = PBC_CHUNK_BYTES + 1},
                     wire);
    assert_int_equal(write(e->parent->fd, wire, sizeof(wire)), sizeof(wire));
    assert_int_equal(turn(e, e->child), -1);
    assert_error(&e->err, PBC_EXIT_PEER, "at most");
    pbc_frame_encode(&(struct pbc_frame){.type = PBC_FRAME_COMMIT}, wire);
    assert_int_equal(write(e->child->fd, wire, sizeof(wire)), sizeof(wire));
    assert_int_equal(turn(e, e->parent), -1);
    assert_error(&e->err, PBC_EXIT_PEER, "unexpected frame");
}

static int keep(void *arg, struct pbc_conn *c, struct pbc_chunk *chunk, struct pbc_error *err)
{
    struct pbc_fifo *f = arg;

    (void)c, (void)err;
    return pbc_fifo_push(f, chunk);
}

static void without_a_free_chunk_it_does_not_read_on(void **state)
{
    struct ends *e = *state;
    struct pbc_fifo kept;
    struct pbc_chunk *c;

    open_ends(e);
    pbc_fifo_init(&kept);
    for (unsigned i = 0; i < 6; i++) /* the pool has four */
        pbc_conn_send(e->parent, data_chunk(e, i, 100));
    assert_int_equal(turn(e, e->parent), 0);
    assert_int_equal(pbc_conn_io(e->child, POLLIN, e->pool, e->now, keep, &kept, &e->err), 0);
    assert_int_equal(kept.count, 4);
    assert_true(e->child->starved);
    assert_int_equal(pbc_conn_events(e->child) & POLLIN, 0);
    e->now += 60000; /* meanwhile silence means nothing */
    assert_int_equal(pbc_conn_io(e->child, 0, e->pool, e->now, keep, &kept, &e->err), 0);
    assert_int_equal(e->child->heard, e->now);
    pbc_chunk_unref(pbc_fifo_pop(&kept));
    assert_int_equal(pbc_conn_io(e->child, 0, e->pool, e->now, keep, &kept, &e->err), 0);
    assert_int_equal(kept.count, 4);
    for (unsigned i = 1; i < 6; i++) {
        struct bytes want = {0};

        c = pbc_fifo_try(&kept);
        assert_non_null(c);
        bytes_noise(&want, 100, i);
        assert_memory_equal(c->data, want.data, 100);
        bytes_free(&want);
        pbc_chunk_unref(c);
        assert_int_equal(pbc_conn_io(e->child, POLLIN, e->pool, e->now, keep, &kept, &e->err), 0);
    }
    assert_false(e->child->starved);
    pbc_fifo_destroy(&kept);
}

static int refuse(void *arg, struct pbc_conn *c, struct pbc_chunk *chunk, struct pbc_error *err)
{
    (void)arg, (void)c;
    pbc_chunk_unref(chunk);
    return pbc_fail(err, PBC_EXIT_NOSPACE, "no more");
}

static void a_handlers_error_is_passed_on(void **state)
{
    struct ends *e = *state;

    open_ends(e);
    pbc_conn_send_urgent(e->child, PBC_FRAME_PROGRESS, 7, NULL, 0);
    assert_int_equal(turn(e, e->child), 0);
    assert_int_equal(pbc_conn_io(e->parent, POLLIN, e->pool, e->now, refuse, NULL, &e->err), -1);
    assert_error(&e->err, PBC_EXIT_NOSPACE, "no more");
}

static void what_was_queued_is_released_with_the_connection(void **state)
{
    struct ends *e = *state;
    struct pbc_chunk *c[4];
    int small = 10000;

    open_ends(e);
    assert_int_equal(setsockopt(e->parent->fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    for (int i = 0; i < 4; i++) {
        c[i] = pbc_pool_try(e->pool);
        pbc_chunk_set(c[i], (struct pbc_frame){.type = PBC_FRAME_DATA, .length = PBC_CHUNK_BYTES});
        pbc_conn_send(e->parent, c[i]);
    }
    assert_int_equal(turn(e, e->parent), 0); /* a part of it is sent */
    assert_null(pbc_pool_try(e->pool));
    pbc_conn_close(e->parent);
    e->parent = NULL;
    for (int i = 0; i < 4; i++)
        assert_non_null(c[i] = pbc_pool_try(e->pool));
    for (int i = 0; i < 4; i++)
        pbc_chunk_unref(c[i]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(two_agents_of_a_run_open_a_connection),
        TEST(another_key_is_refused_at_both_ends),
        TEST(a_child_that_cannot_prove_itself_is_refused),
        TEST(garbage_is_refused_after_as_much_as_a_hello),
        TEST(another_version_is_refused_by_name),
        TEST(a_handshake_may_come_byte_by_byte_but_not_for_ever),
        TEST(a_peer_that_closes_is_noticed_in_every_state),
        TEST(frames_arrive_whole_and_in_order),
        TEST(urgent_frames_overtake_the_stream),
        TEST(a_ping_is_heard_but_not_handed_on),
        TEST(a_frame_too_long_or_from_the_wrong_side_ends_the_connection),
        TEST(without_a_free_chunk_it_does_not_read_on),
        TEST(a_handlers_error_is_passed_on),
        TEST(what_was_queued_is_released_with_the_connection),
    };

    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
