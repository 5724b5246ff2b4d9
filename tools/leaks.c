#include "leaks.h"

#include "path.h"
#include "runpath.h"
#include "script.h"
#include "text.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

#define SOME          5 /* files of each cause, without all names */
#define VARIABLE_SIZE 64
#define SCRIPTS_MAX   5 /* one behind the other, as the kernel has it: execve(2) */

struct file {
    char *path;
    const struct pbc_mount *mount;
    enum pbc_cause cause;
    char variable[VARIABLE_SIZE];
    unsigned long opened;
    unsigned long missed; /* looked for in vain */
    unsigned long asked;  /* stat and the like */
    bool interpreter;     /* the kernel started it for a script */
};

struct pbc_leaks {
    const struct pbc_command_facts *facts;
    const struct pbc_mounts *mounts;
    void *by_path; /* tsearch */
    struct file **file;
    size_t count;
    unsigned long staged;
    void *staged_by_path; /* tsearch: programs and libraries of the tree that were opened */
    char **loaded;        /* the same in order */
    size_t nloaded;
    struct pbc_runpaths runpaths; /* of all programs and libraries, for the report */
    bool begun;                   /* the command runs */
};

struct pbc_leaks *pbc_leaks_new(const struct pbc_command_facts *facts,
                                const struct pbc_mounts *mounts)
{
    struct pbc_leaks *l = calloc(1, sizeof(*l));

    if (l == NULL)
        return NULL;
    l->facts = facts;
    l->mounts = mounts;
    return l;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct file *)a)->path, ((const struct file *)b)->path);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void free_file(struct file *f)
{
    free(f->path);
    free(f);
}

void pbc_leaks_free(struct pbc_leaks *l)
{
    if (l == NULL)
        return;
    for (size_t i = 0; i < l->count; i++) {
        tdelete(l->file[i], &l->by_path, by_path);
        free_file(l->file[i]);
    }
    free(l->file);
    for (size_t i = 0; i < l->nloaded; i++) {
        tdelete(l->loaded[i], &l->staged_by_path, by_text);
        free(l->loaded[i]);
    }
    free(l->loaded);
    pbc_runpaths_free(&l->runpaths);
    free(l);
}

static struct file *new_file(struct pbc_leaks *l, const struct pbc_trace_event *ev,
                             const struct pbc_mount *mount)
{
    struct file **more = l->file;
    struct file *f = calloc(1, sizeof(*f));

    if ((l->count & (l->count - 1)) == 0) {
        more = reallocarray(l->file, l->count == 0 ? 1 : 2 * l->count, sizeof(struct file *));
        if (more != NULL)
            l->file = more;
    }
    if (f == NULL || more == NULL || (f->path = strdup(ev->path)) == NULL ||
        tsearch(f, &l->by_path, by_path) == NULL) {
        if (f != NULL)
            free_file(f);
        return NULL;
    }
    f->mount = mount;
    f->cause = pbc_cause_of(l->facts, ev, f->variable, sizeof(f->variable));
    if (f->cause == PBC_CAUSE_PROGRAM && ev->exec && ev->opened && !l->begun)
        f->cause = PBC_CAUSE_COMMAND;
    l->file[l->count++] = f;
    return f;
}

/* A file of the tree that may have a library path. */
static int add_loaded(struct pbc_leaks *l, const char *path)
{
    char **more = reallocarray(l->loaded, l->nloaded + 1, sizeof(*more));
    char *own;

    if (more == NULL)
        return -1;
    l->loaded = more;
    if (tfind(path, &l->staged_by_path, by_text) != NULL)
        return 0;
    own = strdup(path);
    if (own == NULL || tsearch(own, &l->staged_by_path, by_text) == NULL) {
        free(own);
        return -1;
    }
    l->loaded[l->nloaded++] = own;
    return 0;
}

