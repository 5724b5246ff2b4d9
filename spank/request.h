/* request.h - what an srun, sbatch or salloc is to stage.
 *
 * First what counts is chosen: of the options, their environment twins, and what the job around
 * this process has kept (pbc_request_ask). Then each bundle of it is looked at, and the list is
 * kept in the environment for the sruns of the job (pbc_request_look).
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
    int in_job;   /* srun inside an allocation, with that one's environment */
    int outlived; /* srun in an allocation that outlives it: so, or by --jobid */
    struct pbc_ask ask[PBC_PARTS];
    int verbose;
    struct pbc_bundles bundles; /* what they come to */
};

/* Fill r->ask with what counts; r->site and r->in_job must be filled. 1 if anything is to be
 * staged, else 0. */
int pbc_request_ask(struct pbc_request *r);

/* Look at each bundle of r->ask. Fills r->verbose and r->bundles (whose old contents are freed),
 * and keeps the list in the environment of this process, which its job inherits. PBC_EXIT_USAGE or
 * PBC_EXIT_REFUSED for what cannot work. */
int pbc_request_look(struct pbc_request *r, struct pbc_error *err);

/* Resolve names anew, and look at all bundles again. */
int pbc_request_look_again(struct pbc_request *r, const char *partition, struct pbc_error *err);

/* Take what is kept out of the environment. */
void pbc_request_forget(void);

/* Set a variable of this process; unset it if `value` is NULL or empty. */
int pbc_request_put(const char *name, const char *value, struct pbc_error *err);

#endif
