/* manifest.h - <store>/<job>/<set>.manifest: what is staged on a node.
 *
 * Written last, by rename, by the agent; read by the plugin before each task. Text, one
 * `key=value` a line, first line `pbcast-manifest=1`; described in docs/protocol.md. The reader
 * treats it as hostile: the file lies in a directory that its user may write.
 */
#ifndef PBC_MANIFEST_H
#define PBC_MANIFEST_H

#include "bundle.h"
#include "error.h"
#include "profile.h"
#include "variable.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PBC_MANIFEST_VERSION 1
#define PBC_MANIFEST_MAX     (4u << 20) /* bytes of the text */
#define PBC_DIRS_MAX         16

struct pbc_meta;

/* Directories relative to the tree, without "..", in the order in which they are searched; owned.
 */
struct pbc_dirs {
    size_t count;
    char *dir[PBC_DIRS_MAX];
};

#define PBC_DIGEST_NONE "-" /* nobody has asked for it */

struct pbc_manifest_bundle {
    char digest[PBC_DIGEST_LEN + 1]; /* of the archive, or PBC_DIGEST_NONE */
    uint64_t bytes;                  /* of the archive */
    uint64_t files;                  /* members unpacked from it */
    char *path;                      /* where the root node read it; owned by the manifest */
};

struct pbc_manifest {
    char set[PBC_SET_ID_LEN + 1];
    enum pbc_profile profile;
    bool stated;    /* the bundles say so; else it is what the tree looks like */
    bool rewritten; /* files of the tree hold its path: in a copy it is replaced */
    uint64_t bytes; /* unpacked, of the whole set */
    uint64_t files;
    char *nodes; /* host list expression of the staging step; "" unknown; owned */
    /* What the tree has, whatever the profile. */
    char python[16];     /* "3.11"; "" none */
    char *base;          /* where that Python lies, relative to the tree; NULL: at its top; owned */
    char *rhome;         /* R's home, relative to the tree; NULL none; owned */
    bool openmpi;        /* a whole OpenMPI, which has to be told where it lies */
    struct pbc_dirs lib; /* of shared libraries */
    struct pbc_dirs perl;      /* of Perl modules */
    struct pbc_dirs node;      /* of Node.js packages */
    struct pbc_dirs depot;     /* of Julia packages */
    struct pbc_variables vars; /* what the bundles state, in overlay order; owned */
    size_t nbundles;
    struct pbc_manifest_bundle bundle[PBC_BUNDLES_MAX];
};

/* Parse `len` bytes of text. Refused (PBC_EXIT_FAILED, line named): another version, unknown or
 * doubled keys, a missing set, values out of form, more entries than the arrays hold, a libdir
 * that is absolute or has a ".." part, an embedded NUL. On failure `out` is empty. */
int pbc_manifest_parse(const char *text, size_t len, struct pbc_manifest *out,
                       struct pbc_error *err);

/* The text of `m`, NUL terminated, which the caller frees; its length in *ret_len. NULL without
 * memory or when a value cannot be written (a newline in a path). Parse gives the same manifest
 * back. */
char *pbc_manifest_format(const struct pbc_manifest *m, size_t *ret_len, struct pbc_error *err);

/* Read and parse `<set>.manifest` in the job directory `jobfd`: opened without following a link,
 * refused unless it is a regular file of at most PBC_MANIFEST_MAX and names `set`.
 * Returns 0; 1 when there is no such file (err untouched); -1 with err. */
int pbc_manifest_read(int jobfd, const char *set, struct pbc_manifest *out, struct pbc_error *err);

/* One bundle more of the set, in overlay order; `first`: none before it. `meta` is what it says of
 * itself, NULL: nothing. The first that states a runtime (a profile other than generic and none)
 * decides; if none does and each states a profile the first one's holds; else the tree is looked at
 * (m->stated is false). Variables are added. -1 when they are too many (PBC_EXIT_REFUSED) or
 * without memory. */
int pbc_manifest_add_meta(struct pbc_manifest *m, bool first, const struct pbc_meta *meta,
                          struct pbc_error *err);

/* 0 if the tree has what the profile needs. */
int pbc_profile_fits(const struct pbc_manifest *m, enum pbc_profile profile, struct pbc_error *err);

/* Forget what was found in the tree; and also what bundles have said of it. Neither touches `nodes`
 * and `bundle`. */
void pbc_manifest_forget_found(struct pbc_manifest *m);
void pbc_manifest_forget_tree(struct pbc_manifest *m);

void pbc_manifest_free(struct pbc_manifest *m);

#endif
