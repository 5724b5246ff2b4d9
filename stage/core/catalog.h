/* catalog.h - the site's catalogue: bundles that users name, pinned by digest.
 *
 * Text; the first line that is neither empty nor a comment (#) is `pbcast-catalog=1`, each further
 * one `key=value`. `bundle=NAME/VERSION` begins an entry, the keys after it belong to it; described
 * for administrators in pbcast.conf(5).
 */
#ifndef PBC_CATALOG_H
#define PBC_CATALOG_H

#include "bundle.h"
#include "error.h"
#include "profile.h"
#include "variable.h"

#include <stddef.h>

#define PBC_CATALOG_VERSION 1
#define PBC_CATALOG_MAX     (1u << 20) /* bytes of the text */
#define PBC_CATALOG_ENTRIES 2000
#define PBC_CATALOG_NAME    64 /* bytes of a name or a version, NUL included */

struct pbc_catalog_entry {
    char name[PBC_CATALOG_NAME];
    char version[PBC_CATALOG_NAME];
    int is_default;   /* what NAME alone means */
    char *partitions; /* comma separated: what NAME alone means in jobs there; NULL; owned */
    char *path;       /* absolute; owned */
    char digest[PBC_DIGEST_LEN + 1];
    char *description; /* NULL if there is none; owned */
    int has_profile;   /* else what the bundle says, or is */
    enum pbc_profile profile;
    struct pbc_variables vars; /* beside those of the bundle */
};

struct pbc_catalog {
    size_t count;
    struct pbc_catalog_entry *entry; /* in the order of the text; owned */
};

/* Parse `len` bytes of text. Refused (PBC_EXIT_FAILED, line named): another version, unknown or
 * doubled keys, an entry twice or without path or digest, two defaults of one name, values out of
 * form (variables as in variable.h), more than PBC_CATALOG_ENTRIES, an embedded NUL or other
 * control character. On failure `out` is empty. */
int pbc_catalog_parse(const char *text, size_t len, struct pbc_catalog *out, struct pbc_error *err);

/* Read and parse the site's file (trusted.h); err begins with its path. */
int pbc_catalog_read(const char *path, struct pbc_catalog *out, struct pbc_error *err);

void pbc_catalog_free(struct pbc_catalog *cat);

/* 1 if `text` has the form NAME or NAME/VERSION: each of letters, digits and . _ + -, the first a
 * letter or digit, shorter than PBC_CATALOG_NAME; and is not "none". */
int pbc_catalog_is_name(const char *text);

/* The entry that NAME/VERSION or NAME means: NAME is the default for `partition`, else the default,
 * else the only version; with `partition` NULL (not known) the default of some partition will do.
 * NULL with PBC_EXIT_REFUSED: the versions that there are, or names that are near. */
const struct pbc_catalog_entry *pbc_catalog_find(const struct pbc_catalog *cat, const char *text,
                                                 const char *partition, struct pbc_error *err);

/* 1 if there is an entry of this name, whatever its version. */
int pbc_catalog_has(const struct pbc_catalog *cat, const char *text);

/* 1 if it is a NAME whose meaning depends on the partition. */
int pbc_catalog_floats(const struct pbc_catalog *cat, const char *text);

#endif
