#include "launch.h"

#include "child.h"
#include "meeting.h"
#include "options.h"
#include "output.h"

#include <inttypes.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* What Slurm needs around the agents' own time: making the step, starting and ending its tasks. */
#define GRACE_SECONDS 60

#define WORDS 64 /* for a start */

/* Milliseconds between an agent's start and its first fence, in each try. */
static const unsigned pauses[PBC_LAUNCH_TRIES] = {0, 1000, 3000};

struct words {
    char **item;
    size_t count;
    size_t room;
    int failed;
};

static void __attribute__((format(printf, 2, 3))) add(struct words *w, const char *fmt, ...)
{
    va_list ap;

    if (w->count + 1 == w->room && !w->failed) {
        char **more = reallocarray(w->item, 2 * w->room, sizeof(*more));

        if (more == NULL) {
            w->failed = 1;
        } else {
            w->item = more;
            w->room *= 2;
        }
    }
    if (w->failed)
        return;
    va_start(ap, fmt);
    if (vasprintf(&w->item[w->count], fmt, ap) < 0)
        w->failed = 1;
    else
        w->count++;
    w->item[w->count] = NULL;
    va_end(ap);
}

static int words_init(struct words *w)
{
    w->count = 0;
    w->room = WORDS;
    w->failed = 0;
    w->item = calloc(w->room, sizeof(*w->item));
    return w->item == NULL ? -1 : 0;
}

static char **words_done(struct words *w)
{
    if (!w->failed)
        return w->item;
    pbc_words_free(w->item);
    return NULL;
}

void pbc_words_free(char **words)
{
    if (words == NULL)
        return;
    for (size_t i = 0; words[i] != NULL; i++)
        free(words[i]);
    free(words);
}

/* What the site's catalogue says of bundle `n`. */
static void add_catalogue(struct words *w, size_t n, const struct pbc_bundle *b)
{
    if (b->digest[0] != '\0') {
        add(w, "--digest");
        add(w, "%zu=%s", n, b->digest);
    }
    if (b->has_profile) {
        add(w, "--profile");
        add(w, "%zu=%s", n, pbc_profile_name(b->profile));
    }
    for (size_t i = 0; i < b->vars.count; i++) {
        const struct pbc_variables one = {.count = 1, .item = &b->vars.item[i]};
        char *text = NULL;
        size_t len;
        FILE *out = open_memstream(&text, &len);

        if (out != NULL)
            pbc_variables_write(out, "", &one);
        if (out == NULL || fclose(out) != 0) {
            w->failed = 1;
        } else {
            add(w, "--variable");
            add(w, "%zu=%.*s", n, (int)strcspn(text, "\n"), text);
        }
        free(text);
    }
}

static void add_directory(struct words *w, const struct pbc_bundle *b)
{
    char *word = pbc_bundle_word(b);

    if (word == NULL)
        w->failed = 1;
    else
        add(w, "%s", word);
    free(word);
}

/* Whether the agents wait until all have started: see stage/start.h. */
static int holds(const struct pbc_launch *l, const struct pbc_meeting *m)
{
    return l->count > 1 && pbc_mpi_is_pmix(m->mpi);
}

/* srun and its options: one task on each node. */
static void add_step(struct words *w, const struct pbc_launch *l, const char *mpi,
                     const char *input)
{
    add(w, "%s", l->site->srun);
    add(w, "--jobid=%" PRIu32, l->leader != 0 ? l->leader : l->job);
    if (l->leader != 0)
        add(w, "--het-group=%" PRIu32, l->component);
    add(w, "--nodelist=%s", l->nodes);
    add(w, "--nodes=%" PRIu32, l->count);
    add(w, "--ntasks=%" PRIu32, l->count);
    add(w, "--ntasks-per-node=1");
    /* Beside the steps that hold the job's processors, memory and devices already. */
    add(w, "--overlap");
    add(w, "--mem=0");
    add(w, "--gres=none");
    add(w, "--cpu-bind=none");
    add(w, "--mpi=%s", mpi);
    add(w, "--input=%s", input);
    add(w, "--chdir=/");
    add(w, "--job-name=pbcast");
    /* The agents end together; srun must not end some before they have cleaned up. */
    add(w, "--kill-on-bad-exit=0");
    add(w, "--wait=0");
    add(w, "--disable-status"); /* SIGINT goes to the agents at once */
}

