/* elf_file.h - the parts of an ELF file (System V ABI, gABI 4.1, chapters 4 and 5) that say how it
 * is loaded: program headers, the dynamic section, its strings. Both classes and byte orders.
 *
 * A reader of our own, because files come from archives of other people: every offset is checked
 * against the file, and numbers have limits. libelf would map and convert far more than these.
 */
#ifndef PBC_ELF_FILE_H
#define PBC_ELF_FILE_H

#include <stddef.h>
#include <stdint.h>

#define PBC_ELF_DYNAMIC_MAX 8192 /* entries of the dynamic section that are looked at */

/* Where something lies in the file. */
struct pbc_elf_part {
    uint64_t offset;
    uint64_t size;
};

struct pbc_elf_file {
    const uint8_t *data; /* borrowed */
    size_t len;
    int big; /* endian */
    int wide;
    uint16_t machine;
    struct pbc_elf_part headers; /* of the program, each of `entry` bytes */
    unsigned entry;
};

struct pbc_elf_segment {
    uint64_t type;
    uint64_t offset;
    uint64_t address;
    uint64_t size; /* in the file */
};

/* The dynamic section: `count` entries before its end, and the strings that they name; without
 * strings their size is 0. */
struct pbc_elf_dynamic {
    struct pbc_elf_part part;
    size_t count;
    int ended; /* its end was found within the limit */
    struct pbc_elf_part strings;
};

/* 1 with *ret; 0 if it is no ELF file; -1 if it is a broken one. */
int pbc_elf_file(const uint8_t *data, size_t len, struct pbc_elf_file *ret);

/* Whether so many bytes from that offset on lie in the file. */
int pbc_elf_holds(const struct pbc_elf_file *f, uint64_t at, uint64_t len);

/* The number of so many bytes at an offset of which pbc_elf_holds is true. */
uint64_t pbc_elf_number(const struct pbc_elf_file *f, uint64_t at, unsigned bytes);

/* The first segment of the type, such as PT_DYNAMIC. 1; 0 if there is none. */
int pbc_elf_segment(const struct pbc_elf_file *f, uint64_t type, struct pbc_elf_segment *ret);

/* Where the byte with that address lies in the file, and how many follow it there. 0, or -1. */
int pbc_elf_locate(const struct pbc_elf_file *f, uint64_t address, struct pbc_elf_part *ret);

/* 1 with *ret; 0 without a dynamic section; -1 if it lies outside the file. */
int pbc_elf_dynamic(const struct pbc_elf_file *f, struct pbc_elf_dynamic *ret);

/* Entry `i`, less than `count`. */
void pbc_elf_dynamic_at(const struct pbc_elf_file *f, const struct pbc_elf_dynamic *d, size_t i,
                        uint64_t *tag, uint64_t *value);

/* The string at that offset of the strings; NULL if it does not end within them. */
const char *pbc_elf_string(const struct pbc_elf_file *f, const struct pbc_elf_dynamic *d,
                           uint64_t at);

#endif
