#include "rewrite.h"

#include <stdlib.h>
#include <string.h>

#define PIECE (64u << 10)

struct pbc_rewriter {
    struct pbc_writer *writer;
    bool binary;
    const char *from;
    const char *to;
    size_t from_len;
    size_t to_len;
    int64_t shift; /* by how much what comes next moves up; binary: in the string that is open */
    uint64_t at;   /* where the first byte held was */
    size_t held;
    char bytes[]; /* PIECE, and what may be the beginning of an occurrence */
};

struct pbc_rewriter *pbc_rewriter_new(struct pbc_writer *w, bool binary, const char *from,
                                      const char *to)
{
    size_t from_len = strlen(from);
    struct pbc_rewriter *r = malloc(sizeof(*r) + PIECE + from_len);

    if (r == NULL)
        return NULL;
    *r = (struct pbc_rewriter){.writer = w,
                               .binary = binary,
                               .from = from,
                               .to = to,
                               .from_len = from_len,
                               .to_len = strlen(to)};
    return r;
}

void pbc_rewriter_free(struct pbc_rewriter *r)
{
    free(r);
}

static int put(struct pbc_rewriter *r, uint64_t at, const char *data, size_t len,
               struct pbc_error *err)
{
    /* A place before the file's begin comes of pieces out of order: the writer refuses it. */
    return len == 0 ? 0 : pbc_writer_data(r->writer, at - (uint64_t)r->shift, data, len, err);
}

/* What has no occurrence in it. The gap that a string leaves at its end reads as NULs. */
static int pass(struct pbc_rewriter *r, uint64_t at, const char *data, size_t len,
                struct pbc_error *err)
{
    const char *end = NULL;
    size_t before;

    if (r->binary && r->shift > 0)
        end = memchr(data, '\0', len);
    if (end == NULL)
        return put(r, at, data, len, err);
    before = (size_t)(end - data);
    if (put(r, at, data, before, err) != 0)
        return -1;
    r->shift = 0;
    return put(r, at + before, end, len - before, err);
}

static int replace(struct pbc_rewriter *r, uint64_t at, struct pbc_error *err)
{
    int64_t less = (int64_t)r->from_len - (int64_t)r->to_len;

    if (!r->binary && pbc_writer_resize(r->writer, -less, err) != 0)
        return -1;
    if (put(r, at, r->to, r->to_len, err) != 0)
        return -1;
    r->shift += less;
    return 0;
}

/* Do with what is held all that can be done; `last`: nothing follows it. */
static int work(struct pbc_rewriter *r, bool last, struct pbc_error *err)
{
    size_t done = 0;
    size_t keep, rest;
    const char *found;

    while ((found = memmem(r->bytes + done, r->held - done, r->from, r->from_len)) != NULL) {
        size_t before = (size_t)(found - (r->bytes + done));

        if (pass(r, r->at + done, r->bytes + done, before, err) != 0 ||
            replace(r, r->at + done + before, err) != 0)
            return -1;
        done += before + r->from_len;
    }
    rest = r->held - done;
    keep = last ? 0 : rest < r->from_len ? rest : r->from_len - 1;
    if (pass(r, r->at + done, r->bytes + done, rest - keep, err) != 0)
        return -1;
    memmove(r->bytes, r->bytes + r->held - keep, keep);
    r->at += r->held - keep;
    r->held = keep;
    return 0;
}

int pbc_rewriter_data(struct pbc_rewriter *r, uint64_t offset, const void *data, size_t len,
                      struct pbc_error *err)
{
    const char *p = data;

    if (offset != r->at + r->held) {
        /* a hole, of NULs */
        if (work(r, true, err) != 0)
            return -1;
        if (r->binary)
            r->shift = 0;
        r->at = offset;
    }
    while (len > 0) {
        size_t room = PIECE + r->from_len - r->held;
        size_t n = len < room ? len : room;

        memcpy(r->bytes + r->held, p, n);
        r->held += n;
        p += n;
        len -= n;
        if (work(r, false, err) != 0)
            return -1;
    }
    return 0;
}

int pbc_rewriter_end(struct pbc_rewriter *r, struct pbc_error *err)
{
    return work(r, true, err);
}
