/* pbcast: see pbcast(1). */
#include "cmd_catalog.h"
#include "cmd_job.h"
#include "command.h"
#include "stop.h"

#include <fcntl.h>
#include <locale.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct pbc_command commands[] = {
#ifdef PBC_HAVE_ZSTD
    {"bundle", "make a bundle", pbc_cmd_bundle},
    {"inspect", "say what a bundle holds", pbc_cmd_inspect},
    {"check", "look for what will not work", pbc_cmd_check},
    {"convert", "make a bundle of frames of another archive", pbc_cmd_convert},
#endif
    {"catalog", "the site's bundles by name: list, show, add, remove, verify", pbc_cmd_catalog},
    {"env", "print the environment of a staged set for a shell", pbc_cmd_env},
    {"leaks", "list what a command opens outside the staged tree", pbc_cmd_leaks},
    {"stage", "in a job script, without the plugin: stage bundles on all nodes", pbc_cmd_stage},
};

static void usage(FILE *out)
{
    fputs("usage: pbcast COMMAND [ARGUMENT...]\n"
          "       pbcast --help | --version\n"
          "\n",
          out);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].words);
    fputs("\n"
          "'pbcast COMMAND --help' says more, and pbcast(1) all.\n"
          "\n"
          "Exit status: 0 done, 1 failed, 2 usage, 3 refused (input or findings), 4 no space,\n"
          "7 warnings of check.\n",
          out);
}

/* Else a bundle would take the place of a stream that the caller has closed, and get its lines. */
static int open_streams(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= 2);
    return fd < 0 ? -1 : close(fd);
}

/* What was printed is there, or the command has failed. */
static int finish(int status)
{
    struct pbc_error err;

    if ((fflush(stdout) == 0 && !ferror(stdout)) ||
        (status != PBC_EXIT_OK && status != PBC_EXIT_WARNINGS))
        return status;
    pbc_fail(&err, PBC_EXIT_FAILED, "cannot write to standard output");
    return pbc_complain(&err);
}

int main(int argc, char *argv[])
{
    static char name[] = "pbcast: error"; /* before what getopt(3) complains of */
    struct pbc_error err;

    /* Names in archives are UTF-8 in pax headers, whatever the user's locale. */
    if (setlocale(LC_CTYPE, "C.UTF-8") == NULL)
        (void)setlocale(LC_CTYPE, "en_US.UTF-8");
    if (open_streams() != 0)
        return PBC_EXIT_FAILED;
    if (argc < 2) {
        usage(stderr);
        return PBC_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        usage(stdout);
        return finish(PBC_EXIT_OK);
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("pbcast " PBC_VERSION);
        return finish(PBC_EXIT_OK);
    }
    if (sodium_init() < 0) {
        pbc_fail(&err, PBC_EXIT_FAILED, "libsodium does not start");
        return pbc_complain(&err);
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        int status;

        if (strcmp(argv[1], commands[i].name) != 0)
            continue;
        argv[1] = name;
        status = finish(commands[i].run(argc - 1, argv + 1));
        pbc_stop_end();
        return status;
    }
    return pbc_complain_usage(NULL, "there is no command '%s'", argv[1]);
}
