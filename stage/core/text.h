/* text.h - the few checks of text from outside that several modules of the core need. */
#ifndef PBC_TEXT_H
#define PBC_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Whether `len` bytes hold a control character. */
static inline bool pbc_text_has_control(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return true;
    }
    return false;
}

/* What a terminal would obey becomes '?': control characters of ASCII, and those of ISO 6429 (C1)
 * as UTF-8 has them. */
static inline void pbc_text_plain(char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];

        if (i > 0 && c >= 0x80 && c < 0xa0 && (unsigned char)text[i - 1] == 0xc2)
            text[i - 1] = text[i] = '?';
        else if (c < 0x20 || c == 0x7f)
            text[i] = '?';
    }
}

/* A decimal number of `len` digits and nothing else. -1 for anything else, overflow included. */
static inline int pbc_text_u64(const char *text, size_t len, uint64_t *ret)
{
    uint64_t value = 0;

    if (len == 0)
        return -1;
    for (size_t i = 0; i < len; i++) {
        unsigned digit = (unsigned char)text[i] - (unsigned)'0';

        if (digit > 9 || value > (UINT64_MAX - digit) / 10)
            return -1;
        value = value * 10 + digit;
    }
    *ret = value;
    return 0;
}

/* What lines of text cannot hold is written as a backslash and three octal digits: control
 * characters and the backslash itself. Unescape works in place; -1 for a backslash without three
 * octal digits, or with those of NUL or of no byte. */
void pbc_text_escape(FILE *out, const char *text);
int pbc_text_unescape(char *text);

/* Whether the path is relative and of plain parts: none is empty, "." or "..". */
bool pbc_text_is_below(const char *path);

#endif
