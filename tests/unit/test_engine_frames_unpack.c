/* Bundles of frames: what several workers make of them is what one makes of the plain archive. */
#include "frames_support.h"

#include "unpack_crew.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void empty_tree(struct unpacking *p)
{
    shell(p->dir, "find tree -mindepth 1 -delete");
}

static int unpack_one(struct unpacking *p, struct bytes *archive)
{
    struct bundle b = {.format = PBC_FORMAT_ZSTD, .archive = *archive};

    memset(archive, 0, sizeof(*archive));
    return unpack_all(p, &b, 1);
}

static void must_unpack(struct unpacking *p, struct bytes *archive)
{
    if (unpack_one(p, archive) != 0)
        fail_msg("%s", p->err.text);
}

static void assert_text(struct unpacking *p, const char *name, const char *want)
{
    char *text = slurp(in(in(p->dir, "tree"), name));

    assert_string_equal(text, want);
    free(text);
}

/* Files of all sizes, links of both kinds, deep names, holes, times. */
#define RICH_TREE                                                                                  \
    "mkdir -p bin lib/python3/site lib/none; echo '#!' >bin/python3; chmod 755 bin/python3; "      \
    "ln -s python3 bin/python; ln bin/python3 bin/python3.9; : >lib/empty; chmod 600 lib/empty; "  \
    "ln -s lib lib64; ln -s ../../lib lib/python3/up; chmod 700 lib/none; "                        \
    "head -c 5000000 /dev/urandom >lib/random; ln lib/random lib/python3/random; "                 \
    "for i in $(seq 300); do mkdir -p many/$((i % 17)); "                                          \
    "head -c $((i * 97)) /dev/urandom >many/$((i % 17))/$i; done; "                                \
    "yes text | head -c 3000000 >lib/python3/text; touch -d @1000000000.25 lib/python3/text; "     \
    "truncate -s 60M lib/hole; printf end >>lib/hole; "                                            \
    "echo u >\"$(printf 'lib/\\303\\251\\344\\270\\255')\"; "                                      \
    "n=$(printf 'n%.0s' $(seq 200)); mkdir $n; echo l >$n/$n; ln -s $n/$n long; ln $n/$n hard"

static void a_rich_tree_comes_out_as_it_went_in(void **state)
{
    static const struct {
        unsigned workers;
        unsigned pool;
        size_t piece;
    } how[] = {{1, 128, 1 << 18}, {2, 4, 5000}, {3, 1, 100000}, {10, 2, 777}, {0, 128, 1 << 18}};
    struct unpacking *p = *state;
    struct bytes tar = {0};
    struct bytes archive = {0};
    struct stat st;

    tar_of(p->dir, "source", RICH_TREE, &tar);
    frames_of(p->dir, &tar, &archive);
    for (size_t i = 0; i < sizeof(how) / sizeof(how[0]); i++) {
        struct bytes copy = {0};

        bytes_add(&copy, archive.data, archive.len);
        p->workers = how[i].workers;
        p->pool = how[i].pool;
        p->piece = how[i].piece;
        must_unpack(p, &copy);
        assert_same_tree(in(p->dir, "source"), in(p->dir, "tree"));
        assert_int_equal(stat(in(p->dir, "tree/lib/hole"), &st), 0);
        assert_in_range(st.st_blocks, 0, 4096);
        assert_int_equal(stat(in(p->dir, "tree/lib/python3/text"), &st), 0);
        assert_int_equal(st.st_mtim.tv_nsec, 250000000);
        empty_tree(p);
    }
    bytes_free(&archive);
}

static void counts_are_those_of_the_bundle(void **state)
{
    struct unpacking *p = *state;
    struct bundle b[2] = {{.format = PBC_FORMAT_ZSTD}, {.format = PBC_FORMAT_TAR}};
    struct pbc_writer_count count;
    struct bytes tar = {0};

    p->workers = 4;
    tar_add(&tar, (struct member){.name = "d/", .type = '5'});
    tar_add(&tar, (struct member){.name = "l", .type = '2', .link = "d"});
    frame_add(&b[0].archive, PBC_FRAMES_ORDERED, 2, &tar, NULL);
    file_frame(&b[0].archive, "d/one", "123");
    file_frame(&b[0].archive, "d/two", "4567");
    frame_end(&b[0].archive);
    tar_add(&b[1].archive, (struct member){.name = "d/three", .data = "8", .len = 1});
    tar_end(&b[1].archive);
    unpacking_start(p, 2);
    push_archive(p, 0, &b[0], b[0].archive.len);
    push_archive(p, 1, &b[1], b[1].archive.len);
    push_done(p);
    assert_int_equal(unpacking_end(p), 0);
    pbc_unpack_counts(p->u, &count);
    assert_int_equal(count.entries, 5);
    assert_int_equal(count.files, 4);
    assert_int_equal(count.bytes, 8);
    assert_int_equal(pbc_unpack_result(p->u, 0)->files, 3);
    assert_int_equal(pbc_unpack_result(p->u, 1)->files, 1);
    bytes_free(&b[0].archive);
    bytes_free(&b[1].archive);
}

