/* A job's directory as the agents see it: publishing, locks, and what dead agents left. */
#include "engine_support.h"

#include "place.h"
#include "store.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SET_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define SET_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define JOB   7

static int setup(void **state)
{
    struct pbc_error err;

    no_longer_than(120);
    umask(022);
    if (scratch_setup(state) != 0)
        return -1;
    return pbc_store_make(in(*state, "store"), JOB, geteuid(), getegid(), &err);
}

static void open_place(const char *dir, struct pbc_place *p)
{
    struct pbc_error err;

    if (pbc_place_open(p, in(dir, "store"), JOB, &err) != 0)
        fail_msg("%s", err.text);
}

/* Make an incoming tree with one file in it, and publish it as `set`. */
static int publish(struct pbc_place *p, const char *set, const char *content, struct pbc_error *err)
{
    struct pbc_manifest m = {.bytes = 1, .files = 1};
    int fd;

    memcpy(m.set, set, sizeof(m.set));
    if (pbc_place_begin(p, err) != 0)
        return -1;
    fd = openat(p->treefd, "content", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, content, strlen(content)) < 0)
        return -1;
    close(fd);
    if (pbc_place_describe(p, &m, err) != 0)
        return -1;
    return pbc_place_publish(p, set, err);
}

static unsigned count_entries(const char *dir, const char *prefix)
{
    struct dirent *e;
    unsigned n = 0;
    DIR *d = opendir(in(dir, "store/7"));

    assert_non_null(d);
    while ((e = readdir(d)) != NULL)
        n += strncmp(e->d_name, prefix, strlen(prefix)) == 0 && strcmp(e->d_name, ".") != 0 &&
             strcmp(e->d_name, "..") != 0;
    closedir(d);
    return n;
}

static void assert_published(const char *dir, const char *set, const char *content)
{
    char name[128];
    char *text;

    snprintf(name, sizeof(name), "store/7/%s/content", set);
    text = slurp(in(dir, name));
    assert_string_equal(text, content);
    free(text);
}

static void a_published_set_is_there_for_all(void **state)
{
    struct pbc_place p, q;
    struct pbc_error err;

    open_place(*state, &p);
    assert_int_equal(pbc_place_has(&p, SET_A), 0);
    assert_int_equal(publish(&p, SET_A, "a", &err), 0);
    assert_int_equal(pbc_place_has(&p, SET_A), 1);
    assert_int_equal(pbc_place_has(&p, SET_B), 0);
    open_place(*state, &q);
    assert_int_equal(pbc_place_has(&q, SET_A), 1);
    pbc_place_close(&p);
    pbc_place_close(&q);
    assert_published(*state, SET_A, "a");
    assert_int_equal(count_entries(*state, ""), 2); /* tree and manifest */
}

