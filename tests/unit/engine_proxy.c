#include "engine_proxy.h"

#include "support.h"
#include "wire.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PIECE 4096

struct proxy {
    uint64_t flip;
    uint64_t rate;
    uint64_t passed;
    int listener;
    char meet[256];
    uint32_t rank;
    pthread_t thread;
    int started;
    int stop[2]; /* a pipe: closed to stop */
};

struct proxy *proxy_new(uint64_t flip, uint64_t rate)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct proxy *p = calloc(1, sizeof(*p));
    int small = 4 * PIECE;

    assert_non_null(p);
    p->flip = flip;
    p->rate = rate;
    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(p->listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    assert_int_equal(bind(p->listener, (struct sockaddr *)&any, sizeof(any)), 0);
    assert_int_equal(listen(p->listener, 4), 0);
    assert_int_equal(pipe(p->stop), 0);
    return p;
}

uint16_t proxy_port(const struct proxy *p)
{
    struct sockaddr_in at;
    socklen_t len = sizeof(at);

    assert_int_equal(getsockname(p->listener, (struct sockaddr *)&at, &len), 0);
    return ntohs(at.sin_port);
}

static int stopped(const struct proxy *p, int ms)
{
    struct pollfd fd = {.fd = p->stop[0]};

    return poll(&fd, 1, ms) != 0;
}

/* A connection to the parent, or -1. */
static int dial(const struct proxy *p)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    uint8_t wire[PBC_RECORD_BYTES];
    int small = 4 * PIECE;
    struct pbc_record rec;
    struct pbc_error err;
    char path[512];
    FILE *f;
    int fd;

    snprintf(path, sizeof(path), "%s/%u.record", p->meet, p->rank);
    f = fopen(path, "r");
    if (f == NULL)
        return -1;
    if (fread(wire, sizeof(wire), 1, f) != 1 || pbc_record_decode(wire, &rec, &err) != 0)
        rec.port = 0;
    fclose(f);
    at.sin_port = htons(rec.port);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    if (connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0)
        return fd;
    close(fd);
    return -1;
}

/* Pass on what has come: 0 at the end. */
static int pass(struct proxy *p, int from, int to, uint64_t *passed, uint64_t flip)
{
    uint8_t piece[PIECE];
    ssize_t n = recv(from, piece, sizeof(piece), 0);

    if (n <= 0)
        return 0;
    if (flip >= *passed && flip - *passed < (uint64_t)n && flip != 0)
        piece[flip - *passed] ^= 0x10;
    *passed += (uint64_t)n;
    for (ssize_t sent = 0; sent < n;) {
        ssize_t m = send(to, piece + sent, (size_t)(n - sent), MSG_NOSIGNAL);

        if (m <= 0)
            return 0;
        sent += m;
    }
    return p->rate == 0 || !stopped(p, (int)((uint64_t)n * 1000 / p->rate));
}

static void serve(struct proxy *p, int child, int parent)
{
    struct pollfd fds[3] = {
        {.fd = child, .events = POLLIN}, {.fd = parent, .events = POLLIN}, {.fd = p->stop[0]}};
    uint64_t up = 0;

    p->passed = 0;
    while (poll(fds, 3, -1) > 0 && fds[2].revents == 0) {
        if (fds[0].revents != 0 && !pass(p, child, parent, &up, 0))
            break;
        if (fds[1].revents != 0 && !pass(p, parent, child, &p->passed, p->flip))
            break;
    }
    close(child);
    close(parent);
}

static void *run(void *arg)
{
    struct proxy *p = arg;

    for (;;) {
        struct pollfd fds[2] = {{.fd = p->listener, .events = POLLIN}, {.fd = p->stop[0]}};
        int child;
        int parent;

        poll(fds, 2, -1);
        if (fds[1].revents != 0)
            return NULL;
        child = accept(p->listener, NULL, NULL);
        while ((parent = dial(p)) < 0 && !stopped(p, 10))
            ;
        if (parent < 0) {
            close(child);
            return NULL;
        }
        serve(p, child, parent);
    }
}

void proxy_to(struct proxy *p, const char *meet, uint32_t rank)
{
    snprintf(p->meet, sizeof(p->meet), "%s", meet);
    p->rank = rank;
    assert_int_equal(pthread_create(&p->thread, NULL, run, p), 0);
    p->started = 1;
}

void proxy_free(struct proxy *p)
{
    close(p->stop[1]);
    if (p->started)
        pthread_join(p->thread, NULL);
    close(p->stop[0]);
    close(p->listener);
    free(p);
}
