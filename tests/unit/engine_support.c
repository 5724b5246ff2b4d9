#include "engine_support.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TAR_BLOCK 512

/* ---- bytes ---- */

void bytes_add(struct bytes *b, const void *data, size_t len)
{
    if (b->data == NULL || b->len + len > b->size) {
        b->size = 2 * (b->len + len) + 1;
        b->data = realloc(b->data, b->size);
        assert_non_null(b->data);
    }
    if (data != NULL && len > 0)
        memcpy(b->data + b->len, data, len);
    b->len += len;
}

void bytes_fill(struct bytes *b, uint8_t value, size_t len)
{
    bytes_add(b, NULL, len);
    if (len > 0)
        memset(b->data + b->len - len, value, len);
}

void bytes_noise(struct bytes *b, size_t len, uint64_t seed)
{
    uint8_t key[randombytes_SEEDBYTES] = {0};

    memcpy(key, &seed, sizeof(seed));
    bytes_add(b, NULL, len);
    if (len > 0)
        randombytes_buf_deterministic(b->data + b->len - len, len, key);
}

void bytes_free(struct bytes *b)
{
    free(b->data);
    memset(b, 0, sizeof(*b));
}

/* ---- tar ---- */

/* The fields of a ustar header: IEEE Std 1003.1, pax, "ustar Interchange Format". */
void tar_add(struct bytes *tar, struct member m)
{
    static const char ustar[8] = {'u', 's', 't', 'a', 'r', '\0', '0', '0'};
    char h[TAR_BLOCK] = {0};
    char number[16];
    unsigned sum = 0;

    if (m.type == 0)
        m.type = '0';
    if (m.mode == 0)
        m.mode = m.type == '5' ? 0755 : 0644;
    memcpy(h, m.name, strnlen(m.name, 100));
    snprintf(number, sizeof(number), "%07o", m.mode);
    memcpy(h + 100, number, 8);
    memcpy(h + 108, "0000000", 8);
    memcpy(h + 116, "0000000", 8);
    snprintf(number, sizeof(number), "%011lo", (unsigned long)m.len);
    memcpy(h + 124, number, 12);
    snprintf(number, sizeof(number), "%011lo", (unsigned long)m.mtime & 077777777777);
    memcpy(h + 136, number, 12);
    memset(h + 148, ' ', 8);
    h[156] = m.type;
    if (m.link != NULL)
        memcpy(h + 157, m.link, strnlen(m.link, 100));
    memcpy(h + 257, ustar, sizeof(ustar));
    for (size_t i = 0; i < sizeof(h); i++)
        sum += (unsigned char)h[i];
    snprintf(number, sizeof(number), "%06o", sum);
    memcpy(h + 148, number, 7);
    bytes_add(tar, h, sizeof(h));
    if (m.data != NULL && m.len > 0) {
        bytes_add(tar, m.data, m.len);
        bytes_fill(tar, 0, (TAR_BLOCK - m.len % TAR_BLOCK) % TAR_BLOCK);
    }
}

void tar_pax(struct bytes *tar, const char *key, const char *value, size_t value_len)
{
    struct bytes record = {0};
    size_t rest = strlen(key) + value_len + 3; /* " key=value\n" */
    size_t len = rest + 1;
    char number[24];

    while (rest + (size_t)snprintf(number, sizeof(number), "%zu", len) != len)
        len++;
    bytes_add(&record, number, strlen(number));
    bytes_add(&record, " ", 1);
    bytes_add(&record, key, strlen(key));
    bytes_add(&record, "=", 1);
    bytes_add(&record, value, value_len);
    bytes_add(&record, "\n", 1);
    tar_add(tar,
            (struct member){.name = "PaxHeader", .type = 'x', .data = record.data, .len = len});
    bytes_free(&record);
}

void tar_gnu_long(struct bytes *tar, char type, const char *text)
{
    tar_add(tar, (struct member){
                     .name = "././@LongLink", .type = type, .data = text, .len = strlen(text) + 1});
}

void tar_end(struct bytes *tar)
{
    bytes_fill(tar, 0, 2 * TAR_BLOCK);
}

