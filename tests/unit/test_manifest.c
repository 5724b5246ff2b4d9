#include "support.h"

#include "manifest.h"
#include "meta.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SET    "0123456789abcdef0123456789abcdef"
#define DIGEST SET SET
#define HEAD   "pbcast-manifest=1\nset=" SET "\n"

static struct pbc_manifest m;
static struct pbc_error err;

static int parse(const char *text)
{
    memset(&m, 0xff, sizeof(m));
    return pbc_manifest_parse(text, strlen(text), &m, &err);
}

static void refused_text(const char *text, size_t len, const char *word)
{
    static const struct pbc_manifest empty;

    memset(&m, 0xff, sizeof(m));
    assert_int_equal(pbc_manifest_parse(text, len, &m, &err), -1);
    assert_error(&err, PBC_EXIT_FAILED, word);
    assert_memory_equal(&m, &empty, sizeof(m));
}

static void refused(const char *text, const char *word)
{
    refused_text(text, strlen(text), word);
}

static void a_full_manifest_is_read(void **state)
{
    (void)state;
    assert_int_equal(parse(HEAD "profile=python\npython=3.11\nbytes=18446744073709551615\nfiles=7\n"
                                "nodes=n[1-4]\nlibdir=lib\nlibdir=lib/x86_64-linux-gnu\n"
                                "bundle=" DIGEST " 12 3 /sw/tier1 final.tar.zst\n"
                                "bundle=" DIGEST " 0 0 relative\n"),
                     0);
    assert_string_equal(m.set, SET);
    assert_int_equal(m.profile, PBC_PROFILE_PYTHON);
    assert_string_equal(m.python, "3.11");
    assert_int_equal(m.bytes, UINT64_MAX);
    assert_int_equal(m.files, 7);
    assert_string_equal(m.nodes, "n[1-4]");
    assert_int_equal(m.lib.count, 2);
    assert_string_equal(m.lib.dir[0], "lib");
    assert_string_equal(m.lib.dir[1], "lib/x86_64-linux-gnu");
    assert_int_equal(m.nbundles, 2);
    assert_string_equal(m.bundle[0].digest, DIGEST);
    assert_int_equal(m.bundle[0].bytes, 12);
    assert_int_equal(m.bundle[0].files, 3);
    assert_string_equal(m.bundle[0].path, "/sw/tier1 final.tar.zst");
    assert_string_equal(m.bundle[1].path, "relative");
    pbc_manifest_free(&m);
    assert_int_equal(m.nbundles, 0);
}

static void the_set_alone_is_enough(void **state)
{
    (void)state;
    assert_int_equal(parse(HEAD), 0);
    assert_int_equal(m.profile, PBC_PROFILE_GENERIC);
    assert_string_equal(m.nodes, "");
    pbc_manifest_free(&m);
}

static void another_version_is_refused(void **state)
{
    (void)state;
    refused("pbcast-manifest=2\nset=" SET "\n", "line 1");
    refused("pbcast-manifest=10\n", "version");
    refused("set=" SET "\n", "line 1");
    refused("", "line 1");
    refused("\n", "line 1");
    refused(" pbcast-manifest=1\n", "line 1");
}

static void a_missing_set_is_refused(void **state)
{
    (void)state;
    refused("pbcast-manifest=1\n", "without set=");
    refused("pbcast-manifest=1\nfiles=1\n", "line 2");
    refused("pbcast-manifest=1", "without set=");
}

static void a_set_out_of_form_is_refused(void **state)
{
    (void)state;
    refused("pbcast-manifest=1\nset=\n", "line 2 of the manifest has a wrong value for set=");
    refused("pbcast-manifest=1\nset=../x\n", "set=");
    refused("pbcast-manifest=1\nset=" SET "0\n", "set=");
    refused("pbcast-manifest=1\nset=" SET " \n", "set=");
}

static void unknown_keys_are_refused_with_their_line(void **state)
{
    (void)state;
    refused(HEAD "colour=red\n", "line 3 of the manifest has an unknown key: colour");
    refused(HEAD "bytes\n", "line 3");
    refused(HEAD "\n", "line 3");
    refused(HEAD "byte=1\n", "unknown key");
    refused(HEAD " bytes=1\n", "unknown key");
    refused(HEAD "pbcast-manifest=1\n", "unknown key");
}

