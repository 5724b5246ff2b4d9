#include "start.h"

#include "clock.h"
#include "io.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#define TOLD_MS 30000
#define TICK_MS 200

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

    *s = (struct pbc_start){.began = pbc_now_ms(), .told_by = -1};
    if (hold && pbc_io_write(STDOUT_FILENO, here, sizeof(here) - 1) == 0)
        s->told_by = STDIN_FILENO;
}

int pbc_start_stopped(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1};
    sigset_t set;

    sigpending(&set);
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        if (sigismember(&set, signals[i]))
            return 1;
    }
    return 0;
}

/* 1 told, or it is time to try; 0 nobody will tell; -1 stopped. */
static int is_told(const struct pbc_start *s)
{
    static const char go[] = "pbcast: go\n";
    struct pollfd fd = {.fd = s->told_by, .events = POLLIN};
    size_t got = 0;
    char c;

    while (pbc_now_ms() < s->began + TOLD_MS) {
        if (pbc_start_stopped())
            return -1;
        if (poll(&fd, 1, TICK_MS) <= 0)
            continue;
        if (read(fd.fd, &c, 1) <= 0 || c != go[got])
            return 0;
        if (++got == sizeof(go) - 1)
            return 1;
    }
    return 1;
}

int pbc_start_await(const struct pbc_start *s)
{
    int told = s->told_by < 0 ? 0 : is_told(s);

    if (told == 0)
        sleep_until(s->began + s->untold_ms);
    sleep_until(s->began + s->pause_ms);
    return told < 0 ? -1 : 0;
}
