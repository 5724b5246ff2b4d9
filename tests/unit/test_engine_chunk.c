/* Pools that bound the memory, chunks with several owners, and the queues between threads. */
#include "engine_support.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int is_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, 0) == 1;
}

static void drain(int fd)
{
    uint64_t v;

    assert_int_equal(read(fd, &v, sizeof(v)), sizeof(v));
}

/* ---- pool ---- */

static void a_pool_hands_out_no_more_than_its_count(void **state)
{
    struct pbc_pool *pool = pbc_pool_new(3, 1000);
    struct pbc_chunk *c[3];

    (void)state;
    for (int i = 0; i < 3; i++) {
        c[i] = pbc_pool_try(pool);
        assert_non_null(c[i]);
        memset(c[i]->data, i, 1000);
    }
    assert_null(pbc_pool_try(pool));
    pbc_chunk_unref(c[1]);
    assert_ptr_equal(pbc_pool_try(pool), c[1]);
    assert_null(pbc_pool_try(pool));
    assert_int_equal(c[0]->data[999], 0);
    assert_int_equal(c[2]->data[999], 2);
    for (int i = 0; i < 3; i++)
        pbc_chunk_unref(c[i]);
    pbc_pool_free(pool);
}

static void a_chunk_goes_back_when_its_last_owner_lets_go(void **state)
{
    struct pbc_pool *pool = pbc_pool_new(1, 1);
    struct pbc_chunk *c = pbc_pool_try(pool);

    (void)state;
    assert_ptr_equal(pbc_chunk_ref(c), c);
    pbc_chunk_ref(c);
    pbc_chunk_unref(c);
    assert_null(pbc_pool_try(pool));
    pbc_chunk_unref(c);
    assert_null(pbc_pool_try(pool));
    pbc_chunk_unref(c);
    assert_ptr_equal(pbc_pool_try(pool), c);
    pbc_chunk_unref(c);
    pbc_chunk_unref(NULL);
    pbc_pool_free(pool);
    pbc_pool_free(NULL);
}

static void the_descriptor_tells_whoever_found_the_pool_empty(void **state)
{
    struct pbc_pool *pool = pbc_pool_new(2, 1);
    struct pbc_chunk *a = pbc_pool_try(pool);
    struct pbc_chunk *b = pbc_pool_try(pool);

    (void)state;
    pbc_chunk_unref(a);
    assert_false(is_readable(pbc_pool_fd(pool))); /* nobody asked in vain */
    a = pbc_pool_try(pool);
    assert_null(pbc_pool_try(pool));
    pbc_chunk_unref(a);
    assert_true(is_readable(pbc_pool_fd(pool)));
    drain(pbc_pool_fd(pool));
    pbc_chunk_unref(b);
    assert_false(is_readable(pbc_pool_fd(pool)));
    pbc_pool_free(pool);
}

static void *wait_for_chunk(void *pool)
{
    return pbc_pool_wait(pool);
}

static void who_waits_gets_the_chunk_that_comes_back(void **state)
{
    struct pbc_pool *pool = pbc_pool_new(1, 1);
    struct pbc_chunk *c = pbc_pool_wait(pool);
    pthread_t t;
    void *got;

    (void)state;
    no_longer_than(60);
    assert_int_equal(pthread_create(&t, NULL, wait_for_chunk, pool), 0);
    usleep(20000);
    pbc_chunk_unref(c);
    pthread_join(t, &got);
    assert_ptr_equal(got, c);
    pbc_chunk_unref(got);
    pbc_pool_free(pool);
}

static void closing_a_pool_wakes_all_who_wait(void **state)
{
    struct pbc_pool *pool = pbc_pool_new(1, 1);
    struct pbc_chunk *c = pbc_pool_try(pool);
    pthread_t t[4];
    void *got;

    (void)state;
    no_longer_than(60);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, wait_for_chunk, pool), 0);
    usleep(20000);
    pbc_pool_close(pool);
    for (int i = 0; i < 4; i++) {
        pthread_join(t[i], &got);
        assert_null(got);
    }
    pbc_chunk_unref(c);
    assert_null(pbc_pool_try(pool));
    assert_null(pbc_pool_wait(pool));
    pbc_pool_free(pool);
}

/* ---- chunks of their own ---- */

static void a_small_chunk_has_its_payload_and_header(void **state)
{
    struct pbc_chunk *c = pbc_chunk_small(PBC_FRAME_END, 3, "abc", 3);
    struct pbc_frame f;
    struct pbc_error err;

    (void)state;
    assert_memory_equal(c->data, "abc", 3);
    assert_int_equal(pbc_frame_decode(c->header, 1, &f, &err), 0);
    assert_int_equal(f.type, PBC_FRAME_END);
    assert_int_equal(f.bundle, 3);
    assert_int_equal(f.length, 3);
    pbc_chunk_unref(c);
    c = pbc_chunk_small(PBC_FRAME_CHECK, 0, NULL, 5);
    assert_memory_equal(c->data, "\0\0\0\0\0", 5);
    pbc_chunk_unref(c);
    pbc_chunk_unref(pbc_chunk_small(PBC_FRAME_PING, 0, NULL, 0));
}

/* ---- queue ---- */

