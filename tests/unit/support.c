#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int setup_below(const char *template, void **state)
{
    char *dir = strdup(template);

    if (dir == NULL || mkdtemp(dir) == NULL || chmod(dir, 0755) < 0) {
        free(dir);
        return -1;
    }
    *state = dir;
    return 0;
}

int scratch_setup(void **state)
{
    return setup_below("/tmp/pbc-test-XXXXXX", state);
}

int root_scratch_setup(void **state)
{
    *state = NULL;
    return geteuid() == 0 ? setup_below("/run/pbc-test-XXXXXX", state) : 0;
}

int scratch_teardown(void **state)
{
    char rm[] = "rm", rf[] = "-rf", end[] = "--";
    char *argv[] = {rm, rf, end, *state, NULL};
    int status = -1;
    pid_t pid;

    if (*state == NULL)
        return 0;
    if (posix_spawnp(&pid, rm, NULL, NULL, argv, environ) == 0)
        waitpid(pid, &status, 0);
    free(*state);
    return status;
}

const char *in(const char *dir, const char *name)
{
    static char path[8][8192];
    static unsigned next;
    char *p = path[next++ % 8];

    assert_true((size_t)snprintf(p, sizeof(path[0]), "%s/%s", dir, name) < sizeof(path[0]));
    return p;
}

void make_file(const char *path, const void *data, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), len);
    assert_int_equal(close(fd), 0);
}

void make_dir(const char *path, mode_t mode)
{
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(chmod(path, mode), 0);
}

bool exists(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

void assert_error_words(const struct pbc_error *err, enum pbc_exit code, ...)
{
    const char *word;
    va_list ap;

    assert_int_equal(err->code, code);
    va_start(ap, code);
    while ((word = va_arg(ap, const char *)) != NULL) {
        if (strstr(err->text, word) == NULL)
            fail_msg("\"%s\" is not in \"%s\"", word, err->text);
    }
    va_end(ap);
}

int in_child(int (*fn)(void *arg), void *arg)
{
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (pid == 0)
        _exit(fn(arg));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status))
        fail_msg("the child died of signal %d", WTERMSIG(status));
    return WEXITSTATUS(status);
}

pid_t background(void (*fn)(void))
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        fn();
        _exit(0);
    }
    return pid;
}

void background_end(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
}

void become_nobody(void)
{
    if (geteuid() == 0 && (setresgid(PBC_NOBODY, PBC_NOBODY, PBC_NOBODY) < 0 ||
                           setresuid(PBC_NOBODY, PBC_NOBODY, PBC_NOBODY) < 0))
        _exit(126);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* lost with the identity */
}

/* System call `a` or `b` answers `error` from now on. */
static void refuse_calls(unsigned a, unsigned b, unsigned error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, a, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, b, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0) {
        perror("no seccomp");
        exit(125);
    }
}

void without_openat2(void)
{
    refuse_calls(SYS_openat2, SYS_openat2, ENOSYS);
}

void without_renames(void)
{
#ifdef SYS_renameat
    refuse_calls(SYS_renameat, SYS_renameat2, ENOSPC);
#else
    refuse_calls(SYS_renameat2, SYS_renameat2, ENOSPC);
#endif
}