static la_ssize_t take(struct archive *a, void *out, const void *data, size_t len)
{
    (void)a;
    bytes_add(out, data, len);
    return (la_ssize_t)len;
}

void compress_to(enum pbc_format format, const void *in, size_t len, struct bytes *out)
{
    static const int filter[] = {[PBC_FORMAT_GZIP] = ARCHIVE_FILTER_GZIP,
                                 [PBC_FORMAT_BZIP2] = ARCHIVE_FILTER_BZIP2,
                                 [PBC_FORMAT_XZ] = ARCHIVE_FILTER_XZ,
                                 [PBC_FORMAT_ZSTD] = ARCHIVE_FILTER_ZSTD,
                                 [PBC_FORMAT_LZ4] = ARCHIVE_FILTER_LZ4};
    struct archive *a;
    struct archive_entry *e;

    if (format == PBC_FORMAT_TAR) {
        bytes_add(out, in, len);
        return;
    }
    a = archive_write_new();
    e = archive_entry_new();
    assert_int_equal(archive_write_add_filter(a, filter[format]), ARCHIVE_OK);
    assert_int_equal(archive_write_set_format_raw(a), ARCHIVE_OK);
    archive_write_set_bytes_per_block(a, 0);
    archive_write_set_bytes_in_last_block(a, 1);
    assert_int_equal(archive_write_open(a, out, NULL, take, NULL), ARCHIVE_OK);
    archive_entry_set_filetype(e, AE_IFREG);
    archive_entry_set_pathname(e, "data");
    assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
    assert_int_equal(archive_write_data(a, in, len), len);
    archive_entry_free(e);
    assert_int_equal(archive_write_close(a), ARCHIVE_OK);
    archive_write_free(a);
}

/* ---- trees ---- */

#define INODES_MAX 4096

struct words {
    FILE *out;
    ino_t inode[INODES_MAX];
    char *first[INODES_MAX];
    size_t inodes;
};

static void file_words(struct words *w, int fd, const struct stat *st, const char *name)
{
    crypto_generichash_state state;
    unsigned char digest[16];
    char hex[2 * sizeof(digest) + 1];
    char buf[1 << 16];
    ssize_t n;
    size_t i = 0;

    crypto_generichash_init(&state, NULL, 0, sizeof(digest));
    while ((n = read(fd, buf, sizeof(buf))) > 0)
        crypto_generichash_update(&state, (unsigned char *)buf, (size_t)n);
    assert_int_equal(n, 0);
    crypto_generichash_final(&state, digest, sizeof(digest));
    sodium_bin2hex(hex, sizeof(hex), digest, sizeof(digest));
    while (i < w->inodes && w->inode[i] != st->st_ino)
        i++;
    if (i == w->inodes && st->st_nlink > 1) {
        assert_true(i < INODES_MAX);
        w->inode[i] = st->st_ino;
        w->first[i] = strdup(name);
        w->inodes++;
    }
    fprintf(w->out, " %lld bytes, of %lld, %s%s%s", (long long)st->st_size,
            (long long)st->st_mtim.tv_sec, hex, st->st_nlink > 1 ? ", is " : "",
            st->st_nlink > 1 ? w->first[i] : "");
}

static void dir_words(struct words *w, int at, const char *path);

static void entry_words(struct words *w, int at, const char *name, const char *path)
{
    char target[PBC_PATH_MAX + 1];
    struct stat st;
    ssize_t n;
    int fd;

    assert_int_equal(fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW), 0);
    fprintf(w->out, "%s:", path);
    if (S_ISLNK(st.st_mode)) {
        n = readlinkat(at, name, target, sizeof(target) - 1);
        assert_true(n >= 0);
        target[n] = '\0';
        fprintf(w->out, " link to %s\n", target);
        return;
    }
    fprintf(w->out, " mode %04o", (unsigned)st.st_mode & 07777);
    if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
        fail_msg("%s is neither file nor directory", path);
    fd = openat(at, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    assert_true(fd >= 0);
    if (S_ISREG(st.st_mode))
        file_words(w, fd, &st, path);
    fprintf(w->out, "\n");
    if (S_ISDIR(st.st_mode))
        dir_words(w, fd, path);
    close(fd);
}

