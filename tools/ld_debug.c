#include "ld_debug.h"

#include "bundle.h"

#include <string.h>

#define LINE_MAX_ (PBC_PATH_MAX + 128)

/* "     12345:	calling init: /lib/x86_64-linux-gnu/libc.so.6" */
static const char *path_in(char *line)
{
    static const char mark[] = "calling init: /";
    char *p = strstr(line, mark);

    if (p == NULL)
        return NULL;
    p += sizeof(mark) - 2;
    p[strcspn(p, "\n")] = '\0';
    return strlen(p) < PBC_PATH_MAX ? p : NULL;
}

int pbc_ld_debug_read(FILE *in, int (*take)(void *arg, const char *path, struct pbc_error *err),
                      void *arg, struct pbc_error *err)
{
    char line[LINE_MAX_];
    int inside = 0; /* a line that is too long */

    while (fgets(line, sizeof(line), in) != NULL) {
        int whole = strchr(line, '\n') != NULL;
        const char *path = inside || !whole ? NULL : path_in(line);

        inside = !whole;
        if (path != NULL && take(arg, path, err) != 0)
            return -1;
    }
    return 0;
}
