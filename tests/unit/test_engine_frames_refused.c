/* Bundles of frames that lie, are cut off, or break the order that they promise. */
#include "frames_support.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void refuse(struct unpacking *p, struct bytes *archive, const char *words)
{
    struct bundle b = {.format = PBC_FORMAT_ZSTD, .archive = *archive};

    memset(archive, 0, sizeof(*archive));
    p->workers = 4;
    if (unpack_all(p, &b, 1) == 0)
        fail_msg("accepted, but: %s", words);
    assert_error(&p->err, PBC_EXIT_REFUSED, words);
    shell(p->dir, "find tree -mindepth 1 -delete");
}

static void less_raw(struct pbc_frames_head *h)
{
    h->raw -= 512;
}

static void more_raw(struct pbc_frames_head *h)
{
    h->raw += 512;
}

static void less_packed(struct pbc_frames_head *h)
{
    h->packed--;
}

static void more_packed(struct pbc_frames_head *h)
{
    h->packed++;
}

static void more_members(struct pbc_frames_head *h)
{
    h->members++;
}

static void no_members(struct pbc_frames_head *h)
{
    h->members = 0;
}

static void huge(struct pbc_frames_head *h)
{
    h->packed = (uint64_t)1 << 61;
}

static void headers_that_lie_are_refused(void **state)
{
    static const struct {
        void (*lie)(struct pbc_frames_head *);
        const char *words;
    } lies[] = {
        {less_raw, "more than the 512 bytes"}, {more_raw, "its header says 1536"},
        {less_packed, "corrupt: a frame"}, /* it goes on, or the next header is not there */
        {more_packed, "corrupt: a frame"},     {more_members, "1 members, its header says 2"},
        {no_members, "makes no sense"},        {huge, ""},
    };
    struct unpacking *p = *state;

    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        for (int last = 0; last < 2; last++) {
            struct bytes archive = {0};
            struct bytes tar = {0};

            file_frame(&archive, "before", "1");
            tar_add(&tar, (struct member){.name = "f", .data = "1", .len = 1});
            frame_add(&archive, 0, 1, &tar, lies[i].lie);
            if (!last)
                file_frame(&archive, "after", "1");
            frame_end(&archive);
            refuse(p, &archive, lies[i].words);
        }
    }
}

/* Wherever it is cut, and whichever worker sees it. */
static void an_archive_cut_off_anywhere_is_refused(void **state)
{
    struct unpacking *p = *state;
    struct bytes whole = {0};
    struct bytes tar = {0};

    tar_add(&tar, (struct member){.name = "d/", .type = '5'});
    frame_add(&whole, PBC_FRAMES_ORDERED, 1, &tar, NULL);
    file_frame(&whole, "d/f", "1");
    file_frame(&whole, "d/g", "2");
    frame_end(&whole);
    for (size_t len = 13; len < whole.len; len++) {
        struct bytes cut = {0};

        bytes_add(&cut, whole.data, len);
        refuse(p, &cut, "truncated");
    }
    bytes_free(&whole);
}

static void a_changed_byte_anywhere_does_no_harm(void **state)
{
    struct unpacking *p = *state;
    struct bytes whole = {0};

    file_frame(&whole, "f", "one");
    file_frame(&whole, "g", "two");
    frame_end(&whole);
    p->workers = 3;
    for (size_t i = 0; i < whole.len; i++) {
        struct bundle b = {.format = PBC_FORMAT_ZSTD};

        bytes_add(&b.archive, whole.data, whole.len);
        b.archive.data[i] ^= (uint8_t)(1u << i % 8);
        if (unpack_all(p, &b, 1) != 0)
            assert_int_equal(p->err.code, PBC_EXIT_REFUSED);
        shell(p->dir, "test $(cat tree/f tree/g 2>/dev/null | wc -c) -le 6 && "
                      "find tree -mindepth 1 -delete");
    }
    bytes_free(&whole);
}

static void what_has_an_order_is_refused_in_frames_without(void **state)
{
    static const struct member members[] = {
        {.name = "d/", .type = '5'},
        {.name = "l", .type = '2', .link = "f"},
        {.name = "l", .type = '2', .link = "../outside"},
        {.name = "h", .type = '1', .link = "f"},
    };
    struct unpacking *p = *state;

    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        struct bytes archive = {0};
        struct bytes tar = {0};

        file_frame(&archive, "f", "1");
        tar_add(&tar, members[i]);
        frame_add(&archive, 0, 1, &tar, NULL);
        frame_end(&archive);
        refuse(p, &archive, "in a frame without order");
    }
}

/* Members race for a way out, through links that come when they should not. */
static void nothing_gets_out_of_the_tree(void **state)
{
    struct unpacking *p = *state;

    p->workers = 16;
    for (int i = 0; i < 30; i++) {
        struct bundle b = {.format = PBC_FORMAT_ZSTD};
        struct bytes tar = {0};

        for (int k = 0; k < 5; k++) {
            file_frame(&b.archive, "a/untouched", "no");
            tar_add(&tar, (struct member){.name = "b", .type = '2', .link = "../outside"});
            frame_add(&b.archive, k % 2 == 0 ? PBC_FRAMES_ORDERED : 0, 1, &tar, NULL);
            file_frame(&b.archive, "b/untouched", "no");
        }
        frame_end(&b.archive);
        assert_int_equal(unpack_all(p, &b, 1), -1);
        assert_int_equal(p->err.code, PBC_EXIT_REFUSED);
        assert_sentinel(in(p->dir, "outside"));
        shell(p->dir, "find tree -mindepth 1 -delete");
    }
}

