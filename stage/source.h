/* source.h - the root node's reader: the only one who touches the shared file system.
 *
 * A thread first looks at the bundles (pbc_bundles_probe), and when it is told to go on reads each
 * of them once, from the first byte to the last, into chunks of the pool: BEGIN, DATA .. DATA, END
 * for each, then DONE. It stops where the pool is empty. A file system that does not answer blocks
 * this thread only, so that the root can still tell its neighbours that it lives.
 */
#ifndef PBC_SOURCE_H
#define PBC_SOURCE_H

#include "bundle.h"
#include "chunk.h"

struct pbc_source;

/* Writes a directory as a tar archive: its bytes, in order, to `write`, which may wait. -1 with
 * err, that of `write` if that has failed. */
typedef int pbc_source_write(void *arg, const void *data, size_t len, struct pbc_error *err);
typedef int pbc_source_pack(const struct pbc_bundle *b, pbc_source_write *write, void *arg,
                            struct pbc_error *err);

/* Start to look at `list` (parsed), which belongs to the thread until pbc_source_probed says 1. It
 * and `key` are borrowed. `alone`: what is read stays here, and needs no tags (tag.h). `pack`
 * writes directories; NULL: they are refused. NULL with err. */
struct pbc_source *pbc_source_start(struct pbc_bundles *list, struct pbc_pool *pool,
                                    const uint8_t *key, int alone, pbc_source_pack *pack,
                                    struct pbc_error *err);

/* 1 once the list is probed; a refused bundle is a failure (pbc_source_failed) instead. */
int pbc_source_probed(struct pbc_source *s);

/* Read bundles from number `first` on, for the set that `check` (copied) names. The identity of
 * each bundle must still be the same, before and after it is read. */
void pbc_source_go(struct pbc_source *s, const struct pbc_msg_check *check, unsigned first);

/* Readable when the list is probed, a chunk is queued or something has failed. */
int pbc_source_fd(const struct pbc_source *s);

/* The next frame, with its reference, or NULL if there is none now. */
struct pbc_chunk *pbc_source_next(struct pbc_source *s);

/* 1 with err (may be NULL) if it has failed: bundle and reason named. */
int pbc_source_failed(struct pbc_source *s, struct pbc_error *err);

/* Seconds spent in read(2), and bytes read. */
void pbc_source_figures(struct pbc_source *s, double *seconds, uint64_t *bytes);

/* Tell the thread to stop; the pool must be closed before. 1 once it has ended, 0 if it has not
 * soon, because a file system does not answer. */
int pbc_source_stop(struct pbc_source *s);

/* Stop and free; the pool must be closed before. If the thread hangs in a read of a file system
 * that does not answer, this waits for it. NULL is fine. */
void pbc_source_free(struct pbc_source *s);

#endif
