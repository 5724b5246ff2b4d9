#include "agent.h"

#include "agent_options.h"
#include "tree.h"

#include <locale.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define DATA_MAX (1ul << 30) /* bytes of memory beside MPI's, far above what an agent needs */

/* Nothing that it starts may gain privileges, and its memory, which has the run's key, is not
 * written to a core file. */
static void harden(void)
{
    const struct rlimit none = {0, 0};
    struct rlimit files;

    (void)setrlimit(RLIMIT_CORE, &none);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    umask(022);
    /* Each worker keeps a descriptor for each directory above the file that it writes. */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    /* An srun that is gone, or a limit of the user's on files, must not end us before we have
     * cleaned up and said why. */
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN);
}

/* Archives can ask for memory that no other limit sees: a sparse file's map, an xz dictionary.
 * What MPI or PMIx have taken until now (UCX maps much at once) does not count. */
static void limit_data(void)
{
#ifndef PBC_SANITIZED       /* whose shadow memory counts */
    unsigned long used = 0; /* pages, as the limit counts them */
    FILE *in = fopen("/proc/self/statm", "re");
    struct rlimit data;
    rlim_t most;

    if (in != NULL) {
        if (fscanf(in, "%*u %*u %*u %*u %*u %lu", &used) != 1)
            used = 0;
        fclose(in);
    }
    most = DATA_MAX + (rlim_t)used * (rlim_t)sysconf(_SC_PAGESIZE);
    if (getrlimit(RLIMIT_DATA, &data) == 0 && data.rlim_cur > most) {
        data.rlim_cur = most;
        (void)setrlimit(RLIMIT_DATA, &data);
    }
#endif
}

static int fail_main(const struct pbc_agent_options *o, const struct pbc_error *err)
{
    if (o->conf.node != NULL && err->code != PBC_EXIT_USAGE)
        fprintf(stderr, "pbcast: error: node %s: %s\n", o->conf.node, err->text);
    else
        fprintf(stderr, "pbcast: error: %s\n", err->text);
    return (int)err->code;
}

int pbc_agent_main(int argc, char *argv[], pbc_coord_open *meet, pbc_source_pack *pack)
{
    /* Static: after a failure the reader of the bundles may still be at work when main returns. */
    static struct pbc_agent_options o;
    struct pbc_coord coord;
    struct pbc_error err;
    struct pbc_start start;
    int rc;

    /* Names of members are UTF-8 in pax headers; libarchive converts them to the locale's. */
    if (setlocale(LC_CTYPE, "C.UTF-8") == NULL)
        (void)setlocale(LC_CTYPE, "en_US.UTF-8");
    rc = pbc_agent_options(&o, argc, argv, &err);
    if (rc < 0)
        return fail_main(&o, &err);
    if (rc > 0)
        return PBC_EXIT_OK;
    o.conf.pack = pack;
    harden();
    if (sodium_init() < 0) {
        pbc_fail(&err, PBC_EXIT_FAILED, "libsodium does not start");
        return fail_main(&o, &err);
    }
    pbc_start_begin(&start, o.hold);
    start.pause_ms = (unsigned)o.pause_ms;
    start.untold_ms = o.has_pause ? 0 : pbc_tree_pause((uint32_t)o.tasks);
    if (meet(&coord, (uint32_t)o.tasks, &start, &err) != 0)
        return fail_main(&o, &err);
    if (o.wants_mpi && coord.size > 1 && coord.carry == NULL) {
        pbc_fail(&err, PBC_EXIT_USAGE,
                 "--transport mpi: this agent does not meet the others by MPI; start one that does "
                 "(see pbcast-stage(1))");
        return fail_main(&o, &err);
    }
    limit_data();
    if (coord.size > 1 && !o.has_fence)
        o.conf.fence = 10 + coord.size / 100;
    return (int)pbc_run(&o.conf, &coord);
}