static void doubled_keys_are_refused_with_their_line(void **state)
{
    (void)state;
    refused(HEAD "set=" SET "\n", "line 3 of the manifest has set= a second time");
    refused(HEAD "nodes=a\nnodes=b\n", "line 4");
    refused(HEAD "bytes=1\nfiles=1\nbytes=1\n", "bytes= a second time");
    refused(HEAD "profile=generic\nprofile=generic\n", "profile=");
    refused(HEAD "profile=python\npython=3.1\npython=3.1\n", "python=");
}

static void numbers_out_of_form_are_refused(void **state)
{
    (void)state;
    refused(HEAD "bytes=\n", "bytes=");
    refused(HEAD "bytes=-1\n", "bytes=");
    refused(HEAD "bytes=1K\n", "bytes=");
    refused(HEAD "files=18446744073709551616\n", "files=");
    refused(HEAD "files= 1\n", "files=");
}

static void a_profile_must_fit_what_the_tree_has(void **state)
{
    (void)state;
    refused(HEAD "profile=cobol\n", "wrong value for profile=");
    refused(HEAD "profile=python\n", "does not fit");
    refused(HEAD "profile=python\npython=3.11\nbase=base\n", "does not fit");
    refused(HEAD "profile=venv\nbase=base\n", "does not fit");
    refused(HEAD "profile=r\n", "does not fit");
    refused(HEAD "profile=perl\n", "does not fit");
    assert_int_equal(parse(HEAD "profile=generic\npython=3.11\n"), 0);
    pbc_manifest_free(&m);
    refused(HEAD "profile=python\npython=3\n", "python=");
    refused(HEAD "profile=python\npython=3.\n", "python=");
    refused(HEAD "profile=python\npython=.3\n", "python=");
    refused(HEAD "profile=python\npython=3.11a\n", "python=");
    refused(HEAD "profile=python\npython=3.11111111111111\n", "python=");
}

static void a_libdir_stays_in_the_tree(void **state)
{
    static const char *const bad[] = {"",        "/lib", "..",     "../lib", "lib/..", "lib/../..",
                                      "lib/./x", ".",    "lib//x", "lib/",   "a:b",    "a\tb"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[256];

        snprintf(text, sizeof(text), HEAD "libdir=%s\n", bad[i]);
        refused(text, "line 3 of the manifest has a wrong value for libdir=");
    }
    assert_int_equal(parse(HEAD "libdir=..lib/...\n"), 0);
    pbc_manifest_free(&m);
}

static void a_bundle_line_has_four_parts(void **state)
{
    (void)state;
    refused(HEAD "bundle=\n", "bundle=");
    refused(HEAD "bundle=" DIGEST "\n", "bundle=");
    refused(HEAD "bundle=" DIGEST " 1 2\n", "bundle=");
    refused(HEAD "bundle=" DIGEST " 1 2 \n", "bundle=");
    refused(HEAD "bundle=" DIGEST " 1  /x\n", "bundle=");
    refused(HEAD "bundle=" DIGEST "0 1 2 /x\n", "bundle=");
    refused(HEAD "bundle=" SET " 1 2 /x\n", "bundle=");
    refused(HEAD "bundle=" DIGEST " x 2 /x\n", "bundle=");
}

static void more_entries_than_there_is_room_for_are_refused(void **state)
{
    char text[16384] = HEAD;

    (void)state;
    for (int i = 0; i < PBC_DIRS_MAX; i++)
        strcat(text, "libdir=lib\n");
    assert_int_equal(parse(text), 0);
    pbc_manifest_free(&m);
    strcat(text, "libdir=lib\n");
    refused(text, "line 19 of the manifest has one libdir= too many");

    strcpy(text, HEAD);
    for (int i = 0; i < PBC_BUNDLES_MAX; i++)
        strcat(text, "bundle=" DIGEST " 1 2 /x\n");
    assert_int_equal(parse(text), 0);
    pbc_manifest_free(&m);
    strcat(text, "bundle=" DIGEST " 1 2 /x\n");
    refused(text, "line 67 of the manifest has one bundle= too many");
}