char **pbc_launch_argv(const struct pbc_launch *l, const struct pbc_meeting *m, unsigned pause_ms,
                       int progress)
{
    const struct pbc_site *site = l->site;
    struct words w;

    if (words_init(&w) < 0)
        return NULL;
    add_step(&w, l, m->mpi, holds(l, m) ? "all" : "none");
    add(&w, "%s", m->agent);
    add(&w, "--store");
    add(&w, "%s", site->store);
    add(&w, "--job");
    add(&w, "%" PRIu32, l->job);
    add(&w, "--set");
    add(&w, "%s", l->set);
    add(&w, "--stall");
    add(&w, "%u", site->stall);
    add(&w, "--timeout");
    add(&w, "%u", site->timeout);
    add(&w, "--max-size");
    add(&w, "%" PRIu64, site->max_size);
    add(&w, "--max-pack");
    add(&w, "%" PRIu64, site->mirror_max);
    add(&w, "--min-free");
    add(&w, "%" PRIu64, site->min_free);
    if (site->address[0] != '\0') {
        add(&w, "--address");
        add(&w, "%s", site->address);
    }
    if (holds(l, m))
        add(&w, "--hold");
    if (pause_ms > 0) {
        add(&w, "--pause");
        add(&w, "%u", pause_ms);
    }
    add(&w, "--verbose");
    add(&w, "%d", l->verbose);
    add(&w, "--progress");
    add(&w, "%s", progress ? "lines" : "none");
    for (size_t i = 0; i < l->bundles->count; i++)
        add_catalogue(&w, i + 1, &l->bundles->item[i]);
    add(&w, "--");
    for (size_t i = 0; i < l->bundles->count; i++) {
        const struct pbc_bundle *b = &l->bundles->item[i];

        /* Not names of the catalogue, which the agent does not know. */
        if (b->kind == PBC_BUNDLE_ARCHIVE)
            add(&w, "%s", b->path);
        else
            add_directory(&w, b);
    }
    return words_done(&w);
}

char **pbc_launch_env(const struct pbc_launch *l)
{
    struct passwd pw, *found = NULL;
    char buf[4096];
    const char *slash = strrchr(l->site->srun, '/');
    struct words w;

    if (words_init(&w) < 0)
        return NULL;
    if (slash != l->site->srun && strncmp(l->site->srun, "/usr/bin/", 9) != 0)
        add(&w, "PATH=/usr/bin:/bin:%.*s", (int)(slash - l->site->srun), l->site->srun);
    else
        add(&w, "PATH=/usr/bin:/bin");
    if (getpwuid_r(getuid(), &pw, buf, sizeof(buf), &found) == 0 && found != NULL) {
        add(&w, "HOME=%s", pw.pw_dir);
        add(&w, "USER=%s", pw.pw_name);
        add(&w, "LOGNAME=%s", pw.pw_name);
    }
    add(&w, "LANG=C");
    if (l->slurm_conf != NULL && l->slurm_conf[0] != '\0')
        add(&w, "SLURM_CONF=%s", l->slurm_conf);
    add(&w, "SLURM_JOB_ID=%" PRIu32, l->leader != 0 ? l->leader : l->job);
    add(&w, PBC_VAR_STEP "=1");
    return words_done(&w);
}

/* The class of a failed step: an agent's exit code, if srun passed one on. */
static enum pbc_exit code_of(int status)
{
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : PBC_EXIT_FAILED;

    return code > PBC_EXIT_OK && code <= PBC_EXIT_AGAIN ? (enum pbc_exit)code : PBC_EXIT_FAILED;
}

