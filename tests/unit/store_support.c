#include "store_support.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char dir[64];
char store[128];
struct pbc_error err;

int store_setup(void **state)
{
    static unsigned number;

    snprintf(dir, sizeof(dir), "%.40s/%u", (const char *)*state, number++);
    snprintf(store, sizeof(store), "%s/store", dir);
    memset(&err, 0, sizeof(err));
    if (mkdir(dir, 0755) < 0 || chdir(dir) < 0 || symlink("outside", "link") < 0)
        return -1;
    make_dir("outside", 0755);
    make_file("outside/file", "x", 1);
    return 0;
}

int store_teardown(void **state)
{
    (void)state;
    if (!exists("outside/file"))
        return -1;
    return chdir("/");
}

void use_store_below(const char *parent)
{
    snprintf(store, sizeof(store), "%.80s/%.20s/store", dir, parent);
}

int make(void)
{
    return pbc_store_make(store, JOB, geteuid(), getegid(), &err);
}

void made(void)
{
    if (make() < 0)
        fail_msg("%s", err.text);
}

void assert_dir(const char *path, uid_t uid, gid_t gid, mode_t mode)
{
    struct stat st;

    assert_int_equal(lstat(path, &st), 0);
    assert_true(S_ISDIR(st.st_mode));
    assert_int_equal(st.st_uid, uid);
    assert_int_equal(st.st_gid, gid);
    assert_int_equal(st.st_mode & 07777, mode);
}

void only_root_can_chown(void)
{
    if (geteuid() != 0)
        skip();
}
