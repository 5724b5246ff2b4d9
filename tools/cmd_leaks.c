/* pbcast leaks: run a command in the staged set, and say what it opens elsewhere. */
#include "changes.h"
#include "cmd_job.h"
#include "command.h"
#include "leaks.h"
#include "observe.h"
#include "path.h"
#include "site.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SHARED_MAX 64
#define CACHE_MAX  (16u << 20) /* bytes of /etc/ld.so.cache, which has some 100 KiB */

struct wish {
    struct pbc_staged_wish staged;
    const char *shared[SHARED_MAX];
    unsigned nshared;
    const char *output;
    bool all;
    bool names;
    char **command;
};

/* The environment of the command; strings are borrowed from `c` and the process. */
struct environment {
    char **list;
    char **own; /* made here */
    size_t nown;
};

static void free_environment(struct environment *e)
{
    for (size_t i = 0; i < e->nown; i++)
        free(e->own[i]);
    free(e->own);
    free(e->list);
}

static bool is_changed(const struct pbc_changes *c, const char *assignment)
{
    size_t len = strcspn(assignment, "=");

    for (size_t i = 0; i < c->count; i++) {
        if (strlen(c->item[i].name) == len && memcmp(c->item[i].name, assignment, len) == 0)
            return true;
    }
    return false;
}

static int make_environment(const struct pbc_changes *c, struct environment *e,
                            struct pbc_error *err)
{
    size_t n = 0, have = 0;

    while (environ[n] != NULL)
        n++;
    e->nown = 0;
    e->list = calloc(n + c->count + 1, sizeof(char *));
    e->own = calloc(c->count + 1, sizeof(char *));
    if (e->list == NULL || e->own == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory for the command's environment");
    for (size_t i = 0; i < n; i++) {
        if (!is_changed(c, environ[i]))
            e->list[have++] = environ[i];
    }
    for (size_t i = 0; i < c->count; i++) {
        char *text;

        if (c->item[i].value == NULL)
            continue;
        if (asprintf(&text, "%s=%s", c->item[i].name, c->item[i].value) < 0)
            return pbc_fail(err, PBC_EXIT_FAILED, "no memory for the command's environment");
        e->own[e->nown++] = text;
        e->list[have++] = text;
    }
    return 0;
}

/* ---- what is known of the command ---- */

struct facts_text {
    char job_dir[PBC_PATH_MAX];
    char cwd[PBC_PATH_MAX];
    char script[PBC_PATH_MAX];
    char venv_home[PBC_PATH_MAX];
    char *cache;
    size_t cache_len;
};

/* The directory of the first argument that is a file. */
static void find_script(char *const *command, char out[PBC_PATH_MAX])
{
    out[0] = '\0';
    for (size_t i = 1; command[i] != NULL; i++) {
        char *real, *slash;

        if (command[i][0] == '-' || access(command[i], F_OK) != 0)
            continue;
        real = realpath(command[i], NULL);
        slash = real == NULL ? NULL : strrchr(real, '/');
        if (slash != NULL && slash != real && strlen(real) < PBC_PATH_MAX) {
            *slash = '\0';
            memcpy(out, real, strlen(real) + 1);
        }
        free(real);
        return;
    }
}

/* `home = PREFIX/bin` of <root>/pyvenv.cfg. */
static void find_venv_home(const char *root, char out[PBC_PATH_MAX])
{
    char path[PBC_PATH_MAX + 16], line[PBC_PATH_MAX];
    FILE *in;

    out[0] = '\0';
    snprintf(path, sizeof(path), "%s/pyvenv.cfg", root);
    in = fopen(path, "re");
    if (in == NULL)
        return;
    while (out[0] == '\0' && fgets(line, sizeof(line), in) != NULL) {
        char *value = strchr(line, '=');
        char *slash;

        if (value == NULL || strncmp(line, "home", 4) != 0 || (line[4] != ' ' && line[4] != '='))
            continue;
        value += 1 + strspn(value + 1, " ");
        value[strcspn(value, "\r\n")] = '\0';
        slash = strrchr(value, '/');
        if (value[0] == '/' && slash != value) {
            *slash = '\0';
            memcpy(out, value, strlen(value) + 1);
        }
    }
    fclose(in);
}

/* Without it every library counts as found by RUNPATH. */
static void read_cache(struct facts_text *text)
{
    FILE *in = fopen("/etc/ld.so.cache", "re");

    text->cache = in == NULL ? NULL : malloc(CACHE_MAX);
    text->cache_len = text->cache == NULL ? 0 : fread(text->cache, 1, CACHE_MAX, in);
    if (in != NULL)
        fclose(in);
}

static int find_facts(const struct pbc_staged *staged, const struct environment *e,
                      char *const *command, struct facts_text *text, struct pbc_command_facts *ret,
                      struct pbc_error *err)
{
    const char *home = getenv("HOME");