/* What ended srun, or the agents by srun's word; 0 for none. */
static int signal_of(int status)
{
    if (WIFSIGNALED(status))
        return WTERMSIG(status);
    return WEXITSTATUS(status) > 128 && WEXITSTATUS(status) <= 128 + 64 ? WEXITSTATUS(status) - 128
                                                                        : 0;
}

static int again(const struct pbc_output *out, struct pbc_error *err)
{
    if (out->unreached[0] != '\0') /* and why the others did not meet */
        pbc_fail(err, PBC_EXIT_AGAIN, "Slurm could not launch the step on node %s", out->unreached);
    else
        pbc_fail(err, PBC_EXIT_AGAIN, "%s", out->why[0] != '\0' ? out->why : "no reason given");
    return 1;
}

/* What has become of the step: 0 staged, 1 worth another try, -1 failed; err says why in the latter
 * two. `end` is who ended it, `status` that of its srun. */
static int judge_step(const struct pbc_launch *l, const struct pbc_meeting *m,
                      struct pbc_output *out, enum pbc_child_end end, int status,
                      struct pbc_error *err)
{
    int said, signo;

    if (end == PBC_CHILD_INTERRUPTED)
        return pbc_fail(err, PBC_EXIT_FAILED, "staging was interrupted");
    if (end == PBC_CHILD_EXITED && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    if ((out->again || out->unlaunched) && !out->unstarted)
        return again(out, err);
    if (out->error[0] != '\0')
        return pbc_fail(err, code_of(status), "%s", out->error);
    if (end == PBC_CHILD_EXITED && code_of(status) == PBC_EXIT_AGAIN && !out->unstarted)
        return again(out, err);

    said = out->noise_len > 0 || l->verbose >= PBC_OUTPUT_ALL;
    pbc_output_noise(out);
    if (end == PBC_CHILD_TIMEOUT)
        return pbc_fail(err, PBC_EXIT_PEER,
                        "staging did not end within %u seconds (timeout= of the site) and was "
                        "stopped",
                        l->site->timeout);
    if (out->unreached[0] != '\0') /* srun's exit status is then no signal's */
        return pbc_fail(err, PBC_EXIT_FAILED,
                        "Slurm could not launch the staging step on node %s; its slurmd's log says "
                        "more",
                        out->unreached);
    if (end == PBC_CHILD_AGAIN) /* an agent cannot run: another try would end the same */
        return pbc_fail(err, PBC_EXIT_FAILED,
                        "the staging step on %s failed; what it said stands above", l->nodes);
    if (out->no_mpi)
        return pbc_fail(
            err, PBC_EXIT_FAILED,
            "srun cannot load Slurm's plugin for --mpi=%s here, as stands above; \"srun "
            "--mpi=%s true\" fails in the same way. Tell the administrator%s",
            m->mpi, m->mpi,
            pbc_mpi_is_pmix(m->mpi)
                ? ": PMIx's libpmix.so is missing, as a rule (on Debian: libpmix-dev)"
                : "");
    signo = signal_of(status);
    if (signo > 0)
        return pbc_fail(err, PBC_EXIT_FAILED,
                        "the staging step on %s was ended by signal %d (cancelled, out of memory, "
                        "or out of the job's time)",
                        l->nodes, signo);
    return pbc_fail(err, code_of(status), "the staging step on %s failed%s (%s ended with %d)",
                    l->nodes, said ? "; what it said stands above" : " and said nothing",
                    l->site->srun, WEXITSTATUS(status));
}

/* One step, with the result of judge_step; -1 also if it cannot be started. */
static int attempt_step(const struct pbc_launch *l, const struct pbc_meeting *m, char **env,
                        unsigned attempt, unsigned seconds, struct pbc_clock *clock,
                        struct pbc_error *err)
{
    struct pbc_output out;
    struct pbc_child child = {.envp = env,
                              .seconds = seconds,
                              .catch_signals = l->in_client,
                              .output = &out,
                              .clock = clock,
                              .await = holds(l, m) ? l->count : 0};
    enum pbc_child_end end = PBC_CHILD_EXITED;
    int status = 0;
    char **argv;
    int rc;

