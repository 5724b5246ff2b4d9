/* Compressed streams that arrive in pieces: gzip by ISA-L, zstd by libzstd. */
#include "engine_support.h"

#include "decode.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#ifdef PBC_HAVE_ZSTD
#include <zstd.h>
#endif

static const enum pbc_format formats[] = {PBC_FORMAT_GZIP, PBC_FORMAT_ZSTD};
#define NFORMATS (sizeof(formats) / sizeof(formats[0]))

/* Decode pieces of `step` bytes into blocks of `block` bytes. 0, or -1 with err. */
static int decode_by(enum pbc_format format, const struct bytes *in, size_t step, size_t block,
                     struct bytes *out, struct pbc_error *err)
{
    struct pbc_decoder *d = pbc_decoder_new(format);
    uint8_t *buf = malloc(block);
    size_t idle = 0;
    int rc = 0;

    for (size_t at = 0; rc >= 0 && at < in->len; at += step) {
        size_t len = in->len - at < step ? in->len - at : step;
        uint8_t *piece = malloc(len); /* of its exact size, for the sanitizers */
        size_t used = 0;

        memcpy(piece, in->data + at, len);
        do {
            size_t before = used;
            size_t made = 0;

            rc = pbc_decode(d, piece, len, &used, buf, block, &made, err);
            bytes_add(out, buf, made);
            idle = made == 0 && used == before ? idle + 1 : 0;
            if (idle > 100)
                fail_msg("the decoder of %s makes no progress", pbc_format_name(format));
        } while (rc == 1);
        if (rc == 0)
            assert_int_equal(used, len);
        free(piece);
    }
    if (rc >= 0)
        rc = pbc_decode_end(d, err);
    pbc_decoder_free(d);
    free(buf);
    return rc;
}

static void assert_decodes(enum pbc_format format, const struct bytes *in, const struct bytes *want)
{
    static const size_t steps[] = {1, 2, 3, 7, 100, 4096, 1 << 20};
    static const size_t blocks[] = {1, 13, 1000, 1 << 20};

    for (size_t s = 0; s < sizeof(steps) / sizeof(steps[0]); s++) {
        for (size_t b = 0; b < sizeof(blocks) / sizeof(blocks[0]); b++) {
            struct bytes out = {0};
            struct pbc_error err;

            if (decode_by(format, in, steps[s], blocks[b], &out, &err) != 0)
                fail_msg("%s by %zu into %zu: %s", pbc_format_name(format), steps[s], blocks[b],
                         err.text);
            assert_int_equal(out.len, want->len);
            if (want->len > 0)
                assert_memory_equal(out.data, want->data, want->len);
            bytes_free(&out);
        }
    }
}

static void assert_refused(enum pbc_format format, const struct bytes *in, const char *word)
{
    static const size_t steps[] = {1, 64, 1 << 20};

    for (size_t s = 0; s < sizeof(steps) / sizeof(steps[0]); s++) {
        struct bytes out = {0};
        struct pbc_error err;

        if (decode_by(format, in, steps[s], 1000, &out, &err) == 0)
            fail_msg("accepted in pieces of %zu", steps[s]);
        assert_error(&err, PBC_EXIT_REFUSED, word);
        bytes_free(&out);
    }
}

/* Text that compresses, noise that does not. */
static void some_data(struct bytes *b)
{
    for (int i = 0; i < 400; i++) {
        char line[32];

        snprintf(line, sizeof(line), "line %d of the text\n", i);
        bytes_add(b, line, strlen(line));
    }
    bytes_noise(b, 9000, 7);
    bytes_fill(b, 0, 20000);
}

static void this_build_decodes_gzip_and_zstd_itself(void **state)
{
    (void)state;
#ifdef PBC_HAVE_ISAL
    assert_true(pbc_decoder_exists(PBC_FORMAT_GZIP));
#endif
#ifdef PBC_HAVE_ZSTD
    assert_true(pbc_decoder_exists(PBC_FORMAT_ZSTD));
#endif
    assert_false(pbc_decoder_exists(PBC_FORMAT_XZ));
    assert_false(pbc_decoder_exists(PBC_FORMAT_TAR));
    assert_false(pbc_decoder_exists(PBC_FORMAT_UNKNOWN));
}

static void pieces_of_any_size_give_the_same_output(void **state)
{
    (void)state;
    for (size_t f = 0; f < NFORMATS; f++) {
        struct bytes data = {0}, packed = {0};

        if (!pbc_decoder_exists(formats[f]))
            continue;
        some_data(&data);
        compress_to(formats[f], data.data, data.len, &packed);
        assert_decodes(formats[f], &packed, &data);
        bytes_free(&data);
        bytes_free(&packed);
    }
}

