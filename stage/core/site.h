/* site.h - the site's settings: `key=value` words behind the plugin's name in plugstack.conf.
 * Described for administrators in pbcast.conf(5).
 */
#ifndef PBC_SITE_H
#define PBC_SITE_H

#include "bundle.h"
#include "error.h"

#include <stdint.h>

struct pbc_site {
    char store[PBC_PATH_MAX]; /* store=DIR, absolute, no "..", not "/"; /dev/shm/pbcast */
    char agent[PBC_PATH_MAX]; /* agent=FILE, absolute; where the install put pbcast-stage */
    char srun[PBC_PATH_MAX];  /* srun=FILE, absolute; what starts the staging step */
    char mpi[32]; /* mpi=TYPE of the staging step: auto (ask Slurm), pmix, pmix_v3, pmix_v4,
                     pmix_v5, pmi2, cray_shasta; auto */
    char mpi_agent[PBC_PATH_MAX]; /* mpi_agent=FILE, absolute: the agent for a type that is not
                                     PMIx; where the install put pbcast-stage-mpich */
    char address[64];             /* address=INTERFACE or SUBNET/BITS that carries data; "" = any */
    char catalog[PBC_PATH_MAX];   /* catalog=FILE, absolute (catalog.h); "" = none */
    char default_bundle[PBC_PATH_MAX]; /* default_bundle=LIST without --pbcast-bundle; "" = none */
    int allow_user_bundles; /* allow_user_bundles=yes|no: not only the catalogue's; yes */
    uint64_t mirror_max;    /* mirror_max=BYTES[K|M|G|T] in a directory packed on the fly; 512M */
    unsigned timeout;       /* timeout=SECONDS for a whole staging run; 1..86400; 600 */
    unsigned stall;         /* stall=SECONDS of silence after which a peer is lost; 2..3600; 20 */
    uint64_t max_size;      /* max_size=BYTES[K|M|G|T] unpacked by one set; 0 = no limit; 64G */
    uint64_t min_free;      /* min_free=BYTES[K|M|G|T] to leave free in a store; 64M */
};

/* The defaults above. */
void pbc_site_defaults(struct pbc_site *site);

/* Apply `argc` words of `key=value` over the defaults. Unknown keys, doubled keys, and values out
 * of range are PBC_EXIT_USAGE errors that name the key and the accepted values; `site` is then
 * left untouched. */
int pbc_site_parse(int argc, char *const argv[], struct pbc_site *site, struct pbc_error *err);

/* A number of bytes with an optional K, M, G or T (powers of 1024). -1 for anything else,
 * overflow included. */
int pbc_parse_bytes(const char *text, uint64_t *ret);

/* A decimal number from lo to hi. -1 for anything else. */
int pbc_parse_number(const char *text, unsigned long lo, unsigned long hi, unsigned long *ret);

#endif
