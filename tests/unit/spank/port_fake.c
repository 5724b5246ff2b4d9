#include "port_fake.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fake fake;

static struct {
    const char *name;
    int val;
    int (*cb)(int, const char *, int);
} options[16];

void fake_reset(void)
{
    for (size_t i = 0; i < FAKE_ENV_MAX; i++)
        free(fake.env[i]);
    memset(&fake, 0, sizeof(fake));
    fake.ctx = PBC_CTX_SRUN;
    fake.step = (struct pbc_step){.job = 7, .uid = getuid(), .gid = getgid()};
    fake.nodes = "n1,n2";
    fake.count = 2;
}

int fake_setup(void **state)
{
    static const char *const names[] = {
        "PBCAST_BUNDLE",
        "PBCAST_VERBOSE",
        "PBCAST_USERBASE",
        "PBCAST_MIRROR",
        "PBCAST_ENV",
        "PYTHONUSERBASE",
        "SLURM_PBCAST_BUNDLES",
        "SLURM_PBCAST_USERBASE",
        "SLURM_PBCAST_USERBASE_ASKED",
        "SLURM_PBCAST_MIRROR",
        "SLURM_PBCAST_MIRROR_ASKED",
        "SLURM_PBCAST_ENV",
        "SLURM_PBCAST_ASKED",
        "SLURM_PBCAST_VERBOSE",
        "SLURM_PBCAST_SET",
        "SLURM_PBCAST_STEP",
        "SLURM_JOB_ID",
        "SLURM_HET_SIZE",
        "SLURM_JOB_PARTITION",
        "SLURM_CONF",
        "SLURM_SPANK__SLURM_SPANK_OPTION_pbcast_pbcast_bundle",
        "SLURM_SPANK__SLURM_SPANK_OPTION_pbcast_pbcast_verbose",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        unsetenv(names[i]);
    fake_reset();
    return 0;
}

static size_t slot(const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < FAKE_ENV_MAX; i++) {
        if (fake.env[i] != NULL && strncmp(fake.env[i], name, len) == 0 && fake.env[i][len] == '=')
            return i;
    }
    return FAKE_ENV_MAX;
}

void fake_setenv(const char *name, const char *value)
{
    size_t i = slot(name);

    for (size_t k = 0; i == FAKE_ENV_MAX && k < FAKE_ENV_MAX; k++) {
        if (fake.env[k] == NULL)
            i = k;
    }
    assert_true(i < FAKE_ENV_MAX);
    free(fake.env[i]);
    fake.env[i] = NULL;
    if (value != NULL)
        assert_true(asprintf(&fake.env[i], "%s=%s", name, value) > 0);
}

const char *fake_getenv(const char *name)
{
    size_t i = slot(name);

    return i < FAKE_ENV_MAX ? fake.env[i] + strlen(name) + 1 : NULL;
}

int fake_option(const char *name, const char *value, int remote)
{
    for (size_t i = 0; i < 8; i++) {
        if (options[i].name != NULL && strcmp(options[i].name, name) == 0)
            return options[i].cb(options[i].val, value, remote);
    }
    fail_msg("no option %s", name);
    return -1;
}

void assert_logged(const char *text)
{
    if (strstr(fake.log, text) == NULL)
        fail_msg("not logged: %s\nlogged:\n%s", text, fake.log);
}

void assert_log_lines(size_t n)
{
    size_t lines = 0;

    for (const char *p = fake.log; (p = strchr(p, '\n')) != NULL; p++)
        lines++;
    if (lines != n)
        fail_msg("%zu lines logged, not %zu:\n%s", lines, n, fake.log);
}

/* ---- the port ---- */

int pbc_slurm_is_scrontab(void)
{
    return fake.scrontab;
}

enum pbc_context pbc_slurm_context(void)
{
    return fake.ctx;
}

int pbc_slurm_init_fails_the_job(void)
{
    return fake.init_fails_the_job;
}

int pbc_slurm_step(struct spank_handle *sp, struct pbc_step *out)
{
    (void)sp;
    *out = fake.step;
    return fake.no_step ? -1 : 0;
}

int pbc_slurm_job(struct spank_handle *sp, uint32_t *job)
{
    (void)sp;
    *job = fake.step.job;
    return fake.no_step ? -1 : 0;
}

