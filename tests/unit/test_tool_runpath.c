/* Which file's library path led to a library: this program has one, $ORIGIN/lib and /no/where. */
#include "support.h"

#include "runpath.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char self[4096], dir[4096];
static struct pbc_runpaths list;

static int setup(void **state)
{
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

    (void)state;
    if (n <= 0)
        return -1;
    self[n] = '\0';
    strcpy(dir, self);
    *strrchr(dir, '/') = '\0';
    list = (struct pbc_runpaths){0};
    return pbc_runpaths_add(&list, self);
}

static int teardown(void **state)
{
    (void)state;
    pbc_runpaths_free(&list);
    return 0;
}

static void found(const char *path, const char *entry)
{
    const struct pbc_runpath *p = pbc_runpaths_find(&list, path);

    assert_non_null(p);
    assert_string_equal(p->entry, entry);
    assert_string_equal(p->file, self);
    assert_string_equal(p->kind, "RUNPATH");
}

static void each_directory_is_that_of_its_entry(void **state)
{
    char path[8192];

    (void)state;
    found("/no/where/libx.so.1", "/no/where");
    found("/no/where/glibc-hwcaps/x86-64-v3/libx.so.1", "/no/where");
    snprintf(path, sizeof(path), "%s/lib/libc.so.6", dir);
    found(path, "$ORIGIN/lib");
    assert_null(pbc_runpaths_find(&list, "/no/wherever/libx.so"));
    assert_null(pbc_runpaths_find(&list, "/no/where/deeper/libx.so"));
    assert_null(pbc_runpaths_find(&list, "/no"));
    found("/no/where/tls/haswell/x86_64/libx.so.1", "/no/where");
    assert_non_null(pbc_runpaths_find_dir(&list, "/no/where"));
    assert_non_null(pbc_runpaths_find_dir(&list, "/no/where/glibc-hwcaps/x86-64-v3"));
    assert_null(pbc_runpaths_find_dir(&list, "/no/where/share"));
    assert_null(pbc_runpaths_find_dir(&list, "/no"));
    assert_null(pbc_runpaths_find_dir(&list, "/no/wherever"));
}

static void what_is_no_program_has_none(void **state)
{
    (void)state;
    pbc_runpaths_free(&list);
    assert_int_equal(pbc_runpaths_add(&list, "/etc/passwd"), 0);
    assert_int_equal(pbc_runpaths_add(&list, "/no/where"), 0);
    assert_int_equal(pbc_runpaths_add(&list, "/"), 0);
    assert_int_equal(pbc_runpaths_add(&list, "/dev/null"), 0);
    assert_int_equal(list.count, 0);
    assert_null(pbc_runpaths_find(&list, "/no/where/libx.so.1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_directory_is_that_of_its_entry, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_program_has_none, setup, teardown),
    };

    return cmocka_run_group_tests_name("runpath", tests, NULL, NULL);
}
