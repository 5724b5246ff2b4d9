#include "child.h"

#include "clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TICK_MS 200
/* After an error line: agents end within a few seconds, but a stopped one would hold its srun. */
#ifndef PBC_CHILD_GRACE_MS
#define PBC_CHILD_GRACE_MS 8000
#endif

/* How a child is ended, and how long each of the signals gets. srun passes SIGINT on to the agents,
 * which clean up and tell each other, and end after 3 seconds at the latest; at SIGTERM it kills
 * them. */
static const struct {
    int signo;
    unsigned ms;
} endings[] = {{SIGINT, 6000}, {SIGTERM, 5000}, {SIGKILL, 5000}};
#define ENDINGS (sizeof(endings) / sizeof(endings[0]))

static const int caught[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
#define CAUGHT (sizeof(caught) / sizeof(caught[0]))

static volatile sig_atomic_t got_signal;
static volatile sig_atomic_t wake_fd = -1;

static void on_signal(int signo)
{
    int saved = errno;
    ssize_t n;

    got_signal = signo;
    /* The signal may have come to another thread than the one that waits. */
    n = write((int)wake_fd, "", 1);
    (void)n;
    errno = saved;
}

/* Move both above the three standard descriptors, which the user may have closed. */
static int lift(int fd[2], struct pbc_error *err)
{
    for (int i = 0; i < 2; i++) {
        int high;

        if (fd[i] > 2)
            continue;
        high = fcntl(fd[i], F_DUPFD_CLOEXEC, 3);
        if (high < 0) {
            pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot duplicate a descriptor");
            close(fd[0]);
            close(fd[1]);
            fd[0] = fd[1] = -1;
            return -1;
        }
        close(fd[i]);
        fd[i] = high;
    }
    return 0;
}

static int make_pipe(int fd[2], int flags, struct pbc_error *err)
{
    if (pipe2(fd, O_CLOEXEC | flags) < 0) {
        fd[0] = fd[1] = -1;
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot make a pipe");
    }
    return lift(fd, err);
}

static int make_sockets(int fd[2], struct pbc_error *err)
{
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) < 0) {
        fd[0] = fd[1] = -1;
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot make a pair of sockets");
    }
    return lift(fd, err);
}

static void close_from(unsigned first, int keep)
{
    if ((unsigned)keep > first)
        syscall(SYS_close_range, first, (unsigned)keep - 1, 0);
    if (syscall(SYS_close_range, (unsigned)keep + 1, ~0u, 0) == 0)
        return;
    for (int fd = (int)first; fd < 4096; fd++) { /* Linux before 5.9 */
        if (fd != keep)
            close(fd);
    }
}

