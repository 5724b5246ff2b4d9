/* The writer: files, directories, what overlays what, modes, times, holes, limits. */
#include "engine_support.h"

#include "writer.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct place {
    char *dir;
    int root;
    struct pbc_writer_limits limits;
    struct pbc_writer *w;
    struct pbc_error err;
};

static int setup(void **state)
{
    struct place *p = calloc(1, sizeof(*p));
    void *dir = NULL;

    umask(022);
    if (p == NULL || scratch_setup(&dir) != 0)
        return -1;
    p->dir = dir;
    p->limits = (struct pbc_writer_limits){.entries = 100};
    make_dir(in(dir, "tree"), 0755);
    p->root = open(in(dir, "tree"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    p->w = pbc_writer_new(p->root, &p->limits);
    *state = p;
    return p->w != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    struct place *p = *state;
    void *dir = p->dir;
    int rc;

    pbc_writer_free(p->w);
    close(p->root);
    rc = scratch_teardown(&dir);
    free(p);
    return rc;
}

static void new_limits(struct place *p, struct pbc_writer_limits limits)
{
    pbc_writer_free(p->w);
    p->w = pbc_writer_new(p->root, &limits);
}

static int file(struct place *p, const char *name, unsigned mode, const char *text)
{
    struct timespec t = {.tv_sec = 1234567890, .tv_nsec = 123456789};

    if (pbc_writer_file(p->w, name, mode, strlen(text), &p->err) != 0 ||
        pbc_writer_data(p->w, 0, text, strlen(text), &p->err) != 0)
        return -1;
    return pbc_writer_close(p->w, t, &p->err);
}

static int dir(struct place *p, const char *name, unsigned mode)
{
    return pbc_writer_dir(p->w, name, mode, &p->err);
}

static struct stat look(struct place *p, const char *name)
{
    struct stat st;

    if (fstatat(p->root, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        fail_msg("%s is not there", name);
    return st;
}

/* ---- files and directories ---- */

static void files_have_their_content_time_and_directories(void **state)
{
    struct place *p = *state;
    struct stat st;
    char *text;

    assert_int_equal(file(p, "a/b/c", 0644, "hello"), 0);
    assert_int_equal(file(p, "a/b/empty", 0644, ""), 0);
    text = slurp(in(p->dir, "tree/a/b/c"));
    assert_string_equal(text, "hello");
    free(text);
    st = look(p, "a/b/c");
    assert_int_equal(st.st_mtim.tv_sec, 1234567890);
    assert_int_equal(st.st_mtim.tv_nsec, 123456789);
    assert_int_equal(look(p, "a/b/empty").st_size, 0);
    assert_int_equal(look(p, "a/b").st_mode & 07777, 0755);
    assert_int_equal(st.st_uid, geteuid());
}

static void modes_lose_what_others_could_write(void **state)
{
    static const struct {
        unsigned asked, file, dir;
    } modes[] = {
        {0644, 0644, 0744}, {0755, 0755, 0755}, {0777, 0755, 0755},  {0666, 0644, 0744},
        {0000, 0400, 0700}, {0200, 0600, 0700}, {01777, 0755, 0755}, {0555, 0555, 0755},
    };
    struct place *p = *state;

    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        char name[16];

        snprintf(name, sizeof(name), "f%zu", i);
        assert_int_equal(file(p, name, modes[i].asked, "x"), 0);
        assert_int_equal(look(p, name).st_mode & 07777, modes[i].file);
        snprintf(name, sizeof(name), "d%zu", i);
        assert_int_equal(dir(p, name, modes[i].asked), 0);
        assert_int_equal(look(p, name).st_mode & 07777, modes[i].dir);
    }
    assert_int_equal(file(p, "late/x", 0644, "x"), 0); /* before its directory */
    assert_int_equal(dir(p, "late", 0700), 0);
    assert_int_equal(look(p, "late").st_mode & 07777, 0700);
}

static void setuid_and_setgid_files_are_refused(void **state)
{
    struct place *p = *state;

    assert_int_equal(file(p, "su", 04755, "x"), -1);
    assert_error(&p->err, PBC_EXIT_REFUSED, "su", "setuid");
    assert_int_equal(file(p, "sg", 02755, "x"), -1);
    assert_error(&p->err, PBC_EXIT_REFUSED, "sg", "setgid");
    assert_false(exists(in(p->dir, "tree/su")));
    assert_int_equal(dir(p, "shared", 02775), 0); /* of a directory the bit is dropped */
    assert_int_equal(look(p, "shared").st_mode & 07777, 0755);
}

static void hostile_names_are_refused_for_every_kind_of_member(void **state)
{
    static const char *const names[] = {"", "/abs", "..", "../x", "a/../../x"};
    struct place *p = *state;

    assert_int_equal(file(p, "f", 0644, "x"), 0);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *n = names[i];

        if (file(p, n, 0644, "x") == 0 || dir(p, n, 0755) == 0 ||
            pbc_writer_symlink(p->w, n, "f", &p->err) == 0 ||
            pbc_writer_hardlink(p->w, n, "f", &p->err) == 0 ||
            pbc_writer_hardlink(p->w, "h", n, &p->err) == 0)
            fail_msg("'%s' is accepted", n);
        assert_int_equal(p->err.code, PBC_EXIT_REFUSED);
    }
    assert_false(exists(in(p->dir, "x")));
}

static void the_tree_itself_is_a_directory_and_stays_one(void **state)
{
    struct place *p = *state;
    unsigned mode = look(p, ".").st_mode;

    assert_int_equal(dir(p, "./", 0700), 0);
    assert_int_equal(look(p, ".").st_mode, mode);
    assert_int_equal(file(p, ".", 0644, "x"), -1);
    assert_error(&p->err, PBC_EXIT_REFUSED, "in place of the tree");
    assert_int_equal(pbc_writer_symlink(p->w, "././", "x", &p->err), -1);
    assert_error(&p->err, PBC_EXIT_REFUSED, "in place of the tree");
}

static void parts_of_a_name_may_be_as_long_as_the_file_system_has_it(void **state)
{
    struct place *p = *state;
    char name[2 * NAME_MAX + 4];

    memset(name, 'n', sizeof(name));
    name[NAME_MAX] = '\0';
    assert_int_equal(file(p, name, 0644, "x"), 0);
    name[NAME_MAX] = 'n';
    name[NAME_MAX + 1] = '\0';
    assert_int_equal(file(p, name, 0644, "x"), -1);
    assert_int_equal(p->err.code, PBC_EXIT_REFUSED);
    name[NAME_MAX + 1] = '/';
    name[NAME_MAX + 3] = '\0';
    assert_int_equal(file(p, name, 0644, "x"), -1);
    assert_int_equal(p->err.code, PBC_EXIT_REFUSED);
}

/* ---- overlays ---- */

static void a_later_file_replaces_an_earlier_one(void **state)
{
    struct place *p = *state;
    char text[16] = "";
    int old;

    assert_int_equal(file(p, "f", 0444, "a longer text"), 0);
    old = openat(p->root, "f", O_RDONLY | O_CLOEXEC);
    assert_int_equal(file(p, "f", 0755, "short"), 0);
    assert_int_equal(look(p, "f").st_size, 5);
    assert_int_equal(look(p, "f").st_mode & 07777, 0755);
    assert_int_equal(read(old, text, sizeof(text)), 13); /* who has it open keeps it */
    assert_string_equal(text, "a longer text");
    close(old);
}

static void a_directory_replaces_a_file_but_never_the_reverse(void **state)
{
    struct place *p = *state;

    assert_int_equal(file(p, "f", 0644, "x"), 0);
    assert_int_equal(dir(p, "f", 0755), 0);
    assert_int_equal(file(p, "f/below", 0644, "x"), 0);
    assert_int_equal(file(p, "f", 0644, "x"), -1);
    assert_error(&p->err, PBC_EXIT_REFUSED, "'f' is a directory");
    assert_int_equal(pbc_writer_symlink(p->w, "f", "below", &p->err), -1);
    assert_error(&p->err, PBC_EXIT_REFUSED, "'f' is a directory");
    assert_int_equal(dir(p, "empty", 0755), 0);
    assert_int_equal(file(p, "empty", 0644, "x"), -1);
    assert_int_equal(p->err.code, PBC_EXIT_REFUSED);
}

static void a_directory_over_a_link_keeps_a_link_to_a_directory_only(void **state)
{
    struct place *p = *state;

    assert_int_equal(dir(p, "lib", 0755), 0);
    assert_int_equal(file(p, "f", 0644, "x"), 0);
    assert_int_equal(pbc_writer_symlink(p->w, "lib64", "lib", &p->err), 0);
    assert_int_equal(pbc_writer_symlink(p->w, "to-f", "f", &p->err), 0);
    assert_int_equal(pbc_writer_symlink(p->w, "gone", "nothing", &p->err), 0);
    assert_int_equal(dir(p, "lib64", 0700), 0);
    assert_int_equal(dir(p, "to-f", 0755), 0);
    assert_int_equal(dir(p, "gone", 0755), 0);
    assert_true(S_ISLNK(look(p, "lib64").st_mode));
    assert_int_equal(look(p, "lib").st_mode & 07777, 0755);
    assert_true(S_ISDIR(look(p, "to-f").st_mode));
    assert_true(S_ISDIR(look(p, "gone").st_mode));
}

/* ---- data ---- */

static void holes_stay_holes(void **state)
{
    const uint64_t size = 3ull << 30; /* more than 32 bits of offset would do for */
    struct timespec t = {0};
    struct place *p = *state;
    struct stat st;
    char buf[4] = "";
    int fd;

    assert_int_equal(pbc_writer_file(p->w, "sparse", 0644, size, &p->err), 0);
    assert_int_equal(pbc_writer_data(p->w, 4096, "one", 3, &p->err), 0);
    assert_int_equal(pbc_writer_data(p->w, size - 4096, "two", 3, &p->err), 0);
    assert_int_equal(pbc_writer_close(p->w, t, &p->err), 0);
    st = look(p, "sparse");
    assert_true((uint64_t)st.st_size == size);
    assert_in_range(st.st_blocks, 1, 1024);
    fd = openat(p->root, "sparse", O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fd, buf, 3, (off_t)(size - 4096)), 3);
    assert_string_equal(buf, "two");
    close(fd);
    assert_int_equal(pbc_writer_file(p->w, "hole", 0644, size, &p->err), 0); /* nothing else */
    assert_int_equal(pbc_writer_close(p->w, t, &p->err), 0);
    assert_true((uint64_t)look(p, "hole").st_size == size);
}

static void data_beyond_the_size_is_refused(void **state)
{
    struct place *p = *state;

    assert_int_equal(pbc_writer_file(p->w, "f", 0644, 4, &p->err), 0);
    assert_int_equal(pbc_writer_data(p->w, 0, "12345", 5, &p->err), -1);
    assert_error(&p->err, PBC_EXIT_REFUSED, "'f'", "4 bytes");
    assert_int_equal(pbc_writer_data(p->w, 4, "5", 1, &p->err), -1);
    assert_int_equal(pbc_writer_data(p->w, UINT64_MAX, "5", 1, &p->err), -1);
    assert_int_equal(pbc_writer_data(p->w, 5, "", 0, &p->err), -1);
    assert_int_equal(pbc_writer_data(p->w, 0, "1234", 4, &p->err), 0);
}

/* ---- limits ---- */

static void the_limit_of_bytes_is_exact_and_counts_holes(void **state)
{
    struct place *p = *state;

    new_limits(p, (struct pbc_writer_limits){.bytes = 10, .entries = 100});
    assert_int_equal(file(p, "a", 0644, "1234"), 0);
    assert_int_equal(file(p, "a", 0644, "1234"), 0); /* an overlay counts as well */
    assert_int_equal(file(p, "b", 0644, "123"), -1);
    assert_error(&p->err, PBC_EXIT_REFUSED, "'b'", "3 bytes", "10 bytes");
    assert_int_equal(file(p, "b", 0644, "12"), 0);
    assert_int_equal(file(p, "empty", 0644, ""), 0);
    assert_int_equal(pbc_writer_file(p->w, "c", 0644, 1, &p->err), -1);
    assert_int_equal(pbc_writer_file(p->w, "c", 0644, UINT64_MAX, &p->err), -1);
}

static void the_limit_of_entries_counts_every_kind(void **state)
{
    struct place *p = *state;
    struct pbc_writer_count count;

    new_limits(p, (struct pbc_writer_limits){.entries = 5});
    assert_int_equal(dir(p, ".", 0755), 0);
    assert_int_equal(dir(p, "d", 0755), 0);
    assert_int_equal(file(p, "f", 0644, "123"), 0);
    assert_int_equal(pbc_writer_symlink(p->w, "s", "f", &p->err), 0);
    assert_int_equal(pbc_writer_hardlink(p->w, "h", "f", &p->err), 0);
    assert_int_equal(file(p, "more", 0644, "x"), -1);
    assert_error(&p->err, PBC_EXIT_REFUSED, "'more'", "5");
    pbc_writer_counts(p->w, &count);
    assert_int_equal(count.files, 3);
    assert_int_equal(count.bytes, 3);
    assert_false(exists(in(p->dir, "tree/more")));
}

static void a_file_that_is_open_is_closed_when_the_writer_is_freed(void **state)
{
    struct place *p = *state;
    int next = dup(p->root);

    close(next);
    assert_int_equal(pbc_writer_file(p->w, "d/e/f", 0644, 4, &p->err), 0);
    pbc_writer_free(p->w);
    p->w = NULL;
    assert_int_equal(dup(p->root), next);
    close(next);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(files_have_their_content_time_and_directories),
        TEST(modes_lose_what_others_could_write),
        TEST(setuid_and_setgid_files_are_refused),
        TEST(hostile_names_are_refused_for_every_kind_of_member),
        TEST(the_tree_itself_is_a_directory_and_stays_one),
        TEST(parts_of_a_name_may_be_as_long_as_the_file_system_has_it),
        TEST(a_later_file_replaces_an_earlier_one),
        TEST(a_directory_replaces_a_file_but_never_the_reverse),
        TEST(a_directory_over_a_link_keeps_a_link_to_a_directory_only),
        TEST(holes_stay_holes),
        TEST(data_beyond_the_size_is_refused),
        TEST(the_limit_of_bytes_is_exact_and_counts_holes),
        TEST(the_limit_of_entries_counts_every_kind),
        TEST(a_file_that_is_open_is_closed_when_the_writer_is_freed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
