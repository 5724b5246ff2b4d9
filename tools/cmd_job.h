/* cmd_job.h - the commands of pbcast for a job that has staged: pbcast-env(1), pbcast-leaks(1). */
#ifndef PBC_CMD_JOB_H
#define PBC_CMD_JOB_H

/* argv[0] is "env" or "leaks". They print; the exit status of the program. */
int pbc_cmd_env(int argc, char *argv[]);
int pbc_cmd_leaks(int argc, char *argv[]);

#endif
