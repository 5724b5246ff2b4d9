/* Runs in which agents are killed, stopped or lost, and strangers knock. No run hangs. */
#include "engine_nodes.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define NODES 6

/* A transfer that fills every buffer: what is done to an agent that unpacks comes in its middle. */
static struct run_options large(struct nodes *n)
{
    return (struct run_options){.bundles = {make_large_bundle(n, "large.tar", 100)}};
}

/* All but `except` have failed, only the root spoke, and said `words`. */
static void assert_failed(struct run *r, unsigned except, int code, const char *words)
{
    for (unsigned i = 0; i < r->size; i++) {
        char *said = run_words(r, i);

        if (i == except) {
            free(said);
            continue;
        }
        if (r->status[i] != code)
            fail_msg("rank %u ended with %d, not %d: %s", i, r->status[i], code, said);
        if (i == 0 ? strstr(said, words) == NULL : said[0] != '\0')
            fail_msg("rank %u said '%s'", i, said);
        free(said);
    }
}

static void no_tree_is_staged(struct nodes *n)
{
    for (unsigned i = 0; i < NODES; i++) {
        char command[600];

        snprintf(command, sizeof(command), "! ls '%s' | grep -q manifest", node_job(n, i));
        assert_int_equal(system(command), 0);
    }
}

static void an_agent_killed_in_the_middle_fails_the_run(void **state, unsigned victim)
{
    struct nodes *n = *state;
    struct run_options o = large(n);
    struct run r;
    char words[64];

    run_start(n, &r, NODES, &o);
    run_wait_unpacking(&r, victim);
    kill(r.pid[victim], SIGKILL);
    run_wait(&r, 30);
    assert_int_equal(r.status[victim], -SIGKILL);
    snprintf(words, sizeof(words), "node node%u: its agent is gone", victim);
    assert_failed(&r, victim, PBC_EXIT_PEER, words);
    no_tree_is_staged(n);
    /* What the killed one left does not hinder the next run, which removes it. */
    run_all(n, &r, NODES, &o);
    assert_run(&r, 0, "staged 1 bundle, ");
    for (unsigned i = 0; i < NODES; i++) {
        char command[600];

        snprintf(command, sizeof(command), "! ls -A '%s' | grep incoming", node_job(n, i));
        assert_int_equal(system(command), 0);
    }
}

static void a_killed_inner_agent_is_named_and_the_next_run_succeeds(void **state)
{
    an_agent_killed_in_the_middle_fails_the_run(state, 2);
}

static void a_killed_last_agent_is_named_and_the_next_run_succeeds(void **state)
{
    an_agent_killed_in_the_middle_fails_the_run(state, NODES - 1);
}

static void a_killed_root_ends_the_run_everywhere(void **state)
{
    struct nodes *n = *state;
    struct run_options o = large(n);
    struct run r;
    unsigned said = 0;

    run_start(n, &r, NODES, &o);
    run_wait_unpacking(&r, 1);
    kill(r.pid[0], SIGKILL);
    run_wait(&r, 30);
    for (unsigned i = 1; i < NODES; i++) {
        char *words = run_words(&r, i);

        assert_int_equal(r.status[i], PBC_EXIT_PEER);
        said += words[0] != '\0';
        if (words[0] != '\0')
            assert_non_null(strstr(words, "lost the connection to node0"));
        free(words);
    }
    assert_in_range(said, 1, 8); /* the root's children, as nobody else can */
    no_tree_is_staged(n);
}

