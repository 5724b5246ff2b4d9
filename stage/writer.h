/* writer.h - creates the members of archives in a directory, and nowhere else.
 *
 * Everything happens below one directory descriptor. Names are taken apart and followed one
 * component at a time without the kernel following links; a symbolic link inside the tree is
 * followed by hand, and only while it stays inside. Later members overlay earlier ones: what is
 * in the way is unlinked first, so that a hard link of it elsewhere keeps its content; a directory
 * is never replaced by something else.
 * One writer serves all bundles of a set. A writer is used by one thread at a time; several of one
 * tree, made by pbc_writer_join, may work at the same time. What they make at once has no order:
 * of two files of one name one stays, whole.
 */
#ifndef PBC_WRITER_H
#define PBC_WRITER_H

#include "beneath.h"
#include "error.h"
#include "memory.h"

#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#define PBC_LINKS_MAX (16u << 20) /* bytes of symbolic links' names that are remembered */

struct pbc_writer;

struct pbc_writer_limits {
    uint64_t bytes;                  /* contents of all files; 0 = no limit */
    uint64_t entries;                /* members */
    uint64_t min_free;               /* bytes to leave free in the file system */
    const struct pbc_memory *memory; /* what bounds the file system's memory; borrowed; or NULL */
    uint64_t own;                    /* bytes of it that the agent itself may come to need */
};

/* To leave free of the memory: min_free, but no more than the agent itself may come to need, and
 * PBC_MEMORY_RESERVE at least. */
uint64_t pbc_writer_memory_reserve(const struct pbc_writer_limits *limits);

struct pbc_writer_count {
    uint64_t entries;
    uint64_t files; /* everything that is not a directory */
    uint64_t bytes;
};

/* `rootfd` is borrowed. NULL without memory. */
struct pbc_writer *pbc_writer_new(int rootfd, const struct pbc_writer_limits *limits);

/* Another writer of the same tree, with the same limits and counts. It must be freed before
 * `first`. NULL without memory. */
struct pbc_writer *pbc_writer_join(struct pbc_writer *first);

/* Each returns 0, or -1 with an error that names the member: PBC_EXIT_REFUSED for what an archive
 * must not contain, PBC_EXIT_NOSPACE, PBC_EXIT_FAILED for what the system refused.
 * Refused: an empty, absolute or over-long name, a ".." component, a name through a link that
 * leaves the tree or through a file, a file or link in place of a directory, setuid or setgid on a
 * file, an absolute link, more entries or bytes than the limits.
 * Modes: files get `mode` & 0755 and are readable by their owner; directories also writable. */
int pbc_writer_dir(struct pbc_writer *w, const char *name, mode_t mode, struct pbc_error *err);
int pbc_writer_symlink(struct pbc_writer *w, const char *name, const char *target,
                       struct pbc_error *err);
/* `target` is the name of a regular file that is in the tree already. */
int pbc_writer_hardlink(struct pbc_writer *w, const char *name, const char *target,
                        struct pbc_error *err);

/* A regular file: open, data in any pieces (holes between them stay holes), close. `size` is the
 * whole size, which the file has after close; data beyond it is refused. */
int pbc_writer_file(struct pbc_writer *w, const char *name, mode_t mode, uint64_t size,
                    struct pbc_error *err);
int pbc_writer_data(struct pbc_writer *w, uint64_t offset, const void *data, size_t len,
                    struct pbc_error *err);
/* The file that is open will have `by` bytes more, or less, than was said. */
int pbc_writer_resize(struct pbc_writer *w, int64_t by, struct pbc_error *err);
int pbc_writer_close(struct pbc_writer *w, struct timespec mtime, struct pbc_error *err);

/* For a tree that begins as a copy of another (base.h): where it lies; what that one has unpacked,
 * before all else; the name of an entry that was taken over. */
int pbc_writer_root(const struct pbc_writer *w);
int pbc_writer_begin_with(struct pbc_writer *w, uint64_t files, uint64_t bytes,
                          struct pbc_error *err);
int pbc_writer_take_over(struct pbc_writer *w, const char *name, int is_link,
                         struct pbc_error *err);
/* Before and after the caller himself writes the `size` bytes of such a file: -1 with
 * PBC_EXIT_NOSPACE if they do not fit; then there is no after. */
int pbc_writer_copies(struct pbc_writer *w, const char *name, uint64_t size, struct pbc_error *err);
void pbc_writer_copied(struct pbc_writer *w, uint64_t size);

/* After the last bundle: no symbolic link may lead out of the tree, whatever the others made of
 * its way since. A link to something that does not exist inside is allowed. */
int pbc_writer_finish(struct pbc_writer *w, struct pbc_error *err);

/* Another bundle begins; no writer of the tree is at work. */
void pbc_writer_overlay(struct pbc_writer *w);

/* 1 if two names of this bundle may be one place in the tree although they differ, because of what
 * the bundles before have left: then the order of its members matters. So it is with a link of an
 * earlier bundle that may be on a member's way, and with a directory or link that has taken the
 * place of something else. */
int pbc_writer_tangled(const struct pbc_writer *w);

/* 1 if a writer of the tree has failed for lack of memory, of which there was this. */
int pbc_writer_lacks_memory(struct pbc_writer *w, struct pbc_memory_room *ret);

/* Of all writers of the tree. */
void pbc_writer_counts(const struct pbc_writer *w, struct pbc_writer_count *ret);
void pbc_writer_free(struct pbc_writer *w);

#endif
