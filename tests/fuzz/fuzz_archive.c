/* Bytes as an archive, through the whole pipeline into a new directory, beside another one that
 * must stay as it is. What is unpacked whole has no link that leads out of it: the kernel is asked.
 *
 * The first byte: its low bits the format, 7 for members in words (see members()); its high bits
 * the size of the pieces that the archive comes in.
 */
#include "fuzz.h"

#include "store.h"
#include "unpack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <locale.h>
#include <poll.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define INPUT_MAX (64u << 10)
#define BLOCK     512

static const uint8_t key[PBC_KEY_BYTES] = {7};
static int base = -1;
static int shm = -1;
static char base_name[64];
static struct stat sentinel_dir, sentinel_file;

static void look_at_sentinel(struct stat *dir, struct stat *file)
{
    CLAIM(fstatat(base, "outside", dir, AT_SYMLINK_NOFOLLOW) == 0);
    CLAIM(fstatat(base, "outside/file", file, AT_SYMLINK_NOFOLLOW) == 0);
}

static void remove_base(void)
{
    (void)pbc_remove_tree(shm, base_name, NULL);
}

static void start(void)
{
    int fd;

    CLAIM(sodium_init() >= 0);
    umask(022);
    setlocale(LC_CTYPE, "C.UTF-8");
    shm = open("/dev/shm", O_PATH | O_DIRECTORY | O_CLOEXEC);
    snprintf(base_name, sizeof(base_name), "pbc-fuzz-%d", (int)getpid());
    CLAIM(mkdirat(shm, base_name, 0700) == 0);
    atexit(remove_base);
    base = openat(shm, base_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLAIM(base >= 0);
    CLAIM(mkdirat(base, "outside", 0755) == 0);
    fd = openat(base, "outside/file", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    CLAIM(fd >= 0 && write(fd, "sentinel", 8) == 8);
    close(fd);
    look_at_sentinel(&sentinel_dir, &sentinel_file);
}

static int same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static void check_sentinel(void)
{
    struct stat dir, file;
    struct dirent *e;
    int copy = openat(base, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fdopendir(copy);

    look_at_sentinel(&dir, &file);
    CLAIM(dir.st_mode == sentinel_dir.st_mode && dir.st_nlink == sentinel_dir.st_nlink);
    CLAIM(same_time(dir.st_ctim, sentinel_dir.st_ctim));
    CLAIM(file.st_ino == sentinel_file.st_ino && file.st_nlink == 1);
    CLAIM(same_time(file.st_ctim, sentinel_file.st_ctim)); /* of content, mode and links */
    CLAIM(d != NULL);
    while ((e = readdir(d)) != NULL)
        CLAIM(e->d_name[0] == '.' || strcmp(e->d_name, "outside") == 0 ||
              strcmp(e->d_name, "tree") == 0);
    closedir(d);
}

/* ---- what was unpacked ---- */

static void check_link(int root, const char *path)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH};
    long fd = syscall(SYS_openat2, root, path, &how, sizeof(how));

    if (fd >= 0)
        close((int)fd);
    else
        CLAIM(errno != EXDEV); /* it leads out */
}

static void check_tree(int root, int dir, const char *path)
{
    struct dirent *e;
    DIR *d = fdopendir(dir);

    CLAIM(d != NULL);
    while ((e = readdir(d)) != NULL) {
        char below[2 * PBC_PATH_MAX];
        struct stat st;

        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        snprintf(below, sizeof(below), "%s%s%s", path, *path != '\0' ? "/" : "", e->d_name);
        CLAIM(fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0);
        if (S_ISLNK(st.st_mode)) {
            check_link(root, below);
            continue;
        }
        CLAIM(S_ISDIR(st.st_mode) || S_ISREG(st.st_mode));
        CLAIM((st.st_mode & (07000 | 022)) == 0);
        CLAIM((st.st_mode & 0400) != 0);
        if (S_ISDIR(st.st_mode)) {
            int fd = openat(dir, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

            CLAIM(fd >= 0);
            check_tree(root, fd, below);
        }
    }
    closedir(d);
}

/* ---- archives ---- */

struct bytes {
    uint8_t data[4 * INPUT_MAX];
    size_t len;
};

static void fix_sum(uint8_t *h)
{
    unsigned sum = 0;

    memset(h + 148, ' ', 8);
    for (int i = 0; i < BLOCK; i++)
        sum += h[i];
    snprintf((char *)h + 148, 8, "%06o", sum);
}

/* A tar archive whose checksums are right, so that mutations of headers are seen. */
static void plain(struct bytes *b, const uint8_t *data, size_t size)
{
    memcpy(b->data, data, size);
    b->len = size;
    for (size_t at = 0; at + BLOCK <= size; at += BLOCK) {
        if (memcmp(b->data + at + 257, "ustar", 5) == 0)
            fix_sum(b->data + at);
    }
}

/* One field, up to ';' or a newline. */
static const uint8_t *field(const uint8_t *p, const uint8_t *end, uint8_t *out, size_t most)
{
    for (; p < end && *p != ';' && *p != '\n'; p++) {
        if (most > 0) {
            *out++ = *p;
            most--;
        }
    }
    return p < end && *p == ';' ? p + 1 : p;
}

/* Lines `type;name;link`: members with an empty or, of a file, a short content. */
static void members(struct bytes *b, const uint8_t *data, size_t size)
{
    const uint8_t *end = data + size;

    b->len = 0;
    while (data < end && b->len + 5 * BLOCK < sizeof(b->data)) {
        uint8_t *h = b->data + b->len;

        memset(h, 0, 2 * BLOCK);
        data = field(data, end, h + 156, 1);
        data = field(data, end, h, 100);
        data = field(data, end, h + 157, 100);
        while (data < end && *data++ != '\n')
            ;
        memcpy(h + 100, h[156] == '5' ? "0000755" : "0000644", 8);
        memcpy(h + 124, h[156] == '0' ? "00000000003" : "00000000000", 12);
        memcpy(h + 136, "00000000001", 12);
        memcpy(h + 257, "ustar\00000", 8);
        fix_sum(h);
        b->len += BLOCK;
        if (h[156] == '0') {
            memcpy(h + BLOCK, "abc", 3);
            b->len += BLOCK;
        }
    }
    memset(b->data + b->len, 0, 2 * BLOCK);
    b->len += 2 * BLOCK;
}

static void unpack(int root, enum pbc_format format, const struct bytes *b, size_t piece)
{
    struct pbc_unpack_conf conf = {.rootfd = root,
                                   .root = "/dev/shm/pbcast/1/0123456789abcdef0123456789abcdef",
                                   .limits = {.bytes = 1 << 20, .entries = 300},
                                   .bundles = 1};
    const struct pbc_msg_check check = {.set = "0123456789abcdef0123456789abcdef", .bundles = 1};
    struct pbc_msg_begin begin = {.format = format, .bytes = b->len, .path = "/b"};
    struct pbc_msg_end end = {.bytes = b->len};
    uint8_t payload[PBC_SMALL_MAX];
    struct pbc_error err;
    struct pbc_unpack *u = pbc_unpack_start(&conf, &err);
    struct pollfd done;
    enum pbc_unpack_state state;

    CLAIM(u != NULL);
    pbc_unpack_push(
        u, pbc_chunk_small(PBC_FRAME_BEGIN, 0, payload, pbc_begin_encode(&begin, payload)));
    for (size_t at = 0; at < b->len; at += piece) {
        size_t len = b->len - at < piece ? b->len - at : piece;

        pbc_unpack_push(u, pbc_chunk_small(PBC_FRAME_DATA, 0, b->data + at, (uint32_t)len));
    }
    crypto_generichash(end.digest, sizeof(end.digest), b->data, b->len, NULL, 0);
    pbc_unpack_push(u, pbc_chunk_small(PBC_FRAME_END, 0, payload,
                                       pbc_end_encode(&end, &check, 0, key, payload)));
    pbc_unpack_push(u, pbc_chunk_small(PBC_FRAME_DONE, 0, NULL, 0));
    done = (struct pollfd){.fd = pbc_unpack_fd(u), .events = POLLIN};
    while (poll(&done, 1, 60000) < 0) /* libFuzzer's alarm */
        CLAIM(errno == EINTR);
    CLAIM(done.revents == POLLIN);
    state = pbc_unpack_state(u, &err);
    pbc_unpack_free(u);
    CLAIM(state == PBC_UNPACK_DONE || state == PBC_UNPACK_FAILED);
    if (state == PBC_UNPACK_FAILED)
        CLAIM(err.code == PBC_EXIT_REFUSED);
    else
        check_tree(root, dup(root), "");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t pieces[] = {1 << 18, 1, 13, 512, 700, 4096, 10240, 1 << 16};
    static struct bytes b;
    unsigned kind;
    size_t piece;
    int root;

    if (base < 0)
        start();
    if (size < 1 || size > INPUT_MAX)
        return 0;
    kind = data[0] & 7;
    piece = pieces[data[0] >> 3 & 7];
    data++, size--;
    if (kind == 7) {
        members(&b, data, size);
    } else if (kind <= PBC_FORMAT_TAR) {
        plain(&b, data, size);
    } else {
        memcpy(b.data, data, size);
        b.len = size;
    }
    if (piece == 1 && b.len > 4096)
        piece = 64;
    CLAIM(mkdirat(base, "tree", 0700) == 0);
    root = openat(base, "tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLAIM(root >= 0);
    unpack(root, kind == 7 || kind == 0 ? PBC_FORMAT_TAR : (enum pbc_format)kind, &b, piece);
    close(root);
    check_sentinel();
    CLAIM(pbc_remove_tree(base, "tree", NULL) == 0);
    return 0;
}
