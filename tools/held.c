#include "held.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define TICK_MS 100

struct held {
    unsigned long nodes;
    unsigned long here;
    int in;
    int out; /* -1 after its end */
    size_t len;
    char line[1024]; /* not ended yet; a longer one is cut */
};

static void take_line(struct held *h)
{
    static const char here[] = "pbcast: here", go[] = "pbcast: go\n";

    if (h->len != strlen(here) || memcmp(h->line, here, h->len) != 0)
        printf("%.*s\n", (int)h->len, h->line);
    else if (++h->here == h->nodes)
        (void)send(h->in, go, strlen(go), MSG_NOSIGNAL);
    h->len = 0;
    fflush(stdout);
}

/* 1 if there may be more to read at once. */
static int read_some(struct held *h)
{
    char buf[4096];
    ssize_t n = h->out < 0 ? -1 : read(h->out, buf, sizeof(buf));

    if (n == 0) {
        close(h->out);
        h->out = -1;
    }
    for (ssize_t i = 0; i < n; i++) {
        if (buf[i] == '\n')
            take_line(h);
        else if (h->len < sizeof(h->line))
            h->line[h->len++] = buf[i];
    }
    return n > 0;
}

int pbc_held_wait(pid_t pid, unsigned long nodes, int in, int out)
{
    struct held h = {.nodes = nodes, .in = in, .out = out};
    int status = 0;
    pid_t rc = 0;

    fcntl(out, F_SETFL, O_NONBLOCK);
    while (rc == 0) {
        struct pollfd fd = {.fd = h.out, .events = POLLIN};

        (void)poll(&fd, 1, TICK_MS);
        rc = waitpid(pid, &status, WNOHANG);
        if (rc < 0 && errno == EINTR)
            rc = 0;
        while (read_some(&h))
            continue;
    }
    if (h.len > 0)
        take_line(&h);
    close(in);
    if (h.out >= 0)
        close(h.out);
    return rc < 0 ? -1 : status;
}
