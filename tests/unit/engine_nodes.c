#include "engine_nodes.h"

#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RUNNING (-1000)

int nodes_setup(void **state)
{
    struct nodes *n = calloc(1, sizeof(*n));
    void *dir = NULL;

    no_longer_than(280);
    umask(022);
    if (n == NULL || scratch_setup(&dir) != 0)
        return -1;
    n->dir = dir;
    *state = n;
    return 0;
}

int nodes_teardown(void **state)
{
    struct nodes *n = *state;
    void *dir = n->dir;
    int rc = scratch_teardown(&dir);

    for (unsigned i = 0; i < n->paths; i++)
        free(n->path[i]);
    free(n);
    return rc;
}

static void make_nodes(struct nodes *n, unsigned size)
{
    struct pbc_error err;
    char path[64];

    for (; n->made < size; n->made++) {
        snprintf(path, sizeof(path), "n%u", n->made);
        if (!exists(in(n->dir, path)))
            make_dir(in(n->dir, path), 0755);
        strcat(path, "/store");
        if (pbc_store_make(in(n->dir, path), JOB, geteuid(), getegid(), &err) != 0)
            fail_msg("%s", err.text);
    }
}

const char *node_job(const struct nodes *n, unsigned node)
{
    char path[64];

    snprintf(path, sizeof(path), "n%u/store/%d", node, JOB);
    return in(n->dir, path);
}

const char *node_tree(const struct nodes *n, unsigned node, const char *const *bundles)
{
    struct pbc_bundles list;
    struct pbc_error err;
    char all[8192] = "";
    char id[PBC_SET_ID_LEN + 1];

    for (; *bundles != NULL; bundles++) {
        strcat(all, all[0] != '\0' ? "," : "");
        strcat(all, *bundles);
    }
    assert_int_equal(pbc_bundles_parse(all, &list, &err), 0);
    assert_int_equal(pbc_bundles_probe(&list, &err), 0);
    pbc_bundles_id(&list, id);
    pbc_bundles_free(&list);
    return in(node_job(n, node), id);
}

/* ---- running ---- */

static char *words_of(char **argv, size_t *argc, const char *text)
{
    char *copy = strdup(text);
    char *save = NULL;

    for (char *w = strtok_r(copy, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save))
        argv[(*argc)++] = w;
    return copy;
}

