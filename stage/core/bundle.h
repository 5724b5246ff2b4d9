/* bundle.h - the list of bundles that a user asked for, and its identity.
 *
 * LIST is a comma separated list of archive paths in overlay order: later bundles overlay earlier
 * ones. A bundle set is the ordered list of the bundles' identities (path, size, time of last
 * modification, inode); its name is a digest of them, so that a rebuilt bundle is another set.
 * Where the site has a catalogue an element may be a name (resolve.h).
 */
#ifndef PBC_BUNDLE_H
#define PBC_BUNDLE_H

#include "error.h"
#include "profile.h"
#include "variable.h"

#include <stddef.h>
#include <stdint.h>

#define PBC_BUNDLES_MAX 64   /* bundles in one set */
#define PBC_PATH_MAX    4096 /* bytes of a path, its NUL included */
#define PBC_SET_ID_LEN  32   /* lower-case hexadecimal digits */
#define PBC_DIGEST_LEN  64   /* the same, of a BLAKE2b-256 (b2sum -l 256) */

/* What the first bytes of a file say that it is. */
enum pbc_format {
    PBC_FORMAT_UNKNOWN = 0,
    PBC_FORMAT_TAR,
    PBC_FORMAT_GZIP,
    PBC_FORMAT_BZIP2,
    PBC_FORMAT_XZ,
    PBC_FORMAT_ZSTD,
    PBC_FORMAT_LZ4,
};

/* A directory is packed on the fly: an element `mirror:DIR`, `mirror:DIR:PART:PART...` or
 * `userbase:DIR`. */
enum pbc_bundle_kind { PBC_BUNDLE_ARCHIVE = 0, PBC_BUNDLE_MIRROR, PBC_BUNDLE_USERBASE };

#define PBC_MIRROR   "mirror:"
#define PBC_USERBASE "userbase:"

struct pbc_bundle {
    enum pbc_bundle_kind kind;
    char *path;     /* absolute after pbc_bundles_probe; owned by the list */
    char *parts;    /* of a directory, relative, ':' between them; NULL: all of it; owned */
    uint64_t size;  /* bytes of the archive; of a directory, of the files in it */
    int64_t mtime;  /* nanoseconds since the epoch; of a directory, half of its sum (dir.h) */
    uint64_t inode; /* or the other half */
    enum pbc_format format;
    char *name; /* NAME/VERSION of the site's catalogue (resolve.h), NULL for a path; owned */
    char digest[PBC_DIGEST_LEN + 1]; /* that the archive must have; "": any */
    int has_profile;                 /* that counts in place of what the bundle says */
    enum pbc_profile profile;
    struct pbc_variables vars; /* beside those of the bundle; owned */
};

struct pbc_bundles {
    size_t count;
    uint64_t pack_max; /* bytes in a directory; 0: no limit */
    struct pbc_bundle item[PBC_BUNDLES_MAX];
};

/* Bytes that pbc_format_sniff wants to see, if the file has as many (a tar header). */
#define PBC_SNIFF_BYTES 512

/* The format of an archive by its magic numbers (RFC 1952; RFC 8878, skippable frames included;
 * the .xz, bzip2 and LZ4 frame formats; POSIX.1-1988 ustar and GNU tar; a V7 header is recognised
 * by its checksum). PBC_FORMAT_UNKNOWN for anything else. */
enum pbc_format pbc_format_sniff(const unsigned char *head, size_t len);

/* "gzip", "zstd", "tar", ... or "unknown". */
const char *pbc_format_name(enum pbc_format format);

/* Split LIST. Refused with PBC_EXIT_USAGE: an empty list, an empty element, more than
 * PBC_BUNDLES_MAX, a path of PBC_PATH_MAX or more, a control character. Leading and trailing blanks
 * of an element are not stripped. On success the list owns its paths until pbc_bundles_free.
 * On failure `out` is left empty. */
int pbc_bundles_parse(const char *list, struct pbc_bundles *out, struct pbc_error *err);

/* Those of several LISTs, one after the other, as above, into `out`, which has none yet; its
 * pack_max stays. */
int pbc_bundles_parse_words(char *const *words, size_t count, struct pbc_bundles *out,
                            struct pbc_error *err);

/* Look at each bundle as the calling user: make the path absolute (realpath), open it, refuse what
 * is missing, unreadable, not a regular file, empty or of unknown format (PBC_EXIT_REFUSED, path
 * and reason named), and fill in the identity. Never blocks on a fifo or device. */
int pbc_bundles_probe(struct pbc_bundles *list, struct pbc_error *err);

/* Whether the open file is still what was probed: -1 with PBC_EXIT_REFUSED if not. */
int pbc_bundle_unchanged(const struct pbc_bundle *b, int fd, struct pbc_error *err);

/* The same for a directory, which is walked again. */
int pbc_bundle_same_dir(const struct pbc_bundle *b, struct pbc_error *err);

/* Write the absolute paths of `count` bundles, and names where they have one, as LIST to a string
 * that the caller frees; "" for none. NULL without memory, or when a resolved path has a comma (err
 * says so). */
char *pbc_bundles_format(const struct pbc_bundles *list, size_t from, size_t count,
                         struct pbc_error *err);

/* The element of a LIST that means the bundle, malloced. NULL without memory. */
char *pbc_bundle_word(const struct pbc_bundle *b);

/* The name of the set: FNV-1a of 128 bits (Fowler, Noll, Vo) over the identities in order, with the
 * digests that are asked for. It protects against confusion, not against malice: a user can only
 * confuse his own job. */
void pbc_bundles_id(const struct pbc_bundles *list, char id[PBC_SET_ID_LEN + 1]);

/* The same for the set of the first `count` of them. */
void pbc_bundles_prefix_id(const struct pbc_bundles *list, size_t count,
                           char id[PBC_SET_ID_LEN + 1]);

/* 1 if `id` is PBC_SET_ID_LEN lower-case hexadecimal digits and nothing else. */
int pbc_set_id_valid(const char *id);

/* The same for a digest. */
int pbc_digest_valid(const char *digest);

void pbc_bundles_free(struct pbc_bundles *list);

#endif
