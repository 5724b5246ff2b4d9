#include "progress.h"

#include "stop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BAR_EVERY  0.1 /* s */
#define LINE_EVERY 10.0
#define BAR_WIDTH  30

struct pbc_progress {
    int terminal;
    int shown; /* a bar stands in the line */
    char what[32];
    uint64_t count;
    uint64_t done;
    uint64_t total;
    double next; /* when something is printed again */
};

static double now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

struct pbc_progress *pbc_progress_new(int quiet)
{
    struct pbc_progress *p = quiet ? NULL : calloc(1, sizeof(*p));
    const char *term = getenv("TERM");

    if (p != NULL) {
        p->terminal = isatty(2) && term != NULL && strcmp(term, "dumb") != 0;
        p->next = now() + (p->terminal ? BAR_EVERY : LINE_EVERY);
    }
    return p;
}

void pbc_progress_phase(struct pbc_progress *p, const char *what, uint64_t total)
{
    if (p == NULL)
        return;
    snprintf(p->what, sizeof(p->what), "%s", what);
    p->count = p->done = 0;
    p->total = total;
}

static void show(struct pbc_progress *p)
{
    char bar[BAR_WIDTH + 1];
    unsigned part = p->total == 0 ? 0 : (unsigned)(100 * (double)p->done / (double)p->total);
    const char *before = p->terminal ? "\r\033[K" : "";
    const char *after = p->terminal ? "" : "\n";

    part = part > 100 ? 100 : part;
    if (p->total == 0) {
        fprintf(stderr, "%s%s: %llu%s", before, p->what, (unsigned long long)p->count, after);
    } else if (p->terminal) {
        memset(bar, '.', BAR_WIDTH);
        memset(bar, '#', part * BAR_WIDTH / 100);
        bar[BAR_WIDTH] = '\0';
        fprintf(stderr, "%s%s [%s] %3u %%", before, p->what, bar, part);
    } else {
        fprintf(stderr, "%s: %u %%, %llu of %llu MiB\n", p->what, part,
                (unsigned long long)(p->done >> 20), (unsigned long long)(p->total >> 20));
    }
    fflush(stderr);
    p->shown = p->terminal;
}

static int went_on(struct pbc_progress *p, struct pbc_error *err)
{
    double t;

    if (pbc_stopped(err) != 0)
        return -1;
    if (p == NULL || (p->count & 63) != 0)
        return 0;
    t = now();
    if (t >= p->next) {
        show(p);
        p->next = t + (p->terminal ? BAR_EVERY : LINE_EVERY);
    }
    return 0;
}

int pbc_progress_tick(struct pbc_progress *p, struct pbc_error *err)
{
    if (p != NULL)
        p->count++;
    return went_on(p, err);
}

int pbc_progress_bytes(struct pbc_progress *p, uint64_t bytes, struct pbc_error *err)
{
    if (p != NULL) {
        p->done += bytes;
        p->count = 0; /* a look at the clock for each piece */
    }
    return went_on(p, err);
}

void pbc_progress_clear(struct pbc_progress *p)
{
    if (p != NULL && p->shown) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
        p->shown = 0;
    }
}

void pbc_progress_free(struct pbc_progress *p)
{
    pbc_progress_clear(p);
    free(p);
}
