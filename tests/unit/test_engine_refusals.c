/* The pipeline refuses: truncated, corrupt, forged and hostile archives; and it stops anywhere. */
#include "engine_support.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const enum pbc_format formats[] = {PBC_FORMAT_TAR, PBC_FORMAT_GZIP, PBC_FORMAT_BZIP2,
                                          PBC_FORMAT_XZ,  PBC_FORMAT_ZSTD, PBC_FORMAT_LZ4};
#define NFORMATS (sizeof(formats) / sizeof(formats[0]))

static void some_tar(struct bytes *tar)
{
    struct bytes data = {0};

    for (unsigned i = 0; i < 6; i++) {
        char name[16];

        snprintf(name, sizeof(name), "d/f%u", i);
        bytes_noise(&data, 900 * i, i);
        tar_add(tar, (struct member){.name = name, .data = data.data, .len = data.len});
    }
    bytes_free(&data);
    tar_end(tar);
}

static void assert_refused(struct unpacking *p, enum pbc_format format, struct bytes *tar,
                           const char *word)
{
    if (unpack_tar(p, format, tar) == 0)
        fail_msg("accepted, should be refused for '%s'", word);
    assert_error(&p->err, PBC_EXIT_REFUSED, "/bundles/b.tar", word);
}

static void a_truncated_archive_is_refused_wherever_it_is_cut(void **state)
{
    struct unpacking *p = *state;

    for (size_t f = 0; f < NFORMATS; f++) {
        struct bytes tar = {0}, whole = {0};

        some_tar(&tar);
        compress_to(formats[f], tar.data, tar.len, &whole);
        for (size_t n = 0; n < whole.len; n += formats[f] == PBC_FORMAT_TAR ? 256 : 293) {
            struct bundle b = {.format = formats[f]};

            bytes_add(&b.archive, whole.data, n);
            if (unpack_all(p, &b, 1) == 0)
                fail_msg("%zu of %zu bytes of %s are accepted", n, whole.len,
                         pbc_format_name(formats[f]));
            assert_error(&p->err, PBC_EXIT_REFUSED, "/bundles/b.tar");
        }
        bytes_free(&tar);
        bytes_free(&whole);
    }
}

/* Each member a frame of its own, as tools that compress in parallel write them. */
static void an_archive_cut_between_two_frames_is_refused(void **state)
{
    static const enum pbc_format framed[] = {PBC_FORMAT_GZIP, PBC_FORMAT_ZSTD, PBC_FORMAT_BZIP2,
                                             PBC_FORMAT_XZ, PBC_FORMAT_LZ4};
    struct unpacking *p = *state;

    for (size_t f = 0; f < sizeof(framed) / sizeof(framed[0]); f++) {
        struct bundle b = {.format = framed[f]};
        struct bytes tar = {0};

        tar_add(&tar, (struct member){.name = "a", .data = "1", .len = 1});
        compress_to(framed[f], tar.data, tar.len, &b.archive);
        bytes_free(&tar); /* the frame with "b" and the end of the archive is lost */
        if (unpack_all(p, &b, 1) == 0)
            fail_msg("accepted from %s", pbc_format_name(framed[f]));
        assert_error(&p->err, PBC_EXIT_REFUSED, "truncated");
    }
}

static void a_corrupt_archive_is_refused(void **state)
{
    struct unpacking *p = *state;

    for (size_t f = 1; f < NFORMATS; f++) { /* plain tar has a checksum of its headers only */
        for (unsigned part = 1; part < 8; part++) {
            struct bundle b = {.format = formats[f]};
            struct bytes tar = {0};

            some_tar(&tar);
            compress_to(formats[f], tar.data, tar.len, &b.archive);
            bytes_free(&tar);
            for (size_t i = 0; i < 8; i++)
                b.archive.data[b.archive.len * part / 8 + i] ^= 0x55;
            if (unpack_all(p, &b, 1) == 0 && formats[f] != PBC_FORMAT_ZSTD)
                fail_msg("%s with part %u of 8 changed is accepted", pbc_format_name(formats[f]),
                         part);
        }
    }
}

static void what_is_no_archive_is_refused(void **state)
{
    struct unpacking *p = *state;

    for (size_t f = 0; f < NFORMATS; f++) {
        struct bytes b = {0};

        bytes_fill(&b, 'x', 3000);
        assert_refused(p, formats[f], &b, "not a tar archive");
        bytes_noise(&b, 3000, 1);
        assert_refused(p, formats[f], &b, "not a tar archive");
        tar_end(&b); /* an archive without members */
        assert_refused(p, formats[f], &b, "no members");
    }
}

