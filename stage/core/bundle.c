#include "bundle.h"

#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int pbc_bundles_parse(const char *list, struct pbc_bundles *out, struct pbc_error *err)
{
    memset(out, 0, sizeof(*out));
    if (list == NULL || list[0] == '\0')
        return pbc_fail(err, PBC_EXIT_USAGE, "the list of bundles is empty");

    for (const char *p = list;;) {
        size_t len = strcspn(p, ",");
        char *path;

        if (len == 0) {
            pbc_fail(err, PBC_EXIT_USAGE, "bundle %zu of the list has no name: %s", out->count + 1,
                     list);
            goto fail;
        }
        if (len >= PBC_PATH_MAX) {
            pbc_fail(err, PBC_EXIT_USAGE, "the path of bundle %zu is longer than %d bytes",
                     out->count + 1, PBC_PATH_MAX - 1);
            goto fail;
        }
        if (pbc_text_has_control(p, len)) {
            pbc_fail(err, PBC_EXIT_USAGE, "the path of a bundle has a control character: %.*s",
                     (int)len, p);
            goto fail;
        }
        if (out->count == PBC_BUNDLES_MAX) {
            pbc_fail(err, PBC_EXIT_USAGE, "more than %d bundles in one list", PBC_BUNDLES_MAX);
            goto fail;
        }
        path = strndup(p, len);
        if (path == NULL) {
            pbc_fail(err, PBC_EXIT_FAILED, "no memory for the list of bundles");
            goto fail;
        }
        out->item[out->count++].path = path;
        if (p[len] == '\0')
            return 0;
        p += len + 1;
    }
fail:
    pbc_bundles_free(out);
    return -1;
}

/* At most `size` bytes from the start of a file. */
static ssize_t read_head(int fd, unsigned char *buf, size_t size)
{
    size_t have = 0;

    while (have < size) {
        ssize_t n = pread(fd, buf + have, size - have, (off_t)have);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        have += (size_t)n;
    }
    return (ssize_t)have;
}

static void set_identity(struct pbc_bundle *b, const struct stat *st)
{
    b->size = (uint64_t)st->st_size;
    /* unsigned: a file's owner sets any time he likes, overflow included */
    b->mtime =
        (int64_t)((uint64_t)st->st_mtim.tv_sec * 1000000000u + (uint64_t)st->st_mtim.tv_nsec);
    b->inode = st->st_ino;
}

static int probe_open(int fd, struct pbc_bundle *b, struct pbc_error *err)
{
    unsigned char head[PBC_SNIFF_BYTES];
    struct stat st;
    ssize_t n;

    if (fstat(fd, &st) < 0)
        return pbc_fail_errno(err, PBC_EXIT_REFUSED, "cannot look at bundle %s", b->path);
    if (S_ISDIR(st.st_mode))
        return pbc_fail(err, PBC_EXIT_REFUSED,
                        "bundle %s is a directory; bundles are archives: make one with tar",
                        b->path);
    if (!S_ISREG(st.st_mode))
        return pbc_fail(err, PBC_EXIT_REFUSED,
                        "bundle %s is not a regular file; bundles are archives in files", b->path);
    if (st.st_size == 0)
        return pbc_fail(err, PBC_EXIT_REFUSED, "bundle %s is empty: was it copied completely?",
                        b->path);
    n = read_head(fd, head, sizeof(head));
    if (n < 0)
        return pbc_fail_errno(err, PBC_EXIT_REFUSED, "cannot read bundle %s", b->path);
    b->format = pbc_format_sniff(head, (size_t)n);
    if (b->format == PBC_FORMAT_UNKNOWN)
        return pbc_fail(err, PBC_EXIT_REFUSED,
                        "bundle %s is not an archive that pbcast knows (gzip, bzip2, xz, zstd, "
                        "lz4, tar): make one with tar",
                        b->path);
    set_identity(b, &st);
    return 0;
}

int pbc_bundle_unchanged(const struct pbc_bundle *b, int fd, struct pbc_error *err)
{
    struct pbc_bundle now;
    struct stat st;

    if (fstat(fd, &st) < 0)
        return pbc_fail_errno(err, PBC_EXIT_REFUSED, "cannot look at bundle %s", b->path);
    set_identity(&now, &st);
    if (!S_ISREG(st.st_mode) || now.size != b->size || now.inode != b->inode ||
        now.mtime != b->mtime)
        return pbc_fail(err, PBC_EXIT_REFUSED,
                        "%s: changed while it was being staged; submit again once it is complete",
                        b->path);
    return 0;
}

