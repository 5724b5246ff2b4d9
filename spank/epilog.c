/* Removal of staged trees: at a job's end, and what is left over when slurmd starts. Errors are
 * logged and never reported to Slurm, which would take the node out of service. */

#include "context.h"

#include "slurm_port.h"
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SWEEP_MAX   4096 /* job directories; more are left for the next start */
#define SWEEP_TRIES 20
#define SWEEP_WAIT  15 /* seconds between tries: five minutes in all */

struct leftovers {
    size_t count;
    uint32_t job[SWEEP_MAX];
};

int pbc_epilog(struct spank_handle *sp, int argc, char *const argv[])
{
    struct pbc_site site;
    struct pbc_error err;
    uint32_t job;

    if (pbc_hook_site(argc, argv, &site) < 0)
        return 0;
    if (pbc_slurm_job(sp, &job) < 0) {
        pbc_slurm_error("epilog: Slurm does not say which job this is");
        return 0;
    }
    if (pbc_store_purge(site.store, job, &err) < 0)
        pbc_slurm_error("epilog of job %u: %s", job, err.text);
    return 0;
}

static void collect(uint32_t job, void *arg)
{
    struct leftovers *l = arg;

    if (l->count < SWEEP_MAX)
        l->job[l->count++] = job;
}

/* slurmd -N NAME, where one machine runs several; else the host's name up to the first dot. */
static void node_name(char *name, size_t size)
{
    char cmd[4096];
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, cmd, sizeof(cmd) - 1) : -1;

    if (fd >= 0)
        close(fd);
    if (gethostname(name, size) < 0)
        name[0] = '\0';
    name[size - 1] = '\0';
    name[strcspn(name, ".")] = '\0';
    if (n <= 0)
        return;
    cmd[n] = '\0';
    for (const char *word = cmd; word < cmd + n; word += strlen(word) + 1) {
        if (strncmp(word, "-N", 2) != 0)
            continue;
        word = word[2] != '\0' ? word + 2 : word + 3;
        if (word < cmd + n && word[0] != '\0')
            snprintf(name, size, "%s", word);
        return;
    }
}

/* One round over what is left. Jobs about which nothing can be said yet stay in the list. */
static void sweep_round(const char *store, const char *node, struct leftovers *l)
{
    size_t kept = 0;
    struct pbc_error err;

    for (size_t i = 0; i < l->count; i++) {
        switch (pbc_slurm_job_state(l->job[i], node)) {
        case PBC_JOB_GONE:
            if (pbc_store_purge(store, l->job[i], &err) < 0)
                pbc_slurm_error("leftovers of job %u: %s", l->job[i], err.text);
            else
                pbc_slurm_info("removed the leftovers of job %u", l->job[i]);
            break;
        case PBC_JOB_HERE:
            break;
        case PBC_JOB_UNKNOWN:
            l->job[kept++] = l->job[i];
            break;
        }
    }
    l->count = kept;
}

/* Replace slurmd's sockets and pipes, which must not outlive it here: a slurmd that is started
 * again would find its port taken. Closing them would free their numbers for the sockets of
 * slurm_load_job, and what still writes to the old number would write into those. Files stay, the
 * log is one of them. */
static void let_go_of_sockets(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct dirent *e;

    while (dir != NULL && null >= 0 && (e = readdir(dir)) != NULL) {
        struct stat st;
        unsigned long n;
        int fd;

        if (pbc_parse_number(e->d_name, 0, INT_MAX, &n) < 0)
            continue; /* "." and ".." */
        fd = (int)n;
        if (fd == dirfd(dir) || fd == null || fstat(fd, &st) < 0)
            continue;
        if (!S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode) && !S_ISDIR(st.st_mode))
            dup3(null, fd, O_CLOEXEC);
    }
    if (dir != NULL)
        closedir(dir);
    if (null >= 0)
        close(null);
}

static void reset_signals(void)
{
    struct sigaction dfl = {.sa_handler = SIG_DFL};
    sigset_t none;

    sigemptyset(&dfl.sa_mask);
    for (int signo = 1; signo <= SIGRTMAX; signo++)
        sigaction(signo, &dfl, NULL);
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void sweep(const char *store, struct leftovers *l)
{
    char node[256];

    prctl(PR_SET_NAME, "pbcast-sweep", 0, 0, 0);
    node_name(node, sizeof(node));
    for (int i = 0; i < SWEEP_TRIES && l->count > 0; i++) {
        if (i > 0)
            sleep(SWEEP_WAIT);
        sweep_round(store, node, l);
    }
    if (l->count > 0)
        pbc_slurm_info("left the directories of %zu jobs in %s: Slurm did not say whether they "
                       "have ended",
                       l->count, store);
}

/* slurmd has one thread here and has made its configuration and its credentials ready, so that a
 * forked copy of it may ask slurmctld as slurmd would. It waits for slurmctld there, not here: a
 * slurmd must start without its controller. */
int pbc_sweep(int argc, char *const argv[])
{
    static struct leftovers left;
    struct pbc_site site;
    struct pbc_error err;
    pid_t pid;

    left.count = 0;
    if (pbc_hook_site(argc, argv, &site) < 0)
        return 0;
    if (pbc_store_each(site.store, collect, &left, &err) < 0) {
        pbc_slurm_error("leftovers: %s", err.text);
        return 0;
    }
    if (left.count == 0)
        return 0;

    pid = fork();
    if (pid < 0) {
        pbc_slurm_error("leftovers: cannot fork: %s", strerror(errno));
        return 0;
    }
    if (pid == 0) {
        /* The sweeper is nobody's child, so that slurmd need not know of it. */
        if (setsid() < 0 || fork() != 0)
            _exit(0);
        reset_signals();
        let_go_of_sockets();
        sweep(site.store, &left);
        _exit(0);
    }
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return 0;
}