static void streams_in_a_row_are_one_stream(void **state)
{
    (void)state;
    for (size_t f = 0; f < NFORMATS; f++) {
        struct bytes data = {0}, packed = {0};

        if (!pbc_decoder_exists(formats[f]))
            continue;
        for (int i = 0; i < 5; i++) {
            size_t from = data.len;

            if (i == 2) /* an empty one in between */
                compress_to(formats[f], "", 0, &packed);
            bytes_noise(&data, (size_t)(700 * i), (uint64_t)i);
            compress_to(formats[f], data.data + from, data.len - from, &packed);
        }
        assert_decodes(formats[f], &packed, &data);
        bytes_free(&data);
        bytes_free(&packed);
    }
}

/* Whatever is missing, of the header, the data or the checksum. */
static void every_truncation_is_refused(void **state)
{
    (void)state;
    for (size_t f = 0; f < NFORMATS; f++) {
        struct bytes data = {0}, packed = {0};

        if (!pbc_decoder_exists(formats[f]))
            continue;
        bytes_noise(&data, 300, 1);
        bytes_fill(&data, 'a', 300);
        compress_to(formats[f], data.data, data.len, &packed);
        for (size_t n = 0; n < packed.len; n++) {
            struct bytes part = {.data = packed.data, .len = n};
            struct bytes out = {0};
            struct pbc_error err;

            if (decode_by(formats[f], &part, 17, 100, &out, &err) == 0)
                fail_msg("%zu of %zu bytes of %s are accepted", n, packed.len,
                         pbc_format_name(formats[f]));
            assert_error(&err, PBC_EXIT_REFUSED, "truncated");
            bytes_free(&out);
        }
        bytes_free(&data);
        bytes_free(&packed);
    }
}

/* A flipped bit is refused, or, in a field without meaning (the name, the time), of no effect. */
static void a_flipped_bit_never_changes_what_is_decoded(void **state)
{
    struct bytes data = {0}, packed = {0};

    (void)state;
    if (!pbc_decoder_exists(PBC_FORMAT_GZIP))
        skip();
    bytes_noise(&data, 200, 3);
    bytes_fill(&data, 'b', 200);
    compress_to(PBC_FORMAT_GZIP, data.data, data.len, &packed);
    for (size_t bit = 0; bit < 8 * packed.len; bit++) {
        struct bytes out = {0};
        struct pbc_error err;

        packed.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (decode_by(PBC_FORMAT_GZIP, &packed, 64, 100, &out, &err) == 0) {
            assert_int_equal(out.len, data.len);
            assert_memory_equal(out.data, data.data, data.len);
        }
        packed.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        bytes_free(&out);
    }
    bytes_free(&data);
    bytes_free(&packed);
}

static void a_wrong_checksum_is_refused(void **state)
{
    struct bytes data = {0}, packed = {0};

    (void)state;
    if (!pbc_decoder_exists(PBC_FORMAT_GZIP))
        skip();
    some_data(&data);
    compress_to(PBC_FORMAT_GZIP, data.data, data.len, &packed);
    packed.data[packed.len - 8] ^= 1; /* CRC-32; ISIZE follows */
    assert_refused(PBC_FORMAT_GZIP, &packed, "checksum");
    packed.data[packed.len - 8] ^= 1;
    packed.data[packed.len - 1] ^= 1;
    assert_refused(PBC_FORMAT_GZIP, &packed, "corrupt");
    bytes_free(&data);
    bytes_free(&packed);
}

static void zeros_after_gzip_are_ignored_and_anything_else_is_refused(void **state)
{
    struct bytes data = {0}, packed = {0};

    (void)state;
    if (!pbc_decoder_exists(PBC_FORMAT_GZIP))
        skip();
    some_data(&data);
    compress_to(PBC_FORMAT_GZIP, data.data, data.len, &packed);
    bytes_fill(&packed, 0, 10240);
    assert_decodes(PBC_FORMAT_GZIP, &packed, &data);
    bytes_add(&packed, "x", 1);
    assert_refused(PBC_FORMAT_GZIP, &packed, "corrupt");
    packed.len -= 10241;
    bytes_add(&packed, "some garbage", 12);
    assert_refused(PBC_FORMAT_GZIP, &packed, "corrupt");
    packed.len -= 12;
    bytes_add(&packed, "\x1f", 1); /* the start of a member */
    assert_refused(PBC_FORMAT_GZIP, &packed, "truncated");
    bytes_free(&data);
    bytes_free(&packed);
}

