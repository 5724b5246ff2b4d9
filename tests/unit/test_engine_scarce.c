/* Where there is no memory for what is under way, unpacking fails: it does not wait for it. */
#include "engine_support.h"

#include "chunk.h"

#include <stdlib.h>

static int fails_at = -1; /* which of the next to be queued finds no memory */
static int no_buffers;

int __real_pbc_fifo_push(struct pbc_fifo *f, struct pbc_chunk *c);
int __wrap_pbc_fifo_push(struct pbc_fifo *f, struct pbc_chunk *c);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

int __wrap_pbc_fifo_push(struct pbc_fifo *f, struct pbc_chunk *c)
{
    static atomic_int count;

    if (fails_at < 0)
        atomic_store(&count, 0);
    else if (atomic_fetch_add(&count, 1) == fails_at) {
        pbc_chunk_unref(c);
        return -1;
    }
    return __real_pbc_fifo_push(f, c);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return no_buffers ? NULL : __real_aligned_alloc(alignment, size);
}

/* Reset the count, and let the n-th from now on fail. */
static void fail_at(int n)
{
    struct pbc_fifo f;

    fails_at = -1;
    assert_int_equal(pbc_fifo_init(&f), 0);
    assert_int_equal(pbc_fifo_push(&f, pbc_chunk_small(PBC_FRAME_DONE, 0, NULL, 0)), 0);
    pbc_fifo_destroy(&f);
    fails_at = n;
}

static void a_queue_that_cannot_grow_is_a_failure(void **state)
{
    static const enum pbc_format formats[] = {PBC_FORMAT_TAR, PBC_FORMAT_GZIP, PBC_FORMAT_BZIP2};

    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        int rc = -1;

        for (int n = 0; rc != 0; n++) {
            struct unpacking *p = *state;
            struct bundle b[2] = {{.format = formats[i]}, {.format = formats[i]}};

            assert_true(n < 100);
            for (int k = 0; k < 2; k++) {
                struct bytes tar = {0};

                tar_add(&tar, (struct member){.name = "a", .data = "some", .len = 4});
                tar_end(&tar);
                if (formats[i] == PBC_FORMAT_TAR)
                    bytes_add(&b[k].archive, tar.data, tar.len);
                else
                    compress_to(formats[i], tar.data, tar.len, &b[k].archive);
                bytes_free(&tar);
            }
            fail_at(n);
            rc = unpack_all(p, b, 2);
            fails_at = -1;
            if (rc != 0)
                assert_error(&p->err, PBC_EXIT_FAILED, "no memory");
        }
    }
}

/* Nobody would ever give one back. */
static void a_pool_has_a_buffer_or_is_none(void **state)
{
    struct pbc_pool *pool;

    (void)state;
    no_buffers = 1;
    pool = pbc_pool_new(4, 4096);
    no_buffers = 0;
    assert_null(pool);
    pool = pbc_pool_new(4, 4096);
    no_buffers = 1;
    pbc_chunk_unref(pbc_pool_wait(pool));
    no_buffers = 0;
    pbc_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_queue_that_cannot_grow_is_a_failure, unpacking_setup,
                                        unpacking_teardown),
        cmocka_unit_test(a_pool_has_a_buffer_or_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
