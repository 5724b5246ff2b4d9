#include "family.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define PASSES 100 /* over who makes processes as fast as they end */

struct member {
    pid_t pid, parent;
};

struct members {
    struct member *at; /* sorted by pid */
    size_t count, room;
};

void pbc_family_keep(void)
{
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

static int by_pid(const void *a, const void *b)
{
    pid_t l = ((const struct member *)a)->pid, r = ((const struct member *)b)->pid;

    return (l > r) - (l < r);
}

static struct member *find(const struct members *m, pid_t pid)
{
    const struct member key = {.pid = pid};

    return m->count == 0 ? NULL : bsearch(&key, m->at, m->count, sizeof(key), by_pid);
}

static int add(struct members *m, struct member new)
{
    if (m->count == m->room) {
        size_t room = m->room == 0 ? 256 : 2 * m->room;
        struct member *more = reallocarray(m->at, room, sizeof(*more));

        if (more == NULL)
            return -1;
        m->at = more;
        m->room = room;
    }
    m->at[m->count++] = new;
    return 0;
}

/* "PID (NAME) STATE PARENT ...", NAME being any bytes. */
static pid_t parent_of(const char *pid)
{
    char path[64], text[512];
    const char *end;
    int fd, parent;
    ssize_t n;

    snprintf(path, sizeof(path), "/proc/%.32s/stat", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    end = strrchr(text, ')');
    return end != NULL && sscanf(end, ") %*c %d", &parent) == 1 ? parent : 0;
}

/* All processes of the machine that can be seen. */
static int look(struct members *m)
{
    DIR *dir = opendir("/proc");
    struct dirent *e;
    int rc = 0;

    m->count = 0;
    while (dir != NULL && rc == 0 && (e = readdir(dir)) != NULL) {
        pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);

        if (pid > 0)
            rc = add(m, (struct member){.pid = pid, .parent = parent_of(e->d_name)});
    }
    if (dir != NULL)
        closedir(dir);
    if (m->count > 0)
        qsort(m->at, m->count, sizeof(*m->at), by_pid);
    return rc;
}

static bool is_ours(const struct members *m, pid_t pid)
{
    const struct member *one = find(m, pid);

    /* what was read at different times may be a ring */
    for (size_t i = 0; one != NULL && i < m->count; i++) {
        if (one->parent == getpid())
            return true;
        one = find(m, one->parent);
    }
    return false;
}

unsigned pbc_family_signal(pid_t spare, int sig)
{
    struct members all = {.at = NULL}, told = {.at = NULL};
    bool more = true;
    unsigned n = 0;

    for (int pass = 0; pass < PASSES && more && look(&all) == 0; pass++) {
        size_t before = told.count;

        more = false;
        for (size_t i = 0; i < all.count; i++) {
            pid_t pid = all.at[i].pid;
            bool known = false;

            for (size_t k = 0; k < before && !known; k++)
                known = told.at[k].pid == pid;
            if (pid == spare || known || !is_ours(&all, pid) ||
                add(&told, (struct member){.pid = pid}) != 0)
                continue;
            n += kill(pid, sig) == 0;
            more = true;
        }
    }
    free(all.at);
    free(told.at);
    return n;
}
