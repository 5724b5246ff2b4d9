#include "agent.h"

int main(int argc, char *argv[])
{
    return pbc_agent_main(argc, argv, pbc_coord_pmix);
}