/* The child's part. Async-signal-safe calls only. */
static void become(const struct pbc_child *c, pid_t parent, int in, int out, int report)
{
    struct sigaction dfl = {.sa_handler = SIG_DFL};
    sigset_t none;
    int fd, e;

    sigemptyset(&none);
    sigemptyset(&dfl.sa_mask);
    for (int signo = 1; signo <= SIGRTMAX; signo++)
        sigaction(signo, &dfl, NULL);

    /* When the process that waits for us dies, nobody would end the step. */
    prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
    if (getppid() != parent)
        _exit(127);
    /* A terminal's ctrl-C is for the one who waits, who passes it on. In a task the group is what
     * Slurm ends. */
    if (c->catch_signals)
        setpgid(0, 0);

    if (in < 0)
        in = open("/dev/null", O_RDONLY);
    if (in < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
        goto fail;
    if (report != 3) {
        if (dup2(report, 3) < 0)
            goto fail;
        report = 3;
    }
    fcntl(report, F_SETFD, FD_CLOEXEC);
    close_from(3, report);

    /* slurmstepd may have shielded itself. */
    fd = open("/proc/self/oom_score_adj", O_WRONLY);
    if (fd >= 0) {
        ssize_t n = write(fd, "0", 1);

        (void)n;
        close(fd);
    }
    umask(022);
    if (chdir("/") < 0)
        goto fail;
    sigprocmask(SIG_SETMASK, &none, NULL);
    execve(c->argv[0], c->argv, c->envp);
fail:
    e = errno;
    if (write(report, &e, sizeof(e)) < 0)
        _exit(126);
    _exit(127);
}

static pid_t start(const struct pbc_child *c, int in, int out, struct pbc_error *err)
{
    int report[2];
    int e = 0;
    sigset_t all, old;
    pid_t parent = getpid();
    pid_t pid;
    ssize_t n;

    if (make_pipe(report, 0, err) < 0)
        return -1;
    /* No handler of srun may run in the child. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pid = fork();
    if (pid == 0)
        become(c, parent, in, out, report[1]);
    e = errno;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    close(report[1]);
    if (pid < 0) {
        close(report[0]);
        errno = e;
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot start %s", c->argv[0]);
    }
    do
        n = read(report[0], &e, sizeof(e));
    while (n < 0 && errno == EINTR);
    close(report[0]);
    if (n == (ssize_t)sizeof(e)) {
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
        errno = e;
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot run %s", c->argv[0]);
    }
    return pid;
}

struct wait {
    const struct pbc_child *c;
    pid_t pid;
    int in;   /* our end of its standard input, -1 without one */
    int out;  /* -1 after its end */
    int wake; /* -1 without caught signals */
    int told;
    struct pbc_clock *clock;
    uint64_t missed; /* when an agent turned out not to come; 0: never */
    sigset_t mask;
    enum pbc_child_end end;
    uint64_t deadline; /* of the run, then of the last signal sent */
    size_t sent;       /* signals of `endings` */
};

static void next_signal(struct wait *w)
{
    w->deadline = pbc_clock_ms(w->clock) + endings[w->sent].ms;
    kill(w->pid, endings[w->sent].signo);
    w->sent++;
}

static void stop(struct wait *w, enum pbc_child_end end)
{
    w->end = end;
    w->c->output->ending = 1;
    next_signal(w);
}

/* Once all agents are here, tell them so. It is a socket because a closed pipe would raise SIGPIPE.
 */
static void tell(struct wait *w)
{
    static const char go[] = "pbcast: go\n";

    if (w->told || w->in < 0 || w->c->output->here < w->c->await)
        return;
    w->told = 1;
    (void)send(w->in, go, sizeof(go) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void read_output(struct wait *w)
{
    char buf[8192];

    while (w->out >= 0) {
        ssize_t n = read(w->out, buf, sizeof(buf));

        if (n > 0) {
            pbc_output_feed(w->c->output, buf, (size_t)n);
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        close(w->out);
        w->out = -1;
    }
}

/* Sleep until there is output, a signal, or the next moment to look. */
static void sleep_a_while(struct wait *w)
{
    struct pollfd fds[2] = {{.fd = w->out, .events = POLLIN}, {.fd = w->wake, .events = POLLIN}};
    uint64_t now = pbc_clock_ms(w->clock), ms = w->deadline > now ? w->deadline - now : 0;
    /* After the end of the output the child is as good as gone. */
    uint64_t most = w->out < 0 ? 5 : TICK_MS;
    struct timespec ts;
    char drop[16];

    if (ms > most)
        ms = most;
    ts.tv_sec = (time_t)(ms / 1000);
    ts.tv_nsec = (long)(ms % 1000) * 1000000;
    if (ppoll(fds, 2, &ts, w->wake >= 0 ? &w->mask : NULL) > 0 && (fds[1].revents & POLLIN)) {
        while (read(w->wake, drop, sizeof(drop)) > 0)
            ;
    }
}

/* 1 when the child is gone (or given up). */
static int reap(struct wait *w, int *status)
{
    pid_t pid = waitpid(w->pid, status, WNOHANG);

    if (pid == w->pid)
        return 1;
    if (pid < 0 && errno == ECHILD) { /* somebody else took it */
        *status = 0xff00;
        return 1;
    }
    if (pbc_clock_ms(w->clock) < w->deadline)
        return 0;
    if (w->sent == 0) {
        stop(w, PBC_CHILD_TIMEOUT);
    } else if (w->sent < ENDINGS) {
        next_signal(w);
    } else {
        *status = SIGKILL; /* stuck in the kernel: leave it to init */
        return 1;
    }
    return 0;
}

/* 1 if the agents that are awaited cannot all come: one could not start, or has ended, and the step
 * has had time to say why. */
static int waits_in_vain(struct wait *w)
{
    const struct pbc_output *o = w->c->output;

    if (w->in < 0 || w->told)
        return 0;
    if ((o->unstarted || o->lost) && w->missed == 0)
        w->missed = pbc_clock_ms(w->clock);
    return o->unlaunched ||
           (w->missed != 0 && pbc_clock_ms(w->clock) > w->missed + PBC_CHILD_GRACE_MS);
}

static void wait_for(struct wait *w, int *status)
{
    int failed = 0;

    for (;;) {
        sleep_a_while(w);
        read_output(w);
        tell(w);
        if (w->sent == 0 && w->wake >= 0 && got_signal != 0)
            stop(w, PBC_CHILD_INTERRUPTED);
        else if (w->sent == 0 && (w->c->output->again || waits_in_vain(w)))
            stop(w, PBC_CHILD_AGAIN);
        else if (w->sent == 0 && !failed && w->c->output->error[0] != '\0') {
            failed = 1;
            if (w->deadline > pbc_clock_ms(w->clock) + PBC_CHILD_GRACE_MS)
                w->deadline = pbc_clock_ms(w->clock) + PBC_CHILD_GRACE_MS;
        }
        if (reap(w, status))
            break;
    }
    read_output(w);
    pbc_output_finish(w->c->output);
}

static void unblock(sigset_t *mask)
{
    pthread_sigmask(SIG_SETMASK, NULL, mask);
    for (size_t i = 0; i < CAUGHT; i++)
        sigdelset(mask, caught[i]);
}

/* Send the signals that end srun to us while we wait. srun 22.05 blocks them everywhere and has a
 * thread in sigwait, which does nothing useful before the tasks are launched. The kernel gives a
 * signal to the main thread first where that does not block it, which ppoll sees to; later
 * versions have handlers, which these replace. */
static void catch_signals(struct sigaction *old)
{
    struct sigaction act = {.sa_handler = on_signal};

    sigemptyset(&act.sa_mask);
    got_signal = 0;
    for (size_t i = 0; i < CAUGHT; i++)
        sigaction(caught[i], &act, &old[i]);
}

static void release_signals(const struct sigaction *old)
{
    for (size_t i = 0; i < CAUGHT; i++)
        sigaction(caught[i], &old[i], NULL);
}

int pbc_child_run(const struct pbc_child *c, enum pbc_child_end *ret_end, int *ret_status,
                  struct pbc_error *err)
{
    struct sigaction old[CAUGHT];
    struct sigaction chld, dfl = {.sa_handler = SIG_DFL};
    struct pbc_clock own = {0};
    struct wait w = {
        .c = c, .wake = -1, .end = PBC_CHILD_EXITED, .clock = c->clock != NULL ? c->clock : &own};
    int in[2] = {-1, -1}, out[2], wake[2] = {-1, -1};
    int rc = -1;

    if (make_pipe(out, 0, err) < 0)
        return -1;
    fcntl(out[0], F_SETFL, O_NONBLOCK); /* the reader's end alone: another open file description */
    if ((c->await > 0 && make_sockets(in, err) < 0) ||
        (c->catch_signals && make_pipe(wake, O_NONBLOCK, err) < 0))
        goto close_all;
    /* Where children are ignored their status is lost. */
    sigemptyset(&dfl.sa_mask);
    sigaction(SIGCHLD, NULL, &chld);
    if (chld.sa_handler == SIG_IGN)
        sigaction(SIGCHLD, &dfl, NULL);
    if (c->catch_signals) {
        wake_fd = wake[1];
        catch_signals(old);
    }

    w.deadline = pbc_clock_ms(w.clock) + (uint64_t)c->seconds * 1000;
    w.pid = start(c, in[1], out[1], err);
    close(out[1]);
    out[1] = -1;
    if (w.pid > 0) {
        w.in = in[0];
        w.out = out[0];
        out[0] = -1;
        w.wake = wake[0];
        unblock(&w.mask);
        wait_for(&w, ret_status);
        if (w.out >= 0)
            close(w.out);
        *ret_end = w.end;
        rc = 0;
    }

    if (c->catch_signals) {
        release_signals(old);
        wake_fd = -1;
        close(wake[0]);
        close(wake[1]);
    }
    if (chld.sa_handler == SIG_IGN)
        sigaction(SIGCHLD, &chld, NULL);
close_all:
    for (int i = 0; i < 2; i++) {
        if (in[i] >= 0)
            close(in[i]);
        if (out[i] >= 0)
            close(out[i]);
    }
    return rc;
}
