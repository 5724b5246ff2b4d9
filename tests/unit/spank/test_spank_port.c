/* What the port makes of Slurm's answers, where versions of Slurm differ. Slurm's own functions are
 * those below. */
#include "support.h"

#include "slurm_port.h"

#include "compat.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
    spank_context_t ctx;
    uid_t uid;
    gid_t gid;
    uint32_t step;
    char *authinfo;
    uint32_t leader; /* of jobs 20 to 22 */
    int asked, freed;
} slurm;

spank_context_t spank_context(void)
{
    return slurm.ctx;
}

spank_err_t spank_get_item(spank_t sp, spank_item_t item, ...)
{
    va_list ap;

    (void)sp;
    va_start(ap, item);
    switch (item) {
    case S_JOB_ID:
        *va_arg(ap, uint32_t *) = 7;
        break;
    case S_JOB_STEPID:
        *va_arg(ap, uint32_t *) = slurm.step;
        break;
    case S_JOB_UID:
        *va_arg(ap, uid_t *) = slurm.uid;
        break;
    case S_JOB_GID:
        *va_arg(ap, gid_t *) = slurm.gid;
        break;
    default:
        fail_msg("item %d", (int)item);
    }
    va_end(ap);
    return ESPANK_SUCCESS;
}

int slurm_load_ctl_conf(time_t update_time, slurm_conf_t **conf)
{
    (void)update_time;
    *conf = calloc(1, sizeof(**conf));
    assert_non_null(*conf);
    (*conf)->authinfo = slurm.authinfo;
    return SLURM_SUCCESS;
}

#if SLURM_VERSION_NUMBER >= SLURM_VERSION_NUM(26, 5, 0)
void slurm_free_conf(slurm_conf_t *conf)
#else
void slurm_free_ctl_conf(slurm_conf_t *conf)
#endif
{
    slurm.freed++;
    free(conf);
}

