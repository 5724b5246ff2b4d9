/* From chunks of archives to files: everything that bundles may hold, in every format. */
#include "engine_support.h"

#include <fcntl.h>
#include <locale.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const enum pbc_format formats[] = {PBC_FORMAT_TAR, PBC_FORMAT_GZIP, PBC_FORMAT_BZIP2,
                                          PBC_FORMAT_XZ,  PBC_FORMAT_ZSTD, PBC_FORMAT_LZ4};
#define NFORMATS (sizeof(formats) / sizeof(formats[0]))

static void run(const char *dir, const char *command)
{
    char line[1024];

    snprintf(line, sizeof(line), "cd '%s' && umask 022 && %s", dir, command);
    assert_int_equal(system(line), 0);
}

/* An archive by the system's tar of what `make` puts in a directory. */
static void by_tar(struct unpacking *p, const char *options, const char *make, struct bytes *tar)
{
    char line[256];
    char buf[65536];
    int fd;
    ssize_t n;

    if (!exists(in(p->dir, "source"))) {
        make_dir(in(p->dir, "source"), 0755);
        run(in(p->dir, "source"), make);
    }
    snprintf(line, sizeof(line), "tar %s -cf ../made.tar .", options);
    run(in(p->dir, "source"), line);
    fd = open(in(p->dir, "made.tar"), O_RDONLY | O_CLOEXEC);
    while ((n = read(fd, buf, sizeof(buf))) > 0)
        bytes_add(tar, buf, (size_t)n);
    close(fd);
}

static void empty_tree(struct unpacking *p)
{
    run(p->dir, "find tree -mindepth 1 -delete");
}

#define SOME_TREE                                                                                  \
    "mkdir -p bin lib/python3/site; echo '#!' >bin/python3; chmod 755 bin/python3; "               \
    "ln -s python3 bin/python; ln bin/python3 bin/python3.9; : >lib/empty; "                       \
    "head -c 300000 /dev/urandom >lib/random; yes text | head -c 500000 >lib/python3/text; "       \
    "echo x >lib/python3/site/a.py; touch -d @1000000000 lib/python3/site/a.py; mkdir lib/none; "  \
    "ln -s ../../lib lib/python3/up; chmod 600 lib/empty; chmod 700 lib/none; "                    \
    "echo u >\"$(printf 'lib/\\303\\251\\344\\270\\255')\"; "                                      \
    "n=$(printf 'n%.0s' $(seq 200)); mkdir $n; echo l >$n/$n; ln -s $n/$n long; ln $n/$n hard"

static void a_tree_comes_out_as_it_went_in_from_every_format(void **state)
{
    static const char *const options[] = {"--format=gnu", "--format=pax"};
    struct unpacking *p = *state;

    for (size_t o = 0; o < 2; o++) {
        for (size_t f = 0; f < NFORMATS; f++) {
            struct bytes tar = {0};

            by_tar(p, options[o], SOME_TREE, &tar);
            p->piece = f % 2 == 0 ? 5000 : 1 << 18;
            if (unpack_tar(p, formats[f], &tar) != 0)
                fail_msg("%s, %s: %s", options[o], pbc_format_name(formats[f]), p->err.text);
            assert_same_tree(in(p->dir, "source"), in(p->dir, "tree"));
            empty_tree(p);
        }
    }
}

static void sparse_files_stay_sparse(void **state)
{
    static const char *const options[] = {"-S --format=gnu", "-S --format=pax",
                                          "-S --format=pax --sparse-version=0.1"};
    struct unpacking *p = *state;

    for (size_t o = 0; o < 3; o++) {
        struct bytes tar = {0};
        struct stat st;

        by_tar(p, options[o],
               "truncate -s 3G big; printf x | dd of=big bs=1 seek=2500000000 conv=notrunc 2>&-; "
               "truncate -s 1M hole; printf start >both; truncate -s 300K both; printf end >>both",
               &tar);
        assert_in_range(tar.len, 1, 1 << 20);
        if (unpack_tar(p, PBC_FORMAT_GZIP, &tar) != 0)
            fail_msg("%s: %s", options[o], p->err.text);
        run(p->dir, "cmp source/big tree/big && cmp source/hole tree/hole && "
                    "cmp source/both tree/both");
        assert_int_equal(stat(in(p->dir, "tree/big"), &st), 0);
        assert_in_range(st.st_blocks, 1, 4096);
        empty_tree(p);
    }
}

