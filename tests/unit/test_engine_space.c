/* The writer and the store's free space, on a small file system of the test's own. */
#include "engine_support.h"

#include "writer.h"

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define STORE_BYTES (40u << 20)

/* A tmpfs in a mount namespace that ends with this program. */
static int setup(void **state)
{
    if (scratch_setup(state) != 0)
        return -1;
    if (geteuid() != 0 || unshare(CLONE_NEWNS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        print_message("no mount namespace here: skipped\n");
        scratch_teardown(state);
        *state = NULL;
    }
    return 0;
}

static int teardown(void **state)
{
    return *state != NULL ? scratch_teardown(state) : 0;
}

static int mount_store(const char *dir, const char *options)
{
    make_dir(in(dir, "store"), 0755);
    assert_int_equal(mount("tmpfs", in(dir, "store"), "tmpfs", 0, options), 0);
    return open(in(dir, "store"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void drop_store(const char *dir, int root)
{
    close(root);
    assert_int_equal(umount2(in(dir, "store"), MNT_DETACH), 0);
    assert_int_equal(rmdir(in(dir, "store")), 0);
}

/* Write a file of `bytes` in pieces; -1 where it fails. */
static int fill(struct pbc_writer *w, const char *name, uint64_t bytes, struct pbc_error *err)
{
    static const char piece[1 << 20];
    struct timespec t = {0};

    if (pbc_writer_file(w, name, 0644, bytes, err) != 0)
        return -1;
    for (uint64_t at = 0; at < bytes; at += sizeof(piece)) {
        if (pbc_writer_data(w, at, piece, sizeof(piece), err) != 0)
            return -1;
    }
    return pbc_writer_close(w, t, err);
}

static void a_full_file_system_is_said_to_be_full(void **state)
{
    struct pbc_writer_limits limits = {.entries = 100};
    struct pbc_writer *w;
    struct pbc_error err;
    int root;

    if (*state == NULL)
        skip();
    root = mount_store(*state, "size=40m");
    w = pbc_writer_new(root, &limits);
    assert_int_equal(fill(w, "fits", STORE_BYTES / 2, &err), 0);
    assert_int_equal(fill(w, "too-much", STORE_BYTES, &err), -1);
    assert_error(&err, PBC_EXIT_NOSPACE, "too-much", "No space left");
    pbc_writer_free(w);
    drop_store(*state, root);
}

static void the_reserve_is_left_free(void **state)
{
    struct pbc_writer_limits limits = {.entries = 100, .min_free = 8u << 20};
    struct pbc_writer *w;
    struct pbc_error err;
    int root;

    if (*state == NULL)
        skip();
    root = mount_store(*state, "size=40m");
    w = pbc_writer_new(root, &limits);
    assert_int_equal(fill(w, "fits", 16u << 20, &err), 0);
    assert_int_equal(fill(w, "too-much", 24u << 20, &err), -1);
    assert_error(&err, PBC_EXIT_NOSPACE, "too-much", "min_free=8388608", "leave the node out");
    pbc_writer_free(w);
    drop_store(*state, root);
}

static void no_inode_left_is_no_space(void **state)
{
    struct pbc_writer_limits limits = {.entries = 100};
    struct pbc_writer *w;
    struct pbc_error err = {0};
    char name[16];
    int root;
    int i = 0;

    if (*state == NULL)
        skip();
    root = mount_store(*state, "nr_inodes=10");
    w = pbc_writer_new(root, &limits);
    do
        snprintf(name, sizeof(name), "f%d", i);
    while (fill(w, name, 0, &err) == 0 && ++i < 100);
    assert_int_equal(err.code, PBC_EXIT_NOSPACE);
    assert_int_equal(pbc_writer_dir(w, "d", 0755, &err), -1);
    assert_int_equal(err.code, PBC_EXIT_NOSPACE);
    assert_int_equal(fill(w, "missing/dir/f", 0, &err), -1);
    assert_int_equal(err.code, PBC_EXIT_NOSPACE);
    assert_int_equal(pbc_writer_symlink(w, "l", "f0", &err), -1);
    assert_int_equal(err.code, PBC_EXIT_NOSPACE);
    pbc_writer_free(w);
    drop_store(*state, root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_file_system_is_said_to_be_full),
        cmocka_unit_test(the_reserve_is_left_free),
        cmocka_unit_test(no_inode_left_is_no_space),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
