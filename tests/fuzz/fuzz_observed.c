/* What other programs print: env -0, twice, and the loader under LD_DEBUG. The first byte chooses.
 */
#include "fuzz.h"

#include "bundle.h"
#include "env_changes.h"
#include "ld_debug.h"

#include <string.h>

static int take(void *arg, const char *path, struct pbc_error *err)
{
    (void)err;
    (void)arg;
    CLAIM(path[0] == '/' && strlen(path) < PBC_PATH_MAX && strchr(path, '\n') == NULL);
    return 0;
}

static void compare(const uint8_t *data, size_t size)
{
    struct pbc_variables vars = {0};
    char *text = malloc(size + 2), *part;
    char *moved;

    if (text == NULL)
        return;
    memcpy(text, data, size);
    text[size] = text[size + 1] = '\0';
    part = memchr(text, '|', size);
    if (part != NULL) {
        *part = '\0';
        CLAIM(pbc_env_compare(text, (size_t)(part - text), part + 1,
                              size - (size_t)(part + 1 - text), &vars) == 0);
        CLAIM(pbc_variables_valid(&vars));
        pbc_variables_free(&vars);
    }
    moved = pbc_env_in_tree(text, "/opt/x");
    CLAIM(moved != NULL && (strstr(text, "/opt/x") != NULL || strcmp(moved, text) == 0));
    free(moved);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pbc_error err;
    FILE *in;

    if (size < 2)
        return 0;
    if (data[0] == 'e') {
        compare(data + 1, size - 1);
        return 0;
    }
    in = fmemopen((void *)(uintptr_t)(data + 1), size - 1, "r");
    if (in == NULL)
        return 0;
    CLAIM(pbc_ld_debug_read(in, take, NULL, &err) == 0);
    fclose(in);
    return 0;
}