static void names_are_bytes_whatever_their_encoding(void **state)
{
    struct unpacking *p = *state;
    struct bytes tar = {0};
    char *text;

    tar_add(&tar, (struct member){.name = "latin\xe9", .data = "1", .len = 1});
    tar_add(&tar, (struct member){.name = "utf\xc3\xa9", .data = "2", .len = 1});
    tar_pax(&tar, "path", "pax\xc3\xa9", 5);
    tar_add(&tar, (struct member){.name = "other", .data = "3", .len = 1});
    tar_pax(&tar, "path", "paxlatin\xe9", 9);
    tar_add(&tar, (struct member){.name = "other", .data = "4", .len = 1});
    tar_pax(&tar, "linkpath", "pax\xc3\xa9", 5);
    tar_add(&tar, (struct member){.name = "hard", .type = '1', .link = "x"});
    tar_add(&tar, (struct member){.name = "sym", .type = '2', .link = "latin\xe9"});
    tar_end(&tar);
    assert_int_equal(unpack_tar(p, PBC_FORMAT_TAR, &tar), 0);
    assert_true(exists(in(p->dir, "tree/latin\xe9")));
    assert_true(exists(in(p->dir, "tree/utf\xc3\xa9")));
    assert_true(exists(in(p->dir, "tree/pax\xc3\xa9")));
    assert_true(exists(in(p->dir, "tree/paxlatin\xe9")));
    text = slurp(in(p->dir, "tree/sym"));
    assert_string_equal(text, "1");
    free(text);
    text = slurp(in(p->dir, "tree/hard"));
    assert_string_equal(text, "3");
    free(text);
}

/* As on a node that has no UTF-8 locale. */
static void names_are_the_same_in_a_locale_without_their_characters(void **state)
{
    struct unpacking *p = *state;
    struct bytes tar = {0};
    char *text;

    setlocale(LC_CTYPE, "C");
    tar_pax(&tar, "path", "\xe4\xb8\xad", 3);
    tar_add(&tar, (struct member){.name = "x", .data = "content", .len = 7});
    tar_pax(&tar, "linkpath", "\xe4\xb8\xad", 3);
    tar_add(&tar, (struct member){.name = "hard", .type = '1', .link = "x"});
    tar_pax(&tar, "linkpath", "\xe4\xb8\xad", 3);
    tar_add(&tar, (struct member){.name = "sym", .type = '2', .link = "x"});
    tar_end(&tar);
    if (unpack_tar(p, PBC_FORMAT_TAR, &tar) != 0)
        fail_msg("%s", p->err.text);
    text = slurp(in(p->dir, "tree/hard"));
    assert_string_equal(text, "content");
    free(text);
    text = slurp(in(p->dir, "tree/sym"));
    assert_string_equal(text, "content");
    free(text);
}

static void long_names_of_pax_and_gnu_are_whole(void **state)
{
    struct unpacking *p = *state;
    struct bytes tar = {0};
    char name[3000];
    char link[200];

    memset(link, 'k', sizeof(link));
    link[sizeof(link) - 1] = '\0';
    for (size_t i = 0; i < sizeof(name); i++)
        name[i] = i % 100 == 99 ? '/' : 'p';
    name[0] = 'x';
    name[sizeof(name) - 1] = '\0';
    tar_pax(&tar, "path", name, strlen(name));
    tar_add(&tar, (struct member){.name = "short", .data = "pax", .len = 3});
    name[0] = 'g';
    tar_gnu_long(&tar, 'L', name);
    tar_add(&tar, (struct member){.name = "short", .data = "gnu", .len = 3});
    tar_gnu_long(&tar, 'L', link);
    tar_gnu_long(&tar, 'K', name);
    tar_add(&tar, (struct member){.name = "short", .type = '1', .link = "short"});
    tar_end(&tar);
    if (unpack_tar(p, PBC_FORMAT_TAR, &tar) != 0)
        fail_msg("%s", p->err.text);
    for (int i = 0; i < 2; i++) {
        char *text = slurp(in(in(p->dir, "tree"), name));

        assert_string_equal(text, i == 0 ? "gnu" : "pax");
        free(text);
        name[0] = 'x';
    }
    assert_true(exists(in(in(p->dir, "tree"), link)));
}

