/* What the packer makes of a directory unpacks to the same tree, whatever it was written to. */
#include "frames_support.h"

#include "names.h"
#include "output.h"
#include "pack.h"
#include "walk.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void make_source(const char *dir)
{
    make_dir(in(dir, "source"), 0755);
    shell(
        in(dir, "source"),
        "mkdir -p bin lib/deep share; echo 1 >bin/one; chmod 755 bin/one; ln bin/one share/hard; "
        "ln -s one bin/link; ln -s ../lib/deep share/dir; head -c 5000000 /dev/urandom >lib/large; "
        "for i in $(seq 60); do head -c 100000 /dev/urandom >lib/deep/$i; done; "
        "truncate -s 3M lib/hole; printf x >>lib/hole; : >\"$(printf 'new\\nline')\"; "
        ": >\"$(printf 'latin\\351')\"; mkdir -p \"$(printf 'long%.0s' $(seq 60))/$(printf "
        "'long%.0s' $(seq 60))\"; find . -exec touch -h -d @1000000000 {} +");
}

/* The plan of <dir>/source. */
static void plan_source(const char *dir, struct pbc_plan *plan)
{
    struct pbc_walk w = {.plan = plan};
    struct pbc_error err;

    pbc_plan_init(plan);
    if (pbc_walk(&w, in(dir, "source"), "", &err) != 0 || pbc_walk_settle(&w, false, &err) != 0 ||
        pbc_plan_finish(plan, &err) != 0)
        fail_msg("%s", err.text);
}

static int append(void *arg, const void *data, size_t len, struct pbc_error *err)
{
    (void)err;
    bytes_add(arg, data, len);
    return 0;
}

static int patch(void *arg, uint64_t at, const void *data, size_t len, struct pbc_error *err)
{
    struct bytes *b = arg;

    (void)err;
    assert_true(at + len <= b->len);
    memcpy(b->data + at, data, len);
    return 0;
}

static int pack(const char *dir, enum pbc_codec codec, int patchable, struct bytes *out,
                struct pbc_meta *meta, struct pbc_error *err)
{
    struct pbc_sink sink = {.write = append, .patch = patchable ? patch : NULL, .arg = out};
    struct pbc_members_figures figures;
    struct pbc_plan plan;
    int rc;

    plan_source(dir, &plan);
    rc = pbc_pack(&plan, meta, &sink, codec, 1, NULL, &figures, err);
    if (rc == 0)
        assert_int_equal(figures.packed, out->len);
    pbc_plan_free(&plan);
    return rc;
}

static void must_unpack(struct unpacking *p, enum pbc_codec codec, int patchable)
{
    static const enum pbc_format formats[] = {[PBC_CODEC_FRAMES] = PBC_FORMAT_ZSTD,
                                              [PBC_CODEC_GZIP] = PBC_FORMAT_GZIP,
                                              [PBC_CODEC_TAR] = PBC_FORMAT_TAR};
    struct bundle b = {.format = formats[codec]};
    struct pbc_meta meta = {0};

    if (pack(p->dir, codec, patchable, &b.archive, &meta, &p->err) != 0)
        fail_msg("%s", p->err.text);
    assert_int_equal(meta.contents[0] != '\0', patchable);
    pbc_meta_free(&meta);
    p->workers = 4;
    if (unpack_all(p, &b, 1) != 0)
        fail_msg("%s", p->err.text);
    assert_same_tree(in(p->dir, "source"), in(p->dir, "tree"));
    shell(p->dir, "find tree -mindepth 1 -delete");
}

static void a_directory_unpacks_to_the_same_tree(void **state)
{
    struct unpacking *p = *state;

    make_source(p->dir);
    for (enum pbc_codec codec = PBC_CODEC_FRAMES; codec <= PBC_CODEC_TAR; codec++) {
        must_unpack(p, codec, 1);
        must_unpack(p, codec, 0);
    }
}

