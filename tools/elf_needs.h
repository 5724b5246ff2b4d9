/* elf_needs.h - what an ELF file says of the libraries that it needs. */
#ifndef PBC_ELF_NEEDS_H
#define PBC_ELF_NEEDS_H

#include <stddef.h>
#include <stdint.h>

#define PBC_ELF_NEEDED_MAX 512 /* libraries of one file */

struct pbc_elf {
    uint16_t machine; /* e_machine: EM_X86_64 and so on */
    uint8_t bits;     /* 32 or 64 */
    char *soname;     /* NULL if it has none, as below */
    char *rpath;
    char *runpath;
    size_t nneeded;
    char **needed;
};

/* 1 with *ret, to be freed with pbc_elf_free; 0 if it is no ELF file; -1 if it is a broken one, or
 * without memory. A file without a dynamic section needs nothing. */
int pbc_elf_parse(const uint8_t *file, size_t len, struct pbc_elf *ret);

/* The same of a file; 0 also if it cannot be read. */
int pbc_elf_read(const char *path, struct pbc_elf *ret);

/* "x86-64", "AArch64", ... or "machine N"; valid until the next call. */
const char *pbc_elf_machine(uint16_t machine);

/* Whether a library of that name is a part of the C library, which must be the node's own. */
int pbc_elf_is_libc(const char *name);

void pbc_elf_free(struct pbc_elf *e); /* not the struct itself */

#endif
