/* pbcast env: the environment of the staged set, for a shell. */
#include "changes.h"
#include "cmd_job.h"
#include "command.h"
#include "shell.h"
#include "site.h"
#include "staged.h"

#include <getopt.h>
#include <stdio.h>

static int write_changes(const struct pbc_changes *c, enum pbc_shell shell, struct pbc_error *err)
{
    for (size_t i = 0; i < c->count; i++)
        pbc_shell_write(stdout, shell, c->item[i].name, c->item[i].value, i == 0,
                        i + 1 == c->count);
    if (fflush(stdout) != 0 || ferror(stdout))
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot write to standard output");
    return 0;
}

static int print_env(const struct pbc_staged_wish *wish, enum pbc_shell shell,
                     struct pbc_error *err)
{
    struct pbc_changes changes;
    struct pbc_staged staged;
    int rc;

    if (pbc_staged_find(wish, &staged, err) < 0)
        return -1;
    rc = pbc_changes_make(&staged, &changes, err);
    if (rc == 0)
        rc = write_changes(&changes, shell, err);
    pbc_manifest_free(&staged.manifest);
    pbc_changes_free(&changes);
    return rc;
}

static void usage(FILE *out)
{
    fputs("usage: pbcast env [OPTION...] [BUNDLE...]\n"
          "\n"
          "Prints what a shell is to do so that its programs live in the staged tree:\n"
          "    eval \"$(pbcast env)\"                  sh, bash, ksh, zsh\n"
          "    pbcast env --shell=fish | source      fish\n"
          "    pbcast env --shell=csh >FILE; source FILE\n"
          "With several sets staged, name the bundles as they were given to pbcast-stage.\n"
          "\n"
          "  --shell=SHELL      bash (default), fish, csh or json\n"
          "  --set=SET          the set of this name\n"
          "  --store=DIR        where it was staged, if not in the default store\n"
          "  --job=N            the job, if not SLURM_JOB_ID\n"
          "  --profile=PROFILE  " PBC_PROFILE_NAMES "\n"
          "  -h, --help\n",
          out);
}

int pbc_cmd_env(int argc, char *argv[])
{
    static const struct option options[] = {
        {"shell", required_argument, NULL, 's'},
        {"set", required_argument, NULL, 'S'},
        {"store", required_argument, NULL, 'd'},
        {"job", required_argument, NULL, 'j'},
        {"profile", required_argument, NULL, 'p'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct pbc_staged_wish wish = {0};
    enum pbc_shell shell = PBC_SHELL_BASH;
    struct pbc_error err;
    unsigned long job;
    int c;

    optind = 1;
    while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (c) {
        case 's':
            if (pbc_shell_from_name(optarg, &shell) < 0)
                return pbc_complain_usage("env", "--shell is bash, fish, csh or json, not '%s'",
                                          optarg);
            break;
        case 'S':
            wish.set = optarg;
            break;
        case 'd':
            wish.store = optarg;
            break;
        case 'j':
            if (pbc_parse_number(optarg, 1, UINT32_MAX, &job) < 0)
                return pbc_complain_usage("env", "--job is a number, not '%s'", optarg);
            wish.job = (uint32_t)job;
            break;
        case 'p':
            wish.profile = optarg;
            break;
        case 'h':
            usage(stdout);
            return PBC_EXIT_OK;
        default: /* getopt has said why */
            return PBC_EXIT_USAGE;
        }
    }
    wish.bundle = argv + optind;
    wish.bundles = (unsigned)(argc - optind);
    return print_env(&wish, shell, &err) < 0 ? pbc_complain(&err) : PBC_EXIT_OK;
}