int pbc_slurm_local_task(struct spank_handle *sp)
{
    (void)sp;
    return fake.local_task;
}

uint32_t pbc_slurm_global_task(struct spank_handle *sp)
{
    (void)sp;
    return fake.global_task;
}

char *pbc_slurm_getenv(struct spank_handle *sp, const char *name)
{
    const char *value = fake_getenv(name);

    (void)sp;
    return value != NULL ? strdup(value) : NULL;
}

int pbc_slurm_setenv(struct spank_handle *sp, const char *name, const char *value)
{
    (void)sp;
    if (fake.no_setenv != NULL && strcmp(fake.no_setenv, name) == 0)
        return -1;
    fake_setenv(name, value);
    return 0;
}

int pbc_slurm_unsetenv(struct spank_handle *sp, const char *name)
{
    (void)sp;
    fake_setenv(name, NULL);
    return 0;
}

int pbc_slurm_register(struct spank_handle *sp, const char *name, const char *arginfo,
                       const char *usage, int optional, int val, int (*cb)(int, const char *, int))
{
    (void)optional;
    (void)sp;
    assert_non_null(arginfo);
    assert_int_equal(strncmp(usage, "[pbcast] ", 9), 0);
    if (fake.register_fails)
        return -1;
    fake.registered++;
    options[val].name = name;
    options[val].val = val;
    options[val].cb = cb;
    return 0;
}

static void __attribute__((format(printf, 3, 0)))
note(char *log, size_t size, const char *fmt, va_list ap)
{
    size_t len = strlen(log);

    vsnprintf(log + len, size - len - 1, fmt, ap);
    strcat(log, "\n");
}

void pbc_slurm_error(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    note(fake.log, sizeof(fake.log), fmt, ap);
    va_end(ap);
}

void pbc_slurm_info(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    note(fake.info, sizeof(fake.info), fmt, ap);
    va_end(ap);
}

char *pbc_slurm_step_nodes(uint32_t job, uint32_t step, uint32_t *ret_count)
{
    assert_true(fake.parts > 0 || job == fake.step.job);
    assert_int_equal(step, fake.step.step);
    fake.asked++;
    errno = job == fake.no_part ? ENOENT : ETIMEDOUT;
    if (job == fake.no_part || job == fake.no_answer)
        return NULL;
    *ret_count = fake.count;
    return fake.nodes != NULL ? strdup(fake.nodes) : NULL;
}

int pbc_slurm_no_such_step(void)
{
    return errno == ENOENT;
}

struct pbc_component *pbc_slurm_components(uint32_t job, size_t *ret_count)
{
    struct pbc_component *list = malloc(sizeof(fake.part));

    assert_int_equal(job, fake.step.job);
    assert_non_null(list);
    fake.asked++;
    if (fake.parts == 0) {
        free(list);
        return NULL;
    }
    memcpy(list, fake.part, sizeof(fake.part));
    *ret_count = fake.parts;
    return list;
}

char *pbc_slurm_job_partition(uint32_t job)
{
    (void)job;
    fake.asked++;
    return fake.partition == NULL ? NULL : strdup(fake.partition);
}

int pbc_slurm_jobid_given(void)
{
    return fake.jobid_given;
}

const char *pbc_slurm_reason(void)
{
    return "no answer";
}

/* Host lists of the tests are names with commas. */
int pbc_slurm_hosts_count(const char *hosts)
{
    int n = hosts[0] != '\0';

    for (; *hosts != '\0'; hosts++)
        n += *hosts == ',';
    return n;
}

int pbc_slurm_hosts_within(const char *part, const char *all)
{
    while (*part != '\0') {
        size_t len = strcspn(part, ",");
        const char *p = all;
        int found = 0;

        while (*p != '\0' && !found) {
            size_t plen = strcspn(p, ",");

            found = plen == len && strncmp(p, part, len) == 0;
            p += plen + (p[plen] == ',');
        }
        if (!found)
            return 0;
        part += len + (part[len] == ',');
    }
    return 1;
}

enum pbc_job_state pbc_slurm_job_state(uint32_t job, const char *node)
{
    (void)node;
    alarm(3); /* the sweeper does not outlive the test by much */
    return job < 16 ? fake.state[job] : PBC_JOB_UNKNOWN;
}

int pbc_slurm_cred_expire(void)
{
    return 120;
}
