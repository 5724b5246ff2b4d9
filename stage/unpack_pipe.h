/* unpack_pipe.h - what the threads of unpack.h share. Private to unpack*.c, and to the
 * tools that read archives as it does. */
#ifndef PBC_UNPACK_PIPE_H
#define PBC_UNPACK_PIPE_H

#include "unpack.h"

#include "beneath.h"

#include <archive.h>
#include <archive_entry.h>

#define PBC_STOPPED 1 /* beside 0 and -1: the pipeline is being stopped */

struct pbc_crew;
struct pbc_rewriter;

struct pbc_unpack {
    struct pbc_unpack_conf conf;
    struct pbc_writer *writer;
    struct pbc_pool *blocks;
    struct pbc_fifo arrived;            /* to decode */
    atomic_uint_least64_t pushed;       /* bytes of archives, that have come to it */
    struct pbc_fifo plain;              /* to parse and write */
    uint64_t before[PBC_MEMORY_LEVELS]; /* bytes of memory that were used when it began */
    pthread_t thread[2];
    unsigned threads;
    struct pbc_crew *crew; /* NULL in builds without libzstd */
    int fd;

    pthread_mutex_t lock;   /* of what follows, but `result` */
    pthread_cond_t settled; /* a bundle is written, or the state has changed */
    unsigned unwritten; /* bundles that the write thread was given and is not done with, the base
                           among them */
    int stopped;        /* pbc_unpack_free */
    enum pbc_unpack_state state;
    struct pbc_error error;

    struct pbc_unpacked *result;
};

/* The chunks of one bundle as libarchive reads them. */
struct pbc_pieces {
    struct pbc_fifo *from;
    struct pbc_chunk *current;
    size_t at; /* in `current`: what the decode thread has read of it */
    int ended; /* the END of the bundle has come; it stays in `current` */
};

/* libarchive's read callback over a struct pbc_pieces. */
la_ssize_t pbc_pieces_next(struct archive *a, void *pieces, const void **ret);

/* The pipeline has failed, at this bundle. The first failure counts, the others are its
 * consequences. Stops all threads. */
void pbc_unpack_fail(struct pbc_unpack *u, unsigned bundle, const struct pbc_error *err);

/* The same, before the first bundle. */
void pbc_unpack_fail_before(struct pbc_unpack *u, const struct pbc_error *err);

/* The same, for want of memory. */
void pbc_unpack_no_memory(struct pbc_unpack *u);

/* All is unpacked. */
void pbc_unpack_done(struct pbc_unpack *u);

/* A bundle is on its way to the write thread; it is written; wait until all are: 0, or PBC_STOPPED
 * after a failure. */
void pbc_unpack_writes(struct pbc_unpack *u);
void pbc_unpack_wrote(struct pbc_unpack *u);
int pbc_unpack_wait_written(struct pbc_unpack *u);

/* libarchive's filter for the compression of `format`, which is not plain tar: ARCHIVE_OK;
 * ARCHIVE_WARN if libarchive would run an external program, which may not be there. */
int pbc_add_filter(struct archive *a, enum pbc_format format);

/* Fill err with libarchive's words. */
int pbc_archive_failed(struct archive *a, const char *member, struct pbc_error *err);

/* What libarchive has read of a member becomes a file, directory or link. What a bundle has below
 * .pbcast/ is for us, and does not become part of the tree. */
int pbc_write_member(struct pbc_unpack *u, unsigned bundle, struct pbc_writer *w, struct archive *a,
                     struct archive_entry *e, struct pbc_error *err);

/* Whether the name lies below .pbcast/ in the tree. */
bool pbc_member_is_own(const char *name);

/* 1 if the name is that of .pbcast/bundle.conf, however it is written; 0 if not; -1 if no member
 * may have it (beneath.h). */
int pbc_member_is_meta(const char *name, struct pbc_error *err);

/* 1 if the member is such a one, which is then dealt with; 0 if not; -1. The caller sees to it that
 * none of the bundle's other members is written at the same time as one of these. */
int pbc_member_own(struct pbc_unpack *u, unsigned bundle, struct archive *a,
                   struct archive_entry *e, const char *name, struct pbc_error *err);

/* *ret: what rewrites the file that `w` has open, NULL if it stays as it is. */
int pbc_member_rewriter(const struct pbc_unpack *u, unsigned bundle, struct pbc_writer *w,
                        const char *name, struct pbc_rewriter **ret, struct pbc_error *err);

void *pbc_decode_thread(void *unpack);
void *pbc_write_thread(void *unpack);

#endif
