#include "start.h"

#include "io.h"

#include <errno.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#define TOLD_MS 30000

static uint64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void sleep_until(uint64_t ms)
{
    const struct timespec ts = {.tv_sec = (time_t)(ms / 1000),
                                .tv_nsec = (long)(ms % 1000) * 1000000};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
        ;
}

void pbc_start_begin(struct pbc_start *s, int hold)
{
    static const char here[] = "pbcast: here\n";

    *s = (struct pbc_start){.began = now_ms(), .told_by = -1};
    if (hold && pbc_io_write(STDOUT_FILENO, here, sizeof(here) - 1) == 0)
        s->told_by = STDIN_FILENO;
}

/* 0 if nobody is there to tell. */
static int is_told(const struct pbc_start *s)
{
    struct pollfd fd = {.fd = s->told_by, .events = POLLIN};
    uint64_t now;
    char c = 0;

    while (c != '\n' && (now = now_ms()) < s->began + TOLD_MS) {
        int n = poll(&fd, 1, (int)(s->began + TOLD_MS - now));

        if (n > 0 && read(fd.fd, &c, 1) <= 0)
            return 0;
    }
    return 1;
}

void pbc_start_await(const struct pbc_start *s)
{
    if (s->told_by < 0 || !is_told(s))
        sleep_until(s->began + s->untold_ms);
    sleep_until(s->began + s->pause_ms);
}
