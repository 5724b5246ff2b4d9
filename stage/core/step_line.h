/* step_line.h - what srun and slurmstepd say of a step's tasks, in the words of Slurm 22.05
 * to 26.05.
 */
#ifndef PBC_STEP_LINE_H
#define PBC_STEP_LINE_H

#include <stdbool.h>

/* "slurmstepd: error: execve(): ...: No such file or directory": said by slurmstepd, or the dynamic
 * linker, in place of a task. */
bool pbc_line_unstarted(const char *line);

/* "srun: error: n7: task 2: Killed": a task has ended, and not well. */
bool pbc_line_lost(const char *line);

/* "srun: error: Task launch for StepId=7.1 failed on node n7: Socket timed out ...": a node that
 * the step has not reached. "n7: Socket timed out ..." within `line`; NULL for any other line. */
const char *pbc_line_unreached(const char *line);

/* "srun: error: Invalid MPI type 'pmix', ...": srun has no such plugin, or cannot load it. */
bool pbc_line_no_mpi(const char *line);

/* srun's answer to our own --cpu-bind=none where Slurm binds nothing: of no use to anybody. */
bool pbc_line_unbound(const char *line);

#endif
