#include "support.h"

#include "bundle.h"

#include <stdio.h>
#include <string.h>

static unsigned char head[PBC_SNIFF_BYTES];

static enum pbc_format sniff(const void *bytes, size_t len)
{
    memset(head, 0x11, sizeof(head));
    memcpy(head, bytes, len);
    return pbc_format_sniff(head, sizeof(head));
}
#define SNIFF(literal) sniff(literal, sizeof(literal) - 1)

static void compressed_archives_are_known_by_their_magic(void **state)
{
    (void)state;
    assert_int_equal(SNIFF("\x1f\x8b\x08\x00\0\0\0\0\0\x03"), PBC_FORMAT_GZIP);
    assert_int_equal(SNIFF("\x1f\x8b\x08\x1f"), PBC_FORMAT_GZIP); /* every flag that there is */
    assert_int_equal(SNIFF("BZh91AY&SY"), PBC_FORMAT_BZIP2);
    assert_int_equal(SNIFF("BZh1\x17rE8P\x90"), PBC_FORMAT_BZIP2); /* of nothing */
    assert_int_equal(SNIFF("\xfd"
                           "7zXZ\0"),
                     PBC_FORMAT_XZ);
    assert_int_equal(SNIFF("\x28\xb5\x2f\xfd"), PBC_FORMAT_ZSTD);
    assert_int_equal(SNIFF("\x04\x22\x4d\x18"), PBC_FORMAT_LZ4);
}

static void what_only_looks_like_them_is_unknown(void **state)
{
    (void)state;
    assert_int_equal(SNIFF("\x1f\x8b\x07\x00"), PBC_FORMAT_UNKNOWN); /* not deflate */
    assert_int_equal(SNIFF("\x1f\x8b\x08\x20"), PBC_FORMAT_UNKNOWN); /* a reserved flag */
    assert_int_equal(SNIFF("\x1f\x9d\x90"), PBC_FORMAT_UNKNOWN);     /* compress */
    assert_int_equal(SNIFF("BZh01AY&SY"), PBC_FORMAT_UNKNOWN);
    assert_int_equal(SNIFF("BZh9 is how it began"), PBC_FORMAT_UNKNOWN);
    assert_int_equal(SNIFF("PK\x03\x04"), PBC_FORMAT_UNKNOWN);
    assert_int_equal(SNIFF("#!/bin/sh\n"), PBC_FORMAT_UNKNOWN);
    assert_int_equal(SNIFF("\x7f"
                           "ELF"),
                     PBC_FORMAT_UNKNOWN);
    assert_int_equal(SNIFF("\x02\x21\x4c\x18"), PBC_FORMAT_UNKNOWN); /* lz4 before its frames */
}

static void skippable_frames_are_skipped(void **state)
{
    (void)state;
    assert_int_equal(SNIFF("\x50\x2a\x4d\x18\x04\0\0\0abcd\x28\xb5\x2f\xfd"), PBC_FORMAT_ZSTD);
    assert_int_equal(SNIFF("\x5f\x2a\x4d\x18\0\0\0\0\x28\xb5\x2f\xfd"), PBC_FORMAT_ZSTD);
    assert_int_equal(SNIFF("\x50\x2a\x4d\x18\0\0\0\0\x51\x2a\x4d\x18\0\0\0\0\x04\x22\x4d\x18"),
                     PBC_FORMAT_LZ4);
    assert_int_equal(SNIFF("\x50\x2a\x4d\x18\x04\0\0\0abcdefgh"), PBC_FORMAT_UNKNOWN);
    assert_int_equal(SNIFF("\x60\x2a\x4d\x18\0\0\0\0\x28\xb5\x2f\xfd"), PBC_FORMAT_UNKNOWN);
}

static void a_skippable_frame_that_reaches_out_of_sight_is_zstd(void **state)
{
    (void)state;
    assert_int_equal(SNIFF("\x50\x2a\x4d\x18\xff\xff\xff\xff"), PBC_FORMAT_ZSTD);
    assert_int_equal(SNIFF("\x50\x2a\x4d\x18\xf5\x01\0\0"), PBC_FORMAT_ZSTD); /* 3 bytes in sight */
    assert_int_equal(SNIFF("\x50\x2a\x4d\x18\xf4\x01\0\0"), PBC_FORMAT_UNKNOWN); /* 4, another */
}

static void a_file_of_skippable_frames_alone_is_no_archive(void **state)
{
    static const unsigned char one[] = "\x50\x2a\x4d\x18\x04\0\0\0abcd";

    (void)state;
    for (size_t len = 0; len < sizeof(one); len++)
        assert_int_equal(pbc_format_sniff(one, len), PBC_FORMAT_UNKNOWN);
}

