/* ld_debug.h - what glibc's loader writes under LD_DEBUG=libs (ld.so(8)). */
#ifndef PBC_LD_DEBUG_H
#define PBC_LD_DEBUG_H

#include "error.h"

#include <stdio.h>

/* Call `take` with the absolute path of each library that was initialised; it ends with -1 when
 * that gives back -1. Lines that are longer than a path can be are passed over. */
int pbc_ld_debug_read(FILE *in, int (*take)(void *arg, const char *path, struct pbc_error *err),
                      void *arg, struct pbc_error *err);

#endif
