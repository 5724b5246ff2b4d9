/* floors - what the parts of unpacking cost a node at the least, each by itself and in one thread:
 *
 *     floors gz|zst ARCHIVE DIR
 *
 * recv    the bytes of the archive over a local socket, in pieces of 256 KiB
 * decode  ISA-L (gz) or libzstd (zst), streaming, into one buffer that is used again
 * write   the members, already in memory, made in DIR (which must be empty): a directory
 *         descriptor, openat, one write, futimens, close
 *
 * Prints the CPU seconds (user and system) of each. Parsing is not counted.
 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <isa-l/igzip_lib.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zstd.h>

#define PIECE 262144

struct file {
    char *name;
    void *data;
    size_t size;
};

static char piece[PIECE];

static void die(const char *what, const char *why)
{
    fprintf(stderr, "floors: %s: %s\n", what, why);
    exit(1);
}

static double cpu(void)
{
    struct rusage r;

    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
           (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static unsigned char *map(const char *path, size_t *size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    void *p;

    if (fd < 0 || fstat(fd, &st) != 0)
        die(path, strerror(errno));
    p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (p == MAP_FAILED)
        die(path, strerror(errno));
    close(fd);
    *size = (size_t)st.st_size;
    return p;
}

static double receive(const unsigned char *archive, size_t size)
{
    int pair[2];
    double began;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        die("socketpair", strerror(errno));
    if (fork() == 0) {
        for (size_t at = 0; at < size;) {
            ssize_t n = write(pair[1], archive + at, size - at < PIECE ? size - at : PIECE);

            if (n <= 0)
                _exit(1);
            at += (size_t)n;
        }
        _exit(0);
    }
    close(pair[1]);
    began = cpu();
    while (read(pair[0], piece, PIECE) > 0)
        ;
    close(pair[0]);
    wait(NULL);
    return cpu() - began;
}

static double decode_zst(const unsigned char *archive, size_t size)
{
    ZSTD_DCtx *ctx = ZSTD_createDCtx();
    ZSTD_inBuffer in = {archive, size, 0};
    double began = cpu();

    while (in.pos < in.size) {
        ZSTD_outBuffer out = {piece, PIECE, 0};
        size_t rc = ZSTD_decompressStream(ctx, &out, &in);

        if (ZSTD_isError(rc))
            die("zstd", ZSTD_getErrorName(rc));
    }
    ZSTD_freeDCtx(ctx);
    return cpu() - began;
}

static double decode_gz(const unsigned char *archive, size_t size)
{
    static struct inflate_state state;
    double began = cpu();

    isal_inflate_init(&state);
    state.crc_flag = ISAL_GZIP;
    state.next_in = (uint8_t *)(uintptr_t)archive;
    state.avail_in = (uint32_t)size;
    while (state.block_state != ISAL_BLOCK_FINISH) {
        state.next_out = (uint8_t *)piece;
        state.avail_out = PIECE;
        if (isal_inflate(&state) != ISAL_DECOMP_OK)
            die("gzip", "damaged");
        if (state.avail_in == 0 && state.avail_out == PIECE)
            break;
    }
    return cpu() - began;
}

/* All regular files of the archive in memory; the directories are made in `dir`. */
static struct file *load(const char *path, int dir, size_t *count)
{
    struct archive *a = archive_read_new();
    struct archive_entry *e;
    struct file *files = NULL;
    size_t room = 0;

    *count = 0;
    archive_read_support_format_tar(a);
    archive_read_support_filter_all(a);
    if (archive_read_open_filename(a, path, PIECE) != ARCHIVE_OK)
        die(path, archive_error_string(a));
    while (archive_read_next_header(a, &e) == ARCHIVE_OK) {
        struct file f = {.size = (size_t)archive_entry_size(e)};

        if (archive_entry_filetype(e) == AE_IFDIR)
            (void)mkdirat(dir, archive_entry_pathname(e), 0755);
        if (archive_entry_filetype(e) != AE_IFREG || archive_entry_hardlink(e) != NULL)
            continue;
        f.name = strdup(archive_entry_pathname(e));
        f.data = malloc(f.size + 1);
        if (f.name == NULL || f.data == NULL ||
            archive_read_data(a, f.data, f.size) != (la_ssize_t)f.size)
            die(archive_entry_pathname(e), "cannot be read");
        if (*count == room) {
            room = room == 0 ? 4096 : 2 * room;
            files = realloc(files, room * sizeof(*files));
            if (files == NULL)
                die("memory", strerror(errno));
        }
        files[(*count)++] = f;
    }
    archive_read_free(a);
    return files;
}

static double write_all(const struct file *files, size_t count, int dir)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1700000000}};
    double began = cpu();

    for (size_t i = 0; i < count; i++) {
        int fd =
            openat(dir, files[i].name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);

        if (fd < 0 || write(fd, files[i].data, files[i].size) != (ssize_t)files[i].size ||
            futimens(fd, times) != 0)
            die(files[i].name, strerror(errno));
        close(fd);
    }
    return cpu() - began;
}

int main(int argc, char *argv[])
{
    unsigned char *archive;
    struct file *files;
    size_t size, count;
    double recv, decode;
    int dir;

    if (argc != 4 || (strcmp(argv[1], "gz") != 0 && strcmp(argv[1], "zst") != 0)) {
        fprintf(stderr, "usage: floors gz|zst ARCHIVE DIR\n");
        return 2;
    }
    dir = open(argv[3], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        die(argv[3], strerror(errno));
    archive = map(argv[2], &size);
    recv = receive(archive, size);
    decode = argv[1][0] == 'g' ? decode_gz(archive, size) : decode_zst(archive, size);
    files = load(argv[2], dir, &count);
    printf("recv %.4f decode %.4f ", recv, decode);
    printf("write %.4f files %zu\n", write_all(files, count, dir), count);
    return 0;
}