static void paths_have_a_limit(void **state)
{
    char text[2 * PBC_PATH_MAX] = HEAD "libdir=";
    size_t len = strlen(text);

    (void)state;
    memset(text + len, 'x', PBC_PATH_MAX);
    strcpy(text + len + PBC_PATH_MAX, "\n");
    refused(text, "libdir=");
    strcpy(text + len + PBC_PATH_MAX - 1, "\n");
    assert_int_equal(parse(text), 0);
    pbc_manifest_free(&m);
}

static void a_manifest_that_is_cut_is_refused(void **state)
{
    static const char full[] = HEAD "bytes=1234\n";

    (void)state;
    refused(HEAD "bytes=12", "line 3 of the manifest is cut");
    for (size_t len = 0; len < sizeof(full) - 1; len++) {
        if (len == strlen(HEAD)) /* cut where a line ends it is another manifest */
            continue;
        refused_text(full, len, "manifest");
    }
}

static void a_nul_is_refused(void **state)
{
    static const char text[] = HEAD "nodes=a\0b\n";

    (void)state;
    refused_text(text, sizeof(text) - 1, "NUL");
    refused_text("", 1, "NUL");
}

static void control_characters_are_refused(void **state)
{
    (void)state;
    refused(HEAD "nodes=n1\r\n", "nodes=");
    refused(HEAD "bundle=" DIGEST " 1 2 /x\033[2J\n", "bundle=");
}

static void a_manifest_too_long_is_refused(void **state)
{
    size_t len = PBC_MANIFEST_MAX + 1;
    char *text = malloc(len);

    (void)state;
    assert_non_null(text);
    memset(text, 'x', len);
    refused_text(text, len, "more than 4194304 bytes");
    memcpy(text, HEAD "nodes=", strlen(HEAD "nodes="));
    text[PBC_MANIFEST_MAX - 1] = '\n';
    assert_int_equal(pbc_manifest_parse(text, PBC_MANIFEST_MAX, &m, &err), 0);
    pbc_manifest_free(&m);
    free(text);
}

static char some_path[] = "/sw/a, b = c.tar", some_libdir[] = "lib/x86_64-linux-gnu",
            some_nodes[] = "n[1-3],x=y";

static struct pbc_manifest sample(void)
{
    return (struct pbc_manifest){
        .set = SET,
        .profile = PBC_PROFILE_PYTHON,
        .python = "3.9",
        .bytes = 5,
        .files = UINT64_MAX,
        .nodes = some_nodes,
        .lib = {1, {some_libdir}},
        .nbundles = 1,
        .bundle = {{DIGEST, 1, 2, some_path}},
    };
}

static void parse_gives_back_what_format_wrote(void **state)
{
    struct pbc_manifest in = sample();
    char *text, *again;
    size_t len, len2;

    (void)state;
    text = pbc_manifest_format(&in, &len, &err);
    assert_non_null(text);
    assert_int_equal(strlen(text), len);
    assert_int_equal(pbc_manifest_parse(text, len, &m, &err), 0);
    assert_string_equal(m.set, in.set);
    assert_int_equal(m.profile, in.profile);
    assert_string_equal(m.python, in.python);
    assert_int_equal(m.bytes, in.bytes);
    assert_int_equal(m.files, in.files);
    assert_string_equal(m.nodes, in.nodes);
    assert_int_equal(m.lib.count, 1);
    assert_string_equal(m.lib.dir[0], some_libdir);
    assert_int_equal(m.nbundles, 1);
    assert_string_equal(m.bundle[0].digest, DIGEST);
    assert_string_equal(m.bundle[0].path, some_path);
    again = pbc_manifest_format(&m, &len2, &err);
    assert_string_equal(again, text);
    assert_int_equal(len2, len);
    free(text);
    free(again);
    pbc_manifest_free(&m);
}

#define TREE                                                                                       \
    "profile=venv\nstated=1\nrewritten=1\npython=3.12\nbase=.base\nrhome=lib64/R\nopenmpi=1\n"     \
    "libdir=lib\nperldir=share/perl5\nnodedir=node_modules\ndepot=depot\nenv=set=A=@ROOT@/"        \
    "x=\\012y\n"                                                                                   \
    "env=prepend=B=@ROOT@\nenv=append=B=z\nenv=unset=C\n"

