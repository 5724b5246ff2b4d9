#include "command.h"

#include <stdarg.h>
#include <stdio.h>

int pbc_complain(const struct pbc_error *err)
{
    fprintf(stderr, "pbcast: error: %s\n", err->text);
    return (int)err->code;
}

int pbc_complain_usage(const char *command, const char *fmt, ...)
{
    struct pbc_error err;
    char text[PBC_ERROR_MAX];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    pbc_fail(&err, PBC_EXIT_USAGE, "%s; see pbcast %s%s--help", text,
             command == NULL ? "" : command, command == NULL ? "" : " ");
    return pbc_complain(&err);
}

void pbc_note(const char *fmt, ...)
{
    struct pbc_error line; /* which replaces control characters */
    char text[PBC_ERROR_MAX];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    pbc_fail(&line, PBC_EXIT_OK, "%s", text);
    fprintf(stderr, "pbcast: note: %s\n", line.text);
}

const char *pbc_size_words(unsigned long long bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB"};
    static char text[4][32];
    static unsigned turn;
    char *out = text[turn++ % 4];
    double n = (double)bytes;
    size_t unit = 0;

    if (bytes < 1024) {
        snprintf(out, sizeof(text[0]), "%llu byte%s", bytes, bytes == 1 ? "" : "s");
        return out;
    }
    for (n /= 1024; n >= 999.5 && unit + 1 < sizeof(units) / sizeof(units[0]); n /= 1024)
        unit++;
    snprintf(out, sizeof(text[0]), "%.*f %s", n < 9.95 ? 1 : 0, n, units[unit]);
    return out;
}
