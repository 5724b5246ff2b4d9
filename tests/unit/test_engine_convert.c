/* pbcast convert: what it keeps, what it refuses, and that others can read what it makes. */
#include "frames_support.h"

#include "convert.h"

#include <locale.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int make(struct unpacking *p, struct bytes *tar, struct pbc_converted *made)
{
    make_file(in(p->dir, "in.tar"), tar->data, tar->len);
    bytes_free(tar);
    return pbc_convert(in(p->dir, "in.tar"), in(p->dir, "out.tar.zst"), 1, NULL, made, &p->err);
}

static void must_make(struct unpacking *p, struct bytes *tar, struct pbc_converted *made)
{
    if (make(p, tar, made) != 0)
        fail_msg("%s", p->err.text);
}

static int run(struct unpacking *p, const char *command)
{
    char line[1024];
    int status;

    snprintf(line, sizeof(line), "cd '%s' && %s 2>err >out", p->dir, command);
    status = system(line);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void other_programs_read_the_same_tree(void **state)
{
    struct unpacking *p = *state;
    struct bytes tar = {0};

    tar_of(p->dir, "source",
           "mkdir -p a/b; echo 1 >a/one; ln a/one a/hard; ln -s one a/soft; chmod 640 a/one; "
           "for i in $(seq 50); do head -c 100000 /dev/urandom >a/b/$i; done; "
           "head -c 3000000 /dev/urandom >large; touch -d @1000000000.5 large; "
           "truncate -s 100M hole; printf x >>hole; printf x >\"$(printf '\\303\\251')\"",
           &tar);
    bytes_free(&tar);
    assert_int_equal(run(p, PBC_TOOL " convert -q made.tar out.tar.zst && zstd -qt out.tar.zst"),
                     0);
    shell(p->dir, "zstd -dc out.tar.zst | tar -C tree -xf -");
    assert_same_tree(in(p->dir, "source"), in(p->dir, "tree"));
    shell(p->dir, "test $(stat -c %y tree/large | cut -d. -f2 | cut -c1-9) = 500000000");
    shell(p->dir, "test $(stat -c %b tree/hole) -lt 1000");
}

static void the_same_archive_gives_the_same_bytes(void **state)
{
    struct unpacking *p = *state;
    struct bytes tar = {0};

    tar_of(p->dir, "source",
           "mkdir d; for i in $(seq 40); do head -c 100000 /dev/urandom >d/$i; done; "
           "ln -s 1 d/l; ln d/1 d/h; truncate -s 1M d/hole; head -c 3000000 /dev/urandom >large",
           &tar);
    bytes_free(&tar);
    shell(p->dir,
          "zstd -q made.tar && gzip -k made.tar && xz -0k made.tar && bzip2 -k made.tar && "
          "lz4 -q made.tar made.tar.lz4 2>/dev/null; "
          "for f in made.tar made.tar.zst made.tar.gz made.tar.xz made.tar.bz2; do " PBC_TOOL
          " convert -q $f of-$f.tar.zst && cmp of-made.tar.tar.zst of-$f.tar.zst || exit 1; done; "
          /* and of itself itself */
          PBC_TOOL
          " convert -q of-made.tar.tar.zst again.tzst && cmp of-made.tar.tar.zst again.tzst");
}

static void directories_and_links_come_first_and_hard_links_last(void **state)
{
    struct unpacking *p = *state;
    struct pbc_converted made;
    struct bytes tar = {0};

    tar_add(&tar, (struct member){.name = "f", .data = "1", .len = 1});
    tar_add(&tar, (struct member){.name = "h", .type = '1', .link = "f"});
    tar_add(&tar, (struct member){.name = "d/", .type = '5'});
    tar_add(&tar, (struct member){.name = "d/g", .data = "1", .len = 1});
    tar_add(&tar, (struct member){.name = "l", .type = '2', .link = "f"});
    tar_end(&tar);
    must_make(p, &tar, &made);
    assert_null(made.in_order);
    assert_int_equal(made.figures.members, 5);
    assert_int_equal(made.figures.frames, 4);
    shell(p->dir, "test \"$(zstd -dc out.tar.zst | tar -tf - | tr '\\n' ' ')\" = 'd/ l f d/g h '");
}

static void frames_are_cut_between_members(void **state)
{
    struct unpacking *p = *state;
    struct pbc_converted made;
    struct bytes tar = {0};
    struct bytes data = {0};

    bytes_noise(&data, 5000000, 1);
    tar_add(&tar, (struct member){.name = "small", .data = "1", .len = 1});
    tar_add(&tar, (struct member){.name = "large", .data = data.data, .len = data.len});
    for (char name[] = "a"; name[0] <= 'e'; name[0]++)
        tar_add(&tar, (struct member){.name = name, .data = data.data, .len = 600000});
    tar_end(&tar);
    bytes_free(&data);
    must_make(p, &tar, &made);
    assert_int_equal(made.figures.members, 7);
    assert_int_equal(made.figures.frames, 5); /* small, large, 3 of 5, 2 of 5, the end */
}

/* What cannot be unpacked in another order keeps its own. */
static void where_the_order_matters_it_is_kept(void **state)
{
    static const struct {
        struct member a, b;
        const char *obstacle; /* NULL: none */
    } cases[] = {
        {{.name = "f", .data = "1", .len = 1}, {.name = "f", .data = "2", .len = 1}, "f"},
        {{.name = "f", .data = "1", .len = 1}, {.name = "./f", .data = "2", .len = 1}, "f"},
        {{.name = "f", .data = "1", .len = 1}, {.name = "f", .type = '2', .link = "x"}, "f"},
        {{.name = "f", .data = "1", .len = 1}, {.name = "f/", .type = '5'}, "f"},
        {{.name = "l", .type = '2', .link = "x"}, {.name = "l/f", .data = "2", .len = 1}, "l/f"},
        {{.name = "h", .type = '1', .link = "f"}, {.name = "f", .data = "2", .len = 1}, "h"},
        {{.name = "d", .type = '2', .link = "x"}, {.name = "h", .type = '1', .link = "d/f"}, "h"},
        {{.name = "f", .data = "1", .len = 1}, {.name = "h", .type = '1', .link = "f"}, NULL},
        {{.name = "d/", .type = '5'}, {.name = "d/", .type = '5', .mode = 0700}, NULL},
        {{.name = "d-1/f", .data = "1", .len = 1}, {.name = "d", .data = "1", .len = 1}, NULL},
    };
    struct unpacking *p = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pbc_converted made;
        struct bytes tar = {0};

        tar_add(&tar, cases[i].a);
        tar_add(&tar, cases[i].b);
        tar_end(&tar);
        must_make(p, &tar, &made);
        if (cases[i].obstacle == NULL) {
            assert_null(made.in_order);
        } else {
            assert_non_null(made.in_order);
            assert_string_equal(made.in_order, cases[i].obstacle);
            assert_int_equal(made.figures.frames, 2);
        }
        free(made.in_order);
    }
}

