#include "held.h"

#include "clock.h"
#include "step.h"
#include "step_line.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define TICK_MS 100
#ifndef PBC_HELD_GRACE_MS
#define PBC_HELD_GRACE_MS 8000 /* for what else the step has to say of it */
#endif

struct stream {
    int fd; /* -1 after its end */
    size_t len;
    char line[4096]; /* not ended yet; a longer one is cut */
};

struct held {
    unsigned long nodes;
    unsigned long here;
    int in;
    struct stream out, err;
    uint64_t missed; /* when an agent turned out not to come; 0: never */
};

static void take_line(struct held *h, struct stream *s)
{
    static const char here[] = "pbcast: here", go[] = "pbcast: go\n";
    FILE *to = s == &h->out ? stdout : stderr;

    s->line[s->len] = '\0';
    s->len = 0;
    if (s == &h->out && strcmp(s->line, here) == 0) {
        if (++h->here == h->nodes)
            (void)send(h->in, go, strlen(go), MSG_NOSIGNAL);
        return;
    }
    if (s == &h->err && h->missed == 0 && (pbc_line_unstarted(s->line) || pbc_line_lost(s->line)))
        h->missed = pbc_now_ms();
    if (s == &h->err && pbc_line_unbound(s->line))
        return;
    fprintf(to, "%s\n", s->line);
    fflush(to);
}

/* 1 if there may be more to read at once. */
static int read_some(struct held *h, struct stream *s)
{
    char buf[4096];
    ssize_t n = s->fd < 0 ? -1 : read(s->fd, buf, sizeof(buf));

    if (n == 0) {
        close(s->fd);
        s->fd = -1;
    }
    for (ssize_t i = 0; i < n; i++) {
        if (buf[i] == '\n')
            take_line(h, s);
        else if (s->len + 1 < sizeof(s->line))
            s->line[s->len++] = buf[i];
    }
    return n > 0;
}

static void end_stream(struct held *h, struct stream *s)
{
    if (s->len > 0)
        take_line(h, s);
    if (s->fd >= 0)
        close(s->fd);
}

int pbc_held_wait(pid_t pid, unsigned long nodes, int in, int out, int err, bool *ret_vain)
{
    struct held h = {.nodes = nodes, .in = in, .out = {.fd = out}, .err = {.fd = err}};
    struct pbc_step_stop stop = {0};
    int status = 0;
    pid_t rc = 0;

    *ret_vain = false;
    fcntl(out, F_SETFL, O_NONBLOCK);
    fcntl(err, F_SETFL, O_NONBLOCK);
    while (rc == 0) {
        struct pollfd fd[2] = {{.fd = h.out.fd, .events = POLLIN},
                               {.fd = h.err.fd, .events = POLLIN}};

        (void)poll(fd, 2, TICK_MS);
        pbc_step_stop(pid, &stop);
        rc = waitpid(pid, &status, WNOHANG);
        if (rc < 0 && errno == EINTR)
            rc = 0;
        while (read_some(&h, &h.out) || read_some(&h, &h.err))
            continue;
        if (rc == 0 && !*ret_vain && h.missed != 0 && h.here < nodes &&
            pbc_now_ms() > h.missed + PBC_HELD_GRACE_MS) {
            *ret_vain = true;
            kill(pid, SIGTERM);
        }
    }
    end_stream(&h, &h.out);
    end_stream(&h, &h.err);
    close(in);
    return rc < 0 ? -1 : status;
}