static struct pbc_chunk *numbered(uint64_t n)
{
    struct pbc_chunk *c = pbc_chunk_small(PBC_FRAME_PROGRESS, 0, NULL, 0);

    pbc_chunk_set(c, (struct pbc_frame){.type = PBC_FRAME_PROGRESS, .aux = n});
    return c;
}

static void a_queue_keeps_the_order_however_long_it_grows(void **state)
{
    struct pbc_fifo f;
    uint64_t in = 0;
    uint64_t out = 0;

    (void)state;
    assert_int_equal(pbc_fifo_init(&f), 0);
    assert_null(pbc_fifo_try(&f));
    for (int round = 0; round < 50; round++) { /* head goes round while it grows */
        for (int i = 0; i < 37; i++)
            assert_int_equal(pbc_fifo_push(&f, numbered(in++)), 0);
        for (int i = 0; i < 11; i++) {
            struct pbc_chunk *c = i % 2 == 0 ? pbc_fifo_pop(&f) : pbc_fifo_try(&f);

            assert_true(c->frame.aux == out++);
            pbc_chunk_unref(c);
        }
    }
    while (out < in) {
        struct pbc_chunk *c = pbc_fifo_pop(&f);

        assert_true(c->frame.aux == out++);
        pbc_chunk_unref(c);
    }
    assert_null(pbc_fifo_try(&f));
    pbc_fifo_destroy(&f);
}

static void closing_a_queue_releases_what_is_in_it(void **state)
{
    struct pbc_pool *pool = pbc_pool_new(2, 1);
    struct pbc_fifo f;

    (void)state;
    pbc_fifo_init(&f);
    pbc_fifo_push(&f, pbc_pool_try(pool));
    pbc_fifo_push(&f, pbc_pool_try(pool));
    assert_null(pbc_pool_try(pool));
    pbc_fifo_close(&f);
    assert_null(pbc_fifo_pop(&f));
    assert_null(pbc_fifo_try(&f));
    assert_int_equal(pbc_fifo_push(&f, pbc_pool_try(pool)), -1); /* and released */
    pbc_fifo_push(&f, pbc_pool_try(pool));
    pbc_fifo_push(&f, pbc_pool_try(pool));
    pbc_fifo_destroy(&f);
    pbc_pool_free(pool); /* a sanitizer sees what has not come back */
}

static void *pop_one(void *fifo)
{
    return pbc_fifo_pop(fifo);
}

static void closing_a_queue_wakes_all_who_wait(void **state)
{
    struct pbc_fifo f;
    pthread_t t[4];
    void *got;

    (void)state;
    no_longer_than(60);
    pbc_fifo_init(&f);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, pop_one, &f), 0);
    usleep(20000);
    pbc_fifo_close(&f);
    for (int i = 0; i < 4; i++) {
        pthread_join(t[i], &got);
        assert_null(got);
    }
    pbc_fifo_destroy(&f);
}

/* ---- all of it between threads ---- */

#define MANY 20000

struct line {
    struct pbc_pool *pool;
    struct pbc_fifo first, second;
};

static void *produce(void *arg)
{
    struct line *l = arg;

    for (uint32_t i = 0; i < MANY; i++) {
        struct pbc_chunk *c = pbc_pool_wait(l->pool);

        memcpy(c->data, &i, sizeof(i));
        pbc_chunk_ref(c);
        pbc_fifo_push(&l->first, c);
        pbc_fifo_push(&l->second, c);
    }
    return NULL;
}

static void *consume(void *fifo)
{
    for (uint32_t i = 0; i < MANY; i++) {
        struct pbc_chunk *c = pbc_fifo_pop(fifo);
        uint32_t n;

        memcpy(&n, c->data, sizeof(n));
        pbc_chunk_unref(c);
        if (n != i)
            return "out of order";
    }
    return NULL;
}

static void two_consumers_share_chunks_of_a_small_pool(void **state)
{
    struct line l = {.pool = pbc_pool_new(5, 16)};
    pthread_t t[3];
    void *wrong;

    (void)state;
    no_longer_than(120);
    pbc_fifo_init(&l.first);
    pbc_fifo_init(&l.second);
    pthread_create(&t[0], NULL, consume, &l.first);
    pthread_create(&t[1], NULL, consume, &l.second);
    pthread_create(&t[2], NULL, produce, &l);
    for (int i = 0; i < 3; i++) {
        pthread_join(t[i], &wrong);
        assert_null(wrong);
    }
    pbc_fifo_destroy(&l.first);
    pbc_fifo_destroy(&l.second);
    pbc_pool_free(l.pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pool_hands_out_no_more_than_its_count),
        cmocka_unit_test(a_chunk_goes_back_when_its_last_owner_lets_go),
        cmocka_unit_test(the_descriptor_tells_whoever_found_the_pool_empty),
        cmocka_unit_test(who_waits_gets_the_chunk_that_comes_back),
        cmocka_unit_test(closing_a_pool_wakes_all_who_wait),
        cmocka_unit_test(a_small_chunk_has_its_payload_and_header),
        cmocka_unit_test(a_queue_keeps_the_order_however_long_it_grows),
        cmocka_unit_test(closing_a_queue_releases_what_is_in_it),
        cmocka_unit_test(closing_a_queue_wakes_all_who_wait),
        cmocka_unit_test(two_consumers_share_chunks_of_a_small_pool),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
