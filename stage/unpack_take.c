/* The decode thread takes a bundle of frames apart. */
#include "unpack_crew.h"

#include <stdlib.h>
#include <string.h>

/* What the decode thread knows of a bundle. */
struct taking {
    struct pbc_unpack *u;
    struct pbc_crew *crew;
    struct pbc_pieces *p;
    unsigned bundle;
    int alone; /* the last frame must be done before the next is begun */
};

static struct pbc_job *begin_job(struct taking *t, const struct pbc_frames_head *head, int *ret,
                                 struct pbc_error *err)
{
    struct pbc_crew *c = t->crew;
    struct pbc_job *job;
    int ordered;

    *ret = pbc_crew_wait(c, t->alone ? 1 : PBC_JOBS);
    if (*ret != 0)
        return NULL;
    /* Known only now: the frame before may have tangled them. */
    ordered = (head->flags & PBC_FRAMES_ORDERED) || pbc_writer_tangled(t->u->writer);
    if (ordered)
        *ret = pbc_crew_wait(c, 1);
    if (*ret != 0)
        return NULL;
    t->alone = ordered;
    job = calloc(1, sizeof(*job));
    if (job == NULL) {
        *ret = pbc_fail(err, PBC_EXIT_FAILED, "no memory to unpack");
        return NULL;
    }
    job->head = *head;
    job->bundle = t->bundle;
    job->last = &job->first;
    *ret = pbc_crew_give_job(c, job, err);
    return job;
}

#define END_OF_BUNDLE 2 /* beside 0, -1 and PBC_STOPPED */

/* Have bytes in hand: 0, END_OF_BUNDLE or PBC_STOPPED. */
static int want_bytes(struct pbc_pieces *p)
{
    const void *ignored;

    while (!p->ended && (p->current == NULL || p->at == p->current->frame.length)) {
        p->at = 0;
        if (pbc_pieces_next(NULL, p, &ignored) < 0)
            return PBC_STOPPED;
    }
    return p->ended ? END_OF_BUNDLE : 0;
}

/* The next `len` bytes of the frame go to its job. */
static int give_bytes(struct pbc_crew *c, struct pbc_job *job, struct pbc_pieces *p, size_t len,
                      struct pbc_error *err)
{
    struct pbc_slice *s = malloc(sizeof(*s));

    if (s == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory to unpack");
    s->next = NULL;
    s->chunk = pbc_chunk_ref(p->current);
    s->data = p->current->data + p->at;
    s->len = len;
    p->at += len;
    return pbc_crew_give_slice(c, job, s);
}

static int cut_short(struct pbc_error *err)
{
    return pbc_fail(err, PBC_EXIT_REFUSED, "truncated: the archive ends in the middle of a frame");
}

static int give_frame(struct taking *t, const struct pbc_frames_head *head, struct pbc_error *err)
{
    int rc;
    struct pbc_job *job = begin_job(t, head, &rc, err);
    uint64_t left = head->packed;

    while (rc == 0 && left > 0) {
        size_t n;

        rc = want_bytes(t->p);
        if (rc != 0)
            return rc == END_OF_BUNDLE ? cut_short(err) : rc;
        n = t->p->current->frame.length - t->p->at;
        if (n > left)
            n = (size_t)left;
        rc = give_bytes(t->crew, job, t->p, n, err);
        left -= n;
    }
    return rc;
}

/* The next header: 0, -1, END_OF_BUNDLE or PBC_STOPPED. */
static int take_header(struct pbc_pieces *p, uint8_t out[PBC_FRAMES_HEADER], struct pbc_error *err)
{
    for (size_t got = 0; got < PBC_FRAMES_HEADER;) {
        int rc = want_bytes(p);
        size_t n;

        if (rc != 0)
            return rc == END_OF_BUNDLE && got > 0 ? cut_short(err) : rc;
        n = p->current->frame.length - p->at;
        if (n > PBC_FRAMES_HEADER - got)
            n = PBC_FRAMES_HEADER - got;
        memcpy(out + got, p->current->data + p->at, n);
        p->at += n;
        got += n;
    }
    return 0;
}

static int take_frames(struct taking *t, const uint8_t first[PBC_FRAMES_HEADER],
                       struct pbc_error *err)
{
    struct pbc_frames_head head = {0};
    uint8_t bytes[PBC_FRAMES_HEADER];
    int rc;

    memcpy(bytes, first, sizeof(bytes));
    do {
        if (head.flags & PBC_FRAMES_END)
            return pbc_fail(err, PBC_EXIT_REFUSED,
                            "corrupt: something follows the frame that ends the archive");
        rc = pbc_frames_decode(bytes, &head, err);
        if (rc == 0)
            rc = give_frame(t, &head, err);
        if (rc == 0)
            rc = take_header(t->p, bytes, err);
    } while (rc == 0);
    if (rc == END_OF_BUNDLE && !(head.flags & PBC_FRAMES_END))
        return pbc_fail(err, PBC_EXIT_REFUSED,
                        "truncated: the archive has no end mark (two blocks of zeros)");
    return rc == END_OF_BUNDLE ? pbc_crew_wait(t->crew, 1) : rc;
}

int pbc_frames_take(struct pbc_unpack *u, struct pbc_pieces *p, unsigned bundle,
                    const uint8_t first[PBC_FRAMES_HEADER], struct pbc_error *err)
{
    struct taking t = {.u = u, .crew = u->crew, .p = p, .bundle = bundle};
    struct pbc_writer_count before;
    struct pbc_writer_count after;
    int rc;

    pbc_writer_overlay(u->writer);
    pbc_writer_counts(u->writer, &before);
    rc = take_frames(&t, first, err);
    if (rc != 0)
        return rc;
    pbc_crew_rest(u->crew);
    pbc_writer_counts(u->writer, &after);
    if (after.entries == before.entries)
        return pbc_fail(err, PBC_EXIT_REFUSED, "the archive has no members");
    u->result[bundle].files = after.files - before.files;
    pbc_meta_forget_rewrites(&u->result[bundle].meta);
    return 0;
}