static int add_event(struct pbc_leaks *l, const struct pbc_trace_event *ev, bool interpreter)
{
    struct file key = {.path = (char *)(uintptr_t)ev->path};
    const struct pbc_mount *mount;
    struct file **found, *f;

    if (pbc_path_staged(l->facts, ev->path)) {
        l->begun = l->begun || (ev->exec && ev->opened);
        l->staged++;
        return ev->opened && (ev->exec || pbc_path_is_library(ev->path)) ? add_loaded(l, ev->path)
                                                                         : 0;
    }
    mount = pbc_mounts_find(l->mounts, ev->path);
    if (mount == NULL || mount->kind == PBC_MOUNT_MEMORY || mount->kind == PBC_MOUNT_KERNEL)
        return 0;
    found = tfind(&key, &l->by_path, by_path);
    f = found != NULL ? *found : new_file(l, ev, mount);
    if (f == NULL)
        return -1;
    l->begun = l->begun || (ev->exec && ev->opened);
    f->interpreter = f->interpreter || interpreter;
    if (ev->opened)
        f->opened++;
    else if (ev->failed)
        f->missed++;
    else
        f->asked++;
    return 0;
}

/* The program behind a script is opened by the kernel, where no tracer sees it. */
static int add_interpreters(struct pbc_leaks *l, const struct pbc_trace_event *ev)
{
    struct pbc_trace_event behind = *ev;

    behind.program = behind.path;
    for (int i = 0; i < SCRIPTS_MAX; i++) {
        if (!pbc_script_interpreter(behind.path, behind.path))
            return 0;
        if (add_event(l, &behind, true) != 0)
            return -1;
    }
    return 0;
}

int pbc_leaks_add(struct pbc_leaks *l, const struct pbc_trace_event *ev)
{
    if (add_event(l, ev, false) != 0)
        return -1;
    return ev->exec && ev->opened ? add_interpreters(l, ev) : 0;
}

unsigned long pbc_leaks_staged(const struct pbc_leaks *l)
{
    return l->staged;
}

unsigned long pbc_leaks_count(const struct pbc_leaks *l, bool all)
{
    unsigned long n = 0;

    for (size_t i = 0; i < l->count; i++) {
        const struct file *f = l->file[i];

        if (f->mount->kind == PBC_MOUNT_SHARED)
            n += f->opened > 0 || f->missed > 0;
        else if (all && f->cause != PBC_CAUSE_SYSTEM && f->cause != PBC_CAUSE_PROGRAM)
            n += f->opened > 0;
    }
    return n;
}

/* ---- the report ---- */

/* What was loaded may have been found by the library path of another file, in the tree or not. */
static int read_runpaths(struct pbc_leaks *l)
{
    bool wanted = false;

    for (size_t i = 0; i < l->count; i++)
        wanted = wanted || l->file[i]->cause == PBC_CAUSE_RUNPATH;
    for (size_t i = 0; i < l->nloaded && wanted; i++) {
        if (pbc_runpaths_add(&l->runpaths, l->loaded[i]) != 0)
            return -1;
    }
    for (size_t i = 0; i < l->count && wanted; i++) {
        const struct file *f = l->file[i];

        if (f->opened > 0 &&
            (f->cause == PBC_CAUSE_COMMAND || f->interpreter || pbc_path_is_library(f->path)) &&
            pbc_runpaths_add(&l->runpaths, f->path) != 0)
            return -1;
    }
    return 0;
}

/* Directories that the loader has only looked for are known as its own by now. */
static void settle_directories(struct pbc_leaks *l)
{
    for (size_t i = 0; i < l->count; i++) {
        struct file *f = l->file[i];

        if (f->cause == PBC_CAUSE_OTHER && f->opened == 0 &&
            pbc_runpaths_find_dir(&l->runpaths, f->path) != NULL)
            f->cause = PBC_CAUSE_RUNPATH;
    }
}

static void write_runpath(const struct pbc_leaks *l, FILE *out, const char *path)
{
    const struct pbc_runpath *p = pbc_runpaths_find(&l->runpaths, path);

    if (p == NULL)
        p = pbc_runpaths_find_dir(&l->runpaths, path);
    if (p == NULL)
        return;
    fprintf(out, "            by %s ", p->kind);
    pbc_text_escape(out, p->entry);
    fputs(" of ", out);
    pbc_text_escape(out, p->file);
    putc('\n', out);
}

static unsigned long requests(const struct file *f)
{
    return f->opened + f->missed + f->asked;
}