    if (getcwd(text->cwd, sizeof(text->cwd)) == NULL)
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot tell the working directory");
    snprintf(text->job_dir, sizeof(text->job_dir), "%s", staged->root);
    *strrchr(text->job_dir, '/') = '\0';
    find_script(command, text->script);
    find_venv_home(staged->root, text->venv_home);
    read_cache(text);
    *ret = (struct pbc_command_facts){
        .root = staged->root,
        .job_dir = text->job_dir,
        .cwd = text->cwd,
        .home = home == NULL ? "" : home,
        .script = text->script,
        .venv_home = text->venv_home,
        .vars = e->list,
        .cache = text->cache == NULL ? "" : text->cache,
        .cache_len = text->cache_len,
    };
    return 0;
}

/* ---- the run ---- */

static int read_mounts(const struct wish *w, struct pbc_mounts *ret, struct pbc_error *err)
{
    FILE *in = fopen("/proc/self/mountinfo", "re");
    int rc;

    if (in == NULL)
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot read /proc/self/mountinfo");
    rc = pbc_mounts_read(in, ret, err);
    fclose(in);
    for (unsigned i = 0; i < w->nshared && rc == 0; i++) {
        if (w->shared[i][0] != '/')
            rc = pbc_fail(err, PBC_EXIT_USAGE, "--shared=%s is no absolute path", w->shared[i]);
        else
            rc = pbc_mounts_share(ret, w->shared[i], err);
    }
    return rc;
}

static int write_report(const struct wish *w, struct pbc_leaks *l, const char *root,
                        unsigned processes, FILE *out, struct pbc_error *err)
{
    unsigned long leaks = pbc_leaks_count(l, w->all);

    fprintf(out, "pbcast leaks: %u process%s, %lu requests in %s; %lu leak%s\n", processes,
            processes == 1 ? "" : "es", pbc_leaks_staged(l), root, leaks, leaks == 1 ? "" : "s");
    if (pbc_leaks_write(l, out, w->names) != 0)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory for the report");
    if (fflush(out) != 0 || ferror(out))
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot write the report");
    return 0;
}

/* The exit status, or -1 with err. */
static int observe(const struct wish *w, const struct pbc_staged *staged,
                   const struct environment *e, struct pbc_mounts *mounts, FILE *out,
                   struct pbc_error *err)
{
    struct pbc_command_facts facts;
    struct facts_text text;
    struct pbc_leaks *l;
    unsigned processes = 0;
    int status, rc = -1;

