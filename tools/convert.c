#include "convert.h"

#include "frames.h"
#include "order.h"
#include "output.h"
#include "reader.h"
#include "unpack_pipe.h"

#include <stdlib.h>
#include <string.h>

/* Members that are written before the files, or after them. */
struct list {
    struct archive_entry **entry;
    size_t count;
    size_t size;
};

struct maker {
    const char *in;
    struct pbc_reader *reader;
    struct pbc_order *order;
    struct list first; /* directories and symbolic links */
    struct list last;  /* hard links */
    unsigned metas;    /* how often .pbcast/bundle.conf has come */
    int begun;         /* a file or link that is not the bundle's own has come */
    int late;          /* and bundle.conf after it */
    int own;           /* there are files below .pbcast/, which the unpacking reads first */
    struct pbc_output *output;
    struct pbc_members *members;
    struct pbc_progress *progress;
    uint64_t bytes; /* of all files */
};

/* --- writing ------------------------------------------------------------------------------- */

static int write_contents(struct maker *m, struct archive_entry *e, struct pbc_error *err)
{
    int64_t done = 0;
    const void *data;
    int64_t offset;
    size_t len;
    int rc;

    while ((rc = pbc_reader_data(m->reader, &data, &len, &offset, err)) == 1) {
        if (offset < done)
            return pbc_fail(err, PBC_EXIT_REFUSED, "member '%s' has pieces out of order",
                            archive_entry_pathname(e));
        if (pbc_members_zeros(m->members, (uint64_t)(offset - done), err) != 0 ||
            pbc_members_data(m->members, data, len, err) != 0 ||
            pbc_progress_bytes(m->progress, (uint64_t)offset + len - (uint64_t)done, err) != 0)
            return -1;
        done = offset + (int64_t)len;
    }
    if (rc != 0)
        return -1;
    return done < archive_entry_size(e)
               ? pbc_members_zeros(m->members, (uint64_t)(archive_entry_size(e) - done), err)
               : 0;
}

static int write_member(struct maker *m, struct archive_entry *e, struct pbc_error *err)
{
    int file = archive_entry_filetype(e) == AE_IFREG && archive_entry_hardlink(e) == NULL;

    if (pbc_members_begin(m->members, e, err) != 0 || (file && write_contents(m, e, err) != 0))
        return -1;
    return pbc_members_finish(m->members, err);
}

/* --- members ------------------------------------------------------------------------------- */