static int probe(struct pbc_bundle *b, struct pbc_error *err)
{
    char *real;
    int fd, rc;

    fd = open(b->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        const char *hint = errno == ENOENT   ? " (is the path right on this machine?)"
                           : errno == EACCES ? " (it must be readable for you)"
                                             : "";

        return pbc_fail_errno(err, PBC_EXIT_REFUSED, "cannot open bundle %s%s", b->path, hint);
    }
    rc = probe_open(fd, b, err);
    close(fd);
    if (rc < 0)
        return -1;

    real = realpath(b->path, NULL);
    if (real == NULL)
        return pbc_fail_errno(err, PBC_EXIT_REFUSED, "cannot resolve the path of bundle %s",
                              b->path);
    if (strlen(real) >= PBC_PATH_MAX || pbc_text_has_control(real, strlen(real))) {
        free(real);
        return pbc_fail(err, PBC_EXIT_REFUSED,
                        "bundle %s resolves to a path that is too long or has a control character",
                        b->path);
    }
    free(b->path);
    b->path = real;
    return 0;
}

int pbc_bundles_probe(struct pbc_bundles *list, struct pbc_error *err)
{
    for (size_t i = 0; i < list->count; i++) {
        if (probe(&list->item[i], err) < 0)
            return -1;
    }
    return 0;
}

static const char *word_of(const struct pbc_bundle *b)
{
    return b->name != NULL ? b->name : b->path;
}

char *pbc_bundles_format(const struct pbc_bundles *list, struct pbc_error *err)
{
    size_t size = 1;
    char *text, *p;

    for (size_t i = 0; i < list->count; i++) {
        const char *word = word_of(&list->item[i]);

        if (strchr(word, ',') != NULL) {
            pbc_fail(err, PBC_EXIT_REFUSED,
                     "bundle %s has a comma in its path, which separates bundles: rename it", word);
            return NULL;
        }
        size += strlen(word) + 1;
    }
    p = text = malloc(size);
    if (text == NULL) {
        pbc_fail(err, PBC_EXIT_FAILED, "no memory for the list of bundles");
        return NULL;
    }
    for (size_t i = 0; i < list->count; i++) {
        if (i > 0)
            *p++ = ',';
        p = stpcpy(p, word_of(&list->item[i]));
    }
    *p = '\0';
    return text;
}

struct fnv128 {
    uint64_t hi, lo;
};

static void fnv_add(struct fnv128 *h, const void *data, size_t len)
{
    const unsigned char *p = data;

    for (size_t i = 0; i < len; i++) {
        uint64_t low, high;

        h->lo ^= p[i];
        /* times the prime 2^88 + 0x13b, modulo 2^128 */
        low = (h->lo & 0xffffffff) * 0x13b;
        high = (h->lo >> 32) * 0x13b + (low >> 32);
        h->hi = h->hi * 0x13b + (high >> 32) + (h->lo << 24);
        h->lo = (high << 32) | (low & 0xffffffff);
    }
}

/* Least significant byte first, whatever the machine: the nodes of a job must agree. */
static void fnv_add_u64(struct fnv128 *h, uint64_t value)
{
    unsigned char bytes[8];

    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(value >> (8 * i));
    fnv_add(h, bytes, sizeof(bytes));
}

void pbc_bundles_prefix_id(const struct pbc_bundles *list, size_t count,
                           char id[PBC_SET_ID_LEN + 1])
{
    struct fnv128 h = {0x6c62272e07bb0142, 0x62b821756295c58d};

    for (size_t i = 0; i < count; i++) {
        const struct pbc_bundle *b = &list->item[i];

        fnv_add(&h, b->path, strlen(b->path) + 1); /* its NUL ends it: no two lists run together */
        fnv_add_u64(&h, b->size);
        fnv_add_u64(&h, (uint64_t)b->mtime);
        fnv_add_u64(&h, b->inode);
        fnv_add(&h, b->digest, strlen(b->digest));
    }
    snprintf(id, PBC_SET_ID_LEN + 1, "%016llx%016llx", (unsigned long long)h.hi,
             (unsigned long long)h.lo);
}

void pbc_bundles_id(const struct pbc_bundles *list, char id[PBC_SET_ID_LEN + 1])
{
    pbc_bundles_prefix_id(list, list->count, id);
}

static int is_hex(const char *text, size_t len)
{
    return strlen(text) == len && strspn(text, "0123456789abcdef") == len;
}

int pbc_set_id_valid(const char *id)
{
    return is_hex(id, PBC_SET_ID_LEN);
}

int pbc_digest_valid(const char *digest)
{
    return is_hex(digest, PBC_DIGEST_LEN);
}

void pbc_bundles_free(struct pbc_bundles *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->item[i].path);
        free(list->item[i].name);
        pbc_variables_free(&list->item[i].vars);
    }
    memset(list, 0, sizeof(*list));
}
