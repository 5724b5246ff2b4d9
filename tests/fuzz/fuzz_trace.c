/* Lines of strace: names in events are absolute and plain, whatever comes. */
#include "fuzz.h"

#include "trace.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pbc_trace *t = pbc_trace_new("/cwd");
    char *text = malloc(size + 1), *rest = text, *line;
    struct pbc_trace_event ev;

    CLAIM(t != NULL);
    if (text == NULL)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    while ((line = strsep(&rest, "\n")) != NULL) {
        char path[PBC_PATH_MAX + 1];

        if (pbc_trace_line(t, line, &ev) != 1)
            continue;
        CLAIM(ev.path[0] == '/' && ev.pid > 0 && ev.program != NULL);
        CLAIM(!ev.opened || !ev.failed);
        snprintf(path, sizeof(path), "%s/", ev.path);
        CLAIM(ev.opened || strstr(path, "/../") == NULL);
    }
    pbc_trace_free(t);
    free(text);
    return 0;
}
