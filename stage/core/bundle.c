#include "bundle.h"

#include "dir.h"
#include "fnv.h"
#include "io.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* "mirror:DIR:PART:PART" and "userbase:DIR" are directories. */
static int take_kind(struct pbc_bundle *b, struct pbc_error *err)
{
    size_t skip = 0;
    char *parts;

    if (strncmp(b->path, PBC_MIRROR, strlen(PBC_MIRROR)) == 0) {
        b->kind = PBC_BUNDLE_MIRROR;
        skip = strlen(PBC_MIRROR);
    } else if (strncmp(b->path, PBC_USERBASE, strlen(PBC_USERBASE)) == 0) {
        b->kind = PBC_BUNDLE_USERBASE;
        skip = strlen(PBC_USERBASE);
    } else {
        return 0;
    }
    memmove(b->path, b->path + skip, strlen(b->path + skip) + 1);
    parts = b->kind == PBC_BUNDLE_MIRROR ? strchr(b->path, ':') : NULL;
    if (parts != NULL) {
        *parts++ = '\0';
        b->parts = strdup(parts);
        if (b->parts == NULL)
            return pbc_fail(err, PBC_EXIT_FAILED, "no memory for the list of bundles");
        if (pbc_dir_check_parts(b->parts, err) < 0)
            return -1;
    }
    if (b->path[0] == '\0')
        return pbc_fail(err, PBC_EXIT_USAGE, "a directory to pack has no name");
    return 0;
}

int pbc_bundles_parse(const char *list, struct pbc_bundles *out, struct pbc_error *err)
{
    memset(out, 0, sizeof(*out));
    if (list == NULL || list[0] == '\0')
        return pbc_fail(err, PBC_EXIT_USAGE,
                        "the list of bundles is empty: is a variable in it not set? 'none' stages "
                        "nothing");

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
        if (take_kind(&out->item[out->count - 1], err) < 0)
            goto fail;
        if (p[len] == '\0')
            return 0;
        p += len + 1;
    }
fail:
    pbc_bundles_free(out);
    return -1;
}

int pbc_bundles_parse_words(char *const *words, size_t count, struct pbc_bundles *out,
                            struct pbc_error *err)
{
    for (size_t i = 0; i < count; i++) {
        struct pbc_bundles more;
        int rc = pbc_bundles_parse(words[i], &more, err);

        if (rc == 0 && more.count > PBC_BUNDLES_MAX - out->count) {
            pbc_bundles_free(&more);
            rc = pbc_fail(err, PBC_EXIT_USAGE, "more than %d bundles", PBC_BUNDLES_MAX);
        }
        if (rc < 0) {
            pbc_bundles_free(out);
            return -1;
        }
        memcpy(out->item + out->count, more.item, more.count * sizeof(more.item[0]));
        out->count += more.count;
    }
    return 0;
}

