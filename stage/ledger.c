#include "ledger.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#define SPACE_STEP   (16u << 20) /* most bytes between two looks at the free space */
#define PAGE_BYTES   4096
#define MEMBER_BYTES 1024 /* about what the kernel keeps of an entry of a tmpfs */

struct pbc_ledger {
    int root;
    struct pbc_writer_limits limits;
    atomic_uint_least64_t entries;
    atomic_uint_least64_t files;
    atomic_uint_least64_t bytes;
    atomic_int tangled;

    pthread_mutex_t lock; /* of what follows */
    uint64_t unlooked;    /* bytes that may be written before the next look at the free space */
    uint64_t writing;     /* bytes that are being written, and so may not be seen by it yet */
    int lacks_memory;
    struct pbc_memory_room room; /* and how much there was */

    /* Names of links, NUL terminated one after the other. */
    char *links;
    size_t links_len;
    size_t links_size;
};

struct pbc_ledger *pbc_ledger_new(int rootfd, const struct pbc_writer_limits *limits)
{
    struct pbc_ledger *l = calloc(1, sizeof(*l));

    if (l == NULL)
        return NULL;
    l->root = rootfd;
    l->limits = *limits;
    pthread_mutex_init(&l->lock, NULL);
    return l;
}

void pbc_ledger_free(struct pbc_ledger *l)
{
    pthread_mutex_destroy(&l->lock);
    free(l->links);
    free(l);
}

/* --- space --------------------------------------------------------------------------------- */

static int bounded(const struct pbc_ledger *l)
{
    return l->limits.min_free != 0 || l->limits.memory != NULL;
}

/* Of `left` bytes `reserve` must stay after all that is being written. 0, with the next look before
 * they are used up; -1 if there are too few. */
static int leaves(struct pbc_ledger *l, uint64_t left, uint64_t reserve, size_t len)
{
    if (left < reserve || left - reserve < l->writing)
        return -1;
    left -= reserve + l->writing - len;
    if (left < l->unlooked)
        l->unlooked = left;
    return 0;
}

static int look_at_store(struct pbc_ledger *l, size_t len, const char *name, struct pbc_error *err)
{
    struct statvfs vfs;
    uint64_t left;

    if (l->limits.min_free == 0 || fstatvfs(l->root, &vfs) != 0 || vfs.f_blocks == 0)
        return 0;
    left = (uint64_t)vfs.f_bavail * vfs.f_frsize;
    if (leaves(l, left, l->limits.min_free, len) == 0)
        return 0;
    return pbc_fail(err, PBC_EXIT_NOSPACE,
                    "the store is full at member '%s': %llu bytes are free, of which min_free=%llu "
                    "must stay; free some memory there, leave the node out or stage less",
                    name, (unsigned long long)left, (unsigned long long)l->limits.min_free);
}

uint64_t pbc_writer_memory_reserve(const struct pbc_writer_limits *limits)
{
    uint64_t reserve = limits->min_free < limits->own ? limits->min_free : limits->own;

    return reserve > PBC_MEMORY_RESERVE ? reserve : PBC_MEMORY_RESERVE;
}

/* As it is now; the caller knows better than we what the whole needs, and says so. */
static int look_at_memory(struct pbc_ledger *l, size_t len, const char *name, struct pbc_error *err)
{
    struct pbc_memory_room room;

    if (l->limits.memory == NULL)
        return 0;
    room = pbc_memory_room(l->limits.memory);
    if (leaves(l, room.free, pbc_writer_memory_reserve(&l->limits), len) == 0)
        return 0;
    l->lacks_memory = 1;
    l->room = room;
    return pbc_fail(err, PBC_EXIT_NOSPACE, "the job's memory does not suffice for member '%s'",
                    name);
}

/* With the lock held, and `len` in l->writing already. Leave the reserves: looked at now and then,
 * as asking costs as much as writing a file, and more often as they come near. */
static int look_at_space(struct pbc_ledger *l, size_t len, const char *name, struct pbc_error *err)
{
    if (len > l->unlooked) {
        l->unlooked = SPACE_STEP > len ? SPACE_STEP : len;
        if (look_at_store(l, len, name, err) != 0 || look_at_memory(l, len, name, err) != 0) {
            l->unlooked = 0;
            return -1;
        }
    }
    l->unlooked -= len;
    return 0;
}

/* Files take whole pages. */
static size_t pages(size_t len)
{
    return (len + PAGE_BYTES - 1) & ~(size_t)(PAGE_BYTES - 1);
}

int pbc_ledger_write(struct pbc_ledger *l, size_t len, const char *name, struct pbc_error *err)
{
    int rc;

    if (!bounded(l))
        return 0;
    pthread_mutex_lock(&l->lock);
    l->writing += pages(len);
    rc = look_at_space(l, pages(len), name, err);
    if (rc != 0)
        l->writing -= pages(len);
    pthread_mutex_unlock(&l->lock);
    return rc;
}

