/* request.h - what an srun, sbatch or salloc is to stage: from options, their twins and what the
 * job around has kept to a list that was looked at, and that its job keeps in turn.
 */
#ifndef PBC_REQUEST_H
#define PBC_REQUEST_H

#include "bundle.h"
#include "error.h"
#include "site.h"

/* What a list is made of, in overlay order. */
enum pbc_part { PBC_PART_LIST, PBC_PART_USERBASE, PBC_PART_MIRROR, PBC_PARTS };

struct pbc_ask {
    const char *text;  /* NULL: nothing; borrowed from options, environment or site */
    const char *asked; /* as the user wrote it */
    int from_job;      /* the text is what the job's environment has kept */
};

struct pbc_request {
    struct pbc_site site;
    int in_job; /* srun inside an allocation that outlives it */
    struct pbc_ask ask[PBC_PARTS];
    int verbose;
    struct pbc_bundles bundles; /* what they come to */
};

/* Fill r->ask by what counts of options and environment; site and in_job are filled. 1 if anything
 * is to be staged, else 0. */
int pbc_request_ask(struct pbc_request *r);

/* Fill r->verbose and r->bundles, which are freed first, by looking at each; the environment of
 * this process, which its job gets, keeps them. PBC_EXIT_USAGE or PBC_EXIT_REFUSED for what cannot
 * work. */
int pbc_request_look(struct pbc_request *r, struct pbc_error *err);

/* Resolve names anew, and look at all bundles again. */
int pbc_request_look_again(struct pbc_request *r, const char *partition, struct pbc_error *err);

/* The environment keeps nothing. */
void pbc_request_forget(void);

/* A variable of this process; unset if `value` is NULL or empty. */
int pbc_request_put(const char *name, const char *value, struct pbc_error *err);

#endif