static void be_agent(struct run *r, unsigned node, const struct run_options *o)
{
    unsigned rank = (node + o->turned) % r->size;
    char number[16], store[512], job[16], name[32], err[512];
    char *argv[64] = {(char *)(uintptr_t) "pbcast-stage-local"};
    size_t argc = 1;
    int fd;

    snprintf(number, sizeof(number), "%u", rank);
    setenv("PBC_LOCAL_DIR", r->meet, 1);
    setenv("PBC_LOCAL_RANK", number, 1);
    snprintf(err, sizeof(err), "%s/%u.words", r->meet, rank);
    snprintf(number, sizeof(number), "%u", r->size);
    setenv("PBC_LOCAL_SIZE", number, 1);
    setenv("SLURM_STEP_NUM_TASKS", number, 1);
    if (o->bad_record && rank == o->odd)
        setenv("PBC_LOCAL_RECORD", "bad", 1);
    if (o->odd_env[0] != NULL && rank == o->odd)
        setenv(o->odd_env[0], o->odd_env[1], 1);
    if (o->via != NULL && rank == o->odd) {
        snprintf(number, sizeof(number), "%u", proxy_port(o->via));
        setenv("PBC_LOCAL_PORT", number, 1);
        snprintf(number, sizeof(number), "%u", rank - 1);
        setenv("PBC_LOCAL_OTHER", number, 1);
    }
    snprintf(name, sizeof(name), "node%u", node);
    setenv("SLURMD_NODENAME", name, 1);
    unsetenv("SLURM_JOB_ID");
    snprintf(store, sizeof(store), "%s/n%u/store", r->nodes->dir, node);
    snprintf(job, sizeof(job), "%d", JOB);
    argv[argc++] = (char *)(uintptr_t) "--store";
    argv[argc++] = store;
    argv[argc++] = (char *)(uintptr_t) "--job";
    argv[argc++] = job;
    words_of(argv, &argc, "--address lo --progress none --min-free 0 --fence 60");
#ifdef PBC_TWO_TREES
    words_of(argv, &argc, "--tree two");
#endif
    if (o->args != NULL)
        words_of(argv, &argc, o->args);
    if (o->odd_args != NULL && rank == o->odd)
        words_of(argv, &argc, o->odd_args);
    for (const char *const *b = o->bundles; *b != NULL; b++)
        argv[argc++] = (char *)(uintptr_t)*b;
    fd = open(err, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    dup2(fd, STDERR_FILENO);
    alarm(0);
    execv(PBC_LOCAL_AGENT, argv);
    _exit(127);
}

void run_start(struct nodes *n, struct run *r, unsigned size, const struct run_options *o)
{
    make_nodes(n, size);
    memset(r, 0, sizeof(*r));
    r->nodes = n;
    r->size = size;
    assert_in_range(size, 1, NODES_MAX);
    snprintf(r->meet, sizeof(r->meet), "%s/meet-%u", n->dir, n->runs++);
    make_dir(r->meet, 0755);
    for (unsigned node = 0; node < size; node++) {
        unsigned rank = (node + o->turned) % size;

        r->status[rank] = RUNNING;
        r->pid[rank] = fork();
        assert_true(r->pid[rank] >= 0);
        if (r->pid[rank] == 0)
            be_agent(r, node, o);
    }
}

/* 1 while an agent runs. */
static int still_runs(struct run *r)
{
    int any = 0;

    for (unsigned i = 0; i < r->size; i++) {
        int status;

        if (r->status[i] == RUNNING && waitpid(r->pid[i], &status, WNOHANG) == r->pid[i])
            r->status[i] = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
        any |= r->status[i] == RUNNING;
    }
    return any;
}

static void print_all_words(const struct run *r)
{
    for (unsigned i = 0; i < r->size; i++) {
        char *words = run_words(r, i);

        if (words[0] != '\0' || r->status[i] != 0)
            print_message("rank %u ended with %d: %s\n", i, r->status[i], words);
        free(words);
    }
}

static void give_up(struct run *r, const char *why)
{
    for (unsigned i = 0; i < r->size; i++) {
        if (r->status[i] == RUNNING)
            kill(r->pid[i], SIGKILL);
    }
    print_all_words(r);
    while (still_runs(r))
        usleep(1000);
    fail_msg("%s", why);
}

void run_wait(struct run *r, unsigned seconds)
{
    time_t until = time(NULL) + (time_t)seconds;

    while (still_runs(r)) {
        if (time(NULL) > until)
            give_up(r, "agents hang");
        usleep(2000);
    }
}

void run_all(struct nodes *n, struct run *r, unsigned size, const struct run_options *o)
{
    run_start(n, r, size, o);
    run_wait(r, 120);
}

char *run_words(const struct run *r, unsigned rank)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/%u.words", r->meet, rank);
    return slurp(path);
}

void assert_run(struct run *r, int code, const char *words)
{
    unsigned lines = 0;

    for (unsigned i = 0; i < r->size; i++) {
        char *said = run_words(r, i);

        if (r->status[i] != code) {
            print_all_words(r);
            fail_msg("rank %u ended with %d, not %d", i, r->status[i], code);
        }
        for (char *p = said; (p = strstr(p, "pbcast: ")) != NULL; p++)
            lines++;
        if (i == 0 && strstr(said, words) == NULL) {
            print_all_words(r);
            fail_msg("'%s' is not in '%s'", words, said);
        }
        free(said);
    }
    if (lines != 1) {
        print_all_words(r);
        fail_msg("%u lines instead of one", lines);
    }
}

