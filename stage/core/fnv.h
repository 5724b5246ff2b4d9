/* fnv.h - FNV-1a of 128 bits (Fowler, Noll, Vo), for names of sets. */
#ifndef PBC_FNV_H
#define PBC_FNV_H

#include <stddef.h>
#include <stdint.h>

#define PBC_FNV_BASIS                                                                              \
    {                                                                                              \
        0x6c62272e07bb0142, 0x62b821756295c58d                                                     \
    }

struct pbc_fnv {
    uint64_t hi, lo;
};

static inline void pbc_fnv_add(struct pbc_fnv *h, const void *data, size_t len)
{
    const unsigned char *p = data;

    for (size_t i = 0; i < len; i++) {
        uint64_t low, high;

        h->lo ^= p[i];
        /* times the prime 2^88 + 0x13b, modulo 2^128 */
        low = (h->lo & 0xffffffff) * 0x13b;
        high = (h->lo >> 32) * 0x13b + (low >> 32);
        h->hi = h->hi * 0x13b + (high >> 32) + (h->lo << 24);
        h->lo = (high << 32) | (low & 0xffffffff);
    }
}

/* Least significant byte first, whatever the machine: the nodes of a job must agree. */
static inline void pbc_fnv_add_u64(struct pbc_fnv *h, uint64_t value)
{
    unsigned char bytes[8];

    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(value >> (8 * i));
    pbc_fnv_add(h, bytes, sizeof(bytes));
}

#endif