static void dir_words(struct words *w, int at, const char *path)
{
    struct dirent **list;
    int n = scandirat(at, ".", &list, NULL, alphasort);

    assert_true(n >= 0);
    for (int i = 0; i < n; i++) {
        char *below;

        if (strcmp(list[i]->d_name, ".") != 0 && strcmp(list[i]->d_name, "..") != 0) {
            assert_true(
                asprintf(&below, "%s%s%s", path, *path != '\0' ? "/" : "", list[i]->d_name) > 0);
            entry_words(w, at, list[i]->d_name, below);
            free(below);
        }
        free(list[i]);
    }
    free(list);
}

char *tree_words(const char *path)
{
    struct words *w = calloc(1, sizeof(*w));
    char *text;
    size_t len;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        fail_msg("%s: %s", path, strerror(errno));
    assert_non_null(w);
    w->out = open_memstream(&text, &len);
    dir_words(w, fd, "");
    close(fd);
    fclose(w->out);
    for (size_t i = 0; i < w->inodes; i++)
        free(w->first[i]);
    free(w);
    return text;
}

void assert_same_tree(const char *a, const char *b)
{
    char *x = tree_words(a);
    char *y = tree_words(b);

    assert_string_equal(x, y);
    free(x);
    free(y);
}

void make_sentinel(const char *dir)
{
    make_dir(dir, 0755);
    make_file(in(dir, "untouched"), "sentinel", 8);
}

void assert_sentinel(const char *dir)
{
    char *words = tree_words(dir);
    char *text = slurp(in(dir, "untouched"));
    struct stat st;

    assert_string_equal(text, "sentinel");
    assert_int_equal(strncmp(words, "untouched: mode 0644 8 bytes", 28), 0);
    assert_string_equal(strchr(words, '\n'), "\n"); /* and nothing else is there */
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0755);
    assert_int_equal(stat(in(dir, "untouched"), &st), 0);
    assert_int_equal(st.st_nlink, 1);
    free(words);
    free(text);
}

char *slurp(const char *path)
{
    struct bytes b = {0};
    char buf[4096];
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        fail_msg("%s: %s", path, strerror(errno));
    while ((n = read(fd, buf, sizeof(buf))) > 0)
        bytes_add(&b, buf, (size_t)n);
    close(fd);
    bytes_fill(&b, 0, 1);
    return (char *)b.data;
}

/* ---- frames ---- */

struct pbc_chunk *begin_chunk(unsigned bundle, enum pbc_format format, uint64_t bytes,
                              const char *path)
{
    struct pbc_msg_begin m = {.format = format, .bytes = bytes};
    uint8_t payload[PBC_SMALL_MAX];

    memcpy(m.path, path, strlen(path) + 1);
    return pbc_chunk_small(PBC_FRAME_BEGIN, (uint8_t)bundle, payload,
                           pbc_begin_encode(&m, payload));
}

struct pbc_chunk *end_chunk(const struct pbc_msg_check *check, unsigned bundle, const void *archive,
                            size_t len, const uint8_t *key)
{
    struct pbc_msg_end m = {.bytes = len};
    uint8_t payload[PBC_SMALL_MAX];

    crypto_generichash(m.digest, sizeof(m.digest), archive, len, NULL, 0);
    return pbc_chunk_small(PBC_FRAME_END, (uint8_t)bundle, payload,
                           pbc_end_encode(&m, check, (uint8_t)bundle, key, payload));
}

void no_longer_than(unsigned seconds)
{
    alarm(seconds); /* SIGALRM ends the program, and ctest says so */
}

void shell(const char *dir, const char *command)
{
    char line[4096];

    assert_in_range(snprintf(line, sizeof(line), "cd '%s' && umask 022 && %s", dir, command), 1,
                    sizeof(line) - 1);
    if (system(line) != 0)
        fail_msg("%s", line);
}
