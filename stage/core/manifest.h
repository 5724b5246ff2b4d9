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

#include <stddef.h>
#include <stdint.h>

#define PBC_MANIFEST_VERSION 1
#define PBC_MANIFEST_MAX     (4u << 20) /* bytes of the text */
#define PBC_DIGEST_LEN       64         /* hexadecimal digits of a BLAKE2b-256 (b2sum -l 256) */
#define PBC_LIBDIRS_MAX      16

struct pbc_manifest_bundle {
    char digest[PBC_DIGEST_LEN + 1]; /* of the archive as it was sent */
    uint64_t bytes;                  /* of the archive */
    uint64_t files;                  /* members unpacked from it */
    char *path;                      /* where the root node read it; owned by the manifest */
};

struct pbc_manifest {
    char set[PBC_SET_ID_LEN + 1];
    enum pbc_profile profile;
    char python[16]; /* "3.11" under PBC_PROFILE_PYTHON, else "" */
    uint64_t bytes;  /* unpacked, of the whole set */
    uint64_t files;
    char *nodes; /* host list expression of the staging step; "" unknown; owned */
    size_t nlibdirs;
    char *libdir[PBC_LIBDIRS_MAX]; /* relative to the tree, no "..", search order; owned */
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

void pbc_manifest_free(struct pbc_manifest *m);

#endif