/* Wait for this one alone. */
static void wait_for_end(struct run *r, unsigned rank)
{
    pid_t ended = 0;
    int status = 0;

    for (int i = 0; i < 6000 && ended == 0; i++) { /* bounded by 60 s */
        ended = waitpid(r->pid[rank], &status, WNOHANG);
        usleep(10000);
    }
    assert_int_equal(ended, r->pid[rank]);
    r->status[rank] = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* All below node1 have heard of its failure, and so it has told the root. */
static void a_root_killed_before_it_can_say_what_it_was_told_leaves_that_to_its_child(void **state)
{
    struct nodes *n = *state;
    struct run_options o = large(n);
    struct run r;

#ifndef PBC_TWO_TREES
    o.args = "--tree 1";
#endif
    run_start(n, &r, NODES, &o);
    run_wait_unpacking(&r, 1);
    kill(r.pid[0], SIGSTOP);
    kill(r.pid[1], SIGTERM);
    wait_for_end(&r, NODES - 1);
    kill(r.pid[0], SIGKILL);
    run_wait(&r, 30);
    for (unsigned i = 1; i < NODES; i++) {
        char *words = run_words(&r, i);

        assert_int_equal(r.status[i], PBC_EXIT_FAILED);
        if (i == 1)
            assert_non_null(strstr(words, "error: node node1: staging was stopped by signal 15"));
        else
            assert_string_equal(words, "");
        free(words);
    }
    no_tree_is_staged(n);
}

static void a_stopped_agent_is_named_and_gives_up_when_it_wakes(void **state)
{
    struct nodes *n = *state;
    struct run_options o = large(n);
    struct run r;

    o.args = "--stall 4";
    run_start(n, &r, NODES, &o);
    run_wait_unpacking(&r, 2);
    kill(r.pid[2], SIGSTOP);
    wait_for_end(&r, 0);
    kill(r.pid[2], SIGCONT);
    run_wait(&r, 30);
    assert_int_not_equal(r.status[2], 0);
    assert_failed(&r, 2, PBC_EXIT_PEER, "node node2: has not answered for");
    no_tree_is_staged(n);
}

/* What a job does that is suspended and resumed. */
static void agents_that_were_all_stopped_go_on(void **state)
{
    struct nodes *n = *state;
    struct run_options o = large(n);
    struct run r;

    o.args = "--stall 4";
    run_start(n, &r, NODES, &o);
    run_wait_unpacking(&r, NODES - 1);
    for (unsigned i = 0; i < NODES; i++)
        kill(r.pid[i], SIGSTOP);
    usleep(9000000); /* with MPI as what carries the bundle the limit is twice the stall */
    for (unsigned i = 0; i < NODES; i++)
        kill(r.pid[i], SIGCONT);
    run_wait(&r, 60);
    for (unsigned i = 0; i < NODES; i++)
        assert_int_equal(r.status[i], 0);
}

/* There all wait for the one that pauses: MPI's window is smaller; in one of two trees every node
 * is before others. */
#if !defined(PBC_CARRIED) && !defined(PBC_TWO_TREES)
/* Wait until the node has unpacked as many files; it cannot publish before all have. */
static void wait_for_files(struct run *r, unsigned node, unsigned files)
{
    char command[700];

    snprintf(command, sizeof(command),
             "for i in $(seq 300); do "
             "test $(find '%s' -path '*incoming*' -type f -size 1048576c | wc -l) = %u && exit 0; "
             "sleep 0.1; done; exit 1",
             node_job(r->nodes, node), files);
    assert_int_equal(system(command), 0);
}

/* The bundle fits into the buffers before the last node, so that the others can finish. */
static void a_pause_shorter_than_the_stall_does_no_harm_and_is_seen(void **state)
{
    struct nodes *n = *state;
    struct run_options o = {.args = "--stall 60 --verbose 2",
                            .bundles = {make_large_bundle(n, "medium.tar", 30)}};
    struct run r;
    char *words;

    run_start(n, &r, 3, &o);
    run_wait_unpacking(&r, 2);
    kill(r.pid[2], SIGSTOP);
    wait_for_files(&r, 0, 30);
    wait_for_files(&r, 1, 30);
    usleep(500000);
    kill(r.pid[2], SIGCONT);
    run_wait(&r, 60);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(r.status[i], 0);
    words = run_words(&r, 0);
    assert_non_null(strstr(words, "staged 1 bundle, "));
    assert_non_null(strstr(words, "slowest node node2 "));
    free(words);
}
#endif

static void a_signal_to_one_agent_stops_all(void **state)
{
    static const int signals[] = {SIGTERM, SIGINT};
    struct nodes *n = *state;
    struct run_options o = large(n);
    struct run r;

    for (unsigned i = 0; i < 2; i++) {
        char words[64];
        unsigned victim = i == 0 ? 3 : 0;

        run_start(n, &r, NODES, &o);
        run_wait_unpacking(&r, victim);
        kill(r.pid[victim], signals[i]);
        run_wait(&r, 30);
        snprintf(words, sizeof(words), "node node%u: staging was stopped by signal %d", victim,
                 signals[i]);
        assert_run(&r, PBC_EXIT_FAILED, words);
        assert_nothing_staged(n, NODES);
    }
}

static void a_run_that_takes_too_long_is_ended(void **state)
{
    struct nodes *n = *state;
    struct run_options o = large(n);
    struct run r;

    o.args = "--timeout 2 --stall 30";
    run_start(n, &r, NODES, &o);
    run_wait_unpacking(&r, 2);
    kill(r.pid[NODES - 1], SIGSTOP);
    usleep(6000000);
    kill(r.pid[NODES - 1], SIGCONT);
    run_wait(&r, 30);
    for (unsigned i = 0; i < NODES; i++)
        assert_int_not_equal(r.status[i], 0);
    no_tree_is_staged(n);
}

/* ---- strangers ---- */

/* The port where rank k listens, from its record. */
static uint16_t port_of(const struct run *r, unsigned rank)
{
    struct pbc_record rec;
    struct pbc_error err;
    uint8_t wire[PBC_RECORD_BYTES];
    char path[512];
    int fd = -1;

    snprintf(path, sizeof(path), "%s/%u.record", r->meet, rank);
    for (int i = 0; fd < 0 && i < 10000; i++) {
        fd = open(path, O_RDONLY | O_CLOEXEC);
        usleep(500);
    }
    if (fd < 0 || read(fd, wire, sizeof(wire)) != sizeof(wire) ||
        pbc_record_decode(wire, &rec, &err) != 0)
        _exit(1);
    close(fd);
    return rec.port;
}

static int knock(uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
        return fd;
    close(fd);
    return -1;
}

static void say(int fd, const void *words, size_t len)
{
    if (send(fd, words, len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        return;
}

/* Everything that a port scan, a confused client or an attacker without the key may do. */
static void be_stranger(const struct run *r)
{
    uint16_t port[NODES];
    int held[48];
    unsigned holds = 0;

    for (unsigned i = 0; i < NODES; i++)
        port[i] = port_of(r, i);
    memset(held, 0xff, sizeof(held));
    for (unsigned i = 0;; i++) {
        struct pbc_handshake hs = {.child = i % NODES, .parent = (i + 1) % NODES};
        uint8_t hello[PBC_HELLO_BYTES];
        uint8_t noise[4096];
        uint8_t wrong_key[PBC_KEY_BYTES] = {0};
        uint8_t proof[PBC_PROOF_BYTES];
        int fd = knock(port[i % NODES]);

        if (fd < 0) {
            usleep(1000);
            continue;
        }
        randombytes_buf(noise, sizeof(noise));
        pbc_hello_make(&hs, hello);
        switch (i / NODES % 6) {
        case 0:
            say(fd, noise, sizeof(noise));
            break;
        case 1:
            say(fd, "GET / HTTP/1.0\r\n\r\n", 18);
            break;
        case 2: /* says who he is, without the key */
            say(fd, hello, sizeof(hello));
            pbc_proof_make(&hs, wrong_key, proof);
            say(fd, proof, sizeof(proof));
            break;
        case 3: /* half of it, and stays */
            say(fd, hello, sizeof(hello) / 2);
            break;
        case 4: /* nothing, and stays */
            break;
        default:
            break;
        }
        if (i / NODES % 6 == 3 || i / NODES % 6 == 4) {
            if (held[holds % 48] >= 0)
                close(held[holds % 48]);
            held[holds++ % 48] = fd;
        } else {
            close(fd);
        }
        usleep(500);
    }
}

static void strangers_at_the_ports_do_not_disturb(void **state)
{
    struct nodes *n = *state;
    struct run_options o = large(n);
    struct run r;
    pid_t stranger[2];
    char *words;

    o.args = "--stall 20 --verbose 2";
    run_start(n, &r, NODES, &o);
    for (int i = 0; i < 2; i++) {
        stranger[i] = fork();
        if (stranger[i] == 0)
            be_stranger(&r);
    }
    run_wait(&r, 120);
    for (int i = 0; i < 2; i++) {
        kill(stranger[i], SIGKILL);
        waitpid(stranger[i], NULL, 0);
    }
    words = run_words(&r, 0);
    for (unsigned i = 0; i < NODES; i++) {
        if (r.status[i] != 0)
            fail_msg("rank %u ended with %d: %s", i, r.status[i], words);
    }
    assert_non_null(strstr(words, "connections refused"));
    assert_null(strstr(words, ", 0 connections refused")); /* they did knock */
    free(words);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, nodes_setup, nodes_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_killed_inner_agent_is_named_and_the_next_run_succeeds),
        TEST(a_killed_last_agent_is_named_and_the_next_run_succeeds),
        TEST(a_killed_root_ends_the_run_everywhere),
        TEST(a_root_killed_before_it_can_say_what_it_was_told_leaves_that_to_its_child),
        TEST(a_stopped_agent_is_named_and_gives_up_when_it_wakes),
        TEST(agents_that_were_all_stopped_go_on),
#if !defined(PBC_CARRIED) && !defined(PBC_TWO_TREES)
        TEST(a_pause_shorter_than_the_stall_does_no_harm_and_is_seen),
#endif
        TEST(a_signal_to_one_agent_stops_all),
        TEST(a_run_that_takes_too_long_is_ended),
        TEST(strangers_at_the_ports_do_not_disturb),
    };

    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
