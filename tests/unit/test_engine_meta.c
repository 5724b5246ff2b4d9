/* What a bundle says of itself is read while it is unpacked, and the files that it names get the
 * tree's path in place of the placeholder. */
#include "engine_support.h"
#ifdef PBC_HAVE_ZSTD
#include "frames_support.h"
#endif

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LONG "/home/build/placehold_placehold_placehold_placehold_placehold_placehold_placehold"
#define META ".pbcast/bundle.conf"
#define HEAD "pbcast-bundle=1\n"

static void add(struct bytes *tar, const char *name, const void *data, size_t len)
{
    tar_add(tar, (struct member){.name = name, .data = data, .len = len});
}

static void add_text(struct bytes *tar, const char *name, const char *text)
{
    add(tar, name, text, strlen(text));
}

static char *path_in_tree(struct unpacking *p, const char *name)
{
    return (char *)(uintptr_t)in(in(p->dir, "tree"), name);
}

static void assert_bytes(struct unpacking *p, const char *name, const void *want, size_t len)
{
    FILE *f = fopen(path_in_tree(p, name), "re");
    char *got = malloc(len + 1);

    assert_non_null(f);
    assert_non_null(got);
    assert_int_equal(fread(got, 1, len + 1, f), len);
    assert_memory_equal(got, want, len);
    fclose(f);
    free(got);
}

static void assert_text(struct unpacking *p, const char *name, const char *want)
{
    assert_bytes(p, name, want, strlen(want));
}

static void empty_tree(struct unpacking *p)
{
    char line[512];

    snprintf(line, sizeof(line), "find '%s' -mindepth 1 -delete", in(p->dir, "tree"));
    assert_int_equal(system(line), 0);
}

static void must_unpack(struct unpacking *p, enum pbc_format format, struct bytes *tar)
{
    if (unpack_tar(p, format, tar) != 0)
        fail_msg("%s", p->err.text);
}

static void refused(struct unpacking *p, struct bytes *tar, const char *word, const char *word2)
{
    tar_end(tar);
    assert_int_equal(unpack_tar(p, PBC_FORMAT_TAR, tar), -1);
    assert_error(&p->err, PBC_EXIT_REFUSED, word, word2);
    empty_tree(p);
}

static void it_is_read_and_not_part_of_the_tree(void **state)
{
    struct unpacking *p = *state;
    struct bytes tar = {0};
    struct bundle b = {.format = PBC_FORMAT_GZIP};
    const struct pbc_unpacked *r;

    tar_add(&tar, (struct member){.name = "./", .type = '5'});
    tar_add(&tar, (struct member){.name = "./.pbcast/", .type = '5'});
    add_text(&tar, "./.pbcast/bundle.conf", HEAD "profile=r\nset=A=@ROOT@/x\n");
    add_text(&tar, ".pbcast/index", "anything");
    add_text(&tar, "file", "content");
    add_text(&tar, ".pbcaster", "another");
    tar_end(&tar);
    compress_to(PBC_FORMAT_GZIP, tar.data, tar.len, &b.archive);
    bytes_free(&tar);
    unpacking_start(p, 1);
    push_archive(p, 0, &b, b.archive.len);
    push_done(p);
    assert_int_equal(unpacking_end(p), 0);
    r = pbc_unpack_result(p->u, 0);
    assert_true(r->has_meta);
    assert_int_equal(r->meta.profile, PBC_PROFILE_R);
    assert_string_equal(r->meta.vars.item[0].name, "A");
    assert_int_equal(r->files, 2);
    unpacking_free(p);
    bytes_free(&b.archive);
    assert_text(p, "file", "content");
    assert_text(p, ".pbcaster", "another");
    assert_false(exists(path_in_tree(p, ".pbcast")));
}

static void without_it_a_bundle_says_nothing(void **state)
{
    struct unpacking *p = *state;
    struct bundle b = {.format = PBC_FORMAT_TAR};

    add_text(&b.archive, "file", LONG);
    tar_end(&b.archive);
    unpacking_start(p, 1);
    push_archive(p, 0, &b, b.archive.len);
    push_done(p);
    assert_int_equal(unpacking_end(p), 0);
    assert_false(pbc_unpack_result(p->u, 0)->has_meta);
    unpacking_free(p);
    bytes_free(&b.archive);
    assert_text(p, "file", LONG);
}

