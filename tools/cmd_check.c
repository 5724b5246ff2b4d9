/* pbcast check */
#include "command.h"
#include "findings.h"
#include "site.h"
#include "stop.h"
#include "store.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#define PLACES_TOLD 5

static const char usage[] =
    "usage: pbcast check [-aq] [--capacity BYTES] BUNDLE\n"
    "\n"
    "Look for what makes a bundle fail on a node, or makes its programs leave it: where, why it\n"
    "matters, how to mend it. Any archive that can be staged will do.\n"
    "\n"
    "  -a, --all             all places, not only the first of each kind\n"
    "      --capacity BYTES  of the store on a node; K M G T allowed, 0 = do not look\n"
    "                        (that of /dev/shm on this machine)\n"
    "  -q, --quiet           no progress, and no line if there is nothing to tell\n"
    "  -h, --help\n"
    "\n"
    "Exit status: 0 nothing but notes, 7 warnings, 3 errors, or the bundle cannot be read.\n";

enum { CAPACITY = 256 };

static const struct option long_options[] = {
    {"all", no_argument, NULL, 'a'},
    {"capacity", required_argument, NULL, CAPACITY},
    {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static const char *const severities[] = {
    [PBC_NOTE] = "note", [PBC_WARNING] = "warning", [PBC_ERROR] = "error"};

static uint64_t store_capacity(void)
{
    struct statvfs fs;

    return statvfs("/dev/shm", &fs) == 0 ? (uint64_t)fs.f_blocks * fs.f_frsize : 0;
}

static void tell(const struct pbc_findings *f, int kind, int all)
{
    const struct pbc_finding_words *w = &pbc_finding_words[kind];
    size_t kept = f->of[kind].kept;
    size_t shown = all || kept <= PLACES_TOLD ? kept : PLACES_TOLD;

    printf("%s: %s (%llu)\n", severities[w->severity], w->what,
           (unsigned long long)f->of[kind].count);
    for (size_t i = 0; i < shown; i++)
        printf("    %s\n", f->of[kind].place[i]);
    if (f->of[kind].count > shown)
        printf("    and %llu more\n", (unsigned long long)(f->of[kind].count - shown));
    printf("  why:  %s\n  mend: %s\n", w->why, w->mend);
}

/* The worst first. */
static int tell_all(const struct pbc_findings *f, int all, int quiet)
{
    unsigned found[3] = {0};

    for (int severity = PBC_ERROR; severity >= PBC_NOTE; severity--) {
        for (int k = 0; k < PBC_FINDINGS_COUNT; k++) {
            if (f->of[k].count > 0 && (int)pbc_finding_words[k].severity == severity) {
                tell(f, k, all);
                found[severity]++;
            }
        }
    }
    if (found[PBC_ERROR] + found[PBC_WARNING] == 0) {
        if (!quiet)
            puts("no errors, no warnings");
    } else {
        printf("%u kinds of errors, %u of warnings\n", found[PBC_ERROR], found[PBC_WARNING]);
    }
    return found[PBC_ERROR] > 0     ? PBC_EXIT_REFUSED
           : found[PBC_WARNING] > 0 ? PBC_EXIT_WARNINGS
                                    : PBC_EXIT_OK;
}

static int check(const char *path, uint64_t capacity, int all, int quiet)
{
    struct pbc_progress *progress = pbc_progress_new(quiet);
    struct pbc_findings f = {0};
    struct pbc_error err;
    struct pbc_scan s;
    int rc;

    pbc_progress_phase(progress, "reading", 0);
    rc = pbc_scan(&s, path, progress, &err);
    if (rc == 0)
        rc = pbc_check(&s, capacity, &f, &err);
    pbc_progress_free(progress);
    rc = rc == 0 ? tell_all(&f, all, quiet) : pbc_complain(&err);
    pbc_findings_free(&f);
    pbc_scan_free(&s);
    return rc;
}

int pbc_cmd_check(int argc, char *argv[])
{
    uint64_t capacity = store_capacity();
    int all = 0, quiet = 0;
    int c;

    while ((c = getopt_long(argc, argv, "aqh", long_options, NULL)) != -1) {
        switch (c) {
        case 'a':
            all = 1;
            break;
        case 'q':
            quiet = 1;
            break;
        case CAPACITY:
            if (pbc_parse_bytes(optarg, &capacity) != 0)
                return pbc_complain_usage("check", "--capacity takes bytes, not '%s'", optarg);
            break;
        case 'h':
            fputs(usage, stdout);
            return PBC_EXIT_OK;
        default:
            return PBC_EXIT_USAGE;
        }
    }
    if (argc - optind != 1)
        return pbc_complain_usage("check", "give one bundle");
    pbc_stop_catch();
    return check(argv[optind], capacity, all, quiet);
}
