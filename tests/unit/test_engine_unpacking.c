/* What the tests of the unpacking pipeline share; declared in engine_support.h. */
#include "engine_support.h"

#include <fcntl.h>
#include <locale.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const uint8_t unpacking_key[PBC_KEY_BYTES] = {4, 5, 6};

int unpacking_setup(void **state)
{
    struct unpacking *p = calloc(1, sizeof(*p));
    void *dir = NULL;

    no_longer_than(240);
    umask(022);
    setlocale(LC_CTYPE, "C.UTF-8");
    if (p == NULL || scratch_setup(&dir) != 0)
        return -1;
    p->dir = dir;
    make_dir(in(dir, "tree"), 0755);
    make_sentinel(in(dir, "outside"));
    p->root = open(in(dir, "tree"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    p->limits = (struct pbc_writer_limits){.entries = 100000};
    p->piece = 5000;
    p->pool = 4;
    *state = p;
    return 0;
}

int unpacking_teardown(void **state)
{
    struct unpacking *p = *state;
    void *dir = p->dir;
    int rc;

    unpacking_free(p);
    close(p->root);
    assert_sentinel(in(p->dir, "outside"));
    rc = scratch_teardown(&dir);
    free(p);
    return rc;
}

void unpacking_start(struct unpacking *p, unsigned bundles)
{
    struct pbc_unpack_conf conf = {.rootfd = p->root,
                                   .root = UNPACKING_ROOT,
                                   .limits = p->limits,
                                   .bundles = bundles,
                                   .workers = p->workers};

    p->check =
        (struct pbc_msg_check){.set = "0123456789abcdef0123456789abcdef", .bundles = bundles};
    p->chunks = pbc_pool_new(p->pool, p->piece);
    p->u = pbc_unpack_start(&conf, &p->err);
    assert_non_null(p->u);
}

void push_archive(struct unpacking *p, unsigned index, const struct bundle *b, size_t len)
{
    pbc_unpack_push(p->u, begin_chunk(index, b->format, b->archive.len, "/bundles/b.tar"));
    for (size_t at = 0; at < len; at += p->piece) {
        struct pbc_chunk *c = pbc_pool_wait(p->chunks);
        size_t n = len - at < p->piece ? len - at : p->piece;

        memcpy(c->data, b->archive.data + at, n);
        pbc_chunk_set(c, (struct pbc_frame){.type = PBC_FRAME_DATA,
                                            .bundle = (uint8_t)index,
                                            .length = (uint32_t)n,
                                            .aux = at});
        pbc_unpack_push(p->u, c);
    }
    if (len == b->archive.len)
        pbc_unpack_push(p->u, end_chunk(&p->check, index, b->archive.data, len, unpacking_key));
}

void push_done(struct unpacking *p)
{
    pbc_unpack_push(p->u, pbc_chunk_small(PBC_FRAME_DONE, 0, NULL, 0));
}

int unpacking_end(struct unpacking *p)
{
    struct pollfd fd = {.fd = pbc_unpack_fd(p->u), .events = POLLIN};
    enum pbc_unpack_state state;

    assert_int_equal(poll(&fd, 1, 120000), 1);
    state = pbc_unpack_state(p->u, &p->err);
    assert_int_not_equal(state, PBC_UNPACK_RUNNING);
    return state == PBC_UNPACK_DONE ? 0 : -1;
}

void unpacking_free(struct unpacking *p)
{
    pbc_unpack_free(p->u);
    pbc_pool_free(p->chunks);
    p->u = NULL;
    p->chunks = NULL;
}

int unpack_all(struct unpacking *p, struct bundle *b, unsigned n)
{
    int rc;

    unpacking_start(p, n);
    for (unsigned i = 0; i < n; i++)
        push_archive(p, i, &b[i], b[i].archive.len);
    push_done(p);
    rc = unpacking_end(p);
    for (unsigned i = 0; i < n; i++)
        bytes_free(&b[i].archive);
    unpacking_free(p);
    return rc;
}

int unpack_tar(struct unpacking *p, enum pbc_format format, struct bytes *tar)
{
    struct bundle b = {.format = format};

    compress_to(format, tar->data, tar->len, &b.archive);
    bytes_free(tar);
    return unpack_all(p, &b, 1);
}
