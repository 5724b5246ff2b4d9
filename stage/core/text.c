#include "text.h"

#include <string.h>

static int octal(const char *p)
{
    int value = 0;

    for (int i = 0; i < 3; i++) {
        if (p[i] < '0' || p[i] > '7')
            return -1;
        value = value * 8 + (p[i] - '0');
    }
    return value > 0 && value <= 255 ? value : -1;
}

int pbc_text_unescape(char *text)
{
    char *to = text;

    for (const char *p = text; *p != '\0'; p++) {
        int byte = (unsigned char)*p;

        if (byte == '\\') {
            byte = octal(p + 1);
            if (byte < 0)
                return -1;
            p += 3;
        }
        *to++ = (char)byte;
    }
    *to = '\0';
    return 0;
}

void pbc_text_escape(FILE *out, const char *text)
{
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '\\' || pbc_text_has_control(p, 1))
            fprintf(out, "\\%03o", (unsigned)(unsigned char)*p);
        else
            putc(*p, out);
    }
}

bool pbc_text_is_below(const char *path)
{
    for (const char *p = path;; p++) {
        size_t len = strcspn(p, "/");

        if (len == 0 || (len == 1 && p[0] == '.') || (len == 2 && p[0] == '.' && p[1] == '.'))
            return false;
        p += len;
        if (*p == '\0')
            return true;
    }
}