static void the_limits_count_all_workers(void **state)
{
    struct unpacking *p = *state;

    p->workers = 8;
    for (int bytes = 0; bytes < 2; bytes++) {
        struct bytes archive = {0};

        p->limits = (struct pbc_writer_limits){.entries = bytes ? 1000 : 49, .bytes = bytes * 499};
        for (unsigned i = 0; i < 50; i++) {
            char name[16];

            snprintf(name, sizeof(name), "f%u", i);
            file_frame(&archive, name, "0123456789");
        }
        frame_end(&archive);
        assert_int_equal(unpack_one(p, &archive), -1);
        assert_error(&p->err, PBC_EXIT_REFUSED,
                     bytes ? "the limit of 499 bytes" : "one more than the 49");
        empty_tree(p);
    }
}

static void a_member_of_many_times_the_pool_goes_through(void **state)
{
    struct unpacking *p = *state;
    struct bytes data = {0};
    struct bytes tar = {0};
    struct bytes archive = {0};
    struct stat st;

    bytes_noise(&data, 9000000, 1);
    tar_add(&tar, (struct member){.name = "before", .data = "1", .len = 1});
    tar_add(&tar, (struct member){.name = "huge", .data = data.data, .len = data.len});
    tar_add(&tar, (struct member){.name = "after", .data = "1", .len = 1});
    tar_end(&tar);
    bytes_free(&data);
    frames_of(p->dir, &tar, &archive);
    p->workers = 4;
    p->pool = 2;
    p->piece = 3000;
    must_unpack(p, &archive);
    assert_int_equal(stat(in(p->dir, "tree/huge"), &st), 0);
    assert_int_equal(st.st_size, 9000000);
    assert_text(p, "after", "1");
}

/* Each chunk of the pool has many frames, and there are many times PBC_JOBS. */
static void frames_of_a_few_bytes_go_through(void **state)
{
    struct unpacking *p = *state;
    struct bytes archive = {0};

    for (unsigned i = 0; i < 10 * PBC_JOBS; i++) {
        char name[32];

        snprintf(name, sizeof(name), "d%u/f%u", i % 7, i);
        file_frame(&archive, name, name);
    }
    frame_end(&archive);
    p->workers = 16;
    p->pool = 1;
    p->piece = 1 << 18;
    must_unpack(p, &archive);
    assert_text(p, "d6/f6", "d6/f6");
    shell(p->dir, "test $(find tree -type f | wc -l) = 640");
}

static void more_workers_than_frames(void **state)
{
    struct unpacking *p = *state;
    struct bytes archive = {0};

    p->workers = 16;
    file_frame(&archive, "f", "1");
    frame_end(&archive);
    must_unpack(p, &archive);
    assert_text(p, "f", "1");
}

static void a_header_in_pieces_of_one_byte(void **state)
{
    struct unpacking *p = *state;
    struct bytes archive = {0};

    p->piece = 1;
    file_frame(&archive, "f", "1");
    file_frame(&archive, "g", "2");
    frame_end(&archive);
    must_unpack(p, &archive);
    assert_text(p, "g", "2");
}

/* A hundred times, as the order is what chance makes it. */
static void frames_with_order_are_alone(void **state)
{
    struct unpacking *p = *state;

    p->workers = 16;
    for (int i = 0; i < 100; i++) {
        struct bytes archive = {0};
        struct bytes tar = {0};

        file_frame(&archive, "a", "first");
        tar_add(&tar, (struct member){.name = "a", .data = "second", .len = 6});
        frame_add(&archive, PBC_FRAMES_ORDERED, 1, &tar, NULL);
        file_frame(&archive, "b", "1");
        tar_add(&tar, (struct member){.name = "c", .type = '1', .link = "b"});
        tar_add(&tar, (struct member){.name = "d", .type = '1', .link = "a"});
        frame_add(&archive, PBC_FRAMES_ORDERED, 2, &tar, NULL);
        file_frame(&archive, "a", "third");
        frame_end(&archive);
        must_unpack(p, &archive);
        assert_text(p, "a", "third");
        assert_text(p, "c", "1");
        assert_text(p, "d", "second");
    }
}

