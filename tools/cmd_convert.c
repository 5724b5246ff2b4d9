/* pbcast convert */
#include "command.h"
#include "convert.h"
#include "path.h"
#include "site.h"
#include "stop.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static const char usage[] =
    "usage: pbcast convert [-q] [-l LEVEL] IN OUT.tar.zst\n"
    "\n"
    "Make of IN, a tar archive (gzip, zstd, xz, bzip2, lz4 or plain), a bundle that nodes unpack\n"
    "with all their processors. zstd and tar read it as any other .tar.zst.\n"
    "\n"
    "  -l, --level LEVEL  of zstd, 1 to 19 (3)\n"
    "  -q, --quiet        print errors only\n"
    "  -h, --help\n";

static const struct option long_options[] = {
    {"level", required_argument, NULL, 'l'},
    {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static void report(const char *out, const struct pbc_converted *made)
{
    const struct pbc_members_figures *f = &made->figures;

    printf("%s: %llu members, %llu frames, %llu -> %llu bytes\n", out,
           (unsigned long long)f->members, (unsigned long long)f->frames,
           (unsigned long long)f->raw, (unsigned long long)f->packed);
    if (made->in_order != NULL)
        pbc_note("the order of the members matters because of '%s': they will be unpacked one "
                 "after the other",
                 made->in_order);
}

int pbc_cmd_convert(int argc, char *argv[])
{
    unsigned long level = PBC_ZSTD_LEVEL;
    struct pbc_converted made;
    struct pbc_progress *progress;
    struct pbc_error err;
    int quiet = 0;
    int c;

    while ((c = getopt_long(argc, argv, "l:qh", long_options, NULL)) != -1) {
        switch (c) {
        case 'l':
            if (pbc_parse_number(optarg, 1, PBC_ZSTD_LEVEL_MAX, &level) != 0)
                return pbc_complain_usage("convert", "the level is a number from 1 to %d",
                                          PBC_ZSTD_LEVEL_MAX);
            break;
        case 'q':
            quiet = 1;
            break;
        case 'h':
            fputs(usage, stdout);
            return PBC_EXIT_OK;
        default:
            return PBC_EXIT_USAGE; /* getopt has said why */
        }
    }
    if (argc - optind != 2)
        return pbc_complain_usage("convert", "give an archive and the bundle to make");
    if (!pbc_path_ends(argv[optind + 1], ".tar.zst") && !pbc_path_ends(argv[optind + 1], ".tzst"))
        return pbc_complain_usage("convert", "the bundle's name ends in .tar.zst");
    pbc_stop_catch();
    progress = pbc_progress_new(quiet);
    c = pbc_convert(argv[optind], argv[optind + 1], (int)level, progress, &made, &err);
    pbc_progress_free(progress);
    if (c != 0)
        return pbc_complain(&err);
    if (!quiet)
        report(argv[optind + 1], &made);
    free(made.in_order);
    return PBC_EXIT_OK;
}