/* At most `size` bytes from the start of a file. */
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
                        "bundle %s is a directory; bundles are archives: make one with 'pbcast "
                        "bundle', or let --pbcast-mirror pack it on the fly",
                        b->path);
    if (!S_ISREG(st.st_mode))
        return pbc_fail(err, PBC_EXIT_REFUSED,
                        "bundle %s is not a regular file; bundles are archives in files", b->path);
    if (st.st_size == 0)
        return pbc_fail(err, PBC_EXIT_REFUSED, "bundle %s is empty: was it copied completely?",
                        b->path);
    n = pbc_io_pread(fd, head, sizeof(head), 0);
    if (n < 0)
        return pbc_fail_errno(err, PBC_EXIT_REFUSED, "cannot read bundle %s", b->path);
    b->format = pbc_format_sniff(head, (size_t)n);
    if (b->format == PBC_FORMAT_UNKNOWN)
        return pbc_fail(err, PBC_EXIT_REFUSED,
                        "bundle %s is not an archive that pbcast knows (gzip, bzip2, xz, zstd, "
                        "lz4, tar): make one with 'pbcast bundle' or tar",
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

int pbc_bundle_same_dir(const struct pbc_bundle *b, struct pbc_error *err)
{
    struct pbc_dir_sum sum;

    if (pbc_dir_look(b->path, b->parts, 0, &sum, err) < 0)
        return -1;
    if (sum.bytes != b->size || sum.hi != (uint64_t)b->mtime || sum.lo != b->inode)
        return pbc_fail(err, PBC_EXIT_REFUSED,
                        "%s: changed while it was being staged; submit again once it is at rest",
                        b->path);
    return 0;
}

static int take_real_path(struct pbc_bundle *b, struct pbc_error *err)
{
    char *real = realpath(b->path, NULL);

    if (real == NULL)
        return pbc_fail_errno(err, PBC_EXIT_REFUSED,
                              b->kind == PBC_BUNDLE_USERBASE
                                  ? "cannot find the user base %s (has 'pip install --user' put "
                                    "something there?)"
                              : b->kind == PBC_BUNDLE_MIRROR
                                  ? "cannot find the directory %s (is the path right on this "
                                    "machine?)"
                                  : "cannot resolve the path of bundle %s",
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

/* A directory's identity is that of what lies in it. */
static int probe_dir(struct pbc_bundle *b, uint64_t max, struct pbc_error *err)
{
    struct pbc_dir_sum sum;

    if (take_real_path(b, err) < 0)
        return -1;
    if (b->kind == PBC_BUNDLE_MIRROR && strchr(b->path, ':') != NULL)
        return pbc_fail(err, PBC_EXIT_REFUSED,
                        "directory %s has a colon in its path, which separates parts: rename it",
                        b->path);
    if (b->kind == PBC_BUNDLE_USERBASE) {
        free(b->parts);
        b->parts = pbc_dir_userbase_parts(b->path, err);
        if (b->parts == NULL)
            return -1;
    }
    if (pbc_dir_look(b->path, b->parts, max, &sum, err) < 0)
        return -1;
    b->format = PBC_FORMAT_TAR;
    b->size = sum.bytes;
    b->mtime = (int64_t)sum.hi;
    b->inode = sum.lo;
    return 0;
}

static int probe(struct pbc_bundle *b, struct pbc_error *err)
{
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

    return take_real_path(b, err);
}

int pbc_bundles_probe(struct pbc_bundles *list, struct pbc_error *err)
{
    for (size_t i = 0; i < list->count; i++) {
        struct pbc_bundle *b = &list->item[i];

        if ((b->kind == PBC_BUNDLE_ARCHIVE ? probe(b, err) : probe_dir(b, list->pack_max, err)) < 0)
            return -1;
    }
    return 0;
}

static const char *const kinds[] = {[PBC_BUNDLE_ARCHIVE] = "",
                                    [PBC_BUNDLE_MIRROR] = PBC_MIRROR,
                                    [PBC_BUNDLE_USERBASE] = PBC_USERBASE};

char *pbc_bundle_word(const struct pbc_bundle *b)
{
    const int with_parts = b->kind == PBC_BUNDLE_MIRROR && b->parts != NULL;
    char *word;

    if (b->name != NULL)
        return strdup(b->name);
    if (asprintf(&word, "%s%s%s%s", kinds[b->kind], b->path, with_parts ? ":" : "",
                 with_parts ? b->parts : "") < 0)
        return NULL;
    return word;
}

char *pbc_bundles_format(const struct pbc_bundles *list, size_t from, size_t count,
                         struct pbc_error *err)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    int rc = out == NULL ? -1 : 0;

    for (size_t i = from; i < from + count && rc == 0; i++) {
        char *word = pbc_bundle_word(&list->item[i]);

        if (word == NULL)
            rc = -1;
        else if (strchr(word, ',') != NULL)
            rc = pbc_fail(err, PBC_EXIT_REFUSED,
                          "bundle %s has a comma in its path, which separates bundles: rename it",
                          word) -
                 1;
        else
            fprintf(out, "%s%s", i > from ? "," : "", word);
        free(word);
    }
    if (out != NULL && fclose(out) != 0 && rc == 0)
        rc = -1;
    if (rc == 0)
        return text;
    if (rc == -1)
        pbc_fail(err, PBC_EXIT_FAILED, "no memory for the list of bundles");
    free(text);
    return NULL;
}

void pbc_bundles_prefix_id(const struct pbc_bundles *list, size_t count,
                           char id[PBC_SET_ID_LEN + 1])
{
    struct pbc_fnv h = PBC_FNV_BASIS;

    for (size_t i = 0; i < count; i++) {
        const struct pbc_bundle *b = &list->item[i];

        pbc_fnv_add(&h, b->path,
                    strlen(b->path) + 1); /* its NUL ends it: no two lists run together */
        pbc_fnv_add_u64(&h, b->size);
        pbc_fnv_add_u64(&h, (uint64_t)b->mtime);
        pbc_fnv_add_u64(&h, b->inode);
        pbc_fnv_add(&h, b->digest, strlen(b->digest));
        if (b->kind != PBC_BUNDLE_ARCHIVE) /* with its NUL: no digest has one */
            pbc_fnv_add(&h, kinds[b->kind], strlen(kinds[b->kind]) + 1);
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
        free(list->item[i].parts);
        pbc_variables_free(&list->item[i].vars);
    }
    memset(list, 0, sizeof(*list));
}