static const char binary[] = "\x7f"
                             "ELF\0\0" LONG "/lib:" LONG "/lib64\0next\0" LONG "\0\0\0after" LONG;

static void binary_by_hand(char out[sizeof(binary) - 1])
{
    static const char *const strings[] = {(UNPACKING_ROOT "/lib:" UNPACKING_ROOT "/lib64"),
                                          UNPACKING_ROOT, ("after" UNPACKING_ROOT)};
    const size_t at[] = {6, 6 + 2 * strlen(LONG) + 11 + 5 + 1,
                         6 + 3 * strlen(LONG) + 11 + 5 + 1 + 3};

    memcpy(out, binary, sizeof(binary) - 1);
    for (size_t i = 0; i < 3; i++) {
        memset(out + at[i], 0, i == 0 ? 2 * strlen(LONG) + 11 : strlen(LONG) + (i == 2 ? 5 : 0));
        memcpy(out + at[i], strings[i], strlen(strings[i]));
    }
}

static void some_bundle(struct bytes *tar)
{
    add_text(tar, META,
             HEAD "placeholder=" LONG "\nrewrite=text bin/tool\nrewrite=binary lib/lib.so\n"
                  "rewrite=text not-there\nrewrite=text etc/empty\nrewrite=text etc/none\n");
    add_text(tar, "./bin/tool", "#!" LONG "/bin/python3\nx=" LONG LONG "\n" LONG);
    add(tar, "lib/lib.so", binary, sizeof(binary) - 1);
    add_text(tar, "lib/other.so", LONG "/lib");
    add_text(tar, "etc/empty", "");
    add_text(tar, "etc/none", "nothing to do, /home/build/placehold_placehold");
    tar_end(tar);
}

static void assert_some_tree(struct unpacking *p)
{
    char want[sizeof(binary) - 1];

    binary_by_hand(want);
    assert_text(p, "bin/tool",
                "#!" UNPACKING_ROOT "/bin/python3\nx=" UNPACKING_ROOT UNPACKING_ROOT
                "\n" UNPACKING_ROOT);
    assert_bytes(p, "lib/lib.so", want, sizeof(want));
    assert_text(p, "lib/other.so", LONG "/lib");
    assert_text(p, "etc/empty", "");
    assert_text(p, "etc/none", "nothing to do, /home/build/placehold_placehold");
    empty_tree(p);
}

static void named_files_get_the_path_of_the_tree(void **state)
{
    static const enum pbc_format formats[] = {PBC_FORMAT_TAR, PBC_FORMAT_GZIP, PBC_FORMAT_ZSTD};
    struct unpacking *p = *state;

    for (size_t i = 0; i < 3; i++) {
        struct bytes tar = {0};

        some_bundle(&tar);
        p->piece = i == 0 ? 7 : 5000;
        must_unpack(p, formats[i], &tar);
        assert_some_tree(p);
    }
}

#ifdef PBC_HAVE_ZSTD
static void bundles_of_frames_are_rewritten_too(void **state)
{
    struct unpacking *p = *state;

    for (unsigned workers = 1; workers <= 8; workers += 7) {
        struct bundle b = {.format = PBC_FORMAT_ZSTD};
        struct bytes tar = {0};

        some_bundle(&tar);
        p->workers = workers;
        frames_of(p->dir, &tar, &b.archive);
        if (unpack_all(p, &b, 1) != 0)
            fail_msg("%s", p->err.text);
        assert_some_tree(p);
    }
}

static void in_a_frame_without_order_it_is_refused(void **state)
{
    struct unpacking *p = *state;
    struct bundle b = {.format = PBC_FORMAT_ZSTD};

    file_frame(&b.archive, META, HEAD);
    file_frame(&b.archive, "file", "content");
    frame_end(&b.archive);
    assert_int_equal(unpack_all(p, &b, 1), -1);
    assert_error(&p->err, PBC_EXIT_REFUSED, META, "without order");
}
#endif

