#include "trace.h"

#include "path.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROCESSES_MAX (1u << 20)

const char *const pbc_trace_options[] = {"-f",
                                         "-qq",
                                         "-y",
                                         "-xx",
                                         "-s",
                                         "4096",
                                         "--seccomp-bpf",
                                         "-e",
                                         "trace=%file,chdir,clone,clone3,fork,vfork",
                                         "-e",
                                         "signal=none",
                                         NULL};

struct process {
    int pid;
    char *cwd;     /* NULL: that of the whole */
    char *program; /* NULL: not known */
    char *begun;   /* of a call that is not finished */
};

struct pbc_trace {
    char *cwd;
    struct process *process;
    size_t count;
    size_t last;
    int forking; /* the process that began the last fork that is not finished; 0 */
};

struct pbc_trace *pbc_trace_new(const char *cwd)
{
    struct pbc_trace *t = calloc(1, sizeof(*t));

    if (t == NULL)
        return NULL;
    t->cwd = strdup(cwd);
    if (t->cwd == NULL) {
        free(t);
        return NULL;
    }
    return t;
}

void pbc_trace_free(struct pbc_trace *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; i < t->count; i++) {
        free(t->process[i].cwd);
        free(t->process[i].program);
        free(t->process[i].begun);
    }
    free(t->process);
    free(t->cwd);
    free(t);
}

unsigned pbc_trace_processes(const struct pbc_trace *t)
{
    return (unsigned)t->count;
}

int pbc_trace_command(const struct pbc_trace *t)
{
    return t->count == 0 ? 0 : t->process[0].pid;
}

static struct process *known(struct pbc_trace *t, int pid)
{
    if (t->last < t->count && t->process[t->last].pid == pid)
        return &t->process[t->last];
    for (size_t i = t->count; i-- > 0;) {
        if (t->process[i].pid == pid) {
            t->last = i;
            return &t->process[i];
        }
    }
    return NULL;
}

static int copy(char **to, const char *from)
{
    char *text = from == NULL ? NULL : strdup(from);

    if (from != NULL && text == NULL)
        return -1;
    free(*to);
    *to = text;
    return 0;
}

/* A process that is new runs in the directory and the program of the one that made it. */
static int add(struct pbc_trace *t, int pid, int parent)
{
    struct process *more, *from;

    if (known(t, pid) != NULL)
        return 0;
    if (t->count == PROCESSES_MAX)
        return -1;
    more = reallocarray(t->process, t->count + 1, sizeof(*more));
    if (more == NULL)
        return -1;
    t->process = more;
    more += t->count;
    *more = (struct process){.pid = pid};
    t->count++;
    from = known(t, parent);
    if (from == NULL || from == more)
        return 0;
    return copy(&more->cwd, from->cwd) < 0 || copy(&more->program, from->program) < 0 ? -1 : 0;
}

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The escapes from `p` up to `end`, a '"' or '>'. Gives back what follows it; NULL for anything
 * else, a NUL or too much. */
static const char *read_string(const char *p, char end, char out[PBC_PATH_MAX])
{
    size_t len = 0;

    while (p[0] == '\\' && p[1] == 'x') {
        int high = hex(p[2]), low = high < 0 ? -1 : hex(p[3]);

        if (low < 0 || (high == 0 && low == 0) || len + 1 == PBC_PATH_MAX)
            return NULL;
        out[len++] = (char)(high << 4 | low);
        p += 4;
    }
    out[len] = '\0';
    return *p == end ? p + 1 : NULL;
}

struct call {
    const char *name;
    size_t name_len;
    const char *arguments;
    const char *result;
};

static bool is_call(const struct call *c, const char *name)
{
    return c->name_len == strlen(name) && memcmp(c->name, name, c->name_len) == 0;
}

static bool begins(const struct call *c, const char *prefix)
{
    return c->name_len >= strlen(prefix) && memcmp(c->name, prefix, strlen(prefix)) == 0;
}

static bool split(const char *text, struct call *c)
{
    const char *p, *result = NULL;

    c->name = text;
    c->name_len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_");
    if (c->name_len == 0 || text[c->name_len] != '(')
        return false;
    c->arguments = text + c->name_len + 1;
    for (p = c->arguments; (p = strstr(p, " = ")) != NULL; p += 3)
        result = p;
    c->result = result == NULL ? NULL : result + 3;
    return result != NULL;
}