static void an_archive_with_a_name_twice_unpacks_as_the_plain_one(void **state)
{
    struct unpacking *p = *state;
    struct bundle b = {.format = PBC_FORMAT_ZSTD};
    struct bytes tar = {0};
    char *text;

    for (int i = 0; i < 40; i++) {
        struct bytes data = {0};

        bytes_fill(&data, (uint8_t)('a' + i % 26), 500000);
        tar_add(&tar, (struct member){.name = "f", .data = data.data, .len = data.len});
        bytes_free(&data);
    }
    tar_end(&tar);
    frames_of(p->dir, &tar, &b.archive);
    p->workers = 8;
    assert_int_equal(unpack_all(p, &b, 1), 0);
    text = slurp(in(p->dir, "tree/f"));
    assert_int_equal(text[0], 'a' + 39 % 26);
    free(text);
}

static void names_are_bytes_whatever_their_encoding(void **state)
{
    struct unpacking *p = *state;
    struct bundle b = {.format = PBC_FORMAT_ZSTD};
    struct bytes tar = {0};

    for (int i = 0; i < 2; i++) {
        setlocale(LC_CTYPE, i == 0 ? "C.UTF-8" : "C");
        tar_add(&tar, (struct member){.name = "latin\xe9", .data = "1", .len = 1});
        tar_add(&tar, (struct member){.name = "utf\xc3\xa9", .data = "2", .len = 1});
        tar_pax(&tar, "path", "pax\xc3\xa9", 5);
        tar_add(&tar, (struct member){.name = "other", .data = "3", .len = 1});
        tar_add(&tar, (struct member){.name = "sym", .type = '2', .link = "latin\xe9"});
        tar_add(&tar, (struct member){.name = "hard", .type = '1', .link = "latin\xe9"});
        tar_end(&tar);
        frames_of(p->dir, &tar, &b.archive);
        if (unpack_all(p, &b, 1) != 0)
            fail_msg("%s", p->err.text);
        assert_true(exists(in(p->dir, "tree/latin\xe9")));
        assert_true(exists(in(p->dir, "tree/utf\xc3\xa9")));
        assert_true(exists(in(p->dir, "tree/pax\xc3\xa9")));
        assert_true(exists(in(p->dir, "tree/sym")));
        assert_true(exists(in(p->dir, "tree/hard")));
        shell(p->dir, "find tree -mindepth 1 -delete");
    }
}

