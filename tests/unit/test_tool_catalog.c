/* pbcast catalog: what it prints, what it writes, how it ends. */
#include "support.h"

#include "bundle.h"
#include "catalog_file.h"
#include "cmd_catalog.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD     "pbcast-catalog=1\n"
#define GZIP     "\x1f\x8b\x08\0\0\0\0\0\0\3\3\0\0\0\0\0\0\0\0\0"
#define GZIP_LEN 20

static const char *dir;
static char said[65536];

static char *slurp(const char *path)
{
    static char text[65536];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;

    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

static char *words[24];
static int nwords;

static int child(void *arg)
{
    int fd = open(in(dir, "said"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    int rc;

    (void)arg;
    dup2(fd, 1);
    dup2(fd, 2);
    rc = pbc_cmd_catalog(nwords, words);
    fflush(stdout);
    return rc;
}

static const char *name; /* of the catalogue, if not its whole path */

/* pbcast catalog -f <dir>/catalog, and what follows up to NULL. */
static int catalog(const char *word, ...)
{
    va_list ap;
    int rc;

    nwords = 0;
    words[nwords++] = strdup("catalog");
    words[nwords++] = strdup("-f");
    words[nwords++] = strdup(name != NULL ? name : in(dir, "catalog"));
    va_start(ap, word);
    for (; word != NULL; word = va_arg(ap, const char *))
        words[nwords++] = strdup(word);
    va_end(ap);
    words[nwords] = NULL;
    rc = in_child(child, NULL);
    for (int i = 0; i < nwords; i++)
        free(words[i]);
    strcpy(said, slurp(in(dir, "said")));
    return rc;
}

static void says(const char *text)
{
    if (strstr(said, text) == NULL)
        fail_msg("it has not said '%s' but '%s'", text, said);
}

static int setup(void **state)
{
    dir = *state;
    if (dir == NULL)
        return 0;
    unlink(in(dir, "catalog"));
    unlink(in(dir, "catalog.new"));
    make_file(in(dir, "a.tar.gz"), GZIP, GZIP_LEN);
    make_file(in(dir, "b.tar.gz"), GZIP "x", GZIP_LEN + 1);
    return 0;
}

static void what_is_added_is_listed_shown_and_good(void **state)
{
    struct stat st;

    if (*state == NULL)
        skip();
    assert_int_equal(
        catalog("add", "--description", "Python & more", "python/3.11", in(dir, "a.tar.gz"), NULL),
        0);
    assert_string_equal(said, "");
    assert_int_equal(stat(in(dir, "catalog"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    assert_int_equal(catalog("add", "--default-in", "gpu,fast", "--profile", "conda", "python/3.12",
                             in(dir, "b.tar.gz"), NULL),
                     0);
    assert_int_equal(catalog("list", NULL), 0);
    says("python/3.11 Python & more\n");
    says("python/3.12 (default in gpu,fast)");
    assert_int_equal(catalog("list", "python/3.12", NULL), 0);
    assert_null(strstr(said, "3.11"));
    assert_int_equal(catalog("show", "python/3.12", NULL), 0);
    says("bundle=python/3.12\npath=");
    says("\nprofile=conda\n");
    says("\ndefault-in=gpu,fast\n");
    assert_int_equal(catalog("verify", NULL), 0);
    says("python/3.11: good\npython/3.12: good\n");
}

static void the_default_moves(void **state)
{
    if (*state == NULL)
        skip();
    make_file(in(dir, "catalog"), "# ours\n" HEAD, strlen("# ours\n" HEAD));
    assert_int_equal(catalog("add", "--default", "python/1", in(dir, "a.tar.gz"), NULL), 0);
    assert_int_equal(catalog("add", "--default", "py/1", in(dir, "a.tar.gz"), NULL), 0);
    assert_int_equal(catalog("add", "--default", "python/2", in(dir, "a.tar.gz"), NULL), 0);
    assert_int_equal(catalog("list", NULL), 0);
    says("python/1 \n");
    says("py/1     (default) \n");
    says("python/2 (default) \n");
    assert_non_null(strstr(slurp(in(dir, "catalog")), "# ours\n"));
    assert_int_equal(catalog("show", "python", NULL), 0);
    says("bundle=python/2\n");
}

/* One line, and `text` in it. */
static void refused(const char *text)
{
    if (strncmp(said, "pbcast: error: ", 15) != 0 || strchr(said, '\n')[1] != '\0')
        fail_msg("not one error line: %s", said);
    says(text);
}

static void refusals_leave_the_catalogue_as_it_is(void **state)
{
    char before[65536];

    if (*state == NULL)
        skip();
    assert_int_equal(catalog("add", "python/1", in(dir, "a.tar.gz"), NULL), 0);
    strcpy(before, slurp(in(dir, "catalog")));
    assert_int_equal(catalog("add", "python/1", in(dir, "a.tar.gz"), NULL), 3);
    refused("has python/1 already: add another version");
    assert_int_equal(catalog("add", "python/2", in(dir, "missing"), NULL), 3);
    refused("missing");
    assert_int_equal(catalog("add", "python/2", in(dir, "catalog"), NULL), 3);
    refused("is not an archive");
    assert_int_equal(catalog("add", "a;b/2", in(dir, "a.tar.gz"), NULL), 2);
    assert_int_equal(catalog("add", "python", in(dir, "a.tar.gz"), NULL), 2);
    assert_int_equal(catalog("add", "--profile", "cobol", "a/2", in(dir, "a.tar.gz"), NULL), 3);
    refused("is left as it is; with the new entry: line");
    assert_int_equal(catalog("add", "--default-in", "a b", "a/2", in(dir, "a.tar.gz"), NULL), 3);
    assert_int_equal(
        catalog("add", "--description", "a\nset=PATH=x", "a/2", in(dir, "a.tar.gz"), NULL), 2);
    make_file(in(dir, "catalog.new"), "", 0);
    assert_int_equal(catalog("add", "python/2", in(dir, "a.tar.gz"), NULL), 1);
    refused("catalog.new exists");
    assert_string_equal(slurp(in(dir, "catalog")), before);
    assert_int_equal(catalog("show", "pyton", NULL), 3);
    refused("near it are python/1");
    assert_int_equal(catalog("list", "pyton", NULL), 3);
    assert_int_equal(catalog("verify", "pyton", NULL), 3);
    assert_int_equal(catalog("frobnicate", NULL), 2);
    assert_int_equal(catalog("list", "--default", NULL), 2);
    assert_int_equal(catalog(NULL, NULL), 2);
    unlink(in(dir, "catalog"));
    assert_int_equal(catalog("list", NULL), 1);
    refused("No such file");
    make_file(in(dir, "catalog"), "x", 1);
    assert_int_equal(catalog("list", NULL), 1);
    refused("line 1 is not key=value");
}

static void what_is_removed_is_gone_and_all_else_stays(void **state)
{
    static const char before[] = "# ours\n" HEAD "\n# the first\n";

    if (*state == NULL)
        skip();
    make_file(in(dir, "catalog"), before, strlen(before));
    assert_int_equal(catalog("add", "python/3.1", in(dir, "a.tar.gz"), NULL), 0);
    assert_int_equal(catalog("add", "--default", "python/3.11", in(dir, "a.tar.gz"), NULL), 0);
    assert_int_equal(catalog("add", "py/3.1", in(dir, "b.tar.gz"), NULL), 0);
    assert_int_equal(catalog("remove", "python/3.1", NULL), 0);
    assert_string_equal(said, "");
    assert_int_equal(strncmp(slurp(in(dir, "catalog")), before, strlen(before)), 0);
    assert_int_equal(catalog("list", NULL), 0);
    assert_string_equal(said, "python/3.11 (default) \npy/3.1      \n");
    assert_int_equal(access(in(dir, "a.tar.gz"), F_OK), 0);
    assert_int_equal(catalog("remove", "python/3.1", NULL), 3);
    refused("near it are python/3.11");
    assert_int_equal(catalog("remove", "python", NULL), 2);
    refused("remove takes one NAME/VERSION");
    assert_int_equal(catalog("remove", "--default", "python/3.11", NULL), 2);
    assert_int_equal(catalog("remove", "py/3.1", NULL), 0);
    assert_int_equal(catalog("remove", "python/3.11", NULL), 0);
    assert_int_equal(catalog("list", NULL), 0);
    assert_string_equal(said, "");
    assert_int_equal(catalog("add", "python/3.11", in(dir, "a.tar.gz"), NULL), 0);
}

/* What comments belong to only their author knows. */
static void comments_outlive_the_entry_they_stand_in(void **state)
{
    static const char text[] = HEAD "bundle=a/1\n# why\npath=/a\n\n# b\nbundle=b/1\npath=/b";
    char *kept;

    (void)state;
    kept = pbc_catalog_without_entry(text, "a/1");
    assert_string_equal(kept, HEAD "# why\n# b\nbundle=b/1\npath=/b");
    free(kept);
    kept = pbc_catalog_without_entry(text, "b/1");
    assert_string_equal(kept, HEAD "bundle=a/1\n# why\npath=/a\n\n# b\n");
    free(kept);
}

/* Between reading the catalogue and replacing it lies the reading of a bundle, which takes a while.
 */
static void what_another_has_added_meanwhile_is_not_lost(void **state)
{
    struct pbc_error err;

    (void)state;
    make_file(in(dir, "catalog"), HEAD "# another's\n", strlen(HEAD "# another's\n"));
    assert_int_equal(pbc_catalog_replace(in(dir, "catalog"), HEAD, HEAD "# mine\n", &err), -1);
    assert_error(&err, PBC_EXIT_FAILED, "catalog", "changed meanwhile: try again");
    assert_string_equal(slurp(in(dir, "catalog")), HEAD "# another's\n");
    assert_int_equal(pbc_catalog_replace(in(dir, "catalog"), NULL, HEAD "# mine\n", &err), -1);
    assert_error(&err, PBC_EXIT_FAILED, "catalog", "changed meanwhile: try again");
    assert_int_equal(unlink(in(dir, "catalog")), 0);
    assert_int_equal(pbc_catalog_replace(in(dir, "catalog"), HEAD, HEAD "# mine\n", &err), -1);
    assert_int_equal(access(in(dir, "catalog"), F_OK), -1);
    assert_int_equal(access(in(dir, "catalog.new"), F_OK), -1);
    assert_int_equal(pbc_catalog_replace(in(dir, "catalog"), NULL, HEAD "# mine\n", &err), 0);
    assert_string_equal(slurp(in(dir, "catalog")), HEAD "# mine\n");
}

static void a_catalogue_that_cannot_be_read_whole_is_left_as_it_is(void **state)
{
    static const char text[] = HEAD "# one\n\0# two\n";
    static char large[2 << 20];
    struct stat st;

    (void)state;
    make_file(in(dir, "b.tgz"), GZIP, GZIP_LEN);
    make_file(in(dir, "catalog"), text, sizeof(text) - 1);
    assert_int_equal(catalog("add", "a/1", in(dir, "b.tgz"), NULL), 1);
    says("has a NUL byte");
    assert_int_equal(stat(in(dir, "catalog"), &st), 0);
    assert_int_equal(st.st_size, sizeof(text) - 1);
    memset(large, '\n', sizeof(large));
    make_file(in(dir, "catalog"), large, sizeof(large));
    assert_int_equal(catalog("add", "a/1", in(dir, "b.tgz"), NULL), 1);
    says("is longer than");
    assert_int_equal(stat(in(dir, "catalog"), &st), 0);
    assert_int_equal(st.st_size, sizeof(large));
}

static void verify_finds_what_is_wrong(void **state)
{
    if (*state == NULL)
        skip();
    assert_int_equal(catalog("add", "a/1", in(dir, "a.tar.gz"), NULL), 0);
    assert_int_equal(catalog("add", "b/1", in(dir, "b.tar.gz"), NULL), 0);
    make_file(in(dir, "a.tar.gz"), GZIP "changed", GZIP_LEN + 7);
    assert_int_equal(catalog("verify", NULL), 3);
    says("a/1: ");
    says("has the digest ");
    says("b/1: good\n");
    assert_int_equal(catalog("verify", "b", NULL), 0);
    assert_int_equal(chdir(dir), 0);
    name = "catalog";
    assert_int_equal(catalog("verify", "b", NULL), 0);
    name = NULL;
    unlink(in(dir, "a.tar.gz"));
    assert_int_equal(catalog("verify", "a/1", NULL), 3);
    says("No such file");
    assert_int_equal(chmod(in(dir, "catalog"), 0666), 0);
    assert_int_equal(catalog("verify", "b", NULL), 1);
    says("can be written by others");
}

static void a_catalogue_behind_a_link_is_changed_there(void **state)
{
    struct stat st;

    if (*state == NULL)
        skip();
    make_file(in(dir, "real"), HEAD, strlen(HEAD));
    assert_int_equal(chmod(in(dir, "real"), 0640), 0);
    assert_int_equal(symlink("real", in(dir, "catalog")), 0);
    assert_int_equal(catalog("add", "a/1", in(dir, "a.tar.gz"), NULL), 0);
    assert_int_equal(lstat(in(dir, "catalog"), &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(stat(in(dir, "real"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_non_null(strstr(slurp(in(dir, "real")), "bundle=a/1\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_is_added_is_listed_shown_and_good, setup),
        cmocka_unit_test_setup(the_default_moves, setup),
        cmocka_unit_test_setup(refusals_leave_the_catalogue_as_it_is, setup),
        cmocka_unit_test_setup(what_is_removed_is_gone_and_all_else_stays, setup),
        cmocka_unit_test_setup(comments_outlive_the_entry_they_stand_in, setup),
        cmocka_unit_test_setup(what_another_has_added_meanwhile_is_not_lost, setup),
        cmocka_unit_test_setup(a_catalogue_that_cannot_be_read_whole_is_left_as_it_is, setup),
        cmocka_unit_test_setup(verify_finds_what_is_wrong, setup),
        cmocka_unit_test_setup(a_catalogue_behind_a_link_is_changed_there, setup),
    };

    return cmocka_run_group_tests(tests, root_scratch_setup, scratch_teardown);
}
