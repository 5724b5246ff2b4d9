#include "child.h"

#include "family.h"
#include "stop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TICK_MS 20

extern char **environ;

void pbc_close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static int spawn(struct pbc_child *c, char *const argv[], char *const env[], unsigned flags, int in,
                 int out)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t all;
    int rc;

    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attr);
    /* What we ignore is the child's own affair. */
    sigemptyset(&all);
    sigaddset(&all, SIGPIPE);
    sigaddset(&all, SIGXFSZ);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF);
    if (in >= 0)
        posix_spawn_file_actions_adddup2(&files, in, 0);
    else
        posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, out >= 0 ? out : 2, 1);
    if (flags & PBC_CHILD_QUIET)
        posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
    rc = posix_spawnp(&c->pid, argv[0], &files, &attr, argv, env == NULL ? environ : env);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&files);
    return rc;
}

int pbc_child_start(struct pbc_child *c, char *const argv[], char *const env[], unsigned flags,
                    struct pbc_error *err)
{
    int in[2] = {-1, -1}, out[2] = {-1, -1};
    int rc = 0;

    *c = (struct pbc_child){.in = -1, .out = -1};
    if ((flags & PBC_CHILD_IN) && pipe2(in, O_CLOEXEC) != 0)
        rc = errno;
    if (rc == 0 && (flags & PBC_CHILD_OUT) && pipe2(out, O_CLOEXEC) != 0)
        rc = errno;
    if (rc == 0)
        rc = spawn(c, argv, env, flags, in[0], out[1]);
    pbc_close_fd(&in[0]);
    pbc_close_fd(&out[1]);
    if (rc != 0) {
        c->pid = 0;
        pbc_close_fd(&in[1]);
        pbc_close_fd(&out[0]);
        errno = rc;
        return pbc_fail_errno(err, PBC_EXIT_REFUSED, "cannot run %s", argv[0]);
    }
    c->in = in[1];
    c->out = out[0];
    return 0;
}

/* All that runs for us is to end, what the child has started too. */
static void stop(const struct pbc_child *c, int sig)
{
    if (pbc_family_signal(0, sig) == 0)
        kill(c->pid, sig);
}

static int reap(struct pbc_child *c, int *status)
{
    int asked = 0;
    pid_t rc = 0;

    /* Looked at now and then: a signal may come just before a call that waits. */
    while (rc == 0) {
        if (!asked && pbc_stop_signal() != 0) {
            stop(c, SIGTERM);
            asked = 1;
        }
        rc = waitpid(c->pid, status, WNOHANG);
        if (rc == 0 && poll(NULL, 0, TICK_MS) < 0 && asked) /* one signal more */
            stop(c, SIGKILL);
    }
    if (rc < 0)
        return -1;
    c->pid = 0;
    return 0;
}

int pbc_child_wait(struct pbc_child *c, struct pbc_error *err)
{
    int status;

    pbc_close_fd(&c->in);
    pbc_close_fd(&c->out);
    if (reap(c, &status) != 0)
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot wait for a program");
    if (pbc_stopped(err) != 0)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void pbc_child_end(struct pbc_child *c)
{
    int status;

    if (c->pid == 0)
        return;
    pbc_close_fd(&c->in);
    pbc_close_fd(&c->out);
    if (pbc_stop_signal() == 0)
        kill(c->pid, SIGTERM);
    (void)reap(c, &status);
}

int pbc_read_full(int fd, void *buf, size_t len)
{
    char *p = buf;

    while (len > 0) {
        ssize_t n = read(fd, p, len);

        if (n < 0 && errno == EINTR && pbc_stop_signal() == 0)
            continue;
        if (n <= 0) {
            errno = n == 0 ? 0 : errno;
            return -1;
        }
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

int pbc_write_full(int fd, const void *buf, size_t len)
{
    const char *p = buf;

    while (len > 0) {
        ssize_t n = write(fd, p, len);

        if (n < 0 && errno == EINTR && pbc_stop_signal() == 0)
            continue;
        if (n < 0)
            return -1;
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

/* Up to its end; NULL with errno, EFBIG beyond `max`. */
static char *read_all(int fd, size_t max, size_t *ret_len)
{
    size_t size = 4096, len = 0;
    char *buf = malloc(size);

    while (buf != NULL) {
        ssize_t n;

        if (len + 1 == size) {
            char *more = size > max ? NULL : realloc(buf, size *= 2);

            if (more == NULL) {
                free(buf);
                errno = size > max ? EFBIG : ENOMEM;
                return NULL;
            }
            buf = more;
        }
        n = read(fd, buf + len, size - 1 - len);
        if (n < 0 && errno == EINTR && pbc_stop_signal() == 0)
            continue;
        if (n < 0) {
            free(buf);
            return NULL;
        }
        len += (size_t)n;
        if (n == 0) {
            buf[len] = '\0';
            *ret_len = len;
            break;
        }
    }
    return buf;
}

char *pbc_child_output(char *const argv[], char *const env[], size_t max, const char *what,
                       size_t *ret_len, struct pbc_error *err)
{
    struct pbc_child c;
    size_t len;
    char *text;
    int rc;

    if (pbc_child_start(&c, argv, env, PBC_CHILD_OUT, err) != 0)
        return NULL;
    text = read_all(c.out, max, &len);
    if (text == NULL) {
        pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot read %s from %s", what, argv[0]);
        pbc_child_end(&c);
        (void)pbc_stopped(err);
        return NULL;
    }
    rc = pbc_child_wait(&c, err);
    if (rc > 0)
        pbc_fail(err, PBC_EXIT_REFUSED, "%s failed (status %d) and did not tell %s", argv[0], rc,
                 what);
    if (rc != 0) {
        free(text);
        return NULL;
    }
    if (ret_len != NULL)
        *ret_len = len;
    return text;
}
