#include "agent_options.h"

#include "site.h"
#include "tree.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ENTRIES_MAX 10000000 /* members of a set, unless --max-entries says otherwise */

static const char usage[] =
    "usage: pbcast-stage [OPTION...] [--] BUNDLE...\n"
    "\n"
    "Stage BUNDLEs (tar archives: gzip, zstd, xz, bzip2, lz4 or plain; mirror:DIR[:PART...] and\n"
    "userbase:DIR for directories that are packed on the fly), later ones over earlier ones, in "
    "the\n"
    "node-local store of every node of a job step with one task a node:\n"
    "\n"
    "    srun -N$SLURM_NNODES --ntasks-per-node=1 --mpi=pmix pbcast-stage tier1.tar.gz app.tar.gz\n"
    "\n"
    "  --store DIR        root of the store; DIR/<job> must exist and be the user's own\n"
    "                     (default: /dev/shm/pbcast if it has the job, else\n"
    "                     /dev/shm/pbcast-<uid>, which is made)\n"
    "  --job ID           job id (default: $SLURM_JOB_ID)\n"
    "  --set ID           refuse unless the bundles' set has this name\n"
    "  --digest N=HEX     refuse unless bundle N (from 1) has this digest (b2sum -l 256)\n"
    "  --profile N=NAME   profile of bundle N, whatever it says itself\n"
    "  --variable N=SET   set=NAME=VALUE, prepend=, append= or unset=: variables of bundle N\n"
    "  --address WHICH    interface or SUBNET/BITS that carries the data\n"
    "  --tree SHAPE       1 to 8, the arity of a tree, or two: two trees (by nodes and bytes)\n"
    "  --transport WHICH  tcp or mpi: what carries the bundles (mpi where the agents meet by it)\n"
    "  --stall SECONDS    silence after which a node counts as lost (20)\n"
    "  --timeout SECONDS  for the whole (600)\n"
    "  --fence SECONDS    for the nodes to find each other (10 + nodes/100)\n"
    "  --hold             begin when told: writes \"pbcast: here\" on standard output, and waits\n"
    "                     for \"pbcast: go\" on standard input, sent when all have written it\n"
    "  --pause MS         begin not before (300 + 10 log2(nodes); 0 when told)\n"
    "  --max-size BYTES   unpacked, K M G T allowed; 0 = no limit (64G)\n"
    "  --max-pack BYTES   in a directory that is packed on the fly; 0 = no limit (512M)\n"
    "  --max-entries N    members of all bundles (10000000)\n"
    "  --min-free BYTES   to leave free in the store (64M)\n"
    "  --progress MODE    lines, none, or auto (lines where standard error is a terminal)\n"
    "  --verbose N        0 errors, 1 summary (default), 2 phases\n"
    "  --help, --version\n"
    "\n"
    "Exit status: 0 staged everywhere, 1 failed, 2 usage, 3 a bundle was refused, 4 no space,\n"
    "5 a node was lost or silent, 6 the nodes did not find each other (try again).\n"
    "See pbcast-stage(1).\n";

enum {
    STORE = 256,
    JOB,
    SET,
    DIGEST,
    BUNDLE_PROFILE,
    VARIABLE,
    ADDRESS,
    STALL,
    TIMEOUT,
    FENCE,
    HOLD,
    PAUSE,
    MAX_SIZE,
    MAX_ENTRIES,
    MAX_PACK,
    MIN_FREE,
    PROGRESS,
    VERBOSE,
    TRANSPORT,
    TREE,
    HELP,
    VERSION
};

static const struct option long_options[] = {
    {"store", required_argument, NULL, STORE},
    {"job", required_argument, NULL, JOB},
    {"set", required_argument, NULL, SET},
    {"digest", required_argument, NULL, DIGEST},
    {"profile", required_argument, NULL, BUNDLE_PROFILE},
    {"variable", required_argument, NULL, VARIABLE},
    {"address", required_argument, NULL, ADDRESS},
    {"stall", required_argument, NULL, STALL},
    {"timeout", required_argument, NULL, TIMEOUT},
    {"fence", required_argument, NULL, FENCE},
    {"hold", no_argument, NULL, HOLD},
    {"pause", required_argument, NULL, PAUSE},
    {"max-size", required_argument, NULL, MAX_SIZE},
    {"max-entries", required_argument, NULL, MAX_ENTRIES},
    {"max-pack", required_argument, NULL, MAX_PACK},
    {"min-free", required_argument, NULL, MIN_FREE},
    {"progress", required_argument, NULL, PROGRESS},
    {"verbose", required_argument, NULL, VERBOSE},
    {"transport", required_argument, NULL, TRANSPORT},
    {"tree", required_argument, NULL, TREE},
    {"help", no_argument, NULL, HELP},
    {"version", no_argument, NULL, VERSION},
    {0},
};

static int bad_value(const char *option, const char *value, const char *accepted,
                     struct pbc_error *err)
{
    return pbc_fail(err, PBC_EXIT_USAGE, "--%s %s: expected %s", option, value, accepted);
}

