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

#endif
