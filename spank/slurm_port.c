#include "slurm_port.h"

#include "compat.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum pbc_context pbc_slurm_context(void)
{
    switch (spank_context()) {
    case S_CTX_LOCAL:
        return PBC_CTX_SRUN;
    case S_CTX_ALLOCATOR:
        return PBC_CTX_ALLOCATOR;
    case S_CTX_REMOTE:
        return PBC_CTX_STEPD;
    case S_CTX_SLURMD:
        return PBC_CTX_SLURMD;
    default:
        return PBC_CTX_OTHER;
    }
}

int pbc_slurm_is_scrontab(void)
{
    return strcmp(program_invocation_short_name, "scrontab") == 0;
}

#ifdef PBC_COMPAT_INIT_FAILURE
__attribute__((visibility("default"))) int slurm_spank_init_failure_mode = PBC_COMPAT_INIT_FAILURE;
#endif

int pbc_slurm_init_fails_the_job(void)
{
#ifdef PBC_COMPAT_INIT_FAILURE
    return 1;
#else
    return 0;
#endif
}

int pbc_slurm_step(struct spank_handle *sp, struct pbc_step *out)
{
    struct pbc_step s = {.kind = PBC_STEP_NORMAL};

    if (spank_get_item(sp, S_JOB_ID, &s.job) != ESPANK_SUCCESS ||
        spank_get_item(sp, S_JOB_STEPID, &s.step) != ESPANK_SUCCESS ||
        spank_get_item(sp, S_JOB_UID, &s.uid) != ESPANK_SUCCESS ||
        spank_get_item(sp, S_JOB_GID, &s.gid) != ESPANK_SUCCESS)
        return -1;
    /* Since 23.02 srun gives what --uid said, and no valid id without it. */
    if (spank_context() == S_CTX_LOCAL) {
        s.uid = getuid();
        s.gid = getgid();
    }
    switch (s.step) {
    case SLURM_BATCH_SCRIPT:
        s.kind = PBC_STEP_BATCH;
        break;
    case SLURM_EXTERN_CONT:
        s.kind = PBC_STEP_EXTERN;
        break;
    case SLURM_INTERACTIVE_STEP:
        s.kind = PBC_STEP_INTERACTIVE;
        break;
    default:
        break;
    }
    *out = s;
    return 0;
}

int pbc_slurm_job(struct spank_handle *sp, uint32_t *job)
{
    return spank_get_item(sp, S_JOB_ID, job) == ESPANK_SUCCESS ? 0 : -1;
}

int pbc_slurm_local_task(struct spank_handle *sp)
{
    int id = 0;

    return spank_get_item(sp, S_TASK_ID, &id) == ESPANK_SUCCESS ? id : 0;
}

uint32_t pbc_slurm_global_task(struct spank_handle *sp)
{
    uint32_t id = 0;

    return spank_get_item(sp, S_TASK_GLOBAL_ID, &id) == ESPANK_SUCCESS ? id : 0;
}

char *pbc_slurm_getenv(struct spank_handle *sp, const char *name)
{
    /* spank_getenv cuts a value that does not fit, so grow until it fits. The kernel takes no
     * string of the environment beyond 128 KiB. */
    for (int size = 512; size <= 1 << 20; size *= 4) {
        char *value = malloc((size_t)size);
        spank_err_t rc;

        if (value == NULL)
            return NULL;
        rc = spank_getenv(sp, name, value, size);
        if (rc == ESPANK_SUCCESS)
            return value;
        free(value);
        if (rc != ESPANK_NOSPACE)
            return NULL;
    }
    return NULL;
}

int pbc_slurm_setenv(struct spank_handle *sp, const char *name, const char *value)
{
    return spank_setenv(sp, name, value, 1) == ESPANK_SUCCESS ? 0 : -1;
}

int pbc_slurm_unsetenv(struct spank_handle *sp, const char *name)
{
    return spank_unsetenv(sp, name) == ESPANK_SUCCESS ? 0 : -1;
}

