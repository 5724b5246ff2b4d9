/* text.h - the few checks of text from outside that several modules of the core need. */
#ifndef PBC_TEXT_H
#define PBC_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether `len` bytes hold a control character. */
static inline bool pbc_text_has_control(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return true;
    }
    return false;
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

#endif
