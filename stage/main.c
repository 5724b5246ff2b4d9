#include "agent.h"
#include "pack_dir.h"

int main(int argc, char *argv[])
{
#ifdef PBC_HAVE_PACK
    return pbc_agent_main(argc, argv, pbc_coord_pmix, pbc_pack_dir);
#else
    return pbc_agent_main(argc, argv, pbc_coord_pmix, NULL);
#endif
}
