/* support.h - what the unit tests share. Includes cmocka with what it needs before it. */
#ifndef PBC_TEST_SUPPORT_H
#define PBC_TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "error.h"

#include <stdbool.h>
#include <sys/types.h>

#define PBC_NOBODY 65534 /* a user and group without rights, for tests that run as root */

/* Group setup and teardown: *state is the absolute path of an empty directory, which is not below a
 * symbolic link and not writable by others. */
int scratch_setup(void **state);
int scratch_teardown(void **state);

/* The same below directories that nobody but root can write; *state is NULL for another user. */
int root_scratch_setup(void **state);

/* "<dir>/<name>", valid until the eighth call after this one. */
const char *in(const char *dir, const char *name);

void make_file(const char *path, const void *data, size_t len);
void make_dir(const char *path, mode_t mode);
bool exists(const char *path);

/* `err` has `code` and its text contains each of the words; the last word is NULL. */
void assert_error_words(const struct pbc_error *err, enum pbc_exit code, ...);
#define assert_error(err, code, ...) assert_error_words(err, code, __VA_ARGS__, NULL)

/* Run `fn(arg)` in a child and give back what it returns, 0..255; a child that dies fails. Asserts
 * do not work in the child. */
int in_child(int (*fn)(void *arg), void *arg);

/* Run `fn` in a child that goes on until background_end, which asserts that it was still there. The
 * child does not outlive the test. */
pid_t background(void (*fn)(void));
void background_end(pid_t pid);

/* Become a user without rights for good (in a child). A caller who is not root stays who he is. */
void become_nobody(void);

/* openat2 answers ENOSYS from now on, as on an old kernel. */
void without_openat2(void);

/* Renaming answers ENOSPC from now on, as on a full disk. */
void without_renames(void);

#endif