void pbc_ledger_written(struct pbc_ledger *l, size_t len)
{
    if (!bounded(l))
        return;
    pthread_mutex_lock(&l->lock);
    l->writing -= pages(len);
    pthread_mutex_unlock(&l->lock);
}

int pbc_ledger_lacks_memory(struct pbc_ledger *l, struct pbc_memory_room *ret)
{
    int yes;

    pthread_mutex_lock(&l->lock);
    yes = l->lacks_memory;
    *ret = l->room;
    pthread_mutex_unlock(&l->lock);
    return yes;
}

/* What an entry takes apart from its data. */
static int take_entry(struct pbc_ledger *l, const char *name, struct pbc_error *err)
{
    int rc;

    if (l->limits.memory == NULL)
        return 0;
    pthread_mutex_lock(&l->lock);
    l->writing += MEMBER_BYTES;
    rc = look_at_space(l, MEMBER_BYTES, name, err);
    l->writing -= MEMBER_BYTES;
    pthread_mutex_unlock(&l->lock);
    return rc;
}

/* --- counts -------------------------------------------------------------------------------- */

int pbc_ledger_member(struct pbc_ledger *l, const char *name, struct pbc_error *err)
{
    if (atomic_fetch_add(&l->entries, 1) >= l->limits.entries)
        return pbc_fail(err, PBC_EXIT_REFUSED,
                        "member '%s' is one more than the %llu that are allowed", name,
                        (unsigned long long)l->limits.entries);
    return take_entry(l, name, err);
}

void pbc_ledger_file(struct pbc_ledger *l)
{
    atomic_fetch_add(&l->files, 1);
}

int pbc_ledger_bytes(struct pbc_ledger *l, uint64_t size, const char *name, struct pbc_error *err)
{
    uint_least64_t had = atomic_load(&l->bytes);

    do {
        if (l->limits.bytes != 0 && size > l->limits.bytes - had)
            return pbc_fail(err, PBC_EXIT_REFUSED,
                            "member '%s' of %llu bytes goes over the limit of %llu bytes unpacked",
                            name, (unsigned long long)size, (unsigned long long)l->limits.bytes);
    } while (!atomic_compare_exchange_weak(&l->bytes, &had, had + size));
    return 0;
}

int pbc_ledger_begin_with(struct pbc_ledger *l, uint64_t files, uint64_t bytes,
                          struct pbc_error *err)
{
    if (l->limits.bytes != 0 && bytes > l->limits.bytes)
        return pbc_fail(
            err, PBC_EXIT_REFUSED,
            "the set that this one extends has %llu bytes, over the limit of %llu bytes "
            "unpacked",
            (unsigned long long)bytes, (unsigned long long)l->limits.bytes);
    atomic_store(&l->files, files);
    atomic_store(&l->bytes, bytes);
    return 0;
}

void pbc_ledger_counts(const struct pbc_ledger *l, struct pbc_writer_count *ret)
{
    ret->entries = atomic_load(&l->entries);
    ret->files = atomic_load(&l->files);
    ret->bytes = atomic_load(&l->bytes);
}

/* --- links --------------------------------------------------------------------------------- */

/* With the lock held: room for `len` bytes more. */
static int links_room(struct pbc_ledger *l, size_t len, const char *name, struct pbc_error *err)
{
    size_t size = l->links_size == 0 ? 4096 : l->links_size;
    char *more;

    if (l->links_len + len <= l->links_size)
        return 0;
    while (size < l->links_len + len)
        size *= 2;
    if (size > PBC_LINKS_MAX)
        return pbc_fail(err, PBC_EXIT_REFUSED, "too many symbolic links, the last is '%s'", name);
    more = realloc(l->links, size);
    if (more == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory for the names of links");
    l->links = more;
    l->links_size = size;
    return 0;
}

int pbc_ledger_link(struct pbc_ledger *l, const char *name, struct pbc_error *err)
{
    size_t len = strlen(name) + 1;
    int rc;

    pthread_mutex_lock(&l->lock);
    rc = links_room(l, len, name, err);
    if (rc == 0) {
        memcpy(l->links + l->links_len, name, len);
        l->links_len += len;
    }
    pthread_mutex_unlock(&l->lock);
    return rc;
}

const char *pbc_ledger_next_link(const struct pbc_ledger *l, const char *name)
{
    const char *next = name == NULL ? l->links : name + strlen(name) + 1;

    return l->links_len > 0 && next < l->links + l->links_len ? next : NULL;
}

void pbc_ledger_set_tangled(struct pbc_ledger *l, int tangled)
{
    atomic_store(&l->tangled, tangled);
}

int pbc_ledger_tangled(const struct pbc_ledger *l)
{
    return atomic_load(&l->tangled);
}