static int by_report(const void *left, const void *right)
{
    const struct file *a = *(struct file *const *)left, *b = *(struct file *const *)right;
    int rc;

    if (a->mount->kind != b->mount->kind)
        return a->mount->kind == PBC_MOUNT_SHARED ? -1 : 1;
    rc = strcmp(a->mount->dir, b->mount->dir);
    if (rc == 0 && a->cause != b->cause)
        rc = a->cause < b->cause ? -1 : 1;
    if (rc == 0)
        rc = strcmp(a->variable, b->variable);
    if (rc == 0 && (a->opened > 0) != (b->opened > 0))
        rc = a->opened > 0 ? -1 : 1;
    if (rc == 0 && requests(a) != requests(b))
        rc = requests(a) > requests(b) ? -1 : 1;
    return rc != 0 ? rc : strcmp(a->path, b->path);
}

static bool same_mount(const struct file *a, const struct file *b)
{
    return a->mount == b->mount;
}

static bool same_cause(const struct file *a, const struct file *b)
{
    return same_mount(a, b) && a->cause == b->cause && strcmp(a->variable, b->variable) == 0;
}

/* How many files from `from` on are of one kind, and the sum of them. */
static size_t run_of(const struct pbc_leaks *l, size_t from,
                     bool (*same)(const struct file *, const struct file *), struct file *sum,
                     unsigned long *ret_opened)
{
    size_t n = 0;

    *sum = (struct file){0};
    *ret_opened = 0;
    for (; from + n < l->count && same(l->file[from], l->file[from + n]); n++) {
        const struct file *f = l->file[from + n];

        *ret_opened += f->opened > 0;
        sum->opened += f->opened;
        sum->missed += f->missed;
        sum->asked += f->asked;
    }
    return n;
}

static void write_sums(FILE *out, const struct file *sum, unsigned long files)
{
    fprintf(out, "%lu file%s opened %lu time%s, %lu looked for in vain, %lu other requests\n",
            files, files == 1 ? "" : "s", sum->opened, sum->opened == 1 ? "" : "s", sum->missed,
            sum->asked);
}

static void write_files(const struct pbc_leaks *l, FILE *out, size_t from, size_t n, bool names)
{
    size_t some = names || n <= SOME ? n : SOME;

    for (size_t i = from; i < from + some; i++) {
        fprintf(out, "    %6lu  %s", requests(l->file[i]),
                l->file[i]->opened > 0 ? "" : "(not opened) ");
        pbc_text_escape(out, l->file[i]->path);
        putc('\n', out);
        if (l->file[i]->cause == PBC_CAUSE_RUNPATH)
            write_runpath(l, out, l->file[i]->path);
    }
    if (some < n)
        fprintf(out, "            and %zu more\n", n - some);
}

static void write_cause(const struct pbc_leaks *l, FILE *out, size_t from, size_t n, bool names)
{
    const struct file *f = l->file[from];
    unsigned long opened;
    struct file sum;

    run_of(l, from, same_cause, &sum, &opened);
    fprintf(out, "  %s%s%s: ", pbc_cause_words(f->cause), f->variable[0] == '\0' ? "" : " ",
            f->variable);
    write_sums(out, &sum, opened);
    if (pbc_cause_advice(f->cause)[0] != '\0')
        fprintf(out, "    (%s)\n", pbc_cause_advice(f->cause));
    write_files(l, out, from, n, names);
}

int pbc_leaks_write(struct pbc_leaks *l, FILE *out, bool names)
{
    unsigned long opened;
    struct file sum;
    size_t n;

    if (read_runpaths(l) != 0)
        return -1;
    settle_directories(l);
    if (l->count > 0)
        qsort(l->file, l->count, sizeof(struct file *), by_report);
    for (size_t i = 0; i < l->count; i += n) {
        const struct pbc_mount *mount = l->file[i]->mount;
        size_t causes;

        n = run_of(l, i, same_mount, &sum, &opened);
        pbc_text_escape(out, mount->dir);
        fprintf(out, " (%s, %s): ", mount->type,
                mount->kind == PBC_MOUNT_SHARED ? "shared" : "of this node");
        write_sums(out, &sum, opened);
        for (size_t at = i; at < i + n; at += causes) {
            struct file ignored;

            causes = run_of(l, at, same_cause, &ignored, &opened);
            write_cause(l, out, at, causes, names);
        }
    }
    return 0;
}
