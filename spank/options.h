/* options.h - what the user asked for: command line, environment twins, and the job's own wish
 * that an srun inside the job takes over.
 *
 * Names of the variables that travel with a job begin with SLURM_, because --export=NONE and
 * --export=A,B of sbatch and srun drop all others.
 */
#ifndef PBC_OPTIONS_H
#define PBC_OPTIONS_H

#include "error.h"

struct spank_handle;

#define PBC_VAR_BUNDLE_TWIN   "PBCAST_BUNDLE"
#define PBC_VAR_USERBASE_TWIN "PBCAST_USERBASE"
#define PBC_VAR_MIRROR_TWIN   "PBCAST_MIRROR"
#define PBC_VAR_ENV_TWIN      "PBCAST_ENV"
#define PBC_VAR_VERBOSE_TWIN  "PBCAST_VERBOSE"

/* What the job keeps: the list as it was resolved (absolute paths, names of the catalogue), and as
 * the user wrote it; the same for the directories, each an element of a list. */
#define PBC_VAR_BUNDLES        "SLURM_PBCAST_BUNDLES"
#define PBC_VAR_ASKED          "SLURM_PBCAST_ASKED"
#define PBC_VAR_USERBASE       "SLURM_PBCAST_USERBASE"
#define PBC_VAR_USERBASE_ASKED "SLURM_PBCAST_USERBASE_ASKED"
#define PBC_VAR_MIRROR         "SLURM_PBCAST_MIRROR"
#define PBC_VAR_MIRROR_ASKED   "SLURM_PBCAST_MIRROR_ASKED"
#define PBC_VAR_ENV            "SLURM_PBCAST_ENV" /* a profile in place of the set's */
#define PBC_VAR_VERBOSE        "SLURM_PBCAST_VERBOSE"

/* What one step's tasks get: the set that is staged for them; "1" in the staging step alone; that
 * staging has failed, of which srun has told, and no task is to start. */
#define PBC_VAR_SET    "SLURM_PBCAST_SET"
#define PBC_VAR_STEP   "SLURM_PBCAST_STEP"
#define PBC_VAR_FAILED "SLURM_PBCAST_FAILED"

/* What sbatch and salloc hand to the sruns of the job, by Slurm's rule for plugin options. */
#define PBC_VAR_JOB(option) "SLURM_SPANK__SLURM_SPANK_OPTION_pbcast_pbcast_" option
#define PBC_VAR_JOB_BUNDLE  PBC_VAR_JOB("bundle")
#define PBC_VAR_JOB_VERBOSE PBC_VAR_JOB("verbose")

#define PBC_BUNDLE_NONE      "none" /* switches staging off */
#define PBC_USERBASE_DEFAULT "yes"  /* --pbcast-userbase without a directory */

#define PBC_VERBOSE_DEFAULT 1
#define PBC_VERBOSE_MAX     3

/* A value of an option, and whether it came from the job (PBC_VAR_JOB_*) or the command line. */
struct pbc_option_value {
    const char *text; /* NULL: not given */
    int from_job;
};

/* Register the options. -1 when Slurm refuses. */
int pbc_options_register(struct spank_handle *sp);

enum pbc_option { PBC_OPT_BUNDLE, PBC_OPT_USERBASE, PBC_OPT_MIRROR, PBC_OPT_ENV, PBC_OPT_VERBOSE };

/* The last value given. */
struct pbc_option_value pbc_option(enum pbc_option option);

/* Forget what the job around this process has handed down. */
void pbc_options_forget_job(void);

/* Slurm goes on to the options of the next component of a heterogeneous job, if there is one. */
void pbc_options_next_component(void);

/* All that the choice of a list depends on, or that of a directory to pack, whose variables are
 * others than those named here. Absent = NULL; an empty twin counts as absent. */
struct pbc_wish {
    struct pbc_option_value option;
    const char *twin;    /* PBCAST_BUNDLE */
    const char *bundles; /* SLURM_PBCAST_BUNDLES */
    const char *asked;   /* SLURM_PBCAST_ASKED */
    const char *site;    /* default_bundle= */
    int in_job;          /* srun with SLURM_JOB_ID; 0 in sbatch and salloc */
};

/* The list that counts: that of the command line, else of the job, else of the twin, else of the
 * site. NULL when nothing is to be staged. An option that the job handed down (the text is
 * wish->asked) stands for the paths that it meant where the job was submitted, wish->bundles.
 * `*asked` gets the text as the user wrote it, to be kept for that comparison. */
const char *pbc_wish_list(const struct pbc_wish *wish, const char **asked);

/* 1 if it is "none" that counts. */
int pbc_wish_is_none(const struct pbc_wish *wish);

/* The parts of a job's list, as one: `list`, then `userbase`, then `mirror`, each may be NULL or
 * empty. Malloced; NULL if there is none, with *ret_failed set if memory is short. */
char *pbc_join_lists(const char *list, const char *userbase, const char *mirror, int *ret_failed);

/* The name of a profile from the command line, the job, the twin; NULL if there is none. A name
 * that is no profile is PBC_EXIT_USAGE. */
int pbc_wish_env(const char *option, const char *job, const char *twin, const char **ret,
                 struct pbc_error *err);

/* 0..PBC_VERBOSE_MAX from the command line, the job, the twin, else the default. A twin that is no
 * such number is PBC_EXIT_USAGE. */
int pbc_wish_verbose(const char *option, const char *job, const char *twin, int *ret,
                     struct pbc_error *err);

#endif
