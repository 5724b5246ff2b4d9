/* scan.h - all that is to be known of a bundle, from reading it once. The archive may be hostile:
 * what the agent would refuse is noted and not followed.
 */
#ifndef PBC_SCAN_H
#define PBC_SCAN_H

#include "elf_needs.h"
#include "manifest.h"
#include "meta.h"
#include "names.h"
#include "progress.h"

#include <stdbool.h>
#include <stdint.h>

#define PBC_SCAN_TEXT_MAX    (64u << 10)  /* bytes of a text that is kept */
#define PBC_SCAN_ELF_MAX     (512u << 20) /* of a program or library that is looked into */
#define PBC_SCAN_MEMBERS_MAX (1u << 22)

struct pbc_seen {
    char *name;   /* of plain parts; as it stands in the archive where that cannot be */
    char *target; /* of a link */
    char kind;    /* 'd', 'l', 'f', 'h', or '?' for what no bundle can have */
    unsigned mode;
    uint64_t size;
    int64_t mtime;
    size_t head_len;
    uint8_t head[16]; /* of a file */
    struct pbc_elf *elf;
    bool broken_elf;
    char *program; /* that a script begins with */
    char *text;    /* of a file that Python looks into: pyvenv.cfg, *.pth, direct_url.json */
};

struct pbc_scan {
    char *path;
    uint64_t packed; /* bytes of the archive */
    const char *format;
    uint64_t frames;        /* 0: it is not of frames */
    uint64_t frame_members; /* as their headers say */
    struct pbc_seen *seen;
    size_t count;
    size_t size;
    uint64_t files, dirs, links; /* links of both kinds */
    uint64_t bytes;
    bool has_meta;
    struct pbc_meta meta;
    char contents[PBC_META_DIGEST_LEN + 1]; /* as it is, whatever meta says */
    struct pbc_error refused; /* what the agent would say; text "" if it would unpack it */
};

/* -1 with PBC_EXIT_REFUSED for what cannot be read as an archive. To be freed with pbc_scan_free
 * either way. */
int pbc_scan(struct pbc_scan *s, const char *path, struct pbc_progress *progress,
             struct pbc_error *err);
void pbc_scan_free(struct pbc_scan *s);

/* Part of pbc_scan: the headers of a bundle of frames, from the first to the end of the file. What
 * a node would refuse of them goes to s->refused. */
void pbc_scan_frames(struct pbc_scan *s, int fd);

/* The names of all members, sorted; `item` is the struct pbc_seen. They belong to the scan. */
int pbc_scan_names(const struct pbc_scan *s, struct pbc_names *ret, struct pbc_error *err);

/* Whether the path is one in the tree, by the placeholder that unpacking replaces. */
bool pbc_scan_is_below(const struct pbc_scan *s, const char *path);

/* Unpack the names, without contents, in a temporary directory by the agent's own writer: what it
 * refuses goes to s->refused; and fill in `found`, as pbc_profile_detect does of a staged tree. -1
 * for what the system refused. */
int pbc_scan_tree(struct pbc_scan *s, struct pbc_manifest *found, struct pbc_error *err);

#endif
