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

#endif