static void a_later_bundle_of_frames_overlays_an_earlier_one(void **state)
{
    struct unpacking *p = *state;

    p->workers = 8;
    for (int i = 0; i < 4; i++) { /* which of the two is of frames */
        struct bundle b[2] = {{.format = i & 1 ? PBC_FORMAT_ZSTD : PBC_FORMAT_TAR},
                              {.format = i & 2 ? PBC_FORMAT_ZSTD : PBC_FORMAT_TAR}};
        struct bytes tar = {0};

        tar_add(&tar, (struct member){.name = "lib/", .type = '5'});
        tar_add(&tar, (struct member){.name = "lib/a", .data = "1", .len = 1});
        tar_add(&tar, (struct member){.name = "lib/b", .type = '1', .link = "lib/a"});
        tar_add(&tar, (struct member){.name = "lib64", .type = '2', .link = "lib"});
        tar_add(&tar, (struct member){.name = "was-a-file", .data = "1", .len = 1});
        tar_end(&tar);
        if (i & 1)
            frames_of(p->dir, &tar, &b[0].archive);
        else
            b[0].archive = tar;
        tar = (struct bytes){0};
        tar_add(&tar, (struct member){.name = "lib64/a", .data = "2", .len = 1});
        tar_add(&tar, (struct member){.name = "lib/c", .type = '1', .link = "lib/a"});
        tar_add(&tar, (struct member){.name = "was-a-file/", .type = '5'});
        tar_add(&tar, (struct member){.name = "was-a-file/f", .data = "2", .len = 1});
        tar_end(&tar);
        if (i & 2)
            frames_of(p->dir, &tar, &b[1].archive);
        else
            b[1].archive = tar;
        if (unpack_all(p, b, 2) != 0)
            fail_msg("%d: %s", i, p->err.text);
        assert_text(p, "lib/a", "2");
        assert_text(p, "lib/b", "1");
        assert_text(p, "lib/c", "2");
        assert_text(p, "was-a-file/f", "2");
        empty_tree(p);
    }
}

/* Two names that differ, and are one file because of a link of the bundle before: the later member
 * stays, as in a plain archive. */
static void two_names_that_a_link_makes_one_keep_their_order(void **state)
{
    struct unpacking *p = *state;

    p->workers = 16;
    for (int i = 0; i < 50; i++) {
        struct bundle b[2] = {{.format = PBC_FORMAT_TAR}, {.format = PBC_FORMAT_ZSTD}};

        tar_add(&b[0].archive, (struct member){.name = "lib/", .type = '5'});
        tar_add(&b[0].archive, (struct member){.name = "lib64", .type = '2', .link = "lib"});
        tar_end(&b[0].archive);
        for (int k = 0; k < 10; k++) {
            file_frame(&b[1].archive, "lib/f", "early");
            file_frame(&b[1].archive, "lib64/f", "late");
        }
        frame_end(&b[1].archive);
        if (unpack_all(p, b, 2) != 0)
            fail_msg("%s", p->err.text);
        assert_text(p, "lib/f", "late");
        empty_tree(p);
    }
}

/* A pipeline that is given up at any point ends. */
static void stopping_anywhere_ends_all_threads(void **state)
{
    struct unpacking *p = *state;
    struct bundle b = {.format = PBC_FORMAT_ZSTD};
    struct bytes tar = {0};

    tar_of(p->dir, "source", "for i in $(seq 400); do head -c 9000 /dev/urandom >$i; done", &tar);
    frames_of(p->dir, &tar, &b.archive);
    p->workers = 4;
    p->piece = 20000;
    p->pool = 1000;
    for (size_t i = 0; i < 60; i++) {
        const struct timespec pause = {.tv_nsec = (long)(i * 37 % 20) * 100000};
        size_t len = b.archive.len * i / 60;

        unpacking_start(p, 1);
        push_archive(p, 0, &b, len);
        nanosleep(&pause, NULL);
        unpacking_free(p);
        empty_tree(p);
    }
    bytes_free(&b.archive);
}

/* Of one name one file stays, and it is whole. */
static void a_name_twice_in_frames_without_order_is_one_file(void **state)
{
    struct unpacking *p = *state;
    struct bytes one = {0};
    struct bytes archive = {0};
    char *text;

    bytes_fill(&one, 'x', 100000);
    bytes_fill(&one, 0, 1);
    p->workers = 16;
    for (unsigned i = 0; i < 200; i++) {
        one.data[0] = (uint8_t)('a' + i % 26);
        file_frame(&archive, "d/f", (const char *)one.data);
    }
    frame_end(&archive);
    must_unpack(p, &archive);
    text = slurp(in(p->dir, "tree/d/f"));
    assert_int_equal(strlen(text), 100000);
    assert_string_equal(text + 1, (char *)one.data + 1);
    free(text);
    bytes_free(&one);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, unpacking_setup, unpacking_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_rich_tree_comes_out_as_it_went_in),
        TEST(counts_are_those_of_the_bundle),
        TEST(the_limits_count_all_workers),
        TEST(a_member_of_many_times_the_pool_goes_through),
        TEST(frames_of_a_few_bytes_go_through),
        TEST(more_workers_than_frames),
        TEST(a_header_in_pieces_of_one_byte),
        TEST(frames_with_order_are_alone),
        TEST(a_later_bundle_of_frames_overlays_an_earlier_one),
        TEST(two_names_that_a_link_makes_one_keep_their_order),
        TEST(stopping_anywhere_ends_all_threads),
        TEST(a_name_twice_in_frames_without_order_is_one_file),
    };

    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