static int number(const char *option, const char *value, unsigned long lo, unsigned long hi,
                  unsigned long *ret, struct pbc_error *err)
{
    char accepted[64];

    snprintf(accepted, sizeof(accepted), "a number from %lu to %lu", lo, hi);
    return pbc_parse_number(value, lo, hi, ret) == 0 ? 0 : bad_value(option, value, accepted, err);
}

/* N=TEXT: what is said of bundle N, and the text. NULL if it has another form. */
static struct pbc_bundle *of_bundle(struct pbc_agent_options *o, const char *value,
                                    const char **ret_text)
{
    const char *equals = strchr(value, '=');
    char digits[8];
    unsigned long n;

    if (equals == NULL || equals - value >= (ptrdiff_t)sizeof(digits))
        return NULL;
    memcpy(digits, value, (size_t)(equals - value));
    digits[equals - value] = '\0';
    if (pbc_parse_number(digits, 1, PBC_BUNDLES_MAX, &n) != 0)
        return NULL;
    if (n > o->most_said)
        o->most_said = n;
    *ret_text = equals + 1;
    return &o->said[n - 1];
}

static int take_digest(struct pbc_agent_options *o, const char *value)
{
    const char *text;
    struct pbc_bundle *b = of_bundle(o, value, &text);

    if (b == NULL || !pbc_digest_valid(text))
        return -1;
    strcpy(b->digest, text);
    return 0;
}

static int take_profile(struct pbc_agent_options *o, const char *value)
{
    const char *text;
    struct pbc_bundle *b = of_bundle(o, value, &text);

    if (b == NULL || pbc_profile_from_name(text, &b->profile) != 0)
        return -1;
    b->has_profile = 1;
    return 0;
}

static int take_variable(struct pbc_agent_options *o, const char *value)
{
    const char *text;
    struct pbc_bundle *b = of_bundle(o, value, &text);
    char *copy, *rest;
    enum pbc_env_kind kind;
    int rc = -1;

    if (b == NULL || (copy = strdup(text)) == NULL)
        return -1;
    rest = copy;
    if (pbc_variable_kind(strsep(&rest, "="), &kind) == 0 && rest != NULL)
        rc = pbc_variables_read(&b->vars, kind, rest);
    free(copy);
    return rc;
}

static int take_option(struct pbc_agent_options *o, int c, const char *value, struct pbc_error *err)
{
    const char *name = c >= STORE && c < HELP ? long_options[c - STORE].name : "";
    unsigned long n = 0;
    int rc = 0;

    switch (c) {
    case STORE:
        o->conf.store = value;
        return *value == '/' ? 0 : bad_value(name, value, "an absolute path", err);
    case JOB:
        rc = number(name, value, 1, UINT32_MAX, &n, err);
        o->conf.job = (uint32_t)n;
        return rc;
    case SET:
        o->conf.set = value;
        return pbc_set_id_valid(value) ? 0 : bad_value(name, value, "32 hexadecimal digits", err);
    case DIGEST:
        return take_digest(o, value) == 0
                   ? 0
                   : bad_value(name, value, "N=DIGEST, of 64 hexadecimal digits", err);
    case BUNDLE_PROFILE:
        return take_profile(o, value) == 0
                   ? 0
                   : bad_value(name, value, "N=PROFILE, of " PBC_PROFILE_NAMES, err);
    case VARIABLE:
        return take_variable(o, value) == 0
                   ? 0
                   : bad_value(name, value,
                               "N=set=NAME=VALUE, or with prepend, append or unset, of a variable "
                               "that bundles may touch",
                               err);
    case ADDRESS:
        o->conf.address = value;
        return 0;
    case STALL:
        rc = number(name, value, 2, 3600, &n, err);
        o->conf.stall = (unsigned)n;
        return rc;
    case TIMEOUT:
        rc = number(name, value, 1, 86400, &n, err);
        o->conf.timeout = (unsigned)n;
        return rc;
    case FENCE:
        rc = number(name, value, 1, 3600, &n, err);
        o->conf.fence = (unsigned)n;
        o->has_fence = 1;
        return rc;
    case HOLD:
        o->hold = 1;
        return 0;
    case PAUSE:
        o->has_pause = 1;
        return number(name, value, 0, 600000, &o->pause_ms, err);
    case MAX_ENTRIES:
        rc = number(name, value, 1, UINT32_MAX, &n, err);
        o->conf.limits.entries = n;
        return rc;
    case MAX_SIZE:
    case MAX_PACK:
    case MIN_FREE:
        if (pbc_parse_bytes(value, c == MAX_SIZE   ? &o->conf.limits.bytes
                                   : c == MAX_PACK ? &o->bundles.pack_max
                                                   : &o->conf.limits.min_free) == 0)
            return 0;
        return bad_value(name, value, "a number of bytes, with K, M, G or T", err);
    case PROGRESS:
        if (strcmp(value, "lines") == 0 || (strcmp(value, "auto") == 0 && isatty(STDERR_FILENO)))
            o->conf.progress = PBC_PROGRESS_LINES;
        else if (strcmp(value, "none") == 0 || strcmp(value, "auto") == 0)
            o->conf.progress = PBC_PROGRESS_OFF;
        else
            return bad_value(name, value, "lines, none or auto", err);
        return 0;
    case VERBOSE:
        rc = number(name, value, 0, 3, &n, err);
        o->conf.verbose = (unsigned)n;
        return rc;
    case TRANSPORT:
        o->conf.over_tree = strcmp(value, "tcp") == 0;
        o->wants_mpi = strcmp(value, "mpi") == 0;
        return o->conf.over_tree || o->wants_mpi ? 0 : bad_value(name, value, "tcp or mpi", err);
    case TREE:
        rc = strcmp(value, "two") == 0 || pbc_parse_number(value, 1, PBC_ARITY_MAX, &n) == 0;
        o->conf.arity = strcmp(value, "two") == 0 ? PBC_TREE_TWO : (uint32_t)n;
        return rc ? 0 : bad_value(name, value, "a number from 1 to 8, or two", err);
    default:
        return pbc_fail(err, PBC_EXIT_USAGE, "see pbcast-stage --help");
    }
}

