#include "observe.h"

#include "family.h"
#include "stop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define STRACE         "strace"
#define LINE_MAX_BYTES (64u << 20) /* of arguments there may be megabytes, four bytes for each */

/* What strace writes to. */
struct channel {
    char dir[PBC_PATH_MAX];
    char fifo[PBC_PATH_MAX + 16];
    int fd;
};

static int open_channel(struct channel *ch, struct pbc_error *err)
{
    const char *tmp = getenv("TMPDIR");

    ch->fd = -1;
    if ((size_t)snprintf(ch->dir, sizeof(ch->dir), "%s/pbcast-leaks-XXXXXX",
                         tmp == NULL || tmp[0] != '/' ? "/tmp" : tmp) >= sizeof(ch->dir) ||
        mkdtemp(ch->dir) == NULL) {
        ch->dir[0] = '\0';
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot make a directory in %s (TMPDIR)",
                              tmp == NULL || tmp[0] != '/' ? "/tmp" : tmp);
    }
    snprintf(ch->fifo, sizeof(ch->fifo), "%s/trace", ch->dir);
    if (mkfifo(ch->fifo, 0600) != 0 ||
        (ch->fd = open(ch->fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC)) < 0)
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot make %s", ch->fifo);
    return 0;
}

static void close_channel(struct channel *ch)
{
    if (ch->fd >= 0)
        close(ch->fd);
    if (ch->dir[0] != '\0') {
        (void)unlink(ch->fifo);
        (void)rmdir(ch->dir);
    }
}

static const char *get(char *const *vars, const char *name)
{
    size_t len = strlen(name);

    for (; *vars != NULL; vars++) {
        if (strncmp(*vars, name, len) == 0 && (*vars)[len] == '=')
            return *vars + len + 1;
    }
    return NULL;
}

/* The file that a shell would run. */
static int find_program(const char *name, char *const *vars, char out[PBC_PATH_MAX],
                        struct pbc_error *err)
{
    const char *path = get(vars, "PATH");
    int why = ENOENT;

    if (strchr(name, '/') != NULL) {
        if (strlen(name) >= PBC_PATH_MAX || access(name, X_OK) != 0)
            return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot run %s", name);
        memcpy(out, name, strlen(name) + 1);
        return 0;
    }
    for (const char *p = path == NULL ? "/usr/bin:/bin" : path;; p++) {
        size_t len = strcspn(p, ":");
        struct stat st;

        if ((size_t)snprintf(out, PBC_PATH_MAX, "%.*s%s%s", (int)len, p, len == 0 ? "" : "/",
                             name) < PBC_PATH_MAX &&
            stat(out, &st) == 0 && S_ISREG(st.st_mode)) {
            if (access(out, X_OK) == 0)
                return 0;
            why = errno;
        }
        p += len;
        if (*p == '\0')
            break;
    }
    errno = why;
    return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot find %s in PATH", name);
}

/* strace -o FIFO ... -E NAME=VALUE... -- PROGRAM ARGUMENT... */
static char **arguments(const struct channel *ch, const char *program, char *const *command,
                        char *const *vars, char **ret_own)
{
    const char *library = get(vars, "LD_LIBRARY_PATH");
    size_t n = 0, have = 0;
    char **argv;

    while (command[n] != NULL)
        n++;
    for (size_t i = 0; pbc_trace_options[i] != NULL; i++)
        n++;
    argv = calloc(n + 16, sizeof(*argv));
    *ret_own = NULL;
    if (argv == NULL || (library != NULL && asprintf(ret_own, "LD_LIBRARY_PATH=%s", library) < 0)) {
        free(argv);
        return NULL;
    }
    argv[have++] = (char *)(uintptr_t)STRACE;
    for (size_t i = 0; pbc_trace_options[i] != NULL; i++)
        argv[have++] = (char *)(uintptr_t)pbc_trace_options[i];
    argv[have++] = (char *)(uintptr_t) "-o";
    argv[have++] = (char *)(uintptr_t)ch->fifo;
    if (*ret_own != NULL) {
        argv[have++] = (char *)(uintptr_t) "-E";
        argv[have++] = *ret_own;
    }
    argv[have++] = (char *)(uintptr_t) "--";
    argv[have++] = (char *)(uintptr_t)program;
    for (size_t i = 1; command[i] != NULL; i++)
        argv[have++] = command[i];
    return argv;
}