static void text_may_grow_within_the_limit(void **state)
{
    struct unpacking *p = *state;
    struct bytes tar = {0};

    for (int limit = 0; limit < 2; limit++) {
        p->limits.bytes = limit ? 3 * strlen(UNPACKING_ROOT) - 3 : 3 * strlen(UNPACKING_ROOT);
        add_text(&tar, META, HEAD "placeholder=/opt\nrewrite=text a\n");
        add_text(&tar, "a", "/opt/opt/opt");
        if (limit) {
            refused(p, &tar, "'a'", "");
            break;
        }
        tar_end(&tar);
        must_unpack(p, PBC_FORMAT_TAR, &tar);
        assert_text(p, "a", UNPACKING_ROOT UNPACKING_ROOT UNPACKING_ROOT);
        empty_tree(p);
    }
}

static void binary_files_without_room_are_refused(void **state)
{
    struct unpacking *p = *state;
    struct bytes tar = {0};

    add_text(&tar, META, HEAD "placeholder=/opt/short\nrewrite=text a\nrewrite=binary lib/b\n");
    add_text(&tar, "a", "x");
    refused(p, &tar, UNPACKING_ROOT, "'lib/b'");
}

/* Every string of a file, one by one. */
static void by_the_book(const struct bytes *in, struct bytes *out, bool text)
{
    for (size_t at = 0; at < in->len;) {
        const char *s = (const char *)in->data + at;
        size_t len = strnlen(s, in->len - at), end = out->len + len;

        while (len > 0) {
            if (len >= strlen(LONG) && memcmp(s, LONG, strlen(LONG)) == 0) {
                bytes_add(out, UNPACKING_ROOT, strlen(UNPACKING_ROOT));
                s += strlen(LONG);
                len -= strlen(LONG);
            } else {
                bytes_add(out, s++, 1);
                len--;
            }
        }
        if (!text)
            bytes_fill(out, 0, end - out->len);
        at += strnlen((const char *)in->data + at, in->len - at);
        if (at++ < in->len)
            bytes_fill(out, 0, 1);
    }
}

static void large_files_are_rewritten_wherever_they_are_cut(void **state)
{
    struct unpacking *p = *state;
    struct bytes file = {0}, want[2] = {{0}, {0}};
    uint64_t x = 7;

    for (int i = 0; i < 6000; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        switch (x >> 61) {
        case 0:
        case 1:
            bytes_add(&file, LONG, strlen(LONG));
            break;
        case 2: /* nearly */
            bytes_add(&file, LONG, (x >> 50) % strlen(LONG));
            break;
        case 3:
            bytes_fill(&file, 0, 1 + (x >> 40) % 90);
            break;
        default:
            bytes_fill(&file, 'x', (x >> 40) % 200);
        }
    }
    by_the_book(&file, &want[0], false);
    by_the_book(&file, &want[1], true);
    assert_int_equal(file.len, want[0].len);
    assert_true(want[1].len < file.len);
    for (p->piece = 997; p->piece < 70000; p->piece = p->piece * 9 + 1) {
        struct bytes tar = {0};

        add_text(&tar, META, HEAD "placeholder=" LONG "\nrewrite=binary b\nrewrite=text t\n");
        add(&tar, "b", file.data, file.len);
        add(&tar, "t", file.data, file.len);
        tar_end(&tar);
        must_unpack(p, PBC_FORMAT_TAR, &tar);
        assert_bytes(p, "b", want[0].data, want[0].len);
        assert_bytes(p, "t", want[1].data, want[1].len);
        empty_tree(p);
    }
    bytes_free(&file);
    bytes_free(&want[0]);
    bytes_free(&want[1]);
}