/* RFC 1952: extra field, name, comment and header checksum. */
static void all_fields_of_a_gzip_header_are_read_over(void **state)
{
    static const uint8_t fields[] = {
        0x1f, 0x8b, 8,   4 + 8 + 16, 1,   2,   3,   4,   0,   3, /* FEXTRA, FNAME, FCOMMENT */
        5,    0,    'e', 'x',        't', 'r', 'a', 'n', 'a', 'm', 'e', 0, 'c', 0};
    struct bytes data = {0}, packed = {0}, whole = {0};

    (void)state;
    if (!pbc_decoder_exists(PBC_FORMAT_GZIP))
        skip();
    some_data(&data);
    compress_to(PBC_FORMAT_GZIP, data.data, data.len, &packed);
    assert_int_equal(packed.data[3], 0); /* ten bytes without any field */
    bytes_add(&whole, fields, sizeof(fields));
    bytes_add(&whole, packed.data + 10, packed.len - 10);
    assert_decodes(PBC_FORMAT_GZIP, &whole, &data);
    bytes_free(&data);
    bytes_free(&packed);
    bytes_free(&whole);
}

#ifdef PBC_HAVE_ZSTD
static void skippable_frames_are_skipped(void **state)
{
    static const uint8_t skippable[] = {0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'a', 'b', 'c'};
    struct bytes data = {0}, packed = {0};

    (void)state;
    some_data(&data);
    bytes_add(&packed, skippable, sizeof(skippable));
    compress_to(PBC_FORMAT_ZSTD, data.data, data.len, &packed);
    bytes_add(&packed, skippable, sizeof(skippable));
    assert_decodes(PBC_FORMAT_ZSTD, &packed, &data);
    bytes_add(&packed, skippable, sizeof(skippable) - 1);
    assert_refused(PBC_FORMAT_ZSTD, &packed, "truncated");
    bytes_free(&data);
    bytes_free(&packed);
}

static void garbage_after_zstd_is_refused(void **state)
{
    struct bytes data = {0}, packed = {0};

    (void)state;
    some_data(&data);
    compress_to(PBC_FORMAT_ZSTD, data.data, data.len, &packed);
    bytes_add(&packed, "garbage!", 8);
    assert_refused(PBC_FORMAT_ZSTD, &packed, "corrupt");
    bytes_free(&data);
    bytes_free(&packed);
}

static void zstd_with_window(int log, struct bytes *out)
{
    ZSTD_CCtx *c = ZSTD_createCCtx();
    uint8_t buf[4096];
    ZSTD_inBuffer src = {"data", 4, 0};
    ZSTD_EndDirective how = ZSTD_e_flush; /* so that the header cannot tell the size */
    size_t left;

    assert_false(ZSTD_isError(ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, log)));
    do {
        ZSTD_outBuffer dst = {buf, sizeof(buf), 0};

        left = ZSTD_compressStream2(c, &dst, &src, how);
        assert_false(ZSTD_isError(left));
        bytes_add(out, buf, dst.pos);
        if (left == 0 && how == ZSTD_e_flush) {
            how = ZSTD_e_end;
            left = 1;
        }
    } while (left != 0);
    ZSTD_freeCCtx(c);
}

static void a_zstd_window_beyond_128_mib_is_refused(void **state)
{
    struct bytes packed = {0};
    struct bytes want = {.data = (uint8_t *)"data", .len = 4};
    struct bytes out = {0};
    struct pbc_error err;

    (void)state;
    zstd_with_window(27, &packed);
    assert_int_equal(decode_by(PBC_FORMAT_ZSTD, &packed, 100, 100, &out, &err), 0);
    assert_memory_equal(out.data, want.data, 4);
    bytes_free(&packed);
    zstd_with_window(28, &packed);
    assert_refused(PBC_FORMAT_ZSTD, &packed, "more than 128 MiB of memory");
    bytes_free(&packed);
    bytes_free(&out);
}
#endif

static void nothing_at_all_is_truncated(void **state)
{
    struct bytes nothing = {0}, out = {0};
    struct pbc_error err;

    (void)state;
    for (size_t f = 0; f < NFORMATS; f++) {
        if (!pbc_decoder_exists(formats[f]))
            continue;
        assert_int_equal(decode_by(formats[f], &nothing, 1, 1, &out, &err), -1);
        assert_error(&err, PBC_EXIT_REFUSED, "truncated", pbc_format_name(formats[f]));
    }
    pbc_decoder_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(this_build_decodes_gzip_and_zstd_itself),
        cmocka_unit_test(pieces_of_any_size_give_the_same_output),
        cmocka_unit_test(streams_in_a_row_are_one_stream),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(a_flipped_bit_never_changes_what_is_decoded),
        cmocka_unit_test(a_wrong_checksum_is_refused),
        cmocka_unit_test(zeros_after_gzip_are_ignored_and_anything_else_is_refused),
        cmocka_unit_test(all_fields_of_a_gzip_header_are_read_over),
#ifdef PBC_HAVE_ZSTD
        cmocka_unit_test(skippable_frames_are_skipped),
        cmocka_unit_test(garbage_after_zstd_is_refused),
        cmocka_unit_test(a_zstd_window_beyond_128_mib_is_refused),
#endif
        cmocka_unit_test(nothing_at_all_is_truncated),
    };

    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
