/* unpack_crew.h - the threads that unpack a bundle of independent frames (frames.h). Private to
 * unpack*.c.
 *
 * The decode thread takes such a bundle apart, without copying: each frame is a job, and what comes
 * of it is handed to the job as slices of chunks. A worker takes the oldest job that nobody has,
 * and decodes, parses and writes what there is of it while more arrives.
 *
 * What bounds the memory: the pool that the chunks come from; PBC_JOBS jobs; and for each worker a
 * block of PBC_CREW_WHOLE bytes, zstd's window (2^PBC_FRAMES_WINDOW_LOG bytes at most, for frames
 * that are larger), a stack and one reader of libarchive. The size of bundles, frames and members
 * has no part in it.
 */
#ifndef PBC_UNPACK_CREW_H
#define PBC_UNPACK_CREW_H

#include "frames.h"
#include "unpack_pipe.h"

#define PBC_CREW_MAX   10 /* workers, if there are as many processors to run on */
#define PBC_CREW_BLOCK (256u << 10)
#define PBC_CREW_WHOLE (4u << 20) /* frames with no more tar are decoded in one go */
#define PBC_JOBS       64         /* frames begun and not done */

struct pbc_crew;

struct pbc_slice {
    struct pbc_slice *next;
    struct pbc_chunk *chunk; /* a reference */
    const uint8_t *data;
    size_t len;
};

/* One frame. */
struct pbc_job {
    struct pbc_job *next;
    struct pbc_frames_head head;
    unsigned bundle;
    int taken;               /* by a worker */
    struct pbc_slice *first; /* what has come of it and was not fetched */
    struct pbc_slice **last;
};

/* What a worker keeps from frame to frame. */
struct pbc_hand {
    struct pbc_unpack *u;
    struct pbc_crew *crew;
    struct pbc_writer *writer;
    void *zstd; /* ZSTD_DStream, while there is work */
    uint8_t *block;
};

/* At most `workers` of them, 0: one for each processor that this process may run on. None is
 * started before there is work. NULL without memory. */
struct pbc_crew *pbc_crew_new(struct pbc_unpack *u, unsigned workers);

/* For the decode thread. */

/* Take the bundle apart whose first header is `first`; p->current, from p->at on, is what follows.
 * Returns when all its members are written and p->current is its END: 0, -1, or PBC_STOPPED. The
 * write thread must have nothing to do. */
int pbc_frames_take(struct pbc_unpack *u, struct pbc_pieces *p, unsigned bundle,
                    const uint8_t first[PBC_FRAMES_HEADER], struct pbc_error *err);

/* Wait until fewer than `most` jobs are undone: 0, or PBC_STOPPED. */
int pbc_crew_wait(struct pbc_crew *c, unsigned most);
/* A job, empty but for its header, and a slice for it become the crew's. Once all of head.packed is
 * given the job may be gone. */
int pbc_crew_give_job(struct pbc_crew *c, struct pbc_job *job, struct pbc_error *err);
/* Between two bundles: give the windows back, the next bundle may want the memory for its own. */
void pbc_crew_rest(struct pbc_crew *c);
int pbc_crew_give_slice(struct pbc_crew *c, struct pbc_job *job, struct pbc_slice *s);

/* For workers. */

/* The next slice of the job, waiting for one; the caller's from then on. NULL when all stop. */
struct pbc_slice *pbc_crew_slice(struct pbc_crew *c, struct pbc_job *job);
void pbc_slice_free(struct pbc_slice *s); /* NULL is fine */

/* Unpack one frame: 0, -1, or PBC_STOPPED. */
int pbc_hand_unpack(struct pbc_hand *h, struct pbc_job *job, struct pbc_error *err);

/* Whatever the threads wait for, they end. */
void pbc_crew_stop(struct pbc_crew *c);
/* After pbc_crew_stop: wait for them, and free. NULL is fine. */
void pbc_crew_free(struct pbc_crew *c);

#endif
