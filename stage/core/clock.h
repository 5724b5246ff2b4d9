/* clock.h - the clock that nobody sets, for deadlines and for how long something took. */
#ifndef PBC_CLOCK_H
#define PBC_CLOCK_H

#include <stdint.h>
#include <time.h>

/* CLOCK_MONOTONIC in milliseconds. Moments have no sign: compare two of them before one is
 * subtracted from the other. */
static inline uint64_t pbc_now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* The same clock, standing still while the process did not run: Slurm stops all processes of a job
 * that is suspended, and nobody has answered late for that. For one thread, which looks at it in
 * each turn of its loop, far more often than PBC_CLOCK_GAP_MS. Begins as { 0 }. */
#define PBC_CLOCK_GAP_MS 2000

struct pbc_clock {
    uint64_t last;  /* look, of pbc_now_ms */
    uint64_t stood; /* ms */
};

static inline uint64_t pbc_clock_ms(struct pbc_clock *c)
{
    uint64_t now = pbc_now_ms();

    if (c->last != 0 && now - c->last > PBC_CLOCK_GAP_MS)
        c->stood += now - c->last;
    c->last = now;
    return now - c->stood;
}

#endif
