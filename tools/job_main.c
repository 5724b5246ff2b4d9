/* pbcast with the commands of job.cmake alone, where the one that makes bundles is not built. */
#include "cmd_job.h"
#include "command.h"

#include <string.h>

int main(int argc, char *argv[])
{
    if (argc > 1 && strcmp(argv[1], "env") == 0)
        return pbc_cmd_env(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "leaks") == 0)
        return pbc_cmd_leaks(argc - 1, argv + 1);
    return pbc_complain_usage(NULL, "the commands are env and leaks");
}
