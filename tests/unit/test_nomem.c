/* Each allocation of the core fails once: nothing crashes, nothing leaks (the sanitizers look), and
 * the error says that memory or a resource is short. */
#include "support.h"

#include "bundle.h"
#include "catalog.h"
#include "manifest.h"
#include "meta.h"
#include "relocate.h"
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static unsigned left; /* allocations that succeed before one fails; 0 none fails */
static bool failed;

static bool fails(void)
{
    if (left == 0 || --left > 0)
        return false;
    failed = true;
    errno = ENOMEM;
    return true;
}

/* The linker puts these before those of libc in what it links statically. */
#define WRAP(type, name, parameters, arguments)                                                    \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters                                                                  \
    {                                                                                              \
        return fails() ? NULL : __real_##name arguments;                                           \
    }
WRAP(void *, malloc, (size_t n), (n))
WRAP(void *, reallocarray, (void *p, size_t n, size_t size), (p, n, size))
WRAP(char *, strdup, (const char *s), (s))
WRAP(char *, strndup, (const char *s, size_t n), (s, n))
WRAP(char *, realpath, (const char *path, char *out), (path, out))
WRAP(FILE *, open_memstream, (char **text, size_t *len), (text, len))
WRAP(FILE *, fopen, (const char *path, const char *mode), (path, mode))
WRAP(DIR *, fdopendir, (int fd), (fd))

static struct pbc_error err;

/* Let the first, the second, ... allocation of `fn` fail, until none does: then it succeeds. */
static void each_allocation_fails(int (*fn)(void))
{
    for (unsigned n = 1;; n++) {
        int rc;

        assert_true(n < 1000);
        memset(&err, 0, sizeof(err));
        failed = false;
        left = n;
        rc = fn();
        left = 0;
        if (!failed) {
            assert_int_equal(rc, 0);
            assert_true(n > 1);
            return;
        }
        assert_int_equal(rc, -1);
        assert_string_not_equal(err.text, "");
    }
}

static char bundle_path[256];

static int bundles(void)
{
    char text[600], *again;
    struct pbc_bundles list;
    int rc = -1;

    snprintf(text, sizeof(text), "%s,%s", bundle_path, bundle_path);
    if (pbc_bundles_parse(text, &list, &err) < 0) {
        assert_int_equal(list.count, 0);
        return -1;
    }
    if (pbc_bundles_probe(&list, &err) == 0) {
        again = pbc_bundles_format(&list, 0, list.count, &err);
        rc = again != NULL ? 0 : -1;
        free(again);
    }
    pbc_bundles_free(&list);
    return rc;
}

static void lists_of_bundles(void **state)
{
    snprintf(bundle_path, sizeof(bundle_path), "%s/b", (char *)*state);
    make_file(bundle_path, "\x28\xb5\x2f\xfd", 4);
    each_allocation_fails(bundles);
}

#define SET "0123456789abcdef0123456789abcdef"

static int catalogues(void)
{
    static const char text[] = "pbcast-catalog=1\nbundle=a/1\npath=/x\ndigest=" SET SET
                               "\ndefault-in=p\ndescription=d\nset=A=b\nunset=C\n";
    struct pbc_catalog cat;
    int rc = pbc_catalog_parse(text, strlen(text), &cat, &err);

    assert_int_equal(cat.count, rc == 0);
    pbc_catalog_free(&cat);
    return rc;
}

static void the_sites_catalogue(void **state)
{
    (void)state;
    each_allocation_fails(catalogues);
}

#define TEXT                                                                                       \
    "pbcast-manifest=1\nset=" SET "\nnodes=n\nlibdir=lib\nlibdir=lib64\nbundle=" SET SET " 1 2 "   \
    "/a\n"

static int jobfd;

static int manifests(void)
{
    struct pbc_manifest m;
    char *text;
    size_t len;
    int rc = pbc_manifest_read(jobfd, SET, &m, &err);

    if (rc != 0) {
        assert_int_equal(m.nbundles, 0);
        assert_null(m.nodes);
        return rc;
    }
    text = pbc_manifest_format(&m, &len, &err);
    free(text);
    pbc_manifest_free(&m);
    return text != NULL ? 0 : -1;
}

static void manifests_read_and_written(void **state)
{
    make_file(in(*state, SET ".manifest"), TEXT, strlen(TEXT));
    jobfd = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    each_allocation_fails(manifests);
    close(jobfd);
}