static void what_is_not_published_is_removed(void **state)
{
    const struct pbc_manifest m = {.set = SET_A, .bytes = 1, .files = 1};
    struct pbc_place p;
    struct pbc_error err;

    open_place(*state, &p);
    assert_int_equal(pbc_place_begin(&p, &err), 0);
    assert_int_equal(mkdirat(p.treefd, "d", 0755), 0);
    close(openat(p.treefd, "d/f", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    assert_int_equal(count_entries(*state, ".incoming-"), 1);
    assert_int_equal(pbc_place_describe(&p, &m, &err), 0);
    assert_int_equal(count_entries(*state, ".incoming-"), 2);
    pbc_place_close(&p);
    assert_int_equal(count_entries(*state, ""), 0);
}

/* Removing is for the end: it may take long, while others wait. */
static void the_first_of_two_publishers_stays(void **state)
{
    struct pbc_place p, q;
    struct pbc_error err;

    open_place(*state, &p);
    open_place(*state, &q);
    assert_int_equal(publish(&p, SET_A, "first", &err), 0);
    assert_int_equal(publish(&q, SET_A, "second", &err), 0);
    pbc_place_close(&p);
    assert_int_equal(count_entries(*state, ".incoming-"), 2); /* the second's tree and manifest */
    pbc_place_close(&q);
    assert_published(*state, SET_A, "first");
    assert_int_equal(count_entries(*state, ""), 2);
}

static void a_tree_without_a_manifest_or_with_a_broken_one_is_replaced(void **state)
{
    struct pbc_place p;
    struct pbc_error err;

    open_place(*state, &p);
    make_dir(in(*state, "store/7/" SET_A), 0755);
    make_file(in(*state, "store/7/" SET_A "/content"), "half", 4);
    assert_int_equal(pbc_place_has(&p, SET_A), 0);
    assert_int_equal(publish(&p, SET_A, "whole", &err), 0);
    assert_published(*state, SET_A, "whole");
    assert_int_equal(count_entries(*state, ".incoming-"), 1); /* the half, set aside */
    pbc_place_close(&p);
    assert_int_equal(count_entries(*state, ".incoming-"), 0);
    open_place(*state, &p);
    make_file(in(*state, "store/7/" SET_A ".manifest"), "garbage\n", 8);
    assert_int_equal(pbc_place_has(&p, SET_A), 0);
    assert_int_equal(publish(&p, SET_A, "again", &err), 0);
    assert_int_equal(pbc_place_has(&p, SET_A), 1);
    assert_published(*state, SET_A, "again");
    pbc_place_close(&p);
}

static void a_manifest_without_its_tree_is_no_set(void **state)
{
    struct pbc_place p;
    struct pbc_error err;

    open_place(*state, &p);
    assert_int_equal(publish(&p, SET_A, "a", &err), 0);
    assert_int_equal(renameat(p.dirfd, SET_A, p.dirfd, "elsewhere"), 0);
    assert_int_equal(pbc_place_has(&p, SET_A), 0);
    assert_int_equal(symlinkat("elsewhere", p.dirfd, SET_A), 0);
    assert_int_equal(pbc_place_has(&p, SET_A), 0);
    pbc_place_close(&p);
}

#define PUBLISHERS 8

static int publish_in_child(const char *dir, int i)
{
    struct pbc_error err;
    struct pbc_place p;

    for (int round = 0; round < 20; round++) {
        char set[PBC_SET_ID_LEN + 1];

        memset(set, 'a' + round % 6, sizeof(set));
        set[PBC_SET_ID_LEN] = '\0';
        set[0] = (char)('0' + round / 6);
        if (pbc_place_open(&p, in(dir, "store"), JOB, &err) != 0 ||
            publish(&p, set, "same", &err) != 0 || pbc_place_has(&p, set) != 1) {
            fprintf(stderr, "publisher %d: %s\n", i, err.text);
            return 1;
        }
        pbc_place_close(&p);
    }
    return 0;
}

static void publishers_of_the_same_sets_at_the_same_time_all_succeed(void **state)
{
    pid_t pid[PUBLISHERS];

    for (int i = 0; i < PUBLISHERS; i++) {
        pid[i] = fork();
        assert_true(pid[i] >= 0);
        if (pid[i] == 0)
            _exit(publish_in_child(*state, i));
    }
    for (int i = 0; i < PUBLISHERS; i++) {
        int status;

        assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(count_entries(*state, ""), 40); /* 20 trees, 20 manifests */
}

/* ---- what others left ---- */

static void an_abandoned_tree_is_removed_and_a_live_one_is_not(void **state)
{
    const struct pbc_manifest m = {.set = SET_A, .bytes = 1, .files = 1};
    struct pbc_place live, p;
    struct pbc_error err;

    open_place(*state, &live);
    assert_int_equal(pbc_place_begin(&live, &err), 0);
    assert_int_equal(pbc_place_describe(&live, &m, &err), 0);
    make_dir(in(*state, "store/7/.incoming-0123456789abcdef"), 0700);
    make_dir(in(*state, "store/7/.incoming-0123456789abcdef/d"), 0500);
    make_file(in(*state, "store/7/.incoming-0123456789abcdef.manifest"), "cut", 3);
    open_place(*state, &p);
    assert_int_equal(count_entries(*state, ".incoming-"), 2);
    close(openat(live.treefd, "content", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    assert_true(exists(in(in(*state, "store/7"), live.incoming)));
    pbc_place_close(&p);
    assert_int_equal(pbc_place_publish(&live, SET_A, &err), 0);
    assert_int_equal(pbc_place_has(&live, SET_A), 1);
    pbc_place_close(&live);
    assert_int_equal(count_entries(*state, ""), 2);
}

static void the_mark_of_an_agent_is_there_as_long_as_it_lives(void **state)
{
    struct pbc_place live, p;

    open_place(*state, &live);
    assert_int_equal(pbc_place_marked(&live, "10.0.0.1-7"), 0);
    pbc_place_mark(&live, "10.0.0.1-7");
    make_file(in(*state, "store/7/.agent-10.0.0.2-7"), "", 0); /* of one that was killed */
    open_place(*state, &p);
    assert_int_equal(pbc_place_marked(&p, "10.0.0.1-7"), 1);
    assert_int_equal(pbc_place_marked(&p, "10.0.0.2-7"), 0);
    pbc_place_mark(&p, "10.0.0.1-7"); /* is another's, and stays when this one goes */
    pbc_place_close(&p);
    open_place(*state, &p);
    assert_int_equal(pbc_place_marked(&p, "10.0.0.1-7"), 1);
    pbc_place_close(&live);
    assert_int_equal(pbc_place_marked(&p, "10.0.0.1-7"), 0);
    pbc_place_close(&p);
    assert_int_equal(count_entries(*state, ""), 0);
}

static void the_tree_of_a_killed_agent_is_removed(void **state)
{
    int ready[2];
    struct pbc_place p;
    struct pbc_error err;
    pid_t pid;
    char c;

    assert_int_equal(pipe(ready), 0);
    pid = fork();
    if (pid == 0) {
        if (pbc_place_open(&p, in(*state, "store"), JOB, &err) != 0 ||
            pbc_place_begin(&p, &err) != 0 || write(ready[1], "x", 1) != 1)
            _exit(1);
        pause();
    }
    assert_int_equal(read(ready[0], &c, 1), 1);
    close(ready[0]);
    close(ready[1]);
    open_place(*state, &p);
    assert_int_equal(count_entries(*state, ".incoming-"), 1);
    pbc_place_close(&p);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    open_place(*state, &p);
    assert_int_equal(count_entries(*state, ".incoming-"), 0);
    pbc_place_close(&p);
}

/* ---- locks ---- */

static void one_root_at_a_time_may_stage_a_set(void **state)
{
    struct pbc_place p, q;
    struct pbc_error err;

    open_place(*state, &p);
    open_place(*state, &q);
    assert_int_equal(pbc_place_lock(&p, SET_A, &err), 1);
    assert_int_equal(pbc_place_lock(&q, SET_A, &err), 0);
    assert_int_equal(pbc_place_lock(&q, SET_A, &err), 0);
    assert_int_equal(pbc_place_lock(&p, SET_A, &err), 1); /* asked again */
    pbc_place_close(&p);
    assert_int_equal(pbc_place_lock(&q, SET_A, &err), 1);
    open_place(*state, &p);
    assert_int_equal(pbc_place_lock(&p, SET_B, &err), 1); /* of another set */
    pbc_place_close(&p);
    pbc_place_close(&q);
}

/* ---- the store ---- */

static void a_store_without_the_job_is_refused(void **state)
{
    struct pbc_place p;
    struct pbc_error err;

    assert_int_equal(pbc_place_open(&p, in(*state, "store"), 8, &err), -1);
    assert_error(&err, PBC_EXIT_FAILED, "store/8");
    pbc_place_close(&p); /* may be called nevertheless */
    assert_int_equal(pbc_place_open(&p, in(*state, "nowhere"), 8, &err), -1);
    assert_error(&err, PBC_EXIT_FAILED, "nowhere");
}

static void the_free_space_is_that_of_the_store(void **state)
{
    struct pbc_place p;

    open_place(*state, &p);
    assert_true(pbc_place_free(&p) > 0);
    assert_true(pbc_place_free(&p) < UINT64_MAX);
    pbc_place_close(&p);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_published_set_is_there_for_all),
        TEST(what_is_not_published_is_removed),
        TEST(the_first_of_two_publishers_stays),
        TEST(a_tree_without_a_manifest_or_with_a_broken_one_is_replaced),
        TEST(a_manifest_without_its_tree_is_no_set),
        TEST(publishers_of_the_same_sets_at_the_same_time_all_succeed),
        TEST(an_abandoned_tree_is_removed_and_a_live_one_is_not),
        TEST(the_mark_of_an_agent_is_there_as_long_as_it_lives),
        TEST(the_tree_of_a_killed_agent_is_removed),
        TEST(one_root_at_a_time_may_stage_a_set),
        TEST(a_store_without_the_job_is_refused),
        TEST(the_free_space_is_that_of_the_store),
    };

    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