/* On the fly: what was sent cannot be changed. */
static void frames_for_a_stream_are_whole_when_they_are_written(void **state)
{
    struct unpacking *p = *state;
    struct pbc_meta meta = {0};
    struct bytes out = {0};
    struct pbc_error err;

    make_source(p->dir);
    assert_int_equal(pack(p->dir, PBC_CODEC_FRAMES, 0, &out, &meta, &err), 0);
    for (size_t at = 0; at < out.len;) {
        struct pbc_frames_head head;
        uint8_t digest[PBC_DIGEST_BYTES];

        assert_int_equal(pbc_frames_decode(out.data + at, &head, NULL), 0);
        at += PBC_FRAMES_HEADER;
        crypto_generichash(digest, sizeof(digest), out.data + at, head.packed, NULL, 0);
        assert_memory_equal(digest, head.digest, sizeof(digest));
        at += head.packed;
    }
    pbc_meta_free(&meta);
    bytes_free(&out);
}

static void a_frame_that_is_too_large_to_be_held_is_refused(void **state)
{
    struct unpacking *p = *state;
    struct bytes out = {0};
    struct pbc_error err;

    make_dir(in(p->dir, "source"), 0755);
    shell(in(p->dir, "source"), "head -c 70M /dev/urandom >large");
    assert_int_equal(pack(p->dir, PBC_CODEC_FRAMES, 0, &out, NULL, &err), -1);
    assert_error(&err, PBC_EXIT_REFUSED, "64 MiB", "make a bundle of it first");
    bytes_free(&out);
    assert_int_equal(pack(p->dir, PBC_CODEC_FRAMES, 1, &out, NULL, &err), 0);
    bytes_free(&out);
    assert_int_equal(pack(p->dir, PBC_CODEC_TAR, 0, &out, NULL, &err), 0);
    bytes_free(&out);
}

static int fail_write(void *arg, const void *data, size_t len, struct pbc_error *err)
{
    size_t *left = arg;

    (void)data;
    if (*left < len)
        return pbc_fail(err, PBC_EXIT_NOSPACE, "the sink is full");
    *left -= len;
    return 0;
}

static void errors_of_the_sink_are_told_as_they_are(void **state)
{
    struct unpacking *p = *state;
    static const size_t sizes[] = {0, 100, 1000, 2000000, 6000000};

    make_source(p->dir);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (enum pbc_codec codec = PBC_CODEC_FRAMES; codec <= PBC_CODEC_TAR; codec++) {
            size_t left = sizes[i];
            struct pbc_sink sink = {.write = fail_write, .arg = &left};
            struct pbc_meta meta = {0};
            struct pbc_plan plan;
            struct pbc_error err;

            plan_source(p->dir, &plan);
            assert_int_equal(pbc_pack(&plan, &meta, &sink, codec, 1, NULL, NULL, &err), -1);
            assert_error(&err, PBC_EXIT_NOSPACE, "the sink is full");
            pbc_meta_free(&meta);
            pbc_plan_free(&plan);
        }
    }
}

/* Whatever comes out, once the file is half through another writes to it. */
struct meddler {
    const char *path;
    size_t left;
};

static int meddle(void *arg, const void *data, size_t len, struct pbc_error *err)
{
    struct meddler *m = arg;
    int fd;

    (void)data;
    (void)err;
    if (m->left > 0 && len >= m->left) {
        fd = open(m->path, O_WRONLY | O_CLOEXEC);
        assert_int_equal(pwrite(fd, "new", 3, 7999000), 3);
        close(fd);
    }
    m->left = len >= m->left ? 0 : m->left - len;
    return 0;
}

