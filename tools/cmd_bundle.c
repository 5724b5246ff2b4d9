/* pbcast bundle */
#include "command.h"
#include "make.h"
#include "stop.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const struct pbc_kind kinds[] = {
    {"prefix",
     "what programs need of an installed prefix (bin, lib, share, ...), or the parts named",
     "DIR [PART...]", PBC_TAKES_FOLLOW | PBC_TAKES_COMPILE | PBC_TAKES_PYTHON | PBC_TAKES_LIMIT, 1,
     0, pbc_make_prefix},
    {"dir", "all of a directory, such as that of the application, or the parts named",
     "DIR [PART...]", PBC_TAKES_FOLLOW | PBC_TAKES_AT | PBC_TAKES_PYTHON | PBC_TAKES_DIR_LIMIT, 1,
     0, pbc_make_dir},
    {"venv", "a Python virtual environment, with the Python that it was made with", "DIR",
     PBC_TAKES_COMPILE, 1, 1, pbc_make_venv},
    {"conda", "a conda environment, which learns on each node where it lies", "PREFIX",
     PBC_TAKES_FOLLOW | PBC_TAKES_COMPILE, 1, 1, pbc_make_conda},
    {"pip", "what pip installs (words behind -- are for pip)", "REQUIREMENT... [-- OPTION...]",
     PBC_TAKES_PIP | PBC_TAKES_PYTHON | PBC_TAKES_COMPILE | PBC_TAKES_COMMAND, 0, 0, pbc_make_pip},
    {"module", "what modules add to the environment, a bundle for each prefix", "NAME...",
     PBC_TAKES_FOLLOW | PBC_TAKES_PYTHON, 1, 0, pbc_make_module},
    {"system-libs", "the system's shared libraries that a command loads",
     "-- COMMAND [ARGUMENT...]", PBC_TAKES_LIBC | PBC_TAKES_COMMAND, 0, 0, pbc_make_libs},
};
#define NKINDS (sizeof(kinds) / sizeof(kinds[0]))

static void usage(FILE *out)
{
    fputs("usage: pbcast bundle KIND [OPTION...] -o FILE ARGUMENT...\n\n", out);
    for (size_t i = 0; i < NKINDS; i++)
        fprintf(out, "  %-12s %s\n", kinds[i].name, kinds[i].words);
    fputs("\n'pbcast bundle KIND --help' has the options.\n", out);
}

static int make(const struct pbc_kind *kind, int argc, char *argv[])
{
    struct pbc_make m;
    struct pbc_error err;
    struct stat st;
    int status;

    pbc_make_init(&m);
    if (kind->options & PBC_TAKES_DIR_LIMIT)
        m.limit = PBC_DIR_LIMIT;
    if (pbc_make_options(&m, kind, argc, argv, &status) == 0) {
        m.progress = m.walk.progress = pbc_progress_new(m.quiet);
        if (stat(m.output, &st) == 0) {
            m.walk.out_dev = st.st_dev;
            m.walk.out_ino = st.st_ino;
        }
        pbc_stop_catch();
        pbc_progress_phase(m.progress, "looking", 0);
        status = PBC_EXIT_OK;
        if (kind->make(&m, &err) != 0) {
            pbc_progress_clear(m.progress);
            status = pbc_complain(&err);
        }
    }
    pbc_make_free(&m);
    return status;
}

int pbc_cmd_bundle(int argc, char *argv[])
{
    if (argc < 2) {
        usage(stderr);
        return PBC_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        usage(stdout);
        return PBC_EXIT_OK;
    }
    for (size_t i = 0; i < NKINDS; i++) {
        if (strcmp(argv[1], kinds[i].name) != 0)
            continue;
        argv[1] = argv[0];
        return make(&kinds[i], argc - 1, argv + 1);
    }
    return pbc_complain_usage("bundle", "there is no kind of bundle '%s'", argv[1]);
}
