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

    if (vsnprintf(err->text, sizeof(err->text), fmt, ap) < 0)
        err->text[0] = '\0';
    err->code = code;
    if (sys != 0) {
        char words[128];
        const char *why = strerror_r(sys, words, sizeof(words));
        /* A path may be longer than the text; why it failed is not to be lost for that. */
        size_t most = sizeof(err->text) - sizeof("...: ") - strlen(why);
        size_t len = strlen(err->text), at = len < most ? len : most;

        snprintf(err->text + at, sizeof(err->text) - at, "%s: %s", len > most ? "..." : "", why);
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