static void what_bundles_cannot_have_is_refused(void **state)
{
    static const struct {
        struct member m;
        const char *words;
    } cases[] = {
        {{.name = "/f", .data = "1", .len = 1}, "absolute"},
        {{.name = "a/../f", .data = "1", .len = 1}, "'..'"},
        {{.name = "f", .mode = 04755, .data = "1", .len = 1}, "setuid"},
        {{.name = "f", .type = '6'}, "neither"},
        {{.name = "f", .type = '3'}, "neither"},
        {{.name = "l", .type = '2', .link = "/etc"}, "out of the tree"},
        {{.name = "h", .type = '1', .link = "../f"}, "hard link"},
        {{.name = ".", .type = '2', .link = "x"}, "place of the tree"},
    };
    struct unpacking *p = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pbc_converted made;
        struct bytes tar = {0};

        tar_add(&tar, cases[i].m);
        tar_end(&tar);
        assert_int_equal(make(p, &tar, &made), -1);
        assert_error(&p->err, PBC_EXIT_REFUSED, "in.tar", cases[i].words);
        shell(p->dir, "test -z \"$(ls | grep -F out.tar)\"");
    }
}

static void archives_that_are_cut_off_are_refused(void **state)
{
    struct unpacking *p = *state;
    struct bytes tar = {0};
    struct pbc_converted made;

    tar_add(&tar, (struct member){.name = "f", .data = "1", .len = 1});
    assert_int_equal(make(p, &tar, &made), -1);
    assert_error(&p->err, PBC_EXIT_REFUSED, "no end mark");
    tar_end(&tar);
    assert_int_equal(make(p, &tar, &made), -1);
    assert_int_equal(p->err.code, PBC_EXIT_REFUSED);
    for (int i = 0; i < 3; i++) {
        static const enum pbc_format formats[] = {PBC_FORMAT_GZIP, PBC_FORMAT_ZSTD, PBC_FORMAT_XZ};
        struct bytes packed = {0};

        tar_add(&tar, (struct member){.name = "f", .data = "1", .len = 1});
        tar_end(&tar);
        compress_to(formats[i], tar.data, tar.len, &packed);
        bytes_free(&tar);
        packed.len -= 3;
        assert_int_equal(make(p, &packed, &made), -1);
        assert_int_equal(p->err.code, PBC_EXIT_REFUSED);
    }
}

static void exit_codes_are_those_of_the_agent(void **state)
{
    struct unpacking *p = *state;

    shell(p->dir, "mkdir s && echo 1 >s/f && tar -C s -cf ok.tar f && echo no >bad && "
                  "mkdir a-directory.tar.zst && touch keep && cp ok.tar dest.tar.zst");
    assert_int_equal(run(p, PBC_TOOL " convert ok.tar new.tar.zst"), 0);
    assert_int_equal(run(p, PBC_TOOL " convert -l 19 ok.tar ok.tar.zst && test ! -s err"), 0);
    assert_int_equal(run(p, PBC_TOOL " convert --help | grep -q usage:"), 0);
    assert_int_equal(run(p, PBC_TOOL " --version"), 0);
    assert_int_equal(run(p, PBC_TOOL " convert"), 2);
    assert_int_equal(run(p, PBC_TOOL " convert ok.tar"), 2);
    assert_int_equal(run(p, PBC_TOOL " convert -l 20 ok.tar x.tar.zst"), 2);
    assert_int_equal(run(p, PBC_TOOL " convert --nonsense ok.tar x.tar.zst"), 2);
    assert_int_equal(run(p, PBC_TOOL " convert ok.tar x.tar.gz"), 2);
    assert_int_equal(run(p, PBC_TOOL " convert bad dest.tar.zst"), 3);
    assert_int_equal(run(p, PBC_TOOL " convert missing dest.tar.zst"), 3);
    assert_int_equal(run(p, PBC_TOOL " convert ok.tar a-directory.tar.zst"), 3);
    assert_int_equal(run(p, PBC_TOOL " convert ok.tar no/such/place.tar.zst"), 1);
    shell(p->dir, "test ! -e x.tar.gz && cmp ok.tar dest.tar.zst && test -z \"$(ls | grep -F "
                  "'.tar.zst.')\" && "
                  "test $(ls | grep -c a-directory) = 1 && test $(stat -c %a new.tar.zst) = 644");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, unpacking_setup, unpacking_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(other_programs_read_the_same_tree),
        TEST(the_same_archive_gives_the_same_bytes),
        TEST(directories_and_links_come_first_and_hard_links_last),
        TEST(frames_are_cut_between_members),
        TEST(where_the_order_matters_it_is_kept),
        TEST(an_archive_with_a_name_twice_unpacks_as_the_plain_one),
        TEST(names_are_bytes_whatever_their_encoding),
        TEST(what_bundles_cannot_have_is_refused),
        TEST(archives_that_are_cut_off_are_refused),
        TEST(exit_codes_are_those_of_the_agent),
    };

    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
