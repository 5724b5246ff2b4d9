/* engine_nodes.h - runs of several agents on this machine, each a process with a store of its own.
 *
 *     <dir>/n<k>/store/<job>/   node k
 *     <dir>/meet-<run>/         where the agents of a run meet, and their words
 */
#ifndef PBC_TEST_ENGINE_NODES_H
#define PBC_TEST_ENGINE_NODES_H

#include "engine_proxy.h"
#include "engine_support.h"

#include <sys/types.h>

#define NODES_MAX 40
#define JOB       77

/* A set of stores: the nodes of a job. */
struct nodes {
    char *dir;
    unsigned made; /* stores */
    unsigned runs;
    char *path[16]; /* of the bundles that were made */
    unsigned paths;
};

int nodes_setup(void **state); /* *state is a struct nodes */
int nodes_teardown(void **state);

/* A run of agents. */
struct run {
    struct nodes *nodes;
    unsigned size;
    char meet[256];
    pid_t pid[NODES_MAX];
    int status[NODES_MAX]; /* exit code, or -signal; -1000 while it runs */
};

struct run_options {
    const char *args;        /* blank separated, before the bundles */
    const char *bundles[8];  /* up to NULL */
    const char *odd_args;    /* more for one rank */
    unsigned odd;            /* which */
    const char *odd_env[2];  /* a variable of its environment, and what it is */
    int bad_record;          /* the odd one's record is malformed */
    const struct proxy *via; /* the odd one reaches the rank before it by this */
    unsigned turned;         /* node k has rank (k + turned) % size */
};

/* Start `size` agents, rank k on node k. */
void run_start(struct nodes *n, struct run *r, unsigned size, const struct run_options *o);

/* Wait until all have ended, at most `seconds`; then those that have not are killed and the test
 * fails. */
void run_wait(struct run *r, unsigned seconds);

/* Start and wait. */
void run_all(struct nodes *n, struct run *r, unsigned size, const struct run_options *o);

/* What rank k said, to be freed. */
char *run_words(const struct run *r, unsigned rank);

/* All ended with `code`; rank 0 said `words` in the only line that is an error, or, with code 0, at
 * all. */
void assert_run(struct run *r, int code, const char *words);

/* Wait until rank k has begun to unpack; fails if the run is over before. */
void run_wait_unpacking(struct run *r, unsigned rank);

/* <store>/<job> of a node, or the tree of a set there. */
const char *node_job(const struct nodes *n, unsigned node);
const char *node_tree(const struct nodes *n, unsigned node, const char *const *bundles);

/* Each of the nodes has the tree, equal to `source`, and nothing unfinished. */
void assert_staged(const struct nodes *n, unsigned size, const char *const *bundles,
                   const char *source);
/* None of the nodes has anything of it: no tree, no manifest, no unfinished tree. */
void assert_nothing_staged(const struct nodes *n, unsigned size);

/* Write an archive of `b` compressed as `format` below the directory of the nodes. */
const char *make_bundle(struct nodes *n, const char *name, enum pbc_format format,
                        const struct bytes *tar);
/* A tree of all kinds of entries as <dir>/<source>, and its bundle by the system's tar. */
const char *make_tree_bundle(struct nodes *n, const char *source, const char *name,
                             const char *options);
/* A bundle that takes a while: a plain archive of `mib` MiB. */
const char *make_large_bundle(struct nodes *n, const char *name, unsigned mib);

#endif