/* The first string among the arguments, and the directory that it is relative to. */
static bool read_path(const struct pbc_trace *t, const struct process *p, const struct call *c,
                      char out[PBC_PATH_MAX])
{
    const char *base = p->cwd == NULL ? t->cwd : p->cwd;
    const char *at = c->arguments;
    char dir[PBC_PATH_MAX], name[PBC_PATH_MAX];

    if (*at != '"') {
        at += strcspn(at, "<\",)");
        if (*at == '<') {
            at = read_string(at + 1, '>', dir);
            if (at == NULL)
                return false;
            base = dir;
        }
        if (strncmp(at, ", \"", 3) != 0)
            return false;
        at += 2;
    }
    at = read_string(at + 1, '"', name);
    return at != NULL && name[0] != '\0' && pbc_path_join(base, name, out);
}

static bool opens(const struct call *c)
{
    return begins(c, "open") || is_call(c, "creat") || begins(c, "exec");
}

static bool makes_processes(const struct call *c)
{
    return begins(c, "clone") || is_call(c, "fork") || is_call(c, "vfork");
}

static int finish(struct pbc_trace *t, struct process *p, const struct call *c,
                  struct pbc_trace_event *ev)
{
    char real[PBC_PATH_MAX];
    const char *fd;
    long child;

    if (makes_processes(c)) {
        if (t->forking == p->pid)
            t->forking = 0;
        child = strtol(c->result, NULL, 10);
        return child > 0 && child <= INT_MAX ? add(t, (int)child, p->pid) : 0;
    }
    /* the first string of these is no name of a file */
    if (begins(c, "symlink") || is_call(c, "getcwd") || begins(c, "mount") ||
        !read_path(t, p, c, ev->path))
        return 0;
    ev->pid = p->pid;
    ev->failed = c->result[0] == '-' || c->result[0] == '?';
    /* it is there, and no link */
    if (begins(c, "readlink") && strncmp(c->result, "-1 EINVAL", 9) == 0)
        ev->failed = false;
    ev->exec = begins(c, "exec");
    ev->opened = opens(c) && !ev->failed;
    fd = c->result + strspn(c->result, "0123456789");
    if (ev->opened && *fd == '<' && read_string(fd + 1, '>', real) != NULL && real[0] == '/')
        memcpy(ev->path, real, strlen(real) + 1);
    if (is_call(c, "chdir") && !ev->failed && copy(&p->cwd, ev->path) < 0)
        return -1;
    if (ev->exec && ev->opened && copy(&p->program, ev->path) < 0)
        return -1;
    ev->program = p->program == NULL ? "" : p->program;
    return 1;
}

/* "... <unfinished ...>" */
static int begin(struct pbc_trace *t, struct process *p, char *text, char *cut)
{
    struct call c = {.name = text, .name_len = strcspn(text, "(")};

    if (makes_processes(&c))
        t->forking = p->pid;
    *cut = '\0';
    return copy(&p->begun, text);
}

int pbc_trace_line(struct pbc_trace *t, char *line, struct pbc_trace_event *ev)
{
    static const char unfinished[] = " <unfinished ...>", resumed[] = " resumed>";
    char *text, *whole = NULL, *mark;
    struct process *p;
    struct call c;
    long pid = strtol(line, &text, 10);
    size_t len;
    int rc = 0;

    if (pid <= 0 || pid > INT_MAX || text[0] != ' ')
        return 0;
    text += strspn(text, " ");
    if (add(t, (int)pid, t->forking) < 0)
        return -1;
    p = known(t, (int)pid);
    len = strlen(text);
    if (len >= sizeof(unfinished) - 1 &&
        strcmp(text + len - (sizeof(unfinished) - 1), unfinished) == 0)
        return begin(t, p, text, text + len - (sizeof(unfinished) - 1));
    if (strncmp(text, "<... ", 5) == 0) {
        mark = strstr(text, resumed);
        if (mark == NULL || p->begun == NULL)
            return 0;
        if (asprintf(&whole, "%s%s", p->begun, mark + sizeof(resumed) - 1) < 0)
            return -1;
        free(p->begun);
        p->begun = NULL;
        text = whole;
    }
    if (split(text, &c))
        rc = finish(t, p, &c, ev);
    free(whole);
    return rc;
}
