/* store_support.h - what the tests of the store share. */
#ifndef PBC_TEST_STORE_SUPPORT_H
#define PBC_TEST_STORE_SUPPORT_H

#include "support.h"

#include "store.h"

#define JOB 4711

/* Each test runs in a directory of its own, which holds a directory "outside" with a file "file"
 * and a link "link" to it. The test fails when the file is missing after it. */
extern char dir[64];
extern char store[128]; /* <dir>/store */
extern struct pbc_error err;

int store_setup(void **state);
int store_teardown(void **state);

#define store_test(f) cmocka_unit_test_setup_teardown(f, store_setup, store_teardown)

/* Use <dir>/<parent>/store from now on. */
void use_store_below(const char *parent);

/* Make the store and the directory of JOB for who runs the test. */
int make(void);
void made(void); /* which succeeds */

void assert_dir(const char *path, uid_t uid, gid_t gid, mode_t mode);

/* Skip the test unless root runs it. */
void only_root_can_chown(void);

#endif
