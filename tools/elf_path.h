/* elf_path.h - the library path of a program or library (RPATH, RUNPATH; ld.so(8)): where it stands
 * in the file, and whether another may take its place there.
 *
 * The path is a string of the table in which the names of symbols, versions and libraries stand
 * too, and linkers let one string be the end of another. Only one that nothing else reaches into
 * may be changed, and only within its room: nothing moves. Files may come from anywhere: what does
 * not add up is left alone.
 */
#ifndef PBC_ELF_PATH_H
#define PBC_ELF_PATH_H

#include <stddef.h>
#include <stdint.h>

enum pbc_elf_path_state {
    PBC_ELF_PATH_NONE,   /* no ELF file, or one without a library path */
    PBC_ELF_PATH_FREE,   /* may be replaced by up to `room` bytes and NULs up to there */
    PBC_ELF_PATH_SHARED, /* something else uses its bytes, or may, as far as the file tells */
};

struct pbc_elf_path {
    const char *text; /* in the file: the RUNPATH, or without one the RPATH, as the loader does */
    uint64_t offset;  /* of it in the file */
    size_t room;      /* its bytes, without the NUL that ends it */
    int program; /* what the kernel starts, so that $ORIGIN is where it lies, not a link to it */
};

/* *ret is filled for FREE and SHARED. */
enum pbc_elf_path_state pbc_elf_path(const uint8_t *file, size_t len, struct pbc_elf_path *ret);

#endif
