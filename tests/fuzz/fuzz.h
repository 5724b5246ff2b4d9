/* fuzz.h - what each fuzz target defines, for libFuzzer and for the replay of a corpus. */
#ifndef PBC_FUZZ_H
#define PBC_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A claim, in builds without assert() too. */
#define CLAIM(what)                                                                                \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            fprintf(stderr, "%s:%d: not %s\n", __FILE__, __LINE__, #what);                         \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#endif