static int found(void)
{
    static const char text[] =
        "pbcast-manifest=1\nset=" SET "\nprofile=r\npython=3.1\nbase=b\nrhome=lib/R\nlibdir=lib\n"
        "perldir=p\nnodedir=n\ndepot=d\nenv=set=A=@ROOT@\nenv=unset=B\n";
    static const struct pbc_meta none;
    struct pbc_env_ops ops;
    struct pbc_manifest m;
    int rc;

    if (pbc_manifest_parse(text, strlen(text), &m, &err) < 0)
        return -1;
    rc = pbc_relocate(&m, "/root", &ops, &err);
    pbc_env_ops_free(&ops);
    if (rc == 0)
        rc = pbc_manifest_add_meta(&m, false, &none, &err);
    pbc_manifest_free(&m);
    return rc;
}

static void manifests_of_what_was_found(void **state)
{
    (void)state;
    each_allocation_fails(found);
}

static int no_nodes(void)
{
    static const char text[] = "pbcast-manifest=1\nset=" SET "\n";
    struct pbc_manifest m;

    if (pbc_manifest_parse(text, strlen(text), &m, &err) < 0)
        return -1;
    pbc_manifest_free(&m);
    return 0;
}

static void manifests_without_nodes(void **state)
{
    (void)state;
    each_allocation_fails(no_nodes);
}

static int metas(void)
{
    static const char text[] = "pbcast-bundle=1\norigin=/o\nset=A=b\nunset=C\nplaceholder=/opt/x\n"
                               "rewrite=text a\nrewrite=text b\nrewrite=text c\n";
    struct pbc_meta m;
    char *again;
    size_t len;

    if (pbc_meta_parse(text, strlen(text), &m, &err) < 0)
        return -1;
    again = pbc_meta_format(&m, &len, &err);
    pbc_meta_free(&m);
    free(again);
    return again == NULL ? -1 : 0;
}

static void configurations_of_bundles(void **state)
{
    (void)state;
    each_allocation_fails(metas);
}

static char lib[] = "lib";

static int relocation(void)
{
    const struct pbc_manifest python = {.profile = PBC_PROFILE_PYTHON,
                                        .python = "3.11",
                                        .lib = {1, {lib}}},
                              generic = {.lib = {1, {lib}}};
    struct pbc_env_ops ops;
    char *value;

    if (pbc_relocate(&python, "/root", &ops, &err) < 0)
        return -1;
    pbc_env_ops_free(&ops);
    if (pbc_relocate(&generic, "/root", &ops, &err) < 0) {
        assert_int_equal(ops.count, 0);
        return -1;
    }
    pbc_env_ops_free(&ops);
    for (int i = 0; i < 3; i++) {
        static const char *const old[] = {NULL, "", "/x"};

        value = pbc_env_prepend("/a", old[i]);
        if (value == NULL)
            return pbc_fail(&err, PBC_EXIT_FAILED, "no memory");
        free(value);
    }
    return 0;
}

static void relocations(void **state)
{
    (void)state;
    each_allocation_fails(relocation);
}

static char store[256];

static void count(uint32_t job, void *arg)
{
    (void)job;
    ++*(int *)arg;
}

static int store_listed(void)
{
    int n = 0;

    return pbc_store_each(store, count, &n, &err) < 0 ? -1 : 0;
}

static void listing_a_store(void **state)
{
    snprintf(store, sizeof(store), "%s/store", (char *)*state);
    for (uint32_t job = 1; job <= 100; job++)
        assert_int_equal(pbc_store_make(store, job, geteuid(), getegid(), &err), 0);
    each_allocation_fails(store_listed);
}

static int removal(void)
{
    char path[300];
    int fd = open(store, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;

    snprintf(path, sizeof(path), "%s/t", store);
    mkdir(path, 0700);
    strcat(path, "/a");
    mkdir(path, 0700);
    strcat(path, "/b");
    mkdir(path, 0700);
    rc = pbc_remove_tree(fd, "t", &err);
    if (rc == 0)
        assert_int_equal(faccessat(fd, "t", F_OK, 0), -1);
    close(fd);
    /* a second look may have made up for what failed */
    return rc == 0 && failed ? pbc_fail(&err, PBC_EXIT_FAILED, "in the end it went") : rc;
}

static void removing_a_tree(void **state)
{
    (void)state;
    each_allocation_fails(removal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_of_bundles),
        cmocka_unit_test(manifests_read_and_written),
        cmocka_unit_test(manifests_without_nodes),
        cmocka_unit_test(manifests_of_what_was_found),
        cmocka_unit_test(relocations),
        cmocka_unit_test(configurations_of_bundles),
        cmocka_unit_test(the_sites_catalogue),
        cmocka_unit_test(listing_a_store),
        cmocka_unit_test(removing_a_tree),
    };

    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
