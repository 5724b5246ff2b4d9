/* pbcast-frames: see pbcast-frames(1). */
#include "bundle.h"
#include "frames_make.h"

#include <getopt.h>
#include <locale.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: pbcast-frames [-l LEVEL] IN OUT.tar.zst\n"
    "\n"
    "Make of IN, a tar archive (gzip, zstd, xz, bzip2, lz4 or plain), a bundle that pbcast-stage\n"
    "unpacks with all processors of a node. zstd and tar read it as any other .tar.zst.\n"
    "\n"
    "  -l, --level LEVEL  of zstd, 1 to 19 (3)\n"
    "  -q, --quiet        print errors only\n"
    "  -h, --help, --version\n"
    "\n"
    "Exit status: 0 done, 1 failed, 2 usage, 3 the archive was refused, 4 no space.\n"
    "See pbcast-frames(1).\n";

static const struct option long_options[] = {
    {"level", required_argument, NULL, 'l'},
    {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {0},
};

static int fail(const struct pbc_error *err)
{
    fprintf(stderr, "pbcast-frames: error: %s\n", err->text);
    return (int)err->code;
}

static int usage_error(const char *words)
{
    fprintf(stderr, "pbcast-frames: error: %s; see pbcast-frames --help\n", words);
    return PBC_EXIT_USAGE;
}

static int take_level(const char *text, int *level)
{
    char *end;
    long n = strtol(text, &end, 10);

    if (*text < '0' || *text > '9' || *end != '\0' || n < 1 || n > PBC_FRAMES_LEVEL_MAX)
        return -1;
    *level = (int)n;
    return 0;
}

static void report(const char *out, const struct pbc_frames_made *made)
{
    printf("%s: %llu members, %llu frames, %llu -> %llu bytes\n", out,
           (unsigned long long)made->members, (unsigned long long)made->frames,
           (unsigned long long)made->raw, (unsigned long long)made->packed);
    if (made->in_order != NULL)
        fprintf(stderr,
                "pbcast-frames: note: the order of the members matters because of '%s': they will "
                "be unpacked one after the other\n",
                made->in_order);
}

int main(int argc, char *argv[])
{
    struct pbc_frames_made made;
    struct pbc_error err;
    int level = PBC_FRAMES_LEVEL;
    int quiet = 0;
    int c;

    /* As in pbcast-stage: names of members are UTF-8 in pax headers. */
    if (setlocale(LC_CTYPE, "C.UTF-8") == NULL)
        (void)setlocale(LC_CTYPE, "en_US.UTF-8");
    while ((c = getopt_long(argc, argv, "l:qh", long_options, NULL)) != -1) {
        switch (c) {
        case 'l':
            if (take_level(optarg, &level) != 0)
                return usage_error("the level is a number from 1 to 19");
            break;
        case 'q':
            quiet = 1;
            break;
        case 'h':
            fputs(usage, stdout);
            return PBC_EXIT_OK;
        case 'V':
            puts("pbcast-frames " PBC_VERSION);
            return PBC_EXIT_OK;
        default:
            return PBC_EXIT_USAGE; /* getopt has said why */
        }
    }
    if (argc - optind != 2)
        return usage_error("give an archive and the bundle to make");
    if (sodium_init() < 0) {
        pbc_fail(&err, PBC_EXIT_FAILED, "libsodium does not start");
        return fail(&err);
    }
    if (pbc_frames_make(argv[optind], argv[optind + 1], level, &made, &err) != 0)
        return fail(&err);
    if (!quiet)
        report(argv[optind + 1], &made);
    free(made.in_order);
    return PBC_EXIT_OK;
}