/* strace itself does not run with the tree's libraries. */
static pid_t start(const char *strace, char **argv, char *const *vars, struct pbc_error *err)
{
    size_t n = 0, have = 0;
    char **env;
    pid_t pid;

    while (vars[n] != NULL)
        n++;
    env = calloc(n + 1, sizeof(*env));
    if (env == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory");
    for (size_t i = 0; i < n; i++) {
        if (strncmp(vars[i], "LD_LIBRARY_PATH=", 16) != 0)
            env[have++] = vars[i];
    }
    pid = fork();
    if (pid == 0) {
        signal(SIGINT, SIG_DFL);
        signal(SIGQUIT, SIG_DFL);
        signal(SIGPIPE, SIG_DFL);
        signal(SIGXFSZ, SIG_DFL);
        execve(strace, argv, env);
        _exit(127);
    }
    free(env);
    return pid < 0 ? pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot start strace") : pid;
}

/* What has come and is no whole line yet. */
struct rest {
    char *text;
    size_t len;
    size_t size;
    bool skip; /* the line is too long */
};

static int take_lines(struct rest *r, struct pbc_trace *t, struct pbc_leaks *l)
{
    char *line = r->text, *end = r->text + r->len, *newline;
    struct pbc_trace_event ev;

    while ((newline = memchr(line, '\n', (size_t)(end - line))) != NULL) {
        int rc;

        *newline = '\0';
        rc = r->skip ? 0 : pbc_trace_line(t, line, &ev);
        r->skip = false;
        if (rc < 0 || (rc > 0 && pbc_leaks_add(l, &ev) < 0))
            return -1;
        line = newline + 1;
    }
    r->len = (size_t)(end - line);
    memmove(r->text, line, r->len);
    return 0;
}

/* 1 something, 0 the end (for now), -1 without memory. */
static int take(int fd, struct rest *r, struct pbc_trace *t, struct pbc_leaks *l)
{
    ssize_t n;

    if (r->len == r->size && r->size >= LINE_MAX_BYTES) {
        r->skip = true;
        r->len = 0;
    }
    if (r->len == r->size) {
        size_t size = r->size == 0 ? 1 << 16 : 2 * r->size;
        char *more = realloc(r->text, size);

        if (more == NULL)
            return -1;
        r->text = more;
        r->size = size;
    }
    n = read(fd, r->text + r->len, r->size - r->len);
    if (n <= 0)
        return 0;
    r->len += (size_t)n;
    return take_lines(r, t, l) < 0 ? -1 : 1;
}

/* Until strace has ended, and all that it wrote is read. */
static int follow(pid_t pid, int fd, struct pbc_trace *t, struct pbc_leaks *l, int *ret_status,
                  struct pbc_error *err)
{
    struct rest r = {.text = NULL};
    bool ended = false, passed = false;
    int rc = 0;

    while (rc >= 0) {
        struct pollfd p = {.fd = fd, .events = POLLIN};

        /* strace ends with the last process of the command, whatever comes: they are to have it */
        if (pbc_stop_signal() != 0 && !passed && pbc_trace_command(t) != 0)
            passed = pbc_family_signal(pid, pbc_stop_signal()) > 0;
        rc = take(fd, &r, t, l);
        if (rc > 0)
            continue;
        if (rc < 0 || ended)
            break;
        if (waitpid(pid, ret_status, WNOHANG) == pid)
            ended = true; /* and once more for the rest */
        else if (poll(&p, 1, 100) > 0 && !(p.revents & POLLIN))
            (void)poll(NULL, 0, 20); /* nobody has it open */
    }
    free(r.text);
    if (rc == 0)
        return 0;
    if (!ended) {
        kill(pid, SIGKILL);
        (void)waitpid(pid, ret_status, 0);
    }
    return pbc_fail(err, PBC_EXIT_FAILED, "no memory for the trace");
}

static int observe(const char *strace, const char *program, char *const *command, char *const *vars,
                   struct pbc_trace *t, struct pbc_leaks *l, int *ret_status, struct pbc_error *err)
{
    struct channel ch;
    char **argv, *own = NULL;
    pid_t pid = -1;
    int status = 0, rc = -1;

    if (open_channel(&ch, err) == 0) {
        argv = arguments(&ch, program, command, vars, &own);
        if (argv == NULL)
            pbc_fail(err, PBC_EXIT_FAILED, "no memory");
        else
            pid = start(strace, argv, vars, err);
        free(argv);
        free(own);
    }
    if (pid > 0)
        rc = follow(pid, ch.fd, t, l, &status, err);
    close_channel(&ch);
    *ret_status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    return rc;
}

int pbc_observe(char *const *command, char *const *vars, const char *cwd, struct pbc_leaks *l,
                unsigned *ret_processes, int *ret_status, struct pbc_error *err)
{
    char strace[PBC_PATH_MAX], program[PBC_PATH_MAX];
    struct sigaction ignore = {.sa_handler = SIG_IGN}, interrupt, quit;
    struct pbc_trace *t;
    int rc;

    if (find_program(STRACE, environ, strace, NULL) < 0)
        return pbc_fail(err, PBC_EXIT_FAILED,
                        "strace is not in PATH on this node; its package is needed for this "
                        "command alone");
    if (find_program(command[0], vars, program, err) < 0)
        return -1;
    t = pbc_trace_new(cwd);
    if (t == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory");
    /* They are for the command. */
    sigaction(SIGINT, &ignore, &interrupt);
    sigaction(SIGQUIT, &ignore, &quit);
    pbc_stop_catch();
    pbc_family_keep();
    rc = observe(strace, program, command, vars, t, l, ret_status, err);
    sigaction(SIGINT, &interrupt, NULL);
    sigaction(SIGQUIT, &quit, NULL);
    *ret_processes = pbc_trace_processes(t);
    pbc_trace_free(t);
    if (rc == 0 && *ret_processes == 0)
        return pbc_fail(err, PBC_EXIT_FAILED,
                        "strace could not observe the command (status %d; are ptrace and seccomp "
                        "allowed here?)",
                        *ret_status);
    return rc;
}
