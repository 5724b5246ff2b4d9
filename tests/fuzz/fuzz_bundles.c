/* A list of bundles, and the first bytes of an archive. */
#include "fuzz.h"

#include "bundle.h"

#include <string.h>

static void list(const char *text)
{
    struct pbc_bundles list, again;
    char id[PBC_SET_ID_LEN + 1], id2[PBC_SET_ID_LEN + 1];
    struct pbc_error err;
    char *back, *twice;

    if (pbc_bundles_parse(text, &list, &err) < 0) {
        CLAIM(err.code == PBC_EXIT_USAGE);
        CLAIM(list.count == 0);
        return;
    }
    CLAIM(list.count >= 1 && list.count <= PBC_BUNDLES_MAX);
    back = pbc_bundles_format(&list, 0, list.count, &err);
    CLAIM(back != NULL && strlen(back) <= strlen(text)); /* a '/' behind a part is dropped */
    CLAIM(pbc_bundles_parse(back, &again, &err) == 0);
    twice = pbc_bundles_format(&again, 0, again.count, &err);
    CLAIM(twice != NULL && strcmp(back, twice) == 0);
    pbc_bundles_id(&list, id);
    pbc_bundles_id(&again, id2);
    CLAIM(pbc_set_id_valid(id));
    CLAIM(strcmp(id, id2) == 0);
    free(back);
    free(twice);
    pbc_bundles_free(&list);
    pbc_bundles_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);

    if (text == NULL)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    list(text);
    pbc_set_id_valid(text);
    free(text);
    CLAIM(pbc_format_name(pbc_format_sniff(data, size)) != NULL);
    if (size > PBC_SNIFF_BYTES)
        pbc_format_sniff(data, PBC_SNIFF_BYTES);
    return 0;
}