static int add_bundles(struct pbc_agent_options *o, int argc, char *argv[], struct pbc_error *err)
{
    if (argc == 0)
        return pbc_fail(err, PBC_EXIT_USAGE, "no BUNDLE; see pbcast-stage --help");
    if (pbc_bundles_parse_words(argv, (size_t)argc, &o->bundles, err) != 0)
        return -1;
    if (o->most_said > o->bundles.count)
        return pbc_fail(err, PBC_EXIT_USAGE,
                        "--digest, --profile or --variable of bundle %lu, but there are %zu",
                        o->most_said, o->bundles.count);
    for (size_t i = 0; i < o->bundles.count; i++) {
        struct pbc_bundle *b = &o->bundles.item[i];

        memcpy(b->digest, o->said[i].digest, sizeof(b->digest));
        b->has_profile = o->said[i].has_profile;
        b->profile = o->said[i].profile;
        b->vars = o->said[i].vars;
    }
    return 0;
}

static const char *env_or(const char *name, const char *otherwise)
{
    const char *v = getenv(name);

    return v != NULL && *v != '\0' ? v : otherwise;
}

/* What the command line does not say, the job's environment does. */
static int complete(struct pbc_agent_options *o, struct pbc_error *err)
{
    const char *per_node;
    unsigned long job;

    if (gethostname(o->host, sizeof(o->host)) != 0)
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "gethostname");
    o->host[sizeof(o->host) - 1] = '\0';
    o->conf.node = env_or("SLURMD_NODENAME", o->host);
    if (strlen(o->conf.node) >= PBC_NODE_MAX)
        o->conf.node = o->host;
    o->conf.nodes = env_or("SLURM_STEP_NODELIST", "");
    per_node = env_or("SLURM_STEP_TASKS_PER_NODE", "1");
    if (strcmp(per_node, "1") != 0 && strncmp(per_node, "1(x", 3) != 0)
        return pbc_fail(err, PBC_EXIT_USAGE,
                        "more than one task on a node (%s): start it with --ntasks-per-node=1",
                        per_node);
    if (o->conf.job == 0) {
        if (pbc_parse_number(env_or("SLURM_JOB_ID", ""), 1, UINT32_MAX, &job) != 0)
            return pbc_fail(err, PBC_EXIT_USAGE, "not inside a Slurm job: give --job ID");
        o->conf.job = (uint32_t)job;
    }
    (void)pbc_parse_number(env_or("SLURM_STEP_NUM_TASKS", "1"), 1, UINT32_MAX, &o->tasks);
    return 0;
}

static void set_defaults(struct pbc_agent_options *o)
{
    struct pbc_site site;

    pbc_site_defaults(&site);
    memset(o, 0, sizeof(*o));
    o->tasks = 1;
    o->conf.address = "";
    o->conf.verbose = 1;
    o->conf.stall = site.stall;
    o->conf.timeout = site.timeout;
    o->conf.limits.bytes = site.max_size;
    o->conf.limits.min_free = site.min_free;
    o->conf.limits.entries = ENTRIES_MAX;
    o->conf.bundles = &o->bundles;
    o->bundles.pack_max = site.mirror_max;
    o->conf.progress = isatty(STDERR_FILENO) ? PBC_PROGRESS_LINES : PBC_PROGRESS_OFF;
}

int pbc_agent_options(struct pbc_agent_options *o, int argc, char *argv[], struct pbc_error *err)
{
    int c;

    set_defaults(o);
    while ((c = getopt_long(argc, argv, "+", long_options, NULL)) != -1) {
        if (c == HELP) {
            fputs(usage, stdout);
            return 1;
        }
        if (c == VERSION) {
            puts("pbcast-stage " PBC_VERSION);
            return 1;
        }
        if (take_option(o, c, optarg, err) != 0)
            return -1;
    }
    return add_bundles(o, argc - optind, argv + optind, err) != 0 ? -1 : complete(o, err);
}