int pbc_slurm_register(struct spank_handle *sp, const char *name, const char *arginfo,
                       const char *usage, int optional, int val,
                       int (*cb)(int val, const char *optarg, int remote))
{
    char name_copy[SPANK_OPTION_MAXLEN], arg_copy[64], usage_copy[512]; /* Slurm copies them too */
    struct spank_option opt = {
        .name = name_copy,
        .arginfo = arg_copy,
        .usage = usage_copy,
        .has_arg = optional ? 2 : 1,
        .val = val,
        .cb = cb,
    };

    snprintf(name_copy, sizeof(name_copy), "%s", name);
    snprintf(arg_copy, sizeof(arg_copy), "%s", arginfo);
    snprintf(usage_copy, sizeof(usage_copy), "%s", usage);
    return spank_option_register(sp, &opt) == ESPANK_SUCCESS ? 0 : -1;
}

static void __attribute__((format(printf, 2, 0)))
log_line(void (*log)(const char *, ...), const char *fmt, va_list ap)
{
    char line[2048];

    vsnprintf(line, sizeof(line), fmt, ap);
    log("pbcast: %s", line);
}

void pbc_slurm_error(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    log_line(slurm_error, fmt, ap);
    va_end(ap);
}

void pbc_slurm_info(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    log_line(slurm_info, fmt, ap);
    va_end(ap);
}

char *pbc_slurm_step_nodes(uint32_t job, uint32_t step, uint32_t *ret_count)
{
    slurm_step_id_t id = pbc_compat_step_id(job, step);
    slurm_step_layout_t *layout = slurm_job_step_layout_get(&id);
    char *nodes = NULL;

    if (layout == NULL)
        return NULL;
    if (layout->node_list == NULL || layout->node_cnt == 0) {
        errno = ENODATA;
    } else {
        nodes = strdup(layout->node_list);
        *ret_count = layout->node_cnt;
    }
    slurm_job_step_layout_free(layout);
    return nodes;
}

int pbc_slurm_no_such_step(void)
{
    /* The first is the answer for an unknown step of a known job, too; a component that was
     * cancelled has ended before the others. */
    return errno == ESLURM_INVALID_JOB_ID || errno == ESLURM_ALREADY_DONE;
}

/* The job to which slurmctld counts `job` as a component, else 0. -1 with errno. */
static int het_leader(const job_info_msg_t *info, uint32_t job, uint32_t *ret)
{
    for (uint32_t i = 0; i < info->record_count; i++) {
        if (info->job_array[i].job_id == job) {
            *ret = info->job_array[i].het_job_id;
            if (*ret == NO_VAL)
                *ret = 0;
            return 0;
        }
    }
    errno = ENOENT;
    return -1;
}

struct pbc_component *pbc_slurm_components(uint32_t job, size_t *ret_count)
{
    job_info_msg_t *info = NULL;
    struct pbc_component *list = NULL;
    uint32_t leader = 0;
    size_t n = 0;

    if (pbc_compat_load_job(&info, job) != SLURM_SUCCESS)
        return NULL;
    if (het_leader(info, job, &leader) == 0 && leader != 0 && leader != job) {
        /* Only the first component answers for all. */
        slurm_free_job_info_msg(info);
        info = NULL;
        if (pbc_compat_load_job(&info, leader) != SLURM_SUCCESS)
            return NULL;
    }
    list = calloc((size_t)info->record_count + 1, sizeof(*list));
    for (uint32_t i = 0; list != NULL && leader != 0 && i < info->record_count; i++) {
        const job_info_t *j = &info->job_array[i];

        if (j->het_job_id == leader)
            list[n++] = (struct pbc_component){j->job_id, leader, j->het_job_offset};
    }
    if (list != NULL && n == 0)
        list[n++] = (struct pbc_component){.job = job};
    *ret_count = n;
    slurm_free_job_info_msg(info);
    return list;
}

const char *pbc_slurm_reason(void)
{
    return slurm_strerror(errno);
}

int pbc_slurm_hosts_count(const char *hosts)
{
    pbc_hostlist list = slurm_hostlist_create(hosts);
    int count;

    if (list == NULL)
        return -1;
    count = slurm_hostlist_count(list);
    slurm_hostlist_destroy(list);
    return count;
}