    if (find_facts(staged, e, w->command, &text, &facts, err) < 0)
        return -1;
    l = pbc_leaks_new(&facts, mounts);
    if (l == NULL)
        pbc_fail(err, PBC_EXIT_FAILED, "no memory");
    else if (pbc_observe(w->command, e->list, text.cwd, l, &processes, &status, err) == 0 &&
             write_report(w, l, staged->root, processes, out, err) == 0) {
        if (status != 0)
            pbc_fail(err, PBC_EXIT_FAILED, "%s ended with status %d", w->command[0], status);
        else
            rc = pbc_leaks_count(l, w->all) > 0 ? PBC_EXIT_REFUSED : PBC_EXIT_OK;
    }
    pbc_leaks_free(l);
    free(text.cache);
    return rc;
}

static int run(const struct wish *w, struct pbc_error *err)
{
    struct pbc_changes changes = {0};
    struct environment e = {0};
    struct pbc_mounts mounts = {0};
    struct pbc_staged staged;
    FILE *out = stderr;
    bool in_set;
    int rc = -1;

    if (pbc_staged_find(&w->staged, &staged, err) < 0)
        return -1;
    if (w->output != NULL && (out = fopen(w->output, "we")) == NULL) {
        pbc_manifest_free(&staged.manifest);
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot write %s", w->output);
    }
    /* In the set already, it is to be seen as it is: with what was changed since. */
    in_set = w->staged.profile == NULL && getenv("PBCAST_ROOT") != NULL &&
             strcmp(getenv("PBCAST_ROOT"), staged.root) == 0;
    if ((in_set || pbc_changes_make(&staged, &changes, err) == 0) &&
        make_environment(&changes, &e, err) == 0 && read_mounts(w, &mounts, err) == 0)
        rc = observe(w, &staged, &e, &mounts, out, err);
    if (out != stderr && fclose(out) != 0 && rc >= 0)
        rc = pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot write %s", w->output);
    pbc_mounts_free(&mounts);
    free_environment(&e);
    pbc_changes_free(&changes);
    pbc_manifest_free(&staged.manifest);
    return rc;
}

static void usage(FILE *out)
{
    fputs("usage: pbcast leaks [OPTION...] -- COMMAND [ARGUMENT...]\n"
          "\n"
          "Runs COMMAND in the environment of the staged set, and lists which files it and its\n"
          "children opened or looked for outside the staged tree, by file system and cause. Needs\n"
          "strace(1).\n"
          "\n"
          "  --all              files of this node's own file systems are leaks too, but for the\n"
          "                     loader, libc and programs outside the tree\n"
          "  --names            list every file\n"
          "  --shared=DIR       what lies below DIR is shared, whatever its file system\n"
          "  --output=FILE      where the report goes, if not to standard error\n"
          "  --set=SET          as for pbcast env, and so are:\n"
          "  --store=DIR\n"
          "  --job=N\n"
          "  --profile=PROFILE\n"
          "  -h, --help\n"
          "\n"
          "Exit status: 0 no leak, 1 failed or COMMAND failed, 2 usage, 3 there are leaks.\n",
          out);
}

enum { SET = 256, STORE, JOB, PROFILE, ALL, NAMES, SHARED, OUTPUT, HELP = 'h' };

/* 0, or the exit status. */
static int take_option(int c, struct wish *w)
{
    unsigned long job;

    switch (c) {
    case SET:
        w->staged.set = optarg;
        break;
    case STORE:
        w->staged.store = optarg;
        break;
    case JOB:
        if (pbc_parse_number(optarg, 1, UINT32_MAX, &job) < 0)
            return pbc_complain_usage("leaks", "--job is a number, not '%s'", optarg);
        w->staged.job = (uint32_t)job;
        break;
    case PROFILE:
        w->staged.profile = optarg;
        break;
    case ALL:
        w->all = true;
        break;
    case NAMES:
        w->names = true;
        break;
    case SHARED:
        if (w->nshared == SHARED_MAX)
            return pbc_complain_usage("leaks", "more than %d times --shared", SHARED_MAX);
        w->shared[w->nshared++] = optarg;
        break;
    case OUTPUT:
        w->output = optarg;
        break;
    default: /* getopt has said why */
        return PBC_EXIT_USAGE;
    }
    return 0;
}

int pbc_cmd_leaks(int argc, char *argv[])
{
    static const struct option options[] = {
        {"set", required_argument, NULL, SET},
        {"store", required_argument, NULL, STORE},
        {"job", required_argument, NULL, JOB},
        {"profile", required_argument, NULL, PROFILE},
        {"all", no_argument, NULL, ALL},
        {"names", no_argument, NULL, NAMES},
        {"shared", required_argument, NULL, SHARED},
        {"output", required_argument, NULL, OUTPUT},
        {"help", no_argument, NULL, HELP},
        {NULL, 0, NULL, 0},
    };
    struct wish w = {.all = false};
    struct pbc_error err;
    int c, rc;

    optind = 1;
    while ((c = getopt_long(argc, argv, "+h", options, NULL)) != -1) {
        if (c == HELP) {
            usage(stdout);
            return PBC_EXIT_OK;
        }
        rc = take_option(c, &w);
        if (rc != 0)
            return rc;
    }
    w.command = argv + optind;
    if (w.command[0] == NULL)
        return pbc_complain_usage("leaks", "there is no COMMAND");
    rc = run(&w, &err);
    return rc < 0 ? pbc_complain(&err) : rc;
}
