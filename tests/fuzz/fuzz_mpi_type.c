/* What srun --mpi=list prints. */
#include "fuzz.h"

#include "mpi_type.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    const char *type;
    char offered[64];

    if (text == NULL)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    type = pbc_mpi_choose(text);
    CLAIM(type == NULL || (strstr(text, type) != NULL && strlen(type) < 32));
    memset(offered, 0x5a, sizeof(offered));
    pbc_mpi_offered(text, offered, sizeof(offered));
    CLAIM(memchr(offered, '\0', sizeof(offered)) != NULL && offered[0] != '\0');
    CLAIM(type == NULL || strcmp(offered, "nothing") != 0 || strlen(text) >= sizeof(offered));
    free(text);
    return 0;
}
