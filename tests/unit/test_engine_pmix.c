/* How agents meet by PMIx, and what ends that. The library is stood in for. */
#include "engine_support.h"

#include "coord.h"

#include <pmix.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static enum { COMES, COMES_NEVER, IS_SIGNALLED } fence; /* what becomes of it */

static void *library_thread(void *arg)
{
    for (;;)
        pause();
    return arg;
}

pmix_status_t __wrap_PMIx_Init(pmix_proc_t *self, pmix_info_t info[], size_t n);
pmix_status_t __wrap_PMIx_Get(const pmix_proc_t *proc, const pmix_key_t key,
                              const pmix_info_t info[], size_t n, pmix_value_t **ret);
pmix_status_t __wrap_PMIx_Put(pmix_scope_t scope, const pmix_key_t key, pmix_value_t *value);
pmix_status_t __wrap_PMIx_Commit(void);
pmix_status_t __wrap_PMIx_Fence_nb(const pmix_proc_t procs[], size_t nprocs,
                                   const pmix_info_t info[], size_t n, pmix_op_cbfunc_t ended,
                                   void *arg);
pmix_status_t __wrap_PMIx_Finalize(const pmix_info_t info[], size_t n);

pmix_status_t __wrap_PMIx_Init(pmix_proc_t *self, pmix_info_t info[], size_t n)
{
    pthread_t thread;

    (void)info, (void)n;
    memset(self, 0, sizeof(*self));
    return pthread_create(&thread, NULL, library_thread, NULL) == 0 ? PMIX_SUCCESS : PMIX_ERROR;
}

pmix_status_t __wrap_PMIx_Get(const pmix_proc_t *proc, const pmix_key_t key,
                              const pmix_info_t info[], size_t n, pmix_value_t **ret)
{
    (void)proc, (void)key, (void)info, (void)n;
    *ret = calloc(1, sizeof(**ret));
    (*ret)->type = PMIX_UINT32;
    (*ret)->data.uint32 = 4;
    return PMIX_SUCCESS;
}

pmix_status_t __wrap_PMIx_Put(pmix_scope_t scope, const pmix_key_t key, pmix_value_t *value)
{
    (void)scope, (void)key, (void)value;
    return PMIX_SUCCESS;
}

pmix_status_t __wrap_PMIx_Commit(void)
{
    return PMIX_SUCCESS;
}

pmix_status_t __wrap_PMIx_Fence_nb(const pmix_proc_t procs[], size_t nprocs,
                                   const pmix_info_t info[], size_t n, pmix_op_cbfunc_t ended,
                                   void *arg)
{
    (void)procs, (void)nprocs, (void)info, (void)n;
    if (fence == COMES)
        ended(PMIX_SUCCESS, arg);
    if (fence == IS_SIGNALLED)
        kill(getpid(), SIGTERM);
    return PMIX_SUCCESS;
}

pmix_status_t __wrap_PMIx_Finalize(const pmix_info_t info[], size_t n)
{
    (void)info, (void)n;
    return PMIX_SUCCESS;
}

/* Meet as an agent does, `told` or not: 0, or the error's status, 100 if it is another error than
 * `text`. The agent blocks its signals when the library's threads are there already. */
static int meet(int told, unsigned seconds, int signal_first, const char *text)
{
    struct pbc_start start = {.told_by = -1};
    struct pbc_coord c;
    struct pbc_error err;
    sigset_t set;
    int in_pipe[2];

    if (pipe(in_pipe) != 0)
        return 101;
    pbc_start_begin(&start, 0);
    if (!told)
        start.told_by = in_pipe[0];
    if (pbc_coord_pmix(&c, &start, &err) != 0 || c.size != 4)
        return 102;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    if (signal_first)
        kill(getpid(), SIGTERM);
    if (c.exchange(&c, "record", 6, seconds, &err) == 0)
        return 0;
    return strstr(err.text, text) != NULL ? (int)err.code : 100;
}

static int all_come(void *arg)
{
    (void)arg;
    fence = COMES;
    return meet(1, 100, 0, "");
}

static int one_does_not_come(void *arg)
{
    (void)arg;
    fence = COMES_NEVER;
    return meet(1, 1, 0, "did not bring the 4 nodes together within 1 s");
}

static int stopped_before_it_is_told(void *arg)
{
    (void)arg;
    fence = COMES;
    return meet(0, 100, 1, "was stopped before all nodes had");
}

static int stopped_in_the_fence(void *arg)
{
    (void)arg;
    fence = IS_SIGNALLED;
    return meet(1, 100, 0, "was stopped before all nodes had");
}

static void agents_meet_or_ask_for_another_try(void **state)
{
    (void)state;
    assert_int_equal(in_child(all_come, NULL), 0);
    assert_int_equal(in_child(one_does_not_come, NULL), PBC_EXIT_AGAIN);
}

/* It is not for a thread of the library, which would end the agent at once. */
static void a_signal_ends_the_agent_in_its_own_way(void **state)
{
    time_t began = time(NULL);

    (void)state;
    assert_int_equal(in_child(stopped_before_it_is_told, NULL), PBC_EXIT_FAILED);
    assert_int_equal(in_child(stopped_in_the_fence, NULL), PBC_EXIT_FAILED);
    assert_true(time(NULL) - began < 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agents_meet_or_ask_for_another_try),
        cmocka_unit_test(a_signal_ends_the_agent_in_its_own_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
