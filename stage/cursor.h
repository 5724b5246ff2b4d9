/* cursor.h - putting integers, bytes and texts into messages, and getting them out. Private to
 * wire.c and messages.c.
 */
#ifndef PBC_CURSOR_H
#define PBC_CURSOR_H

#include "error.h"

#include <stdint.h>
#include <string.h>

/* A cursor over a message. Reading past the end sets `bad` and gives zeros. */
struct cursor {
    uint8_t *out;
    const uint8_t *in;
    uint32_t at;
    uint32_t len;
    int bad;
};

static inline void put(struct cursor *c, const void *from, uint32_t n)
{
    memcpy(c->out + c->at, from, n);
    c->at += n;
}

static inline void put_uint(struct cursor *c, uint64_t v, unsigned bytes)
{
    for (unsigned i = bytes; i-- > 0;)
        c->out[c->at++] = (uint8_t)(v >> (8 * i));
}

/* A string: two bytes of length, then its bytes. */
static inline void put_text(struct cursor *c, const char *s)
{
    uint32_t n = (uint32_t)strlen(s);

    put_uint(c, n, 2);
    put(c, s, n);
}

static inline void get(struct cursor *c, void *to, uint32_t n)
{
    if (c->bad || c->len - c->at < n) {
        c->bad = 1;
        memset(to, 0, n);
        return;
    }
    memcpy(to, c->in + c->at, n);
    c->at += n;
}

static inline uint64_t get_uint(struct cursor *c, unsigned bytes)
{
    uint8_t b[8];
    uint64_t v = 0;

    get(c, b, bytes);
    for (unsigned i = 0; i < bytes; i++)
        v = v << 8 | b[i];
    return v;
}

static inline void get_text(struct cursor *c, char *to, uint32_t size)
{
    uint32_t n = (uint32_t)get_uint(c, 2);

    to[0] = '\0';
    if (c->bad || n >= size) {
        c->bad = 1;
        return;
    }
    get(c, to, n);
    to[c->bad ? 0 : n] = '\0';
    if (strlen(to) != (c->bad ? 0 : n))
        c->bad = 1;
}

static inline int finish(const struct cursor *c, const char *what, struct pbc_error *err)
{
    if (c->bad || c->at != c->len)
        return pbc_fail(err, PBC_EXIT_PEER, "malformed %s message", what);
    return 0;
}

#endif
