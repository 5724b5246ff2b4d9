/* A record of conda, and files that hold a prefix. The first byte chooses. */
#include "fuzz.h"

#include "conda.h"
#include "text.h"

#include <string.h>

#define PREFIX "/p/env"
#define TO     "/placeholder"
#define ROOM   16

static int take(void *arg, const struct pbc_conda_file *f, struct pbc_error *err)
{
    (void)err;
    CLAIM(pbc_text_is_below(f->path));
    CLAIM(f->placeholder[0] == '/');
    ++*(size_t *)arg;
    return 0;
}

static size_t count_of(const uint8_t *data, size_t len, const char *what)
{
    size_t n = 0;

    for (size_t i = 0; i + strlen(what) <= len; i++)
        n += memcmp(data + i, what, strlen(what)) == 0;
    return n;
}

/* What unpacking makes of the restored file is the file, with another prefix of the same length. */
static void restore_binary(const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len + 1);
    size_t count, stuck, before = count_of(data, len, PREFIX);

    if (copy == NULL)
        return;
    memcpy(copy, data, len);
    pbc_conda_restore_binary(copy, len, PREFIX, TO, ROOM, &count, &stuck);
    CLAIM(count <= before);
    CLAIM(count > 0 || memcmp(copy, data, len) == 0);
    if (count_of(data, len, TO) == 0)
        CLAIM(count_of(copy, len, TO) == count);
    free(copy);
}

static void restore_text(const uint8_t *data, size_t len)
{
    size_t out_len, count;
    uint8_t *out = pbc_conda_restore_text(data, len, PREFIX, TO, &out_len, &count);

    if (out == NULL)
        return;
    CLAIM(out_len == len + count * (strlen(TO) - strlen(PREFIX)));
    CLAIM(count > 0 || memcmp(out, data, len) == 0);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pbc_error err = {0};
    size_t taken = 0;

    if (size == 0)
        return 0;
    if (data[0] == 'b')
        restore_binary(data + 1, size - 1);
    else if (data[0] == 't')
        restore_text(data + 1, size - 1);
    else if (pbc_conda_record((const char *)data, size, take, &taken, &err) != 0)
        CLAIM(err.code == PBC_EXIT_REFUSED && err.text[0] != '\0');
    return 0;
}
