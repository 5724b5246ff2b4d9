#include "stop.h"

#include <signal.h>
#include <string.h>

static volatile sig_atomic_t came;

static void note(int sig)
{
    came = sig;
}

void pbc_stop_catch(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction act = {.sa_handler = note};

    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        struct sigaction old;

        /* nohup(1), and what a shell does to its background jobs, stay */
        if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(signals[i], &act, NULL);
    }
    /* A reader of our output that has gone, or a limit on files, is an error of write(2). */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

int pbc_stopped(struct pbc_error *err)
{
    return came == 0 ? 0 : pbc_fail(err, PBC_EXIT_FAILED, "stopped: %s", strsignal(came));
}

int pbc_stop_signal(void)
{
    return came;
}

void pbc_stop_end(void)
{
    if (came == 0)
        return;
    signal(came, SIG_DFL);
    raise(came);
}