static void a_file_that_is_written_to_while_it_is_read_is_refused(void **state)
{
    struct unpacking *p = *state;
    struct meddler m = {.left = 4000000};
    struct pbc_sink sink = {.write = meddle, .arg = &m};
    struct pbc_plan plan;
    struct pbc_error err;

    make_dir(in(p->dir, "source"), 0755);
    shell(in(p->dir, "source"), "head -c 8M /dev/urandom >large; touch -d @1000000000 large");
    plan_source(p->dir, &plan);
    m.path = plan.item[0].source;
    assert_int_equal(pbc_pack(&plan, NULL, &sink, PBC_CODEC_TAR, 1, NULL, NULL, &err), -1);
    assert_int_equal(m.left, 0);
    assert_error(&err, PBC_EXIT_REFUSED, "source/large", "changed while it was being packed");
    pbc_plan_free(&plan);
}

static void links_lead_where_they_lead(void **state)
{
    static const struct {
        const char *name, *target;
        enum pbc_leads leads;
        const char *real;
    } cases[] = {
        {"x", "a/b", PBC_LEADS_INSIDE, "a/b"},
        {"a/x", "b", PBC_LEADS_INSIDE, "a/b"},
        {"a/x", "../a/./b", PBC_LEADS_INSIDE, "a/b"},
        {"x", ".", PBC_LEADS_INSIDE, ""},
        {"x", "l/b", PBC_LEADS_INSIDE, "a/b"},
        {"x", "implied/in", PBC_LEADS_INSIDE, "implied/in"},
        {"x", "implied", PBC_LEADS_INSIDE, "implied"},
        {"x", "impl", PBC_LEADS_NOWHERE, NULL},
        {"x", "a/c", PBC_LEADS_NOWHERE, NULL},
        {"a/x", "../../a", PBC_LEADS_OUT, NULL},
        {"x", "/a/b", PBC_LEADS_OUT, NULL},
        {"x", "out/b", PBC_LEADS_OUT, NULL},
        {"x", "loop/b", PBC_LEADS_ASTRAY, NULL},
        {"x", "a/b/c", PBC_LEADS_ASTRAY, NULL},
    };
    struct pbc_names n = {0};

    (void)state;
    pbc_names_add(&n, (struct pbc_name_of){.name = "a", .dir = 1}, NULL);
    pbc_names_add(&n, (struct pbc_name_of){.name = "a/b"}, NULL);
    pbc_names_add(&n, (struct pbc_name_of){.name = "implied/in"}, NULL);
    pbc_names_add(&n, (struct pbc_name_of){.name = "implied-not"}, NULL);
    pbc_names_add(&n, (struct pbc_name_of){.name = "l", .target = "a"}, NULL);
    pbc_names_add(&n, (struct pbc_name_of){.name = "loop", .target = "loop"}, NULL);
    pbc_names_add(&n, (struct pbc_name_of){.name = "out", .target = "/a"}, NULL);
    pbc_names_sort(&n);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char real[PBC_PATH_MAX] = "unset";

        assert_int_equal(pbc_names_follow(&n, cases[i].name, cases[i].target, real),
                         cases[i].leads);
        assert_string_equal(real, cases[i].real == NULL ? "unset" : cases[i].real);
    }
    pbc_names_free(&n);
}

static void relative_targets(void **state)
{
    static const char *const cases[][3] = {
        {"a", "b", "b"},           {"d/a", "b", "../b"},         {"d/a", "d/b", "b"},
        {"a", "d/b", "d/b"},       {"d/e/a", "d/f/b", "../f/b"}, {"d/a", "", "../"},
        {"da/x", "d/x", "../d/x"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *made = pbc_names_relative(cases[i][0], cases[i][1]);

        assert_string_equal(made, cases[i][2]);
        free(made);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, unpacking_setup, unpacking_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_directory_unpacks_to_the_same_tree),
        TEST(frames_for_a_stream_are_whole_when_they_are_written),
        TEST(a_frame_that_is_too_large_to_be_held_is_refused),
        TEST(errors_of_the_sink_are_told_as_they_are),
        TEST(a_file_that_is_written_to_while_it_is_read_is_refused),
        cmocka_unit_test(links_lead_where_they_lead),
        cmocka_unit_test(relative_targets),
    };

    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