    pbc_output_init(&out, STDERR_FILENO, l->verbose);
    argv = pbc_launch_argv(l, m, pauses[attempt], l->verbose >= (out.tty ? 1 : 2));
    if (argv == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory");
    child.argv = argv;
    rc = pbc_child_run(&child, &end, &status, err);
    pbc_words_free(argv);
    return rc < 0 ? -1 : judge_step(l, m, &out, end, status, err);
}

/* No try was enough; err has the last one's reason. */
static int not_met(const struct pbc_launch *l, const struct pbc_meeting *m, struct pbc_error *err)
{
    char why[512];

    snprintf(why, sizeof(why), "%.*s", (int)sizeof(why) - 1, err->text);
    if (pbc_mpi_is_pmix(m->mpi))
        return pbc_fail(err, PBC_EXIT_AGAIN,
                        "Slurm lost the start-up exchange of the staging step on %s %d times "
                        "(--mpi=%s): %s; run the job again, and if that does not help ask the "
                        "administrator to look for \"Connection reject\" in slurmd's logs",
                        l->nodes, PBC_LAUNCH_TRIES, m->mpi, why);
    return pbc_fail(err, PBC_EXIT_AGAIN,
                    "the agents of the staging step on %s did not meet in %d tries (--mpi=%s): %s; "
                    "try a program of that MPI on these nodes, and tell the administrator",
                    l->nodes, PBC_LAUNCH_TRIES, m->mpi, why);
}

int pbc_launch(const struct pbc_launch *l, struct pbc_error *err)
{
    struct pbc_clock clock = {0};
    uint64_t deadline = pbc_clock_ms(&clock) + (uint64_t)(l->site->timeout + GRACE_SECONDS) * 1000;
    char **env = pbc_launch_env(l);
    struct pbc_meeting meeting;
    int rc = 1;

    if (env == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory");
    if (pbc_meeting(l, env, &meeting, err) < 0)
        rc = -1;
    for (unsigned i = 0; i < PBC_LAUNCH_TRIES && rc > 0; i++) {
        uint64_t now = pbc_clock_ms(&clock);
        uint64_t left = now < deadline ? (deadline - now) / 1000 : 0;

        if (i > 0 && left == 0)
            break;
        if (i > 0 && l->verbose >= 2)
            dprintf(STDERR_FILENO, "pbcast: %s; try %u of %d with a pause of %u ms\n",
                    pbc_mpi_is_pmix(meeting.mpi) ? "Slurm lost the start-up exchange"
                                                 : "the nodes did not meet",
                    i + 1, PBC_LAUNCH_TRIES, pauses[i]);
        rc = attempt_step(l, &meeting, env, i, (unsigned)left, &clock, err);
    }
    pbc_words_free(env);
    return rc > 0 ? not_met(l, &meeting, err) : rc;
}

int pbc_launch_mark(const struct pbc_launch *l, uint32_t step, struct pbc_error *err)
{
    char **env = pbc_launch_env(l);
    struct pbc_output out;
    struct pbc_child child = {.envp = env, .seconds = GRACE_SECONDS, .output = &out};
    enum pbc_child_end end;
    struct words w;
    int status = 0, rc;

    pbc_output_init(&out, STDERR_FILENO, 0);
    if (env == NULL || words_init(&w) < 0) {
        pbc_words_free(env);
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory");
    }
    add_step(&w, l, "none", "none");
    add(&w, "mkdir");
    add(&w, "-p");
    add(&w, "%s/%" PRIu32 "/" PBC_MARK_FAILED "%" PRIu32, l->site->store, l->job, step);
    child.argv = words_done(&w);
    rc = child.argv == NULL ? pbc_fail(err, PBC_EXIT_FAILED, "no memory")
                            : pbc_child_run(&child, &end, &status, err);
    if (rc == 0 && status != 0)
        rc = pbc_fail(err, PBC_EXIT_FAILED, "a step on %s failed: %s", l->nodes,
                      out.error[0] != '\0' ? out.error : out.noise);
    pbc_words_free((char **)child.argv);
    pbc_words_free(env);
    return rc;
}
