/* remove_support.h - what the tests of pbc_remove_tree share. */
#ifndef PBC_TEST_REMOVE_SUPPORT_H
#define PBC_TEST_REMOVE_SUPPORT_H

#include "support.h"

#include "store.h"

/* Each test runs in a directory of its own, which holds a directory "sentinel" with a file "file"
 * and a directory "sub" with another. The test fails when one of the two is missing after it. */
extern char dir[64];
extern int dirfd_; /* of it */
extern struct pbc_error err;

int remove_setup(void **state);
int remove_teardown(void **state);

#define remove_test(f) cmocka_unit_test_setup_teardown(f, remove_setup, remove_teardown)

/* Run a group; without openat2 when PBC_TEST_WITHOUT_OPENAT2 is set. */
#define remove_tests(tests)                                                                        \
    (without_openat2_if_told(), cmocka_run_group_tests(tests, scratch_setup, scratch_teardown))
void without_openat2_if_told(void);

/* `name` is removed without an error, and gone. */
void removes(const char *name);

/* A directory `name` with `depth` directories "d" one in the other, and a file in the last. */
void make_deep(const char *name, int depth);

#endif
