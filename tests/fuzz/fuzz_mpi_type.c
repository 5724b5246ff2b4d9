/* What srun --mpi=list prints. */
#include "fuzz.h"

#include "mpi_type.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    char type[PBC_MPI_TYPE_MAX], offered[64];
    int found;

    if (text == NULL)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    memset(type, 0x5a, sizeof(type));
    found = pbc_mpi_choose(text, type) == 0;
    CLAIM(!found || (memchr(type, '\0', sizeof(type)) != NULL && strstr(text, type) != NULL));
    memset(offered, 0x5a, sizeof(offered));
    pbc_mpi_offered(text, offered, sizeof(offered));
    CLAIM(memchr(offered, '\0', sizeof(offered)) != NULL && offered[0] != '\0');
    CLAIM(!found || strncmp(type, "pmix_v", 6) == 0 || strcmp(offered, "nothing") != 0 ||
          strlen(text) >= sizeof(offered));
    free(text);
    return 0;
}
