/* engine_support.h - what the engine's tests share: archives made byte by byte, trees in words. */
#ifndef PBC_TEST_ENGINE_SUPPORT_H
#define PBC_TEST_ENGINE_SUPPORT_H

#include "support.h"

#include "bundle.h"
#include "chunk.h"
#include "unpack.h"
#include "wire.h"

#include <stdio.h>

/* Bytes that grow. All zeros is empty. */
struct bytes {
    uint8_t *data;
    size_t len;
    size_t size;
};

void bytes_add(struct bytes *b, const void *data, size_t len);
void bytes_fill(struct bytes *b, uint8_t value, size_t len);
void bytes_free(struct bytes *b);

/* `len` bytes that do not compress, the same for the same `seed`. */
void bytes_noise(struct bytes *b, size_t len, uint64_t seed);

/* A member of a tar archive. `type` is ustar's typeflag, '0' when it is 0. */
struct member {
    const char *name;
    char type;
    unsigned mode; /* 0: 0644, of a directory 0755 */
    const char *link;
    const void *data;
    size_t len;
    long mtime;
};

void tar_add(struct bytes *tar, struct member m);
/* A pax header with one record, for the member that follows. */
void tar_pax(struct bytes *tar, const char *key, const char *value, size_t value_len);
/* GNU's long name ('L') or long link ('K') for the member that follows. */
void tar_gnu_long(struct bytes *tar, char type, const char *text);
void tar_end(struct bytes *tar);

/* `in` in `format`, by libarchive, added to `out`. */
void compress_to(enum pbc_format format, const void *in, size_t len, struct bytes *out);

/* What is below the directory `path`, in words: a line for each entry, sorted, with type, mode,
 * size, time, target, digest and the first name of the same inode. */
char *tree_words(const char *path);

/* Both directories hold the same. */
void assert_same_tree(const char *a, const char *b);

/* A directory with a file in it that nobody may change. */
void make_sentinel(const char *dir);
void assert_sentinel(const char *dir);

/* The file's content as a string, which the caller frees. */
char *slurp(const char *path);

/* Frames as the root sends them. */
struct pbc_chunk *begin_chunk(unsigned bundle, enum pbc_format format, uint64_t bytes,
                              const char *path);
struct pbc_chunk *end_chunk(const struct pbc_msg_check *check, unsigned bundle, const void *archive,
                            size_t len, const uint8_t *key);

/* One bundle of a set that is unpacked. */
struct bundle {
    enum pbc_format format;
    struct bytes archive;
};

/* Where and how bundles are unpacked: a tree beside a directory that must stay as it is. */
struct unpacking {
    char *dir;
    int root; /* of <dir>/tree */
    struct pbc_writer_limits limits;
    size_t piece;  /* bytes in a chunk */
    unsigned pool; /* chunks */
    unsigned workers;
    struct pbc_msg_check check;
    struct pbc_unpack *u;
    struct pbc_pool *chunks;
    struct pbc_error err;
};

int unpacking_setup(void **state); /* *state is a struct unpacking */
int unpacking_teardown(void **state);

extern const uint8_t unpacking_key[PBC_KEY_BYTES];

#define UNPACKING_ROOT                                                                             \
    "/dev/shm/pbcast/7/0123456789abcdef0123456789abcdef" /* of the tree, one day */

void unpacking_start(struct unpacking *p, unsigned bundles);
void push_archive(struct unpacking *p, unsigned index, const struct bundle *b, size_t len);
void push_done(struct unpacking *p);
/* Wait for the end. 0 when all is unpacked, -1 with p->err. */
int unpacking_end(struct unpacking *p);
void unpacking_free(struct unpacking *p);

/* All of it. Frees the archives. */
int unpack_all(struct unpacking *p, struct bundle *b, unsigned n);
/* One tar archive in a format. Frees it. */
int unpack_tar(struct unpacking *p, enum pbc_format format, struct bytes *tar);

/* End the program if it still runs then: a test hangs. */
void no_longer_than(unsigned seconds);

/* A command of the shell, in that directory, which must end well. */
void shell(const char *dir, const char *command);

#endif