static void something_else_after_the_stream_is_refused(void **state)
{
    struct unpacking *p = *state;

    for (size_t f = 1; f < NFORMATS; f++) {
        struct bundle b = {.format = formats[f]};
        struct bytes tar = {0};

        some_tar(&tar);
        compress_to(formats[f], tar.data, tar.len, &b.archive);
        bytes_fill(&b.archive, 'x', 20000);
        bytes_free(&tar);
        if (unpack_all(p, &b, 1) == 0)
            fail_msg("accepted after %s", pbc_format_name(formats[f]));
        assert_error(&p->err, PBC_EXIT_REFUSED, "/bundles/b.tar");
    }
}

static void members_that_bundles_cannot_have_are_refused(void **state)
{
    static const struct {
        struct member m;
        const char *word;
    } cases[] = {
        {{.name = "dev", .type = '3'}, "is a device"},
        {{.name = "blk", .type = '4'}, "is a device"},
        {{.name = "fifo", .type = '6'}, "is a fifo"},
        {{.name = "/abs", .data = "x", .len = 1}, "absolute"},
        {{.name = "../up", .data = "x", .len = 1}, "'..'"},
        {{.name = "d/../../up", .data = "x", .len = 1}, "'..'"},
        {{.name = "../outside/", .type = '5'}, "'..'"},
        {{.name = "out", .type = '2', .link = "/etc"}, "out of the tree"},
        {{.name = "out", .type = '2', .link = "../outside"}, "out of the tree"},
        {{.name = "out", .type = '2'}, "link to nothing"},
        {{.name = "h", .type = '1', .link = "../outside/untouched"}, "no name inside"},
        {{.name = "h", .type = '1', .link = "/etc/passwd"}, "no name inside"},
        {{.name = "h", .type = '1', .link = "missing"}, "not a file here"},
        {{.name = "su", .mode = 04755, .data = "x", .len = 1}, "setuid"},
    };
    struct unpacking *p = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bytes tar = {0};

        tar_add(&tar, (struct member){.name = "good", .data = "x", .len = 1});
        tar_add(&tar, cases[i].m);
        tar_end(&tar);
        assert_refused(p, PBC_FORMAT_TAR, &tar, cases[i].word);
    }
}

static void a_bundle_cannot_write_through_its_own_links(void **state)
{
    struct unpacking *p = *state;
    struct bytes tar = {0};

    tar_add(&tar, (struct member){.name = "a/b/", .type = '5'});
    tar_add(&tar, (struct member){.name = "l", .type = '2', .link = "a/b"});
    tar_add(&tar, (struct member){.name = "esc", .type = '2', .link = "l/../../outside"});
    tar_add(&tar, (struct member){.name = "l", .type = '2', .link = "a"});
    tar_add(&tar, (struct member){.name = "esc/untouched", .data = "x", .len = 1});
    tar_end(&tar);
    assert_refused(p, PBC_FORMAT_TAR, &tar, "leads out of the tree");
}

static void limits_hold_against_a_bomb(void **state)
{
    struct unpacking *p = *state;
    struct bytes tar = {0}, zeros = {0};

    p->limits.bytes = 1 << 20;
    bytes_fill(&zeros, 0, 4 << 20);
    tar_add(&tar, (struct member){.name = "bomb", .data = zeros.data, .len = zeros.len});
    tar_end(&tar);
    assert_refused(p, PBC_FORMAT_GZIP, &tar, "over the limit");
    bytes_free(&zeros);
}

/* ---- stopping ---- */

static void it_stops_wherever_it_is(void **state)
{
    struct unpacking *p = *state;

    for (size_t f = 0; f < NFORMATS; f++) {
        struct bundle b = {.format = formats[f]};
        struct bytes tar = {0};

        some_tar(&tar);
        compress_to(formats[f], tar.data, tar.len, &b.archive);
        p->piece = 500;
        p->pool = 64;
        for (unsigned i = 0; i < 12; i++) {
            unpacking_start(p, 1);
            if (i > 0)
                push_archive(p, 0, &b, i < 11 ? b.archive.len * i / 12 : b.archive.len);
            if (i % 2 != 0)
                usleep(randombytes_uniform(3000));
            unpacking_free(p); /* hangs, or not */
        }
        bytes_free(&tar);
        bytes_free(&b.archive);
    }
}

static void what_comes_after_a_failure_is_dropped(void **state)
{
    struct unpacking *p = *state;
    struct bundle b = {.format = PBC_FORMAT_GZIP};

    bytes_fill(&b.archive, 'x', 100000); /* far more than the pool */
    assert_int_equal(unpack_all(p, &b, 1), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, unpacking_setup, unpacking_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_truncated_archive_is_refused_wherever_it_is_cut),
        TEST(an_archive_cut_between_two_frames_is_refused),
        TEST(a_corrupt_archive_is_refused),
        TEST(what_is_no_archive_is_refused),
        TEST(something_else_after_the_stream_is_refused),
        TEST(members_that_bundles_cannot_have_are_refused),
        TEST(a_bundle_cannot_write_through_its_own_links),
        TEST(limits_hold_against_a_bomb),
        TEST(it_stops_wherever_it_is),
        TEST(what_comes_after_a_failure_is_dropped),
    };

    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