static void a_file_and_a_directory_of_one_name_are_refused(void **state)
{
    struct unpacking *p = *state;

    p->workers = 16;
    for (int i = 0; i < 30; i++) {
        struct bundle b = {.format = PBC_FORMAT_ZSTD};

        for (int k = 0; k < 10; k++) {
            file_frame(&b.archive, "x", "file");
            file_frame(&b.archive, "x/y", "below");
        }
        frame_end(&b.archive);
        assert_int_equal(unpack_all(p, &b, 1), -1);
        assert_int_equal(p->err.code, PBC_EXIT_REFUSED);
        shell(p->dir, "find tree -mindepth 1 -delete");
    }
}

static void end_marks_in_the_middle_are_refused(void **state)
{
    struct unpacking *p = *state;
    struct bytes archive = {0};
    struct bytes tar = {0};

    /* the mark, and then members that tar would not see */
    tar_add(&tar, (struct member){.name = "f", .data = "1", .len = 1});
    tar_end(&tar);
    tar_add(&tar, (struct member){.name = "g", .data = "1", .len = 1});
    frame_add(&archive, 0, 1, &tar, NULL);
    frame_end(&archive);
    refuse(p, &archive, "end mark in the middle");

    for (size_t blocks = 1; blocks < 4; blocks++) {
        tar_add(&tar, (struct member){.name = "f", .data = "1", .len = 1});
        bytes_fill(&tar, 0, 512 * blocks);
        frame_add(&archive, 0, 1, &tar, NULL);
        frame_end(&archive);
        refuse(p, &archive, "end mark in the middle");
    }

    file_frame(&archive, "f", "1");
    frame_end(&archive);
    file_frame(&archive, "g", "1");
    refuse(p, &archive, "something follows");

    file_frame(&archive, "f", "1");
    frame_end(&archive);
    frame_end(&archive);
    refuse(p, &archive, "something follows");

    /* a header of an extension, and its member in the next frame */
    tar_add(&tar, (struct member){.name = "f", .data = "1", .len = 1});
    tar_pax(&tar, "path", "../x", 4);
    frame_add(&archive, 0, 1, &tar, NULL);
    file_frame(&archive, "g", "1");
    frame_end(&archive);
    refuse(p, &archive, "");
}

static void the_end_must_be_zeros(void **state)
{
    struct unpacking *p = *state;
    struct bytes archive = {0};
    struct bytes tar = {0};

    file_frame(&archive, "f", "1");
    tar_add(&tar, (struct member){.name = "hidden", .data = "1", .len = 1});
    frame_add(&archive, PBC_FRAMES_ORDERED | PBC_FRAMES_END, 0, &tar, NULL);
    refuse(p, &archive, "the frame that ends the archive has members");

    file_frame(&archive, "f", "1");
    refuse(p, &archive, "no end mark");

    frame_end(&archive);
    refuse(p, &archive, "no members");
}

static void a_header_is_missing(void **state)
{
    struct unpacking *p = *state;
    struct bytes archive = {0};
    struct bytes tar = {0};

    file_frame(&archive, "f", "1");
    tar_add(&tar, (struct member){.name = "g", .data = "1", .len = 1});
    tar_end(&tar);
    compress_to(PBC_FORMAT_ZSTD, tar.data, tar.len, &archive);
    bytes_free(&tar);
    refuse(p, &archive, "header is missing");
}

/* The frame says that it needs more memory than a worker may have. */
static void a_window_of_more_than_the_limit_is_refused(void **state)
{
    struct unpacking *p = *state;
    struct bytes archive = {0};

    shell(p->dir, "mkdir w && head -c 40000000 /dev/zero >w/f && tar -C w -cf w.tar f && "
                  "head -c 40000512 w.tar | zstd -q --long=26 >w.zst");
    file_to_bytes(in(p->dir, "w.zst"), &archive);
    {
        struct pbc_frames_head head = {.packed = archive.len, .raw = 40000512, .members = 1};
        struct bytes b = {0};
        uint8_t header[PBC_FRAMES_HEADER];

        pbc_frames_encode(&head, header);
        bytes_add(&b, header, sizeof(header));
        bytes_add(&b, archive.data, archive.len);
        frame_end(&b);
        bytes_free(&archive);
        refuse(p, &b, "zstd");
    }
}

/* Another version, or skippable frames of somebody else's: an ordinary zstd stream. */
static void a_bundle_with_other_skippable_frames_goes_the_ordinary_way(void **state)
{
    struct unpacking *p = *state;
    struct bundle b = {.format = PBC_FORMAT_ZSTD};
    struct bytes tar = {0};

    for (int i = 0; i < 2; i++) {
        b.archive = (struct bytes){0};
        tar_add(&tar, (struct member){.name = "f", .data = "1", .len = 1});
        tar_add(&tar, (struct member){.name = "l", .type = '2', .link = "f"});
        tar_end(&tar);
        frame_add(&b.archive, 0, 1, &tar, NULL);
        b.archive.data[i == 0 ? 12 : 9] ^= 3;
        if (unpack_all(p, &b, 1) != 0)
            fail_msg("%s", p->err.text);
        assert_true(exists(in(p->dir, "tree/l")));
        shell(p->dir, "find tree -mindepth 1 -delete");
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, unpacking_setup, unpacking_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(headers_that_lie_are_refused),
        TEST(an_archive_cut_off_anywhere_is_refused),
        TEST(a_changed_byte_anywhere_does_no_harm),
        TEST(what_has_an_order_is_refused_in_frames_without),
        TEST(nothing_gets_out_of_the_tree),
        TEST(a_file_and_a_directory_of_one_name_are_refused),
        TEST(end_marks_in_the_middle_are_refused),
        TEST(the_end_must_be_zeros),
        TEST(a_header_is_missing),
        TEST(a_window_of_more_than_the_limit_is_refused),
        TEST(a_bundle_with_other_skippable_frames_goes_the_ordinary_way),
    };

    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
