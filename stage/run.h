/* run.h - one staging run as one agent lives it.
 *
 *     exchange records -> connect the tree -> CHECK/HAVE: who has the set? -> BEGIN DATA END ..
 *     DONE down the tree -> READY up -> COMMIT down -> COMMITTED up
 *
 * All nodes end with the set published, or none does; docs/protocol.md has the details.
 */
#ifndef PBC_RUN_H
#define PBC_RUN_H

#include "bundle.h"
#include "coord.h"
#include "source.h"
#include "writer.h"

#include <stdint.h>

/* Of PBC_CHUNK_BYTES: what an agent buffers between its peers and itself. */
#define PBC_CHUNKS 1408

enum pbc_progress { PBC_PROGRESS_OFF, PBC_PROGRESS_LINES };

struct pbc_run_conf {
    const char *store; /* NULL: see pbc_place_open */
    uint32_t job;
    const char *set;     /* the set that the caller expects; NULL: any */
    const char *address; /* see pbc_net_choose */
    const char *node;    /* this node's name */
    const char *nodes;   /* host list of the step, for the manifest; may be "" */
    unsigned stall;      /* seconds of silence after which a peer is lost */
    unsigned timeout;    /* seconds for the whole */
    unsigned fence;      /* seconds for the exchange */
    struct pbc_writer_limits limits;
    unsigned verbose;
    enum pbc_progress progress;
    struct pbc_bundles *bundles; /* parsed; the root probes them */
    pbc_source_pack *pack;       /* see pbc_source_start */
    int over_tree;               /* the bundles go over the tree, whatever `coord` can carry */
    uint32_t arity;              /* of the tree, or PBC_TREE_TWO; 0: as size and bundles ask for */
};

/* Take part in a run. Prints what its user is to see on standard error, each line beginning with
 * "pbcast: ": the root its progress, its summary or the run's first error; another node only an
 * error that nobody else can tell. Returns the exit code of the process. */
enum pbc_exit pbc_run(const struct pbc_run_conf *conf, struct pbc_coord *coord);

#endif