/* The first component's answer has all, another's that one alone, as slurmctld does it. */
#if SLURM_VERSION_NUMBER >= SLURM_VERSION_NUM(26, 5, 0)
int(slurm_load_job)(job_info_msg_t **resp, slurm_step_id_t id, uint16_t flags)
{
    const uint32_t job = id.job_id;
#else
int(slurm_load_job)(job_info_msg_t **resp, uint32_t job, uint16_t flags)
{
#endif
    job_info_msg_t *info = calloc(1, sizeof(*info));

    (void)flags;
    slurm.asked++;
    assert_non_null(info);
    info->job_array = calloc(3, sizeof(*info->job_array));
    assert_non_null(info->job_array);
    for (uint32_t i = 0; i < 3; i++) {
        if (job != slurm.leader && job != 20 + i)
            continue;
        info->job_array[info->record_count].job_id = 20 + i;
        info->job_array[info->record_count].het_job_id = slurm.leader;
        info->job_array[info->record_count++].het_job_offset = i;
    }
    *resp = info;
    return info->record_count > 0 ? SLURM_SUCCESS : SLURM_ERROR;
}

void slurm_free_job_info_msg(job_info_msg_t *info)
{
    slurm.freed++;
    free(info->job_array);
    free(info);
}

static void components_of_a_job(void **state)
{
    struct pbc_component *list;
    size_t n = 0;

    (void)state;
    for (uint32_t job = 20; job < 23; job++) {
        slurm.leader = 20;
        slurm.asked = slurm.freed = 0;
        list = pbc_slurm_components(job, &n);
        assert_non_null(list);
        assert_int_equal(n, 3);
        assert_int_equal(list[2].job, 22);
        assert_int_equal(list[2].leader, 20);
        assert_int_equal(list[2].number, 2);
        assert_int_equal(slurm.asked, job == 20 ? 1 : 2);
        assert_int_equal(slurm.freed, slurm.asked);
        free(list);
    }
    /* an ordinary job */
    for (int i = 0; i < 2; i++) {
        slurm.leader = i == 0 ? 0 : NO_VAL;
        list = pbc_slurm_components(21, &n);
        assert_non_null(list);
        assert_int_equal(n, 1);
        assert_int_equal(list[0].job, 21);
        assert_int_equal(list[0].leader, 0);
        free(list);
    }
}

static void no_such_step_is_told_from_no_answer(void **state)
{
    (void)state;
    errno = ESLURM_INVALID_JOB_ID;
    assert_true(pbc_slurm_no_such_step());
    errno = ESLURM_ALREADY_DONE;
    assert_true(pbc_slurm_no_such_step());
    errno = ETIMEDOUT;
    assert_false(pbc_slurm_no_such_step());
    errno = SLURM_COMMUNICATIONS_CONNECTION_ERROR;
    assert_false(pbc_slurm_no_such_step());
}

static void in_srun_the_user_is_who_runs_it(void **state)
{
    struct pbc_step step;

    (void)state;
    slurm.ctx = S_CTX_LOCAL;
    slurm.uid = 99; /* what srun says since 23.02 */
    slurm.gid = 99;
    assert_int_equal(pbc_slurm_step(NULL, &step), 0);
    assert_int_equal(step.uid, getuid());
    assert_int_equal(step.gid, getgid());
}

static void in_slurmstepd_it_is_who_slurm_says(void **state)
{
    struct pbc_step step;

    (void)state;
    slurm.ctx = S_CTX_REMOTE;
    slurm.uid = getuid() + 1;
    slurm.gid = getgid() + 1;
    assert_int_equal(pbc_slurm_step(NULL, &step), 0);
    assert_int_equal(step.uid, getuid() + 1);
    assert_int_equal(step.gid, getgid() + 1);
    assert_int_equal(step.job, 7);
}

static void special_steps_are_known_by_their_ids(void **state)
{
    static const struct {
        uint32_t id;
        enum pbc_step_kind kind;
    } steps[] = {
        {0, PBC_STEP_NORMAL},
        {0xfffffffa, PBC_STEP_INTERACTIVE},
        {0xfffffffb, PBC_STEP_BATCH},
        {0xfffffffc, PBC_STEP_EXTERN},
    };
    struct pbc_step step;

    (void)state;
    slurm.ctx = S_CTX_REMOTE;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        slurm.step = steps[i].id;
        assert_int_equal(pbc_slurm_step(NULL, &step), 0);
        assert_int_equal(step.kind, steps[i].kind);
    }
}

static void a_failed_init_is_the_job_s_where_the_headers_say_so(void **state)
{
    (void)state;
#if SLURM_VERSION_NUMBER >= SLURM_VERSION_NUM(25, 5, 0)
    assert_int_equal(pbc_slurm_init_fails_the_job(), 1);
    assert_int_equal(slurm_spank_init_failure_mode, ESPANK_JOB_FAILURE);
#else
    assert_int_equal(pbc_slurm_init_fails_the_job(), 0);
#endif
}

static void the_life_of_a_credential(void **state)
{
    static char set[] = "socket=/run/munge,cred_expire=300";

    (void)state;
    slurm.authinfo = NULL;
    assert_int_equal(pbc_slurm_cred_expire(), 120);
    slurm.authinfo = set;
    assert_int_equal(pbc_slurm_cred_expire(), 300);
    assert_int_equal(slurm.freed, 2);
}

static int setup(void **state)
{
    (void)state;
    memset(&slurm, 0, sizeof(slurm));
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(components_of_a_job, setup),
        cmocka_unit_test_setup(no_such_step_is_told_from_no_answer, setup),
        cmocka_unit_test_setup(in_srun_the_user_is_who_runs_it, setup),
        cmocka_unit_test_setup(in_slurmstepd_it_is_who_slurm_says, setup),
        cmocka_unit_test_setup(special_steps_are_known_by_their_ids, setup),
        cmocka_unit_test_setup(a_failed_init_is_the_job_s_where_the_headers_say_so, setup),
        cmocka_unit_test_setup(the_life_of_a_credential, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