static void later_bundles_overlay_earlier_ones(void **state)
{
    struct unpacking *p = *state;
    struct bundle b[3] = {
        {.format = PBC_FORMAT_GZIP}, {.format = PBC_FORMAT_TAR}, {.format = PBC_FORMAT_XZ}};
    struct bytes tar = {0};
    char *text;

    tar_add(&tar, (struct member){.name = "lib/", .type = '5'});
    tar_add(&tar, (struct member){.name = "lib/a", .data = "1", .len = 1});
    tar_add(&tar, (struct member){.name = "lib/b", .type = '1', .link = "lib/a"});
    tar_add(&tar, (struct member){.name = "lib64", .type = '2', .link = "lib"});
    tar_end(&tar);
    compress_to(b[0].format, tar.data, tar.len, &b[0].archive);
    tar.len = 0;
    tar_add(&tar, (struct member){.name = "lib64/a", .data = "2", .len = 1});
    tar_add(&tar, (struct member){.name = "lib64/c", .data = "2", .len = 1});
    tar_end(&tar);
    compress_to(b[1].format, tar.data, tar.len, &b[1].archive);
    tar.len = 0;
    tar_add(&tar, (struct member){.name = "lib/c", .type = '1', .link = "lib/a"});
    tar_end(&tar);
    compress_to(b[2].format, tar.data, tar.len, &b[2].archive);
    bytes_free(&tar);
    if (unpack_all(p, b, 3) != 0)
        fail_msg("%s", p->err.text);
    text = slurp(in(p->dir, "tree/lib/a"));
    assert_string_equal(text, "2");
    free(text);
    text = slurp(in(p->dir, "tree/lib/b"));
    assert_string_equal(text, "1");
    free(text);
    text = slurp(in(p->dir, "tree/lib/c"));
    assert_string_equal(text, "2");
    free(text);
}

static void what_was_unpacked_is_counted_by_bundle(void **state)
{
    struct unpacking *p = *state;
    struct bundle b[2] = {{.format = PBC_FORMAT_TAR}, {.format = PBC_FORMAT_TAR}};
    struct pbc_writer_count count;
    uint8_t digest[PBC_DIGEST_BYTES];

    tar_add(&b[0].archive, (struct member){.name = "d/", .type = '5'});
    tar_add(&b[0].archive, (struct member){.name = "d/f", .data = "12345", .len = 5});
    tar_end(&b[0].archive);
    tar_add(&b[1].archive, (struct member){.name = "g", .data = "1", .len = 1});
    tar_add(&b[1].archive, (struct member){.name = "h", .type = '2', .link = "g"});
    tar_end(&b[1].archive);
    unpacking_start(p, 2);
    push_archive(p, 0, &b[0], b[0].archive.len);
    push_archive(p, 1, &b[1], b[1].archive.len);
    push_done(p);
    assert_int_equal(unpacking_end(p), 0);
    pbc_unpack_counts(p->u, &count);
    assert_int_equal(count.entries, 4);
    assert_int_equal(count.files, 3);
    assert_int_equal(count.bytes, 6);
    assert_int_equal(pbc_unpack_result(p->u, 0)->files, 1);
    assert_int_equal(pbc_unpack_result(p->u, 1)->files, 2);
    assert_int_equal(pbc_unpack_result(p->u, 1)->archive_bytes, b[1].archive.len);
    assert_string_equal(pbc_unpack_result(p->u, 0)->path, "/bundles/b.tar");
    crypto_generichash(digest, sizeof(digest), b[1].archive.data, b[1].archive.len, NULL, 0);
    assert_memory_equal(pbc_unpack_result(p->u, 1)->digest, digest, sizeof(digest));
    bytes_free(&b[0].archive);
    bytes_free(&b[1].archive);
}

/* The pool is all that the pipeline may hold of a bundle that is many times as large. */
static void a_bundle_many_times_the_pool_goes_through(void **state)
{
    struct unpacking *p = *state;

    for (size_t f = 0; f < NFORMATS; f++) {
        struct bytes tar = {0};

        for (unsigned i = 0; i < 4; i++) {
            struct bytes data = {0};
            char name[16];

            snprintf(name, sizeof(name), "f%u", i);
            bytes_noise(&data, 100000, i);
            tar_add(&tar, (struct member){.name = name, .data = data.data, .len = data.len});
            bytes_free(&data);
        }
        tar_end(&tar);
        p->piece = 1000;
        p->pool = 3;
        if (unpack_tar(p, formats[f], &tar) != 0)
            fail_msg("%s: %s", pbc_format_name(formats[f]), p->err.text);
        empty_tree(p);
    }
}

static void what_follows_the_end_of_an_archive_is_ignored(void **state)
{
    struct unpacking *p = *state;
    struct bytes tar = {0};

    tar_add(&tar, (struct member){.name = "f", .data = "1", .len = 1});
    tar_end(&tar);
    bytes_fill(&tar, 0, 200000);
    assert_int_equal(unpack_tar(p, PBC_FORMAT_GZIP, &tar), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, unpacking_setup, unpacking_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_tree_comes_out_as_it_went_in_from_every_format),
        TEST(sparse_files_stay_sparse),
        TEST(names_are_bytes_whatever_their_encoding),
        TEST(names_are_the_same_in_a_locale_without_their_characters),
        TEST(long_names_of_pax_and_gnu_are_whole),
        TEST(later_bundles_overlay_earlier_ones),
        TEST(what_was_unpacked_is_counted_by_bundle),
        TEST(a_bundle_many_times_the_pool_goes_through),
        TEST(what_follows_the_end_of_an_archive_is_ignored),
    };

    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
