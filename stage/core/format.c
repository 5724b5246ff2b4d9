/* What an archive is by its first bytes. */
#include "bundle.h"

#include <stdbool.h>
#include <string.h>

#define TAR_BLOCK  512
#define TAR_CHKSUM 148
#define TAR_MAGIC  257

static bool starts(const unsigned char *head, size_t len, const char *magic, size_t magic_len)
{
    return len >= magic_len && memcmp(head, magic, magic_len) == 0;
}

static bool is_gzip(const unsigned char *head, size_t len)
{
    /* RFC 1952: deflate is the only method, the upper three flags are reserved */
    return starts(head, len, "\x1f\x8b\x08", 3) && len >= 10 && (head[3] & 0xe0) == 0;
}

static bool is_bzip2(const unsigned char *head, size_t len)
{
    if (!starts(head, len, "BZh", 3) || len < 10 || head[3] < '1' || head[3] > '9')
        return false;
    return memcmp(head + 4, "\x31\x41\x59\x26\x53\x59", 6) == 0 ||
           memcmp(head + 4, "\x17\x72\x45\x38\x50\x90", 6) == 0;
}

static bool is_v7_tar(const unsigned char *head)
{
    long sum = 0, signed_sum = 0, stated = 0;
    int i = TAR_CHKSUM, digits = 0;

    if (head[0] == '\0')
        return false;
    while (i < TAR_CHKSUM + 8 && head[i] == ' ')
        i++;
    for (; i < TAR_CHKSUM + 8 && head[i] >= '0' && head[i] <= '7'; i++, digits++)
        stated = stated * 8 + (head[i] - '0');
    if (digits == 0 || (i < TAR_CHKSUM + 8 && head[i] != '\0' && head[i] != ' '))
        return false;
    for (i = 0; i < TAR_BLOCK; i++) {
        unsigned char c = i >= TAR_CHKSUM && i < TAR_CHKSUM + 8 ? ' ' : head[i];

        sum += c;
        signed_sum += (signed char)c; /* what some old tars summed */
    }
    return stated == sum || stated == signed_sum;
}

static bool is_tar(const unsigned char *head, size_t len)
{
    if (len < TAR_BLOCK)
        return false;
    return memcmp(head + TAR_MAGIC,
                  "ustar\0"
                  "00",
                  8) == 0 ||
           memcmp(head + TAR_MAGIC, "ustar  ", 8) == 0 || is_v7_tar(head);
}

static uint32_t le32(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static bool is_skippable(const unsigned char *head, size_t len)
{
    return len >= 4 && (head[0] & 0xf0) == 0x50 && memcmp(head + 1, "\x2a\x4d\x18", 3) == 0;
}

enum pbc_format pbc_format_sniff(const unsigned char *head, size_t len)
{
    size_t pos = 0;

    if (is_gzip(head, len))
        return PBC_FORMAT_GZIP;
    if (is_bzip2(head, len))
        return PBC_FORMAT_BZIP2;
    if (starts(head, len, "\xfd\x37\x7a\x58\x5a\0", 6))
        return PBC_FORMAT_XZ;
    if (is_tar(head, len))
        return PBC_FORMAT_TAR;

    /* zstd and lz4 share their skippable frames: the first other frame decides */
    while (len - pos >= 8 && is_skippable(head + pos, len - pos)) {
        uint64_t next = (uint64_t)pos + 8 + le32(head + pos + 4);

        pos = next < len ? (size_t)next : len;
    }
    if (starts(head + pos, len - pos, "\x28\xb5\x2f\xfd", 4))
        return PBC_FORMAT_ZSTD;
    if (starts(head + pos, len - pos, "\x04\x22\x4d\x18", 4))
        return PBC_FORMAT_LZ4;
    /* Skippable frames reach out of sight: of the two, only zstd's tools write such. A file that
     * ends within our sight has nothing else in it. */
    if (pos > 0 && len >= PBC_SNIFF_BYTES && (len - pos < 4 || is_skippable(head + pos, len - pos)))
        return PBC_FORMAT_ZSTD;
    return PBC_FORMAT_UNKNOWN;
}

const char *pbc_format_name(enum pbc_format format)
{
    switch (format) {
    case PBC_FORMAT_TAR:
        return "tar";
    case PBC_FORMAT_GZIP:
        return "gzip";
    case PBC_FORMAT_BZIP2:
        return "bzip2";
    case PBC_FORMAT_XZ:
        return "xz";
    case PBC_FORMAT_ZSTD:
        return "zstd";
    case PBC_FORMAT_LZ4:
        return "lz4";
    case PBC_FORMAT_UNKNOWN:
        break;
    }
    return "unknown";
}
