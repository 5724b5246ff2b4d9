/* Between a run and the transport of its stream: frames into blocks, and blocks into frames. */
#include "engine_support.h"

#include "stream.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

static int is_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, 0) == 1;
}

/* A node, and a block on its way there. */
struct fixture {
    struct pbc_pool *pool;
    struct pbc_stream *stream;
    uint8_t *block;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    f->pool = pbc_pool_new(64, PBC_CHUNK_BYTES);
    f->stream = pbc_stream_new(f->pool);
    f->block = calloc(1, PBC_STREAM_BLOCK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    pbc_stream_free(f->stream);
    pbc_pool_free(f->pool);
    free(f->block);
    free(f);
    return 0;
}

static void send_small(struct fixture *f, uint8_t type, const char *payload)
{
    assert_int_equal(
        pbc_stream_send(f->stream, pbc_chunk_small(type, 0, payload, (uint32_t)strlen(payload))),
        0);
}

static void send_data(struct fixture *f, uint64_t offset, uint32_t length)
{
    struct pbc_chunk *c = pbc_pool_try(f->pool);

    assert_non_null(c);
    memset(c->data, (int)(offset / PBC_CHUNK_BYTES), length);
    pbc_chunk_set(c,
                  (struct pbc_frame){
                      .type = PBC_FRAME_DATA, .length = length, .aux = offset, .tag = {1, 2, 3}});
    assert_int_equal(pbc_stream_send(f->stream, c), 0);
}

static void assert_next(struct fixture *f, uint8_t type, uint64_t aux, uint32_t length)
{
    struct pbc_chunk *c = pbc_stream_next(f->stream);

    assert_non_null(c);
    assert_int_equal(c->frame.type, type);
    assert_int_equal(c->frame.aux, aux);
    assert_int_equal(c->frame.length, length);
    if (type == PBC_FRAME_DATA) {
        assert_int_equal(c->frame.tag[2], 3);
        assert_int_equal(c->data[length - 1], aux / PBC_CHUNK_BYTES);
    }
    pbc_chunk_unref(c);
}

static void what_goes_into_a_block_comes_out_of_it(void **state)
{
    struct fixture *f = *state;
    struct pbc_error err;
    size_t len, at = 0;
    int send = 0;

    send_small(f, PBC_FRAME_BEGIN, "begin");
    send_data(f, 0, PBC_CHUNK_BYTES);
    len = pbc_stream_fill(f->stream, f->block, 0, &send);
    assert_int_equal(len, 2 * PBC_FRAME_HEADER + 5 + PBC_CHUNK_BYTES);
    assert_int_equal(send, 0);
    send_data(f, PBC_CHUNK_BYTES, 7);
    send_small(f, PBC_FRAME_DONE, "");
    len = pbc_stream_fill(f->stream, f->block, len, &send);
    assert_int_equal(len, 4 * PBC_FRAME_HEADER + 5 + PBC_CHUNK_BYTES + 7);
    assert_int_equal(send, 1); /* nothing more will come */
    assert_false(is_readable(pbc_stream_fd(f->stream)));
    assert_int_equal(pbc_stream_take(f->stream, f->block, len, &at, &err), 1);
    assert_true(is_readable(pbc_stream_fd(f->stream)));
    assert_next(f, PBC_FRAME_BEGIN, 0, 5);
    assert_next(f, PBC_FRAME_DATA, 0, PBC_CHUNK_BYTES);
    assert_next(f, PBC_FRAME_DATA, PBC_CHUNK_BYTES, 7);
    assert_next(f, PBC_FRAME_DONE, 0, 0);
    assert_null(pbc_stream_next(f->stream));
}

static void a_full_block_goes_and_loses_no_frame(void **state)
{
    struct fixture *f = *state;
    size_t len;
    int send = 0;

    for (unsigned i = 0; i < PBC_BLOCK_FRAMES + 1; i++)
        send_data(f, (uint64_t)i * PBC_CHUNK_BYTES, PBC_CHUNK_BYTES);
    len = pbc_stream_fill(f->stream, f->block, 0, &send);
    assert_int_equal(len, PBC_STREAM_BLOCK);
    assert_int_equal(send, 1);
    send = 0;
    len = pbc_stream_fill(f->stream, f->block, 0, &send);
    assert_int_equal(len, PBC_FRAME_HEADER + PBC_CHUNK_BYTES);
    assert_int_equal(send, 0);
    assert_int_equal(f->block[len - 1], PBC_BLOCK_FRAMES);
}

static void a_block_waits_where_no_chunk_is_free(void **state)
{
    struct fixture *f = *state;
    struct pbc_chunk *held[64];
    struct pbc_error err;
    size_t len, at = 0;
    int send = 0;

    for (unsigned i = 0; i < 3; i++)
        send_data(f, (uint64_t)i * PBC_CHUNK_BYTES, PBC_CHUNK_BYTES);
    len = pbc_stream_fill(f->stream, f->block, 0, &send);
    for (unsigned i = 0; i < 63; i++)
        held[i] = pbc_pool_try(f->pool);
    assert_int_equal(pbc_stream_take(f->stream, f->block, len, &at, &err), 0);
    assert_int_equal(pbc_stream_take(f->stream, f->block, len, &at, &err), 0);
    assert_next(f, PBC_FRAME_DATA, 0, PBC_CHUNK_BYTES);
    assert_null(pbc_stream_next(f->stream));
    for (unsigned i = 0; i < 63; i++)
        pbc_chunk_unref(held[i]);
    assert_int_equal(pbc_stream_take(f->stream, f->block, len, &at, &err), 1);
    assert_next(f, PBC_FRAME_DATA, PBC_CHUNK_BYTES, PBC_CHUNK_BYTES);
    assert_next(f, PBC_FRAME_DATA, 2 * PBC_CHUNK_BYTES, PBC_CHUNK_BYTES);
}

static void a_run_that_has_stopped_gets_and_gives_nothing(void **state)
{
    struct fixture *f = *state;
    struct pbc_error err;
    size_t len, at = 0;
    int send = 0;

    send_data(f, 0, 9);
    len = pbc_stream_fill(f->stream, f->block, 0, &send);
    send_data(f, 9, 9);
    pbc_stream_stop(f->stream);
    assert_int_equal(pbc_stream_take(f->stream, f->block, len, &at, &err), 1);
    assert_null(pbc_stream_next(f->stream));
    assert_int_equal(pbc_stream_fill(f->stream, f->block, 0, &send), 0);
    assert_int_equal(pbc_stream_send(f->stream, pbc_chunk_small(PBC_FRAME_DONE, 0, NULL, 0)), -1);
}

static void the_first_failure_counts_and_wakes_the_run(void **state)
{
    struct fixture *f = *state;
    struct pbc_error one, two, got;

    assert_int_equal(pbc_stream_failed(f->stream, &got), 0);
    pbc_fail(&one, PBC_EXIT_PEER, "one");
    pbc_fail(&two, PBC_EXIT_FAILED, "two");
    pbc_stream_fail(f->stream, &one);
    pbc_stream_fail(f->stream, &two);
    assert_true(is_readable(pbc_stream_fd(f->stream)));
    assert_int_equal(pbc_stream_failed(f->stream, &got), 1);
    assert_string_equal(got.text, "one");
    assert_int_equal(pbc_stream_ended(f->stream), 0);
    pbc_stream_end(f->stream);
    assert_int_equal(pbc_stream_ended(f->stream), 1);
}

/* ---- what is no block ---- */

static void refuse(struct fixture *f, size_t len, const char *words)
{
    struct pbc_error err;
    size_t at = 0;

    assert_int_equal(pbc_stream_take(f->stream, f->block, len, &at, &err), -1);
    assert_int_equal(err.code, PBC_EXIT_PEER);
    if (strstr(err.text, words) == NULL)
        fail_msg("'%s' is not in '%s'", words, err.text);
}

static void frame(struct fixture *f, struct pbc_frame frame)
{
    pbc_frame_encode(&frame, f->block);
}

static void malformed_blocks_are_refused(void **state)
{
    struct fixture *f = *state;

    frame(f, (struct pbc_frame){.type = PBC_FRAME_DONE});
    refuse(f, PBC_FRAME_HEADER - 1, "ends within a header");
    frame(f, (struct pbc_frame){.type = PBC_FRAME_DATA, .length = 10});
    refuse(f, PBC_FRAME_HEADER + 9, "ends within a frame");
    frame(f, (struct pbc_frame){.type = PBC_FRAME_DATA, .length = PBC_CHUNK_BYTES + 1});
    refuse(f, PBC_STREAM_BLOCK, "at most");
    frame(f, (struct pbc_frame){.type = 99});
    refuse(f, PBC_FRAME_HEADER, "unexpected frame type 99");
}

/* They come over the tree, from who has proved to be a neighbour. */
static void frames_that_are_not_of_the_stream_are_refused(void **state)
{
    static const uint8_t others[] = {PBC_FRAME_PING,  PBC_FRAME_CHECK, PBC_FRAME_COMMIT,
                                     PBC_FRAME_ABORT, PBC_FRAME_LEAF,  PBC_FRAME_MOVE,
                                     PBC_FRAME_HAVE,  PBC_FRAME_FAILED};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(others); i++) {
        frame(f, (struct pbc_frame){.type = others[i]});
        refuse(f, PBC_FRAME_HEADER, "frame");
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_goes_into_a_block_comes_out_of_it),
        TEST(a_full_block_goes_and_loses_no_frame),
        TEST(a_block_waits_where_no_chunk_is_free),
        TEST(a_run_that_has_stopped_gets_and_gives_nothing),
        TEST(the_first_failure_counts_and_wakes_the_run),
        TEST(malformed_blocks_are_refused),
        TEST(frames_that_are_not_of_the_stream_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
