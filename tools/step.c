#include "step.h"

#include "clock.h"
#include "stop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define TICK_MS 20
#ifndef PBC_STEP_GRACE_MS
#define PBC_STEP_GRACE_MS 6000 /* agents end 3 seconds after a failure at the latest */
#endif

extern char **environ;

void pbc_step_add(struct pbc_step *w, const char *fmt, ...)
{
    va_list ap;

    if (w->failed || w->count + 1 >= PBC_STEP_WORDS) {
        w->failed = 1;
        return;
    }
    va_start(ap, fmt);
    if (vasprintf(&w->word[w->count], fmt, ap) < 0) {
        w->word[w->count] = NULL;
        w->failed = 1;
    } else {
        w->word[++w->count] = NULL;
    }
    va_end(ap);
}

void pbc_step_free(struct pbc_step *w)
{
    for (size_t i = 0; i < w->count; i++)
        free(w->word[i]);
    w->count = 0;
}

pid_t pbc_step_start(struct pbc_step *w, const int fd[3], int apart, struct pbc_error *err)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t ours;
    pid_t pid = -1;
    int rc;

    if (w->failed)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory");
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attr);
    /* What we ignore is its own affair. */
    sigemptyset(&ours);
    sigaddset(&ours, SIGPIPE);
    sigaddset(&ours, SIGXFSZ);
    posix_spawnattr_setsigdefault(&attr, &ours);
    posix_spawnattr_setflags(&attr,
                             (short)(POSIX_SPAWN_SETSIGDEF | (apart ? POSIX_SPAWN_SETPGROUP : 0)));
    /* A launcher would take the rest of the script's input. */
    if (fd[0] < 0)
        posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    for (int i = 0; i < 3; i++) {
        if (fd[i] >= 0)
            posix_spawn_file_actions_adddup2(&files, fd[i], i);
    }
    rc = posix_spawnp(&pid, w->word[0], &files, &attr, w->word, environ);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&files);
    if (rc == 0)
        return pid;
    errno = rc;
    return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot start %s", w->word[0]);
}

void pbc_step_stop(pid_t pid, struct pbc_step_stop *s)
{
    static const int signals[] = {SIGINT, SIGTERM};

    if (pbc_stop_signal() == 0 || s->sent == 2 || (s->sent > 0 && pbc_now_ms() < s->next))
        return;
    kill(pid, signals[s->sent++]);
    s->next = pbc_now_ms() + PBC_STEP_GRACE_MS;
}

int pbc_step_wait(pid_t pid)
{
    struct pbc_step_stop stop = {0};
    int status;
    pid_t rc;

    /* Looked at now and then: a signal may come just before a call that waits. */
    while ((rc = waitpid(pid, &status, WNOHANG)) == 0 || (rc < 0 && errno == EINTR)) {
        pbc_step_stop(pid, &stop);
        (void)poll(NULL, 0, TICK_MS);
    }
    return rc < 0 ? -1 : status;
}
