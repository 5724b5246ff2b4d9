/* Bytes as a program or library whose library path is replaced by another: what is said to be free
 * is within the file, and the loader finds everything else as it was. */
#include "fuzz.h"

#include "elf_needs.h"
#include "elf_path.h"

#include <string.h>

static void claim_same(const struct pbc_elf *a, const struct pbc_elf *b)
{
    CLAIM(a->machine == b->machine && a->bits == b->bits && a->nneeded == b->nneeded);
    CLAIM((a->soname == NULL) == (b->soname == NULL));
    CLAIM(a->soname == NULL || strcmp(a->soname, b->soname) == 0);
    for (size_t i = 0; i < a->nneeded; i++)
        CLAIM(strcmp(a->needed[i], b->needed[i]) == 0);
}

/* By paths of every length that fits, the longest ones if it is very long. */
static void replace(uint8_t *file, size_t size, const struct pbc_elf_path *path,
                    const struct pbc_elf *before)
{
    for (size_t n = path->room < 64 ? 0 : path->room - 64; n <= path->room; n++) {
        struct pbc_elf after;
        const char *now;

        memset(file + path->offset, 'a', n);
        memset(file + path->offset + n, 0, path->room - n);
        CLAIM(pbc_elf_parse(file, size, &after) == 1);
        claim_same(before, &after);
        now = after.runpath != NULL ? after.runpath : after.rpath;
        CLAIM(now != NULL && strlen(now) == n && strspn(now, "a") == n);
        pbc_elf_free(&after);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size > 0 ? size : 1); /* so that a byte too far is seen */
    enum pbc_elf_path_state state;
    struct pbc_elf_path path;
    struct pbc_elf before;

    if (copy == NULL)
        return 0;
    memcpy(copy, data, size);
    state = pbc_elf_path(copy, size, &path);
    if (state != PBC_ELF_PATH_NONE) {
        CLAIM(path.room > 0 && path.offset < size && path.room < size - path.offset);
        CLAIM(path.text == (const char *)copy + path.offset && strlen(path.text) == path.room);
    }
    if (state == PBC_ELF_PATH_FREE && pbc_elf_parse(copy, size, &before) == 1) {
        replace(copy, size, &path, &before);
        pbc_elf_free(&before);
    }
    free(copy);
    return 0;
}
