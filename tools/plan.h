/* plan.h - what goes into a bundle, before anything of it is written.
 *
 * Items are added in any order and settled once: links are made to hold wherever the tree is
 * unpacked, names of the same file become hard links, and the order is made the one of bundles of
 * frames (docs/bundle-format.md): directories and symbolic links, files, hard links, each by name.
 */
#ifndef PBC_PLAN_H
#define PBC_PLAN_H

#include "bundle.h"
#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#define PBC_PLAN_ITEMS_MAX (1u << 22)

enum pbc_plan_kind { PBC_PLAN_DIR, PBC_PLAN_SYMLINK, PBC_PLAN_FILE, PBC_PLAN_HARDLINK };

struct pbc_item {
    char *name;   /* in the bundle, of plain parts */
    char *source; /* where it was found; NULL for what was made */
    char *target; /* of a link */
    enum pbc_plan_kind kind;
    mode_t mode;
    int64_t mtime; /* whole seconds */
    uint64_t size;
    /* Of a file at `source`, to know it again. */
    dev_t dev;
    ino_t ino;
    nlink_t nlink;
    struct timespec changed;
    uint64_t blocks;
    /* Contents that are not those of `source`. */
    uint8_t *data;
    int64_t spool; /* offset in the plan's spool file, -1 if they are not there */
    bool settled;  /* `data` is what a node gets: unpacking changes nothing in it */
    /* Bytes that take the place of those of `source`; NULL. */
    uint8_t *patch;
    uint64_t patch_at;
    size_t patch_len;
};

/* A directory that was walked: what lies in `dir` is below `name` in the bundle. */
struct pbc_root {
    char *dir; /* real, absolute */
    char *name;
};

struct pbc_plan {
    struct pbc_item *item;
    size_t count;
    size_t size;
    struct pbc_root *root;
    size_t nroots;
    int spool; /* descriptor of a file for contents that were made; -1 */
};

void pbc_plan_init(struct pbc_plan *p);

/* Add a copy of `item`, its strings copied, its data taken over (freed on failure too). */
int pbc_plan_add(struct pbc_plan *p, const struct pbc_item *item, struct pbc_error *err);

/* What lstat(2) says of `source`, which is to have the name `name`. -1 with PBC_EXIT_REFUSED for
 * what no bundle can have: devices, sockets, set-id files. */
int pbc_plan_add_found(struct pbc_plan *p, const char *name, const char *source,
                       const struct stat *st, const char *target, struct pbc_error *err);

int pbc_plan_add_root(struct pbc_plan *p, const char *dir, const char *name, struct pbc_error *err);

/* The item gets other contents; `data` is malloced and taken over. */
void pbc_plan_replace(struct pbc_item *item, uint8_t *data, size_t len);

/* `len` bytes of the contents from `at` on, within its size, become `bytes`, which is malloced and
 * taken over: once for an item. The file at `source` stays as it is. Only what packs looks at it.
 */
void pbc_plan_patch(struct pbc_item *item, uint64_t at, uint8_t *bytes, size_t len);

/* By name; refuses (PBC_EXIT_REFUSED) two of one name unless both are directories, of which the
 * first stays. Needed before pbc_plan_find. */
int pbc_plan_sort(struct pbc_plan *p, struct pbc_error *err);
struct pbc_item *pbc_plan_find(const struct pbc_plan *p, const char *name);
/* The same among the first `count` items. */
struct pbc_item *pbc_plan_find_in(const struct pbc_plan *p, size_t count, const char *name);

/* Names of one file, and the order of the bundle; the last thing before it is packed. */
int pbc_plan_finish(struct pbc_plan *p, struct pbc_error *err);

/* The name that a path, absolute and of plain parts, has in the bundle if it lies in one of the
 * roots; whether there is anything is not asked. 0 if it lies in none. */
int pbc_plan_name_of(const struct pbc_plan *p, const char *path, char out[PBC_PATH_MAX]);

/* Whether the item may be a program or a library, by name and mode. */
int pbc_plan_may_be_elf(const struct pbc_item *item);

/* Regular files, and their bytes. */
void pbc_plan_sum(const struct pbc_plan *p, uint64_t *files, uint64_t *bytes);

/* Up to `len` bytes of the item's contents from its start. -1 with err. */
ssize_t pbc_plan_head(const struct pbc_plan *p, const struct pbc_item *item, void *buf, size_t len,
                      struct pbc_error *err);

/* All contents, at most `max` bytes, malloced and followed by a NUL. NULL with err. */
uint8_t *pbc_plan_contents(const struct pbc_plan *p, const struct pbc_item *item, size_t max,
                           struct pbc_error *err);

/* Open what was found, and look whether it is still the same. -1 with err. */
int pbc_plan_open(const struct pbc_item *item, struct pbc_error *err);

/* The same look at what is open, once it has been read. */
int pbc_plan_unchanged(const struct pbc_item *item, int fd, struct pbc_error *err);

void pbc_plan_free(struct pbc_plan *p);

#endif