static void what_a_tree_has_is_read_and_written(void **state)
{
    char *text;
    size_t len;

    (void)state;
    assert_int_equal(parse(HEAD TREE), 0);
    assert_int_equal(m.profile, PBC_PROFILE_VENV);
    assert_true(m.stated && m.rewritten && m.openmpi);
    assert_string_equal(m.base, ".base");
    assert_string_equal(m.rhome, "lib64/R");
    assert_string_equal(m.perl.dir[0], "share/perl5");
    assert_string_equal(m.node.dir[0], "node_modules");
    assert_string_equal(m.depot.dir[0], "depot");
    assert_int_equal(m.vars.count, 4);
    assert_string_equal(m.vars.item[0].value, "@ROOT@/x=\ny");
    assert_int_equal(m.vars.item[2].kind, PBC_ENV_APPEND);
    text = pbc_manifest_format(&m, &len, &err);
    assert_string_equal(text, HEAD TREE "bytes=0\nfiles=0\nnodes=\n");
    pbc_manifest_free(&m);
    free(text);
}

static void variables_of_slurm_are_refused_in_a_manifest(void **state)
{
    (void)state;
    refused(HEAD "env=set=SLURM_JOB_ID=1\n", "env=");
    refused(HEAD "env=unset=PMIX_RANK\n", "env=");
    refused(HEAD "env=prepend=LD_PRELOAD=x\n", "env=");
    refused(HEAD "env=export=A=1\n", "env=");
    refused(HEAD "env=set=A\n", "env=");
    refused(HEAD "env=set\n", "env=");
    refused(HEAD "set=A=1\n", "second time");
    refused(HEAD "stated=yes\n", "stated=");
    refused(HEAD "base=/x\n", "base=");
    refused(HEAD "rhome=lib:R\n", "rhome=");
}

/* The profile that the bundles state together; PBC_PROFILE_NONE + 1: none, the tree is looked at.
 * A word is a bundle's profile, "-" one that says nothing. */
static int together(const char *words)
{
    char copy[64], *rest = copy, *word;
    struct pbc_manifest made = {.nbundles = 0};
    bool first = true;

    snprintf(copy, sizeof(copy), "%s", words);
    while ((word = strsep(&rest, " ")) != NULL) {
        struct pbc_meta meta = {.has_profile = strcmp(word, "?") != 0};

        if (meta.has_profile && strcmp(word, "-") != 0)
            assert_int_equal(pbc_profile_from_name(word, &meta.profile), 0);
        assert_int_equal(
            pbc_manifest_add_meta(&made, first, strcmp(word, "-") == 0 ? NULL : &meta, &err), 0);
        first = false;
    }
    return made.stated ? (int)made.profile : PBC_PROFILE_NONE + 1;
}

static void the_first_bundle_that_states_a_runtime_decides(void **state)
{
    const int look = PBC_PROFILE_NONE + 1;

    (void)state;
    assert_int_equal(together("conda"), PBC_PROFILE_CONDA);
    assert_int_equal(together("conda r"), PBC_PROFILE_CONDA);
    assert_int_equal(together("generic conda r"), PBC_PROFILE_CONDA);
    assert_int_equal(together("- conda"), PBC_PROFILE_CONDA);
    assert_int_equal(together("conda -"), PBC_PROFILE_CONDA);
    assert_int_equal(together("none ? venv"), PBC_PROFILE_VENV);
    assert_int_equal(together("generic"), PBC_PROFILE_GENERIC);
    assert_int_equal(together("none generic"), PBC_PROFILE_NONE);
    assert_int_equal(together("-"), look);
    assert_int_equal(together("?"), look);
    assert_int_equal(together("generic -"), look);
    assert_int_equal(together("- generic"), look);
    assert_int_equal(together("none ?"), look);
}

