#include "agent.h"
#include "pack_dir.h"

static int meet(struct pbc_coord *c, uint32_t tasks, const struct pbc_start *start,
                struct pbc_error *err)
{
    return tasks > 1 ? pbc_coord_pmix(c, start, err) : pbc_coord_solo(c, err);
}

int main(int argc, char *argv[])
{
#ifdef PBC_HAVE_PACK
    return pbc_agent_main(argc, argv, meet, pbc_pack_dir);
#else
    return pbc_agent_main(argc, argv, meet, NULL);
#endif
}
