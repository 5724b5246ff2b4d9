/* A SPANK plugin that gives tasks another /dev/shm, as sites have them:
 *
 *     job=DIR     that of the job, a directory DIR/<jobid> that the plugin makes
 *     step        an empty one for every step
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <sys/types.h>

#include <slurm/spank.h>

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

SPANK_PLUGIN(mounts, 1)

static int of_job(spank_t sp, const char *base)
{
    char dir[4096];
    uint32_t job;

    if (spank_get_item(sp, S_JOB_ID, &job) != ESPANK_SUCCESS)
        return -1;
    snprintf(dir, sizeof(dir), "%s/%u", base, job);
    if ((mkdir(base, 0755) != 0 && errno != EEXIST) || (mkdir(dir, 0777) != 0 && errno != EEXIST) ||
        chmod(dir, 01777) != 0)
        return -1;
    return mount(dir, "/dev/shm", NULL, MS_BIND, NULL);
}

int slurm_spank_task_init_privileged(spank_t sp, int ac, char **av)
{
    if (ac != 1 || unshare(CLONE_NEWNS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return -1;
    if (strncmp(av[0], "job=", 4) == 0)
        return of_job(sp, av[0] + 4);
    return mount("step", "/dev/shm", "tmpfs", 0, "mode=1777");
}
