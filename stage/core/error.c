#include "error.h"

#include "text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void fill(struct pbc_error *err, enum pbc_exit code, int sys, const char *fmt, va_list ap)
    __attribute__((format(printf, 4, 0)));

static void fill(struct pbc_error *err, enum pbc_exit code, int sys, const char *fmt, va_list ap)
{
    int n = vsnprintf(err->text, sizeof(err->text), fmt, ap);

    err->code = code;
    if (n < 0)
        n = 0;
    if (sys != 0 && (size_t)n < sizeof(err->text)) {
        char words[128];

        snprintf(err->text + n, sizeof(err->text) - (size_t)n, ": %s",
                 strerror_r(sys, words, sizeof(words)));
    }
    pbc_text_plain(err->text, strlen(err->text));
}

int pbc_fail(struct pbc_error *err, enum pbc_exit code, const char *fmt, ...)
{
    int saved = errno;

    if (err != NULL) {
        va_list ap;

        va_start(ap, fmt);
        fill(err, code, 0, fmt, ap);
        va_end(ap);
    }
    errno = saved;
    return -1;
}

int pbc_fail_errno(struct pbc_error *err, enum pbc_exit code, const char *fmt, ...)
{
    int saved = errno;

    if (err != NULL) {
        va_list ap;

        va_start(ap, fmt);
        fill(err, code, saved, fmt, ap);
        va_end(ap);
    }
    errno = saved;
    return -1;
}
