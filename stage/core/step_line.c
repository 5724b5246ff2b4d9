#include "step_line.h"

#include <stddef.h>
#include <string.h>

bool pbc_line_unstarted(const char *line)
{
    /* The last two are the site's. */
    static const char *const signs[] = {"execve()", "error while loading shared libraries",
                                        "TaskProlog failed", "Failed to invoke spank plugin stack"};

    for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
        if (strstr(line, signs[i]) != NULL)
            return true;
    }
    return false;
}

bool pbc_line_lost(const char *line)
{
    static const char begin[] = "srun: error: ";
    const char *mark = strstr(line, ": task");

    if (strncmp(line, begin, strlen(begin)) != 0 || mark == NULL)
        return false;
    mark += strlen(": task");
    mark += *mark == 's';
    if (*mark++ != ' ')
        return false;
    return strncmp(mark + strspn(mark, "0123456789,-"), ": ", 2) == 0;
}

const char *pbc_line_unreached(const char *line)
{
    static const char begin[] = "srun: error: Task launch for ", on[] = " failed on node ";
    const char *node;

    if (strncmp(line, begin, strlen(begin)) != 0 || (node = strstr(line, on)) == NULL)
        return NULL;
    return node + strlen(on);
}

bool pbc_line_no_mpi(const char *line)
{
    return strncmp(line, "srun: ", 6) == 0 && strstr(line, "Invalid MPI type") != NULL;
}

bool pbc_line_unbound(const char *line)
{
    return strcmp(line, "srun: cluster configuration lacks support for cpu binding") == 0;
}