static int list_add(struct list *l, struct archive_entry *e, struct pbc_error *err)
{
    if (l->count == l->size) {
        size_t size = l->size == 0 ? 256 : 2 * l->size;
        struct archive_entry **more = reallocarray(l->entry, size, sizeof(struct archive_entry *));

        if (more == NULL)
            return pbc_fail(err, PBC_EXIT_FAILED, "no memory for the members");
        l->entry = more;
        l->size = size;
    }
    l->entry[l->count] = archive_entry_clone(e);
    if (l->entry[l->count] == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory for the members");
    l->count++;
    return 0;
}

static void list_free(struct list *l)
{
    for (size_t i = 0; i < l->count; i++)
        archive_entry_free(l->entry[i]);
    free(l->entry);
}

static int list_write(struct maker *m, const struct list *l, struct pbc_error *err)
{
    for (size_t i = 0; i < l->count; i++) {
        if (write_member(m, l->entry[i], err) != 0)
            return -1;
    }
    return 0;
}

static enum pbc_order_kind kind_of(struct archive_entry *e)
{
    if (archive_entry_hardlink(e) != NULL)
        return PBC_ORDER_HARDLINK;
    if (archive_entry_filetype(e) == AE_IFDIR)
        return PBC_ORDER_DIR;
    return archive_entry_filetype(e) == AE_IFLNK ? PBC_ORDER_SYMLINK : PBC_ORDER_FILE;
}

static int parse_meta(struct maker *m, char *text, size_t size, struct pbc_error *err)
{
    struct pbc_meta meta;
    const void *data;
    int64_t offset;
    size_t len;
    int rc;

    while ((rc = pbc_reader_data(m->reader, &data, &len, &offset, err)) == 1) {
        if (offset < 0 || (uint64_t)offset > size || len > size - (uint64_t)offset)
            return pbc_fail(err, PBC_EXIT_REFUSED,
                            "member '" PBC_META_NAME "' has pieces out of order");
        memcpy(text + offset, data, len);
    }
    if (rc != 0 || pbc_meta_parse(text, size, &meta, err) != 0)
        return -1;
    pbc_meta_free(&meta);
    return 0;
}

/* What the agent refuses, in whatever order the members will be. */
static int look_at_meta(struct maker *m, struct archive_entry *e, struct pbc_error *err)
{
    size_t size = (size_t)archive_entry_size(e);
    char *text;
    int rc;

    m->late |= m->begun;
    if (pbc_meta_admit(m->metas++ > 0, false, kind_of(e) == PBC_ORDER_FILE, size, err) != 0)
        return -1;
    text = calloc(1, size + 1);
    if (text == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory for " PBC_META_NAME);
    rc = parse_meta(m, text, size, err);
    free(text);
    return rc;
}

/* The first reading: what there is, and that all of it can be read. */
static int look(struct maker *m, struct pbc_error *err)
{
    struct archive_entry *e;
    struct pbc_error why;
    size_t members = 0;
    int rc;

    pbc_progress_phase(m->progress, "reading", 0);
    while ((rc = pbc_reader_next(m->reader, &e, err)) == 1) {
        enum pbc_order_kind kind = kind_of(e);

        if (pbc_progress_tick(m->progress, err) != 0)
            return -1;
        m->bytes += kind == PBC_ORDER_FILE ? (uint64_t)archive_entry_size(e) : 0;

        if (!pbc_member_is_own(archive_entry_pathname(e))) {
            members++;
            m->begun |= kind != PBC_ORDER_DIR;
        } else {
            m->own |= kind == PBC_ORDER_FILE;
            if (pbc_member_is_meta(archive_entry_pathname(e), NULL) == 1 &&
                look_at_meta(m, e, &why) != 0)
                return pbc_fail(err, why.code, "%s: %s", m->in, why.text);
        }
        if (pbc_order_add(m->order, kind, archive_entry_pathname(e), archive_entry_hardlink(e),
                          err) != 0)
            return -1;
        if (kind != PBC_ORDER_FILE &&
            list_add(kind == PBC_ORDER_HARDLINK ? &m->last : &m->first, e, err) != 0)
            return -1;
    }
    if (rc == 0 && members == 0)
        return pbc_fail(err, PBC_EXIT_REFUSED, "%s: the archive has no members", m->in);
    return rc;
}

enum part { ALL, OWN_FILES, OTHER_FILES };

static int in_part(enum part part, struct archive_entry *e)
{
    if (part == ALL)
        return 1;
    return kind_of(e) == PBC_ORDER_FILE &&
           pbc_member_is_own(archive_entry_pathname(e)) == (part == OWN_FILES);
}

/* Another reading. */
static int write_members(struct maker *m, enum part part, struct pbc_error *err)
{
    struct archive_entry *e;
    int rc;

    if (pbc_reader_again(m->reader, err) != 0)
        return -1;
    while ((rc = pbc_reader_next(m->reader, &e, err)) == 1) {
        if (in_part(part, e) && write_member(m, e, err) != 0)
            return -1;
    }
    return rc;
}

/* Frames of these flags follow. */
static int turn(struct maker *m, unsigned flags, struct pbc_error *err)
{
    return pbc_members_turn(m->members, flags, err);
}

static int write_archive(struct maker *m, int in_order, struct pbc_error *err)
{
    if (in_order) {
        if (write_members(m, ALL, err) != 0)
            return -1;
    } else if ((m->own &&
                (write_members(m, OWN_FILES, err) != 0 || turn(m, PBC_FRAMES_ORDERED, err) != 0)) ||
               list_write(m, &m->first, err) != 0 || turn(m, 0, err) != 0 ||
               write_members(m, OTHER_FILES, err) != 0 || turn(m, PBC_FRAMES_ORDERED, err) != 0 ||
               list_write(m, &m->last, err) != 0) {
        return -1;
    }
    return pbc_members_end(m->members, err);
}

/* --- the whole ----------------------------------------------------------------------------- */

static int convert(struct maker *m, const char *in, const char *out, int level,
                   const char **obstacle, struct pbc_error *err)
{
    struct pbc_error why;
    struct pbc_sink sink;

    m->reader = pbc_reader_open(in, err);
    if (m->reader == NULL)
        return -1;
    m->order = pbc_order_new();
    if (m->order == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory");
    if (look(m, err) != 0)
        return -1;
    *obstacle = pbc_order_obstacle(m->order);
    /* Else it is written before all others. */
    if (*obstacle != NULL && pbc_meta_admit(false, m->late, true, 0, &why) != 0)
        return pbc_fail(err, why.code, "%s: %s", in, why.text);
    m->output = pbc_output_open(out, err);
    if (m->output == NULL)
        return -1;
    sink = pbc_output_sink(m->output);
    pbc_progress_phase(m->progress, "packing", m->bytes);
    m->members = pbc_members_new(&sink, PBC_CODEC_FRAMES, level, err);
    if (m->members == NULL || write_archive(m, *obstacle != NULL, err) != 0)
        return -1;
    return pbc_output_commit(m->output, err);
}

int pbc_convert(const char *in, const char *out, int level, struct pbc_progress *progress,
                struct pbc_converted *ret, struct pbc_error *err)
{
    struct maker m = {.in = in, .progress = progress};
    const char *obstacle = NULL;
    int rc = convert(&m, in, out, level, &obstacle, err);

    if (rc == 0) {
        pbc_members_figures(m.members, &ret->figures);
        ret->in_order = obstacle == NULL ? NULL : strdup(obstacle);
    }
    pbc_members_free(m.members);
    pbc_output_free(m.output);
    list_free(&m.first);
    list_free(&m.last);
    pbc_order_free(m.order);
    pbc_reader_free(m.reader);
    return rc;
}