static void variables_of_all_bundles_come_in_their_order(void **state)
{
    struct pbc_meta meta = {.nrewrites = 0};

    (void)state;
    memset(&m, 0, sizeof(m));
    assert_int_equal(pbc_variables_add(&meta.vars, PBC_ENV_SET, "A", "1"), 0);
    assert_int_equal(pbc_manifest_add_meta(&m, true, &meta, &err), 0);
    assert_false(m.rewritten);
    meta.nrewrites = 1;
    assert_int_equal(pbc_manifest_add_meta(&m, false, &meta, &err), 0);
    meta.nrewrites = 0;
    assert_int_equal(pbc_manifest_add_meta(&m, false, NULL, &err), 0);
    assert_true(m.rewritten);
    assert_int_equal(m.vars.count, 2);
    for (size_t i = 2; i < PBC_VARIABLES_MAX; i++)
        assert_int_equal(pbc_manifest_add_meta(&m, false, &meta, &err), 0);
    assert_int_equal(pbc_manifest_add_meta(&m, false, &meta, &err), -1);
    assert_error(&err, PBC_EXIT_REFUSED, "512 variables");
    pbc_manifest_forget_tree(&m);
    assert_int_equal(m.vars.count, 0);
    pbc_meta_free(&meta);
}

static void nodes_that_are_not_known_are_written_as_none(void **state)
{
    struct pbc_manifest in = sample();
    char *text;
    size_t len;

    (void)state;
    in.nodes = NULL;
    text = pbc_manifest_format(&in, &len, &err);
    assert_int_equal(pbc_manifest_parse(text, len, &m, &err), 0);
    assert_string_equal(m.nodes, "");
    free(text);
    pbc_manifest_free(&m);
}

static void cannot_write(struct pbc_manifest in, const char *key)
{
    size_t len = 7;

    assert_null(pbc_manifest_format(&in, &len, &err));
    assert_error(&err, PBC_EXIT_FAILED, key);
    assert_int_equal(len, 7);
}

static void what_parse_would_refuse_is_not_written(void **state)
{
    char newline[] = "/sw/a\nfiles=3", up[] = "../lib", empty[] = "";
    struct pbc_manifest in = sample();

    (void)state;
    in.bundle[0].path = newline;
    cannot_write(in, "bundle=");
    in = sample();
    in.bundle[0].path = empty;
    cannot_write(in, "bundle=");
    in = sample();
    in.bundle[0].digest[3] = 'X';
    cannot_write(in, "bundle=");
    in = sample();
    in.nodes = newline;
    cannot_write(in, "nodes=");
    in = sample();
    in.lib.dir[0] = up;
    cannot_write(in, "libdir=");
    in = sample();
    in.set[0] = 'X';
    cannot_write(in, "set=");
    in = sample();
    in.python[0] = '\0';
    cannot_write(in, "profile=");
    in = sample();
    in.rhome = up;
    cannot_write(in, "rhome=");
    in = sample();
    in.base = empty;
    cannot_write(in, "base=");
    in = sample();
    in.depot = (struct pbc_dirs){1, {newline}};
    cannot_write(in, "depot=");
    in = sample();
    in.lib.count = PBC_DIRS_MAX + 1;
    cannot_write(in, "libdir=");
    in = sample();
    in.nbundles = PBC_BUNDLES_MAX + 1;
    cannot_write(in, "bundle=");
}

static void too_much_to_read_is_not_written(void **state)
{
    struct pbc_manifest in = sample();
    char *nodes = malloc(PBC_MANIFEST_MAX);

    (void)state;
    assert_non_null(nodes);
    memset(nodes, 'n', PBC_MANIFEST_MAX);
    nodes[PBC_MANIFEST_MAX - 1] = '\0';
    in.nodes = nodes;
    cannot_write(in, "more than");
    free(nodes);
}

/* ---- in a job's directory ---- */

static int dir_open(void *const *state)
{
    int fd = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    assert_true(fd >= 0);
    unlink(in(*state, SET ".manifest"));
    return fd;
}

static void refused_file(int dirfd, const char *word)
{
    memset(&m, 0xff, sizeof(m));
    assert_int_equal(pbc_manifest_read(dirfd, SET, &m, &err), -1);
    assert_error(&err, PBC_EXIT_FAILED, word);
    assert_int_equal(m.nbundles, 0);
    close(dirfd);
}

static void a_manifest_is_read_from_the_job_directory(void **state)
{
    int fd = dir_open(state);

    make_file(in(*state, SET ".manifest"), HEAD "files=3\n", strlen(HEAD "files=3\n"));
    assert_int_equal(pbc_manifest_read(fd, SET, &m, &err), 0);
    assert_int_equal(m.files, 3);
    pbc_manifest_free(&m);
    close(fd);
}