static unsigned count_with(const char *dir, const char *part)
{
    struct dirent *e;
    unsigned n = 0;
    DIR *d = opendir(dir);

    assert_non_null(d);
    while ((e = readdir(d)) != NULL)
        n += strstr(e->d_name, part) != NULL;
    closedir(d);
    return n;
}

void run_wait_unpacking(struct run *r, unsigned rank)
{
    while (count_with(node_job(r->nodes, rank), ".incoming-") == 0) {
        if (!still_runs(r))
            give_up(r, "the run was over too soon");
        usleep(500);
    }
}

void assert_staged(const struct nodes *n, unsigned size, const char *const *bundles,
                   const char *source)
{
    char *want = tree_words(source);

    for (unsigned i = 0; i < size; i++) {
        char *got = tree_words(node_tree(n, i, bundles));
        char manifest[4200];

        assert_string_equal(got, want);
        free(got);
        snprintf(manifest, sizeof(manifest), "%s.manifest", node_tree(n, i, bundles));
        assert_true(exists(manifest));
        assert_int_equal(count_with(node_job(n, i), ".incoming-"), 0);
        assert_int_equal(count_with(node_job(n, i), ".agent-"), 0);
    }
    free(want);
}

void assert_nothing_staged(const struct nodes *n, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        struct dirent *e;
        DIR *d = opendir(node_job(n, i));

        assert_non_null(d);
        while ((e = readdir(d)) != NULL) {
            const char *dot = strrchr(e->d_name, '.');

            if (dot == NULL ||
                (strcmp(dot, ".lock") != 0 && dot[1] != '\0' && dot != e->d_name + 1))
                fail_msg("node %u has %s", i, e->d_name);
        }
        closedir(d);
    }
}

/* ---- bundles ---- */

static const char *keep(struct nodes *n, const char *path)
{
    assert_in_range(n->paths, 0, 15);
    return n->path[n->paths++] = strdup(path);
}

const char *make_bundle(struct nodes *n, const char *name, enum pbc_format format,
                        const struct bytes *tar)
{
    struct bytes b = {0};
    const char *path = keep(n, in(n->dir, name));

    compress_to(format, tar->data, tar->len, &b);
    make_file(path, b.data, b.len);
    bytes_free(&b);
    return path;
}

const char *make_tree_bundle(struct nodes *n, const char *source, const char *name,
                             const char *options)
{
    char line[512];

    make_dir(in(n->dir, source), 0755);
    shell(in(n->dir, source),
          "mkdir -p bin lib/python3/site lib/none; echo '#!' >bin/python3; "
          "chmod 755 bin/python3; ln -s python3 bin/python; ln bin/python3 bin/python3.9; "
          ": >lib/empty; head -c 700000 /dev/urandom >lib/random; "
          "head -c 900000 /dev/zero | tr '\\0' t >lib/text; truncate -s 2M lib/sparse; "
          "for i in $(seq 60); do echo $i >lib/python3/site/m$i.py; done; "
          "touch -d @1000000000 lib/python3/site/*; ln -s ../../lib lib/python3/up; "
          "chmod 600 lib/empty; chmod 700 lib/none; echo u >\"$(printf 'lib/\\303\\251')\"");
    snprintf(line, sizeof(line), "tar %s -cf '%s' -C '%s' .", options, name, source);
    shell(n->dir, line);
    return keep(n, in(n->dir, name));
}

const char *make_large_bundle(struct nodes *n, const char *name, unsigned mib)
{
    struct bytes tar = {0}, data = {0};
    const char *path;

    bytes_noise(&data, 1 << 20, 99);
    for (unsigned i = 0; i < mib; i++) {
        char member[32];

        snprintf(member, sizeof(member), "d%u/f%u", i % 7, i);
        tar_add(&tar, (struct member){.name = member, .data = data.data, .len = data.len});
    }
    tar_end(&tar);
    path = make_bundle(n, name, PBC_FORMAT_TAR, &tar);
    bytes_free(&tar);
    bytes_free(&data);
    return path;
}
