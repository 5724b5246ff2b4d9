#include "remove_support.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char dir[64];
int dirfd_ = -1;
struct pbc_error err;

int remove_setup(void **state)
{
    static unsigned number;

    snprintf(dir, sizeof(dir), "%.40s/%u", (const char *)*state, number++);
    if (mkdir(dir, 0755) < 0 || chdir(dir) < 0)
        return -1;
    memset(&err, 0, sizeof(err));
    dirfd_ = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    make_dir("sentinel", 0755);
    make_dir("sentinel/sub", 0755);
    make_file("sentinel/file", "x", 1);
    make_file("sentinel/sub/file", "x", 1);
    return dirfd_ < 0 ? -1 : 0;
}

int remove_teardown(void **state)
{
    (void)state;
    if (!exists("sentinel/file") || !exists("sentinel/sub/file"))
        return -1; /* whatever the test was about */
    close(dirfd_);
    return chdir("/");
}

void without_openat2_if_told(void)
{
    if (getenv("PBC_TEST_WITHOUT_OPENAT2") != NULL)
        without_openat2();
}

void removes(const char *name)
{
    if (pbc_remove_tree(dirfd_, name, &err) < 0)
        fail_msg("%s", err.text);
    assert_false(exists(name));
}

void make_deep(const char *name, int depth)
{
    make_dir(name, 0755);
    assert_int_equal(chdir(name), 0);
    for (int i = 0; i < depth; i++) {
        assert_int_equal(mkdir("d", 0755), 0);
        assert_int_equal(chdir("d"), 0);
    }
    make_file("f", "x", 1);
    assert_int_equal(fchdir(dirfd_), 0);
}