static void no_manifest_is_told_from_a_bad_one(void **state)
{
    int fd = dir_open(state);

    err.code = PBC_EXIT_AGAIN;
    assert_int_equal(pbc_manifest_read(fd, SET, &m, &err), 1);
    assert_int_equal(err.code, PBC_EXIT_AGAIN);
    close(fd);
}

static void a_manifest_of_another_set_is_refused(void **state)
{
    static const char other[] = "pbcast-manifest=1\nset=ffffffffffffffffffffffffffffffff\n";
    int fd = dir_open(state);

    make_file(in(*state, SET ".manifest"), other, strlen(other));
    refused_file(fd, "another set: ffff");
}

static void a_link_is_not_followed(void **state)
{
    int fd = dir_open(state);

    make_file(in(*state, "elsewhere"), HEAD, strlen(HEAD));
    assert_int_equal(symlink("elsewhere", in(*state, SET ".manifest")), 0);
    refused_file(fd, "symbolic link");
}

static void a_directory_in_its_place_is_refused(void **state)
{
    int fd = dir_open(state);

    make_dir(in(*state, SET ".manifest"), 0755);
    refused_file(fd, "not a regular file");
    rmdir(in(*state, SET ".manifest"));
}

static void a_fifo_in_its_place_does_not_block(void **state)
{
    int fd = dir_open(state);

    assert_int_equal(mkfifo(in(*state, SET ".manifest"), 0600), 0);
    alarm(10);
    refused_file(fd, "not a regular file");
    alarm(0);
}

static void a_file_too_long_is_not_even_read(void **state)
{
    int fd = dir_open(state);

    make_file(in(*state, SET ".manifest"), HEAD, strlen(HEAD));
    assert_int_equal(truncate(in(*state, SET ".manifest"), (off_t)1 << 40), 0);
    refused_file(fd, "more than 4194304 bytes");
}

static void the_set_is_no_path(void **state)
{
    int fd = dir_open(state);

    assert_int_equal(pbc_manifest_read(fd, "../" SET, &m, &err), -1);
    assert_error(&err, PBC_EXIT_FAILED, "not the name of a bundle set");
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_manifest_is_read),
        cmocka_unit_test(the_set_alone_is_enough),
        cmocka_unit_test(another_version_is_refused),
        cmocka_unit_test(a_missing_set_is_refused),
        cmocka_unit_test(a_set_out_of_form_is_refused),
        cmocka_unit_test(unknown_keys_are_refused_with_their_line),
        cmocka_unit_test(doubled_keys_are_refused_with_their_line),
        cmocka_unit_test(numbers_out_of_form_are_refused),
        cmocka_unit_test(a_profile_must_fit_what_the_tree_has),
        cmocka_unit_test(a_libdir_stays_in_the_tree),
        cmocka_unit_test(a_bundle_line_has_four_parts),
        cmocka_unit_test(more_entries_than_there_is_room_for_are_refused),
        cmocka_unit_test(paths_have_a_limit),
        cmocka_unit_test(a_manifest_that_is_cut_is_refused),
        cmocka_unit_test(a_nul_is_refused),
        cmocka_unit_test(control_characters_are_refused),
        cmocka_unit_test(a_manifest_too_long_is_refused),
        cmocka_unit_test(parse_gives_back_what_format_wrote),
        cmocka_unit_test(what_a_tree_has_is_read_and_written),
        cmocka_unit_test(variables_of_slurm_are_refused_in_a_manifest),
        cmocka_unit_test(the_first_bundle_that_states_a_runtime_decides),
        cmocka_unit_test(variables_of_all_bundles_come_in_their_order),
        cmocka_unit_test(nodes_that_are_not_known_are_written_as_none),
        cmocka_unit_test(what_parse_would_refuse_is_not_written),
        cmocka_unit_test(too_much_to_read_is_not_written),
        cmocka_unit_test(a_manifest_is_read_from_the_job_directory),
        cmocka_unit_test(no_manifest_is_told_from_a_bad_one),
        cmocka_unit_test(a_manifest_of_another_set_is_refused),
        cmocka_unit_test(a_link_is_not_followed),
        cmocka_unit_test(a_directory_in_its_place_is_refused),
        cmocka_unit_test(a_fifo_in_its_place_does_not_block),
        cmocka_unit_test(a_file_too_long_is_not_even_read),
        cmocka_unit_test(the_set_is_no_path),
    };

    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
