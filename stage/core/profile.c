#include "profile.h"

#include <stddef.h>
#include <string.h>

static const char *const names[] = {
    [PBC_PROFILE_GENERIC] = "generic",
    [PBC_PROFILE_PYTHON] = "python",
    [PBC_PROFILE_CONDA] = "conda",
    [PBC_PROFILE_VENV] = "venv",
    [PBC_PROFILE_R] = "r",
    [PBC_PROFILE_JULIA] = "julia",
    [PBC_PROFILE_PERL] = "perl",
    [PBC_PROFILE_NODE] = "node",
    [PBC_PROFILE_NONE] = "none",
};

const char *pbc_profile_name(enum pbc_profile profile)
{
    return names[profile];
}

int pbc_profile_from_name(const char *name, enum pbc_profile *ret)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(names[i], name) == 0) {
            *ret = (enum pbc_profile)i;
            return 0;
        }
    }
    return -1;
}
