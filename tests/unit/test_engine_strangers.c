/* Who connects to an agent's port. The kernel's queue of them is stood in for. */
#include "engine_support.h"

#include "run_state.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define ENOUGH 1000

static int waiting; /* connections in the queue */
static int taken;

int __wrap_accept4(int fd, void *address, void *len, int flags);

int __wrap_accept4(int fd, void *address, void *len, int flags)
{
    int pair[2];

    (void)fd, (void)address, (void)len;
    assert_true(taken < ENOUGH); /* a turn that does not end */
    if (waiting == 0) {
        errno = EAGAIN;
        return -1;
    }
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | flags, 0, pair), 0);
    close(pair[1]);
    waiting--;
    taken++;
    return pair[0];
}

static void hang_up(struct pbc_run *r)
{
    for (unsigned i = 0; i < PBC_STRANGERS_MAX; i++)
        pbc_conn_close(r->stranger[i]);
}

static void all_who_wait_are_taken_in_after_some_turns(void **state)
{
    struct pbc_run r = {.listener = 0};

    (void)state;
    waiting = 20;
    taken = 0;
    for (int turn = 0; turn < 20 && waiting > 0; turn++)
        pbc_accept(&r, 1000);
    assert_int_equal(waiting, 0);
    assert_int_equal(taken, 20);
    assert_int_equal(r.refused, 0);
    hang_up(&r);
}

/* Else the agent would hear neither its neighbours nor signals nor the clock. */
static void a_flood_does_not_keep_the_agent_from_its_work(void **state)
{
    struct pbc_run r = {.listener = 0};

    (void)state;
    waiting = 2 * ENOUGH;
    taken = 0;
    pbc_accept(&r, 1000);
    assert_true(taken > 0 && waiting > 0);
    hang_up(&r);
}

/* Whoever came before the last turns has had time for the handshake. */
static void a_flood_leaves_those_who_came_before_it_a_turn(void **state)
{
    struct pbc_run r = {.listener = 0};
    struct pbc_conn *first;

    (void)state;
    waiting = 1;
    taken = 0;
    pbc_accept(&r, 1000);
    first = r.stranger[0];
    assert_non_null(first);
    waiting = 2 * ENOUGH;
    pbc_accept(&r, 1001);
    pbc_accept(&r, 1002);
    assert_ptr_equal(r.stranger[0], first);
    assert_int_equal(r.refused, 0);
    hang_up(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_who_wait_are_taken_in_after_some_turns),
        cmocka_unit_test(a_flood_does_not_keep_the_agent_from_its_work),
        cmocka_unit_test(a_flood_leaves_those_who_came_before_it_a_turn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
