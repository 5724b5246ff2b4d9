/* Headers of frames: encoding, and what is refused. */
#include "frames.h"

#include "bundle.h"
#include "support.h"

#include <string.h>

static const struct pbc_frames_head file = {
    .packed = 0x0102030405060708, .raw = 0x10203040506000, .members = 7, .digest = {1, 2, 3}};

static struct pbc_frames_head end(void)
{
    return (struct pbc_frames_head){
        .flags = PBC_FRAMES_ORDERED | PBC_FRAMES_END, .packed = 20, .raw = 1024};
}

static void a_header_is_what_the_specification_says(void **state)
{
    static const uint8_t want[] = {0x50, 0x2a, 0x4d, 0x18, 60,   0,    0,    0,    'P',  'B',
                                   'C',  'F',  1,    1,    0,    0,    0x01, 0x02, 0x03, 0x04,
                                   0x05, 0x06, 0x07, 0x08, 0x00, 0x10, 0x20, 0x30, 0x40, 0x50,
                                   0x60, 0x00, 0,    0,    0,    7,    1,    2,    3};
    struct pbc_frames_head h = file;
    uint8_t out[PBC_FRAMES_HEADER];

    (void)state;
    h.flags = PBC_FRAMES_ORDERED;
    pbc_frames_encode(&h, out);
    assert_memory_equal(out, want, sizeof(want));
    for (size_t i = sizeof(want); i < sizeof(out); i++)
        assert_int_equal(out[i], 0);
}

static void what_is_encoded_is_decoded(void **state)
{
    uint8_t out[PBC_FRAMES_HEADER];

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct pbc_frames_head h = i == 2 ? end() : file;
        struct pbc_frames_head back;

        if (i == 1)
            h.flags = PBC_FRAMES_ORDERED;
        pbc_frames_encode(&h, out);
        assert_true(pbc_frames_known(out));
        assert_int_equal(pbc_frames_decode(out, &back, NULL), 0);
        assert_int_equal(back.flags, h.flags);
        assert_int_equal(back.packed, h.packed);
        assert_int_equal(back.raw, h.raw);
        assert_int_equal(back.members, h.members);
        assert_memory_equal(back.digest, h.digest, sizeof(h.digest));
    }
}

static void a_bundle_of_frames_is_recognised_as_zstd(void **state)
{
    uint8_t head[PBC_SNIFF_BYTES] = {0};

    (void)state;
    pbc_frames_encode(&file, head);
    memcpy(head + PBC_FRAMES_HEADER, "\x28\xb5\x2f\xfd", 4);
    assert_int_equal(pbc_format_sniff(head, sizeof(head)), PBC_FORMAT_ZSTD);
}

static void other_headers_are_not_ours(void **state)
{
    uint8_t out[PBC_FRAMES_HEADER];
    struct pbc_frames_head h;
    struct pbc_error err;

    (void)state;
    for (unsigned i = 0; i < 13; i++) {
        pbc_frames_encode(&file, out);
        out[i] ^= 0x80;
        assert_false(pbc_frames_known(out));
        assert_int_equal(pbc_frames_decode(out, &h, &err), -1);
        assert_error(&err, PBC_EXIT_REFUSED, "header is missing");
    }
}

static void refuse(struct pbc_frames_head h)
{
    uint8_t out[PBC_FRAMES_HEADER];
    struct pbc_frames_head back;
    struct pbc_error err;

    pbc_frames_encode(&h, out);
    assert_int_equal(pbc_frames_decode(out, &back, &err), -1);
    assert_error(&err, PBC_EXIT_REFUSED, "makes no sense");
}

#define REFUSED(base, field, value)                                                                \
    do {                                                                                           \
        struct pbc_frames_head h_ = (base);                                                        \
        h_.field = (value);                                                                        \
        refuse(h_);                                                                                \
    } while (0)

static void impossible_headers_are_refused(void **state)
{
    uint8_t out[PBC_FRAMES_HEADER];
    struct pbc_frames_head back;

    (void)state;
    REFUSED(file, packed, 0);
    REFUSED(file, packed, UINT64_MAX);
    REFUSED(file, raw, 0);
    REFUSED(file, raw, 1023);
    REFUSED(file, raw, UINT64_MAX - 511);
    REFUSED(file, raw, 6 * 512); /* fewer blocks than members */
    REFUSED(file, members, 0);
    REFUSED(file, flags, 4);
    REFUSED(file, flags, PBC_FRAMES_END);
    REFUSED(file, flags, PBC_FRAMES_END | PBC_FRAMES_ORDERED);
    REFUSED(end(), flags, PBC_FRAMES_END);
    REFUSED(end(), flags, 255);
    REFUSED(end(), members, 1);
    REFUSED(end(), raw, 512);
    REFUSED(end(), raw, 2 * PBC_FRAMES_END_MAX);
    for (unsigned i = 14; i < 16; i++) { /* reserved */
        pbc_frames_encode(&file, out);
        out[i] = 1;
        assert_int_equal(pbc_frames_decode(out, &back, NULL), -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_is_what_the_specification_says),
        cmocka_unit_test(what_is_encoded_is_decoded),
        cmocka_unit_test(a_bundle_of_frames_is_recognised_as_zstd),
        cmocka_unit_test(other_headers_are_not_ours),
        cmocka_unit_test(impossible_headers_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