static void every_cut_of_a_head_is_looked_at_within_its_bounds(void **state)
{
    static const char xz[] = "\xfd"
                             "7zXZ";
    static const char *const heads[] = {"\x1f\x8b\x08", "BZh91AY&SY", xz, "\x28\xb5\x2f\xfd",
                                        "\x04\x22\x4d\x18"};

    (void)state;
    /* sanitizers and valgrind see what lies behind the end */
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        for (size_t len = 0; len <= strlen(heads[i]); len++) {
            unsigned char *exact = test_malloc(len > 0 ? len : 1);

            memcpy(exact, heads[i], len);
            pbc_format_sniff(exact, len);
            test_free(exact);
        }
    }
}

static void tar_header(void)
{
    unsigned sum = 0;

    memset(head, 0, sizeof(head));
    strcpy((char *)head, "bin/python3");
    memcpy(head + 100, "0000755", 8);
    memcpy(head + 148, "        ", 8);
    for (size_t i = 0; i < sizeof(head); i++)
        sum += head[i];
    snprintf((char *)head + 148, 8, "%06o", sum);
    head[155] = ' ';
}

static void posix_and_gnu_tars_are_known_by_their_magic(void **state)
{
    (void)state;
    tar_header();
    memcpy(head + 257, "ustar\00000", 8);
    assert_int_equal(pbc_format_sniff(head, sizeof(head)), PBC_FORMAT_TAR);
    memcpy(head + 257, "ustar  ", 8);
    assert_int_equal(pbc_format_sniff(head, sizeof(head)), PBC_FORMAT_TAR);
    assert_int_equal(pbc_format_sniff(head, sizeof(head) - 1), PBC_FORMAT_UNKNOWN);
    memcpy(head + 257, "ustar99", 8);
    assert_int_equal(pbc_format_sniff(head, sizeof(head)), PBC_FORMAT_UNKNOWN);
}

static void a_v7_tar_is_known_by_its_checksum(void **state)
{
    (void)state;
    tar_header();
    assert_int_equal(pbc_format_sniff(head, sizeof(head)), PBC_FORMAT_TAR);
    head[0]++;
    assert_int_equal(pbc_format_sniff(head, sizeof(head)), PBC_FORMAT_UNKNOWN);
}

static void a_v7_checksum_over_signed_bytes_counts_too(void **state)
{
    long sum = 0;

    (void)state;
    tar_header();
    head[3] = 0xe4;
    memcpy(head + 148, "        ", 8);
    for (size_t i = 0; i < sizeof(head); i++)
        sum += (signed char)head[i];
    snprintf((char *)head + 148, 8, "%06o", (unsigned)sum);
    head[155] = ' ';
    assert_int_equal(pbc_format_sniff(head, sizeof(head)), PBC_FORMAT_TAR);
}

static void a_checksum_field_out_of_form_is_no_tar(void **state)
{
    (void)state;
    tar_header();
    memcpy(head + 148, "        ", 8);
    assert_int_equal(pbc_format_sniff(head, sizeof(head)), PBC_FORMAT_UNKNOWN);
    memcpy(head + 148, "99999999", 8);
    assert_int_equal(pbc_format_sniff(head, sizeof(head)), PBC_FORMAT_UNKNOWN);
    memset(head, 0, sizeof(head)); /* the end of a tar without a beginning */
    assert_int_equal(pbc_format_sniff(head, sizeof(head)), PBC_FORMAT_UNKNOWN);
}

static void every_format_has_a_name(void **state)
{
    static const char *const names[] = {"unknown", "tar", "gzip", "bzip2", "xz", "zstd", "lz4"};

    (void)state;
    for (int f = PBC_FORMAT_UNKNOWN; f <= PBC_FORMAT_LZ4; f++)
        assert_string_equal(pbc_format_name((enum pbc_format)f), names[f]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compressed_archives_are_known_by_their_magic),
        cmocka_unit_test(what_only_looks_like_them_is_unknown),
        cmocka_unit_test(skippable_frames_are_skipped),
        cmocka_unit_test(a_skippable_frame_that_reaches_out_of_sight_is_zstd),
        cmocka_unit_test(a_file_of_skippable_frames_alone_is_no_archive),
        cmocka_unit_test(every_cut_of_a_head_is_looked_at_within_its_bounds),
        cmocka_unit_test(posix_and_gnu_tars_are_known_by_their_magic),
        cmocka_unit_test(a_v7_tar_is_known_by_its_checksum),
        cmocka_unit_test(a_v7_checksum_over_signed_bytes_counts_too),
        cmocka_unit_test(a_checksum_field_out_of_form_is_no_tar),
        cmocka_unit_test(every_format_has_a_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