static void holes_end_strings(void **state)
{
    struct unpacking *p = *state;
    char want[200000] = {0};
    struct bytes tar = {0}, made = {0};
    char line[2048], buf[65536];
    size_t n;
    FILE *f;

    snprintf(line, sizeof(line),
             "cd '%s' && printf '%s' >b && truncate -s 200000 b && "
             "printf '%s/y' | dd of=b bs=1 seek=100000 conv=notrunc 2>/dev/null && "
             "tar -S --format=pax -cf b.tar b",
             p->dir, LONG "/x", LONG);
    assert_int_equal(system(line), 0);
    add_text(&tar, META, HEAD "placeholder=" LONG "\nrewrite=binary b\n");
    f = fopen(in(p->dir, "b.tar"), "re");
    while ((n = fread(buf, 1, sizeof(buf), f)) > 0)
        bytes_add(&made, buf, n);
    fclose(f);
    bytes_add(&tar, made.data, made.len);
    bytes_free(&made);
    must_unpack(p, PBC_FORMAT_TAR, &tar);
    strcpy(want, UNPACKING_ROOT "/x");
    strcpy(want + 100000, UNPACKING_ROOT "/y");
    assert_bytes(p, "b", want, sizeof(want));
}

static void it_must_be_the_first_member_and_a_file(void **state)
{
    struct unpacking *p = *state;
    struct bytes tar = {0};

    add_text(&tar, "file", "x");
    add_text(&tar, META, HEAD);
    refused(p, &tar, META, "before all files");
    tar_add(&tar, (struct member){.name = "link", .type = '2', .link = "file"});
    add_text(&tar, META, HEAD);
    refused(p, &tar, META, "before all files");
    add_text(&tar, META, HEAD);
    add_text(&tar, "./.pbcast//./bundle.conf", HEAD);
    refused(p, &tar, META, "second time");
    tar_add(&tar, (struct member){.name = META, .type = '2', .link = "../file"});
    refused(p, &tar, META, "regular file");
    tar_add(&tar, (struct member){.name = META, .type = '5'});
    refused(p, &tar, META, "regular file");
    add_text(&tar, ".pbcast/../../outside/x", "x");
    refused(p, &tar, "..", "");
}

static void what_is_wrong_in_it_is_refused(void **state)
{
    struct unpacking *p = *state;
    struct bytes tar = {0};
    char *big = calloc(1, PBC_META_MAX + 1);

    add_text(&tar, META, "pbcast-bundle=9\n");
    refused(p, &tar, META, "/bundles/b.tar");
    add_text(&tar, META, HEAD "set=SLURM_JOB_ID=1\n");
    refused(p, &tar, META, "line 2");
    add(&tar, META, big, PBC_META_MAX + 1);
    refused(p, &tar, META, "more than");
    free(big);
}

static void each_bundle_speaks_for_itself(void **state)
{
    struct unpacking *p = *state;
    struct bundle b[2] = {{.format = PBC_FORMAT_TAR}, {.format = PBC_FORMAT_TAR}};

    add_text(&b[0].archive, META, HEAD "placeholder=/opt\nrewrite=text a\n");
    add_text(&b[0].archive, "a", "/opt");
    tar_end(&b[0].archive);
    add_text(&b[1].archive, "a", "/opt");
    tar_end(&b[1].archive);
    assert_int_equal(unpack_all(p, b, 2), 0);
    assert_text(p, "a", "/opt");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, unpacking_setup, unpacking_teardown)
    const struct CMUnitTest tests[] = {
        TEST(it_is_read_and_not_part_of_the_tree),
        TEST(without_it_a_bundle_says_nothing),
        TEST(named_files_get_the_path_of_the_tree),
#ifdef PBC_HAVE_ZSTD
        TEST(bundles_of_frames_are_rewritten_too),
        TEST(in_a_frame_without_order_it_is_refused),
#endif
        TEST(text_may_grow_within_the_limit),
        TEST(binary_files_without_room_are_refused),
        TEST(large_files_are_rewritten_wherever_they_are_cut),
        TEST(holes_end_strings),
        TEST(it_must_be_the_first_member_and_a_file),
        TEST(what_is_wrong_in_it_is_refused),
        TEST(each_bundle_speaks_for_itself),
    };

    return cmocka_run_group_tests_name("meta", tests, NULL, NULL);
}
