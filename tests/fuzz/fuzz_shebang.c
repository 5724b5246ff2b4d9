/* The first bytes of a script. */
#include "fuzz.h"

#include "script.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);
    struct pbc_shebang s;

    if (copy == NULL)
        return 0;
    memcpy(copy, data, size);
    if (pbc_shebang_parse(copy, size, &s)) {
        CLAIM(s.path[0] == '/' && strlen(s.path) < sizeof(s.path));
        CLAIM(strlen(s.args) < sizeof(s.args));
        CLAIM(s.skip > 2 && s.skip <= size);
        CLAIM(data[s.skip - 1] == '\n' || (s.skip == size && size < PBC_SHEBANG_MAX));
        CLAIM(data[0] == '#' && data[1] == '!');
    }
    free(copy);
    return 0;
}
