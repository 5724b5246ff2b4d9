/* members.h - members of a bundle, one after the other, through libarchive's tar writer into the
 * packer: frames are cut between members, of about PBC_FRAMES_RAW bytes.
 *
 * Errors: PBC_EXIT_NOSPACE and PBC_EXIT_FAILED of the sink; PBC_EXIT_FAILED for a member that tar
 * cannot hold.
 */
#ifndef PBC_MEMBERS_H
#define PBC_MEMBERS_H

#include "packer.h"

#include <archive.h>
#include <archive_entry.h>

struct pbc_members;

/* Frames are ORDERED until pbc_members_turn says otherwise. NULL with err. */
struct pbc_members *pbc_members_new(const struct pbc_sink *sink, enum pbc_codec codec, int level,
                                    struct pbc_error *err);

/* The first member, a file with `data` whose length the entry has; see pbc_packer_first. */
int pbc_members_first(struct pbc_members *m, struct archive_entry *e, const void *data,
                      struct pbc_error *err);
int pbc_members_replace_first(struct pbc_members *m, struct archive_entry *e, const void *data,
                              struct pbc_error *err);

/* A member: its header, its contents in pieces in order, all of them; its end. The size of what is
 * no regular file is taken for 0. Where the entry has a map of a sparse file, zeros outside of it
 * are left out. */
int pbc_members_begin(struct pbc_members *m, struct archive_entry *e, struct pbc_error *err);
int pbc_members_data(struct pbc_members *m, const void *data, size_t len, struct pbc_error *err);
int pbc_members_zeros(struct pbc_members *m, uint64_t len, struct pbc_error *err);
int pbc_members_finish(struct pbc_members *m, struct pbc_error *err);

/* Frames from here on have these flags (frames.h). */
int pbc_members_turn(struct pbc_members *m, unsigned flags, struct pbc_error *err);

/* The mark that ends the archive. */
int pbc_members_end(struct pbc_members *m, struct pbc_error *err);

struct pbc_members_figures {
    uint64_t members;
    uint64_t frames;
    uint64_t raw;    /* bytes of tar */
    uint64_t packed; /* bytes of the bundle */
};
void pbc_members_figures(const struct pbc_members *m, struct pbc_members_figures *ret);

void pbc_members_free(struct pbc_members *m); /* NULL is fine */

#endif
