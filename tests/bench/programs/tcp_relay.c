/* tcp_relay - what the kernel's TCP costs a process that receives and passes on: the floor of a
 * relay. Source, relay and sink are three processes of this machine, over its loopback.
 *
 *     tcp_relay copy|splice MEGABYTES [PIECE]
 *
 * `copy` reads and writes pieces of PIECE bytes (262144); `splice` moves them through a pipe.
 * Prints: wall seconds, and the CPU seconds (user and system) of the relay alone.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static size_t piece = 262144;

static void die(const char *what)
{
    fprintf(stderr, "tcp_relay: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int listen_any(struct sockaddr_in *at)
{
    socklen_t len = sizeof(*at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memset(at, 0, sizeof(*at));
    at->sin_family = AF_INET;
    at->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)at, len) != 0 || listen(fd, 1) != 0 ||
        getsockname(fd, (struct sockaddr *)at, &len) != 0)
        die("listen");
    return fd;
}

static int dial(const struct sockaddr_in *at)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || connect(fd, (const struct sockaddr *)at, sizeof(*at)) != 0)
        die("connect");
    return fd;
}

static int take(int listener)
{
    int fd = accept(listener, NULL, NULL);

    if (fd < 0)
        die("accept");
    return fd;
}

static char *buffer(void)
{
    char *p = malloc(piece);

    if (p == NULL)
        die("memory");
    memset(p, 'x', piece);
    return p;
}

static void put(int fd, const char *p, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, p, len);

        if (n < 0)
            die("write");
        p += n;
        len -= (size_t)n;
    }
}

static void be_source(int to, uint64_t bytes)
{
    char *p = buffer();

    while (bytes > 0) {
        size_t len = bytes < piece ? (size_t)bytes : piece;

        put(to, p, len);
        bytes -= len;
    }
    free(p);
}

static void be_sink(int from)
{
    char *p = buffer();

    while (read(from, p, piece) > 0)
        ;
    free(p);
}

static void relay_copy(int from, int to)
{
    char *p = buffer();
    ssize_t n;

    while ((n = read(from, p, piece)) > 0)
        put(to, p, (size_t)n);
    free(p);
}

static void relay_splice(int from, int to)
{
    int pipes[2];
    ssize_t n;

    if (pipe(pipes) != 0)
        die("pipe");
    (void)fcntl(pipes[1], F_SETPIPE_SZ, (int)piece);
    while ((n = splice(from, NULL, pipes[1], NULL, piece, SPLICE_F_MOVE)) > 0) {
        while (n > 0) {
            ssize_t m = splice(pipes[0], NULL, to, NULL, (size_t)n, SPLICE_F_MOVE);

            if (m <= 0)
                die("splice");
            n -= m;
        }
    }
    close(pipes[0]);
    close(pipes[1]);
}

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

int main(int argc, char *argv[])
{
    struct sockaddr_in relay_at, sink_at;
    struct timespec began, ended;
    struct rusage used;
    uint64_t bytes;
    int relay, sink;

    if (argc < 3 || (strcmp(argv[1], "copy") != 0 && strcmp(argv[1], "splice") != 0)) {
        fprintf(stderr, "usage: tcp_relay copy|splice MEGABYTES [PIECE]\n");
        return 2;
    }
    bytes = strtoull(argv[2], NULL, 10) * 1000000;
    if (argc > 3)
        piece = strtoul(argv[3], NULL, 10);
    relay = listen_any(&relay_at);
    sink = listen_any(&sink_at);
    clock_gettime(CLOCK_MONOTONIC, &began);
    if (fork() == 0) {
        be_source(dial(&relay_at), bytes);
        _exit(0);
    }
    if (fork() == 0) {
        be_sink(take(sink));
        _exit(0);
    }
    if (strcmp(argv[1], "copy") == 0)
        relay_copy(take(relay), dial(&sink_at));
    else
        relay_splice(take(relay), dial(&sink_at));
    getrusage(RUSAGE_SELF, &used);
    clock_gettime(CLOCK_MONOTONIC, &ended);
    printf("wall %.4f cpu %.4f\n",
           (double)(ended.tv_sec - began.tv_sec) + (double)(ended.tv_nsec - began.tv_nsec) / 1e9,
           seconds(used.ru_utime) + seconds(used.ru_stime));
    return 0;
}