int pbc_slurm_hosts_within(const char *part, const char *all)
{
    pbc_hostlist some = slurm_hostlist_create(part);
    pbc_hostlist every = slurm_hostlist_create(all);
    int within = some != NULL && every != NULL && slurm_hostlist_count(some) > 0;

    while (within) {
        char *host = slurm_hostlist_shift(some);

        if (host == NULL)
            break;
        within = slurm_hostlist_find(every, host) >= 0;
        free(host);
    }
    if (some != NULL)
        slurm_hostlist_destroy(some);
    if (every != NULL)
        slurm_hostlist_destroy(every);
    return within;
}

static int node_is_known(const char *node)
{
    node_info_msg_t *info = NULL;
    char name[256];
    int known;

    snprintf(name, sizeof(name), "%s", node);
    if (slurm_load_node_single(&info, name, 0) != SLURM_SUCCESS)
        return 0;
    known = info->record_count == 1 && info->node_array[0].name != NULL &&
            strcmp(info->node_array[0].name, node) == 0;
    slurm_free_node_info_msg(info);
    return known;
}

static enum pbc_job_state judge(const job_info_t *job, const char *node)
{
    uint32_t base = job->job_state & JOB_STATE_BASE;

    /* While it completes its epilog is at work here. */
    if (job->job_state & JOB_COMPLETING)
        return PBC_JOB_UNKNOWN;
    if (base >= JOB_COMPLETE)
        return PBC_JOB_GONE;
    /* Requeued: it may be sent here at any moment, with the same id. */
    if (base == JOB_PENDING)
        return PBC_JOB_UNKNOWN;
    if (job->nodes == NULL || job->nodes[0] == '\0' || pbc_slurm_hosts_within(node, job->nodes))
        return PBC_JOB_HERE;
    /* It runs elsewhere, if `node` is what Slurm calls this machine. */
    return node_is_known(node) ? PBC_JOB_GONE : PBC_JOB_HERE;
}

enum pbc_job_state pbc_slurm_job_state(uint32_t job, const char *node)
{
    job_info_msg_t *info = NULL;
    enum pbc_job_state state = PBC_JOB_UNKNOWN;
    int found = 0;

    if (pbc_compat_load_job(&info, job) != SLURM_SUCCESS)
        return errno == ESLURM_INVALID_JOB_ID ? PBC_JOB_GONE : PBC_JOB_UNKNOWN;
    /* The id of an array or of a heterogeneous job answers with several records. */
    for (uint32_t i = 0; i < info->record_count && !found; i++) {
        if (info->job_array[i].job_id == job) {
            state = judge(&info->job_array[i], node);
            found = 1;
        }
    }
    slurm_free_job_info_msg(info);
    return state;
}

int pbc_slurm_jobid_given(void)
{
    FILE *f = fopen("/proc/self/cmdline", "re");
    char *word = NULL;
    size_t size = 0;
    int found = 0;

    while (f != NULL && !found && getdelim(&word, &size, '\0', f) > 0)
        found = strncmp(word, "--jobi", strlen("--jobi")) == 0; /* as getopt(3) shortens it */
    free(word);
    if (f != NULL)
        fclose(f);
    return found;
}

char *pbc_slurm_job_partition(uint32_t job)
{
    job_info_msg_t *info = NULL;
    char *partition = NULL;

    if (pbc_compat_load_job(&info, job) != SLURM_SUCCESS)
        return NULL;
    for (uint32_t i = 0; i < info->record_count && partition == NULL; i++) {
        if (info->job_array[i].job_id == job && info->job_array[i].partition != NULL)
            partition = strdup(info->job_array[i].partition);
    }
    slurm_free_job_info_msg(info);
    return partition;
}

int pbc_slurm_cred_expire(void)
{
    slurm_conf_t *conf = NULL;
    const char *key;
    int seconds = 0;

    if (slurm_load_ctl_conf(0, &conf) == SLURM_SUCCESS && conf != NULL) {
        key = conf->authinfo == NULL ? NULL : strstr(conf->authinfo, "cred_expire=");
        if (key != NULL)
            seconds = atoi(key + strlen("cred_expire="));
        pbc_compat_free_conf(conf);
    }
    return seconds > 0 ? seconds : 120;
}
