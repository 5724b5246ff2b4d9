/* meta.h - .pbcast/bundle.conf: what a bundle says of itself.
 *
 * The first member of a bundle that a tool has made; a bundle without it is an ordinary archive.
 * Text, one `key=value` a line, first line `pbcast-bundle=1`; lines that are empty or begin with
 * '#' do not count; keys that are not known are ignored. docs/bundle-format.md describes it. The
 * reader treats it as hostile.
 */
#ifndef PBC_META_H
#define PBC_META_H

#include "error.h"
#include "profile.h"
#include "variable.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PBC_META_NAME            ".pbcast/bundle.conf"
#define PBC_META_VERSION         1
#define PBC_META_MAX             (4u << 20) /* bytes of the text */
#define PBC_META_DIGEST_LEN      64         /* hexadecimal digits of a BLAKE2b-256 */
#define PBC_META_PLACEHOLDER_MIN 4          /* bytes: nothing but a path is replaced */

/* A file in which unpacking replaces the placeholder by the root of the tree. */
struct pbc_rewrite {
    bool binary; /* within strings that NUL ends, which keep their length by NULs; else anywhere */
    char *path;  /* relative to the tree, of plain parts */
};

struct pbc_meta {
    bool has_profile;
    enum pbc_profile profile;
    char *origin;   /* the prefix that it was made of; NULL: not said */
    bool has_files; /* whether files= is there, and so on */
    bool has_bytes;
    uint64_t files;                         /* regular files, without .pbcast/ */
    uint64_t bytes;                         /* of these */
    char contents[PBC_META_DIGEST_LEN + 1]; /* digest of the members; "": not said */
    struct pbc_variables vars;
    char *placeholder; /* an absolute path; NULL: nothing is rewritten */
    size_t nrewrites;
    struct pbc_rewrite *rewrite; /* pbc_meta_parse: in the order of strcmp, each path once */
};

/* Whether the member PBC_META_NAME may come here: 0, or -1 with the first rule against it
 * (PBC_EXIT_REFUSED). It comes once, not `again`; not `late`, after a file or link that is not
 * below .pbcast/; as a regular file; of PBC_META_MAX bytes at most. The rules of a node, and of
 * those who foretell what it will say. */
int pbc_meta_admit(bool again, bool late, bool regular, uint64_t size, struct pbc_error *err);

/* Parse `len` bytes of text. Refused (PBC_EXIT_REFUSED, line named): another version or none in
 * line 1, a line without '=' or newline, control characters, a key a second time that may come
 * once, values out of form (paths that are absolute or have a "..", variables that no bundle may
 * touch, unknown profiles), one path in two rewrites, rewrites without placeholder, more than
 * PBC_META_MAX bytes. On failure `out` is empty. The caller frees with pbc_meta_free. */
int pbc_meta_parse(const char *text, size_t len, struct pbc_meta *out, struct pbc_error *err);

/* The text of `m`, NUL terminated, which the caller frees; its length in *ret_len. NULL without
 * memory or when a value cannot be written. Parse gives the same back, rewrites sorted. */
char *pbc_meta_format(const struct pbc_meta *m, size_t *ret_len, struct pbc_error *err);

/* For what makes a bundle: one file more. -1 without memory. */
int pbc_meta_add_rewrite(struct pbc_meta *m, bool binary, const char *path, struct pbc_error *err);

/* Of a parsed one: how the file at `path` is rewritten, NULL if it is not. */
const struct pbc_rewrite *pbc_meta_rewrite(const struct pbc_meta *m, const char *path);

/* Free what may be much of it; nrewrites stays, and nothing is rewritten any more. */
void pbc_meta_forget_rewrites(struct pbc_meta *m);

void pbc_meta_free(struct pbc_meta *m);

#endif
