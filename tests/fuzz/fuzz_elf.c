/* Bytes as a program or library: whatever is taken for one is within the file's bounds (sanitizers
 * look), and within the limits. */
#include "fuzz.h"

#include "elf_needs.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size + 1); /* so that a byte too far is seen */
    struct pbc_elf e;
    int rc;

    if (copy == NULL)
        return 0;
    memcpy(copy, data, size);
    copy = realloc(copy, size > 0 ? size : 1);
    rc = pbc_elf_parse(copy, size, &e);
    CLAIM(rc >= -1 && rc <= 1);
    if (rc == 1) {
        CLAIM(size >= 20 && memcmp(data, "\177ELF", 4) == 0);
        CLAIM(e.nneeded <= PBC_ELF_NEEDED_MAX && (e.bits == 32 || e.bits == 64));
        for (size_t i = 0; i < e.nneeded; i++)
            CLAIM(strlen(e.needed[i]) < size);
        pbc_elf_free(&e);
    }
    free(copy);
    return 0;
}
