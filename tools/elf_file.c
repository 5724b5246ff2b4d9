#include "elf_file.h"

#include <elf.h>
#include <string.h>

#define HEADERS_MAX 1024

int pbc_elf_holds(const struct pbc_elf_file *f, uint64_t at, uint64_t len)
{
    return at <= f->len && len <= f->len - at;
}

uint64_t pbc_elf_number(const struct pbc_elf_file *f, uint64_t at, unsigned bytes)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < bytes; i++) {
        unsigned k = f->big ? i : bytes - 1 - i;

        v = v << 8 | f->data[at + k];
    }
    return v;
}

/* --- program headers ----------------------------------------------------------------------- */

static int find_headers(struct pbc_elf_file *f)
{
    uint64_t count;

    if (!pbc_elf_holds(f, 0, f->wide ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr)))
        return -1;
    f->headers.offset = f->wide ? pbc_elf_number(f, 32, 8) : pbc_elf_number(f, 28, 4);
    f->entry = (unsigned)pbc_elf_number(f, f->wide ? 54 : 42, 2);
    count = pbc_elf_number(f, f->wide ? 56 : 44, 2);
    f->headers.size = count * f->entry;
    if (count == 0)
        return 0;
    return count > HEADERS_MAX || f->entry < (f->wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)) ||
                   !pbc_elf_holds(f, f->headers.offset, f->headers.size)
               ? -1
               : 0;
}

int pbc_elf_file(const uint8_t *data, size_t len, struct pbc_elf_file *ret)
{
    struct pbc_elf_file f = {.data = data, .len = len};

    if (len < EI_NIDENT + 4 || memcmp(data, ELFMAG, SELFMAG) != 0)
        return 0;
    if ((data[EI_CLASS] != ELFCLASS32 && data[EI_CLASS] != ELFCLASS64) ||
        (data[EI_DATA] != ELFDATA2LSB && data[EI_DATA] != ELFDATA2MSB))
        return -1;
    f.wide = data[EI_CLASS] == ELFCLASS64;
    f.big = data[EI_DATA] == ELFDATA2MSB;
    f.machine = (uint16_t)pbc_elf_number(&f, 18, 2);
    if (find_headers(&f) != 0)
        return -1;
    *ret = f;
    return 1;
}

static size_t headers(const struct pbc_elf_file *f)
{
    return f->headers.size == 0 ? 0 : (size_t)(f->headers.size / f->entry);
}

static void segment_at(const struct pbc_elf_file *f, size_t i, struct pbc_elf_segment *s)
{
    uint64_t at = f->headers.offset + i * f->entry;

    s->type = pbc_elf_number(f, at, 4);
    s->offset = f->wide ? pbc_elf_number(f, at + 8, 8) : pbc_elf_number(f, at + 4, 4);
    s->address = f->wide ? pbc_elf_number(f, at + 16, 8) : pbc_elf_number(f, at + 8, 4);
    s->size = f->wide ? pbc_elf_number(f, at + 32, 8) : pbc_elf_number(f, at + 16, 4);
}

int pbc_elf_segment(const struct pbc_elf_file *f, uint64_t type, struct pbc_elf_segment *ret)
{
    for (size_t i = 0; i < headers(f); i++) {
        segment_at(f, i, ret);
        if (ret->type == type)
            return 1;
    }
    return 0;
}

int pbc_elf_locate(const struct pbc_elf_file *f, uint64_t address, struct pbc_elf_part *ret)
{
    for (size_t i = 0; i < headers(f); i++) {
        struct pbc_elf_segment s;

        segment_at(f, i, &s);
        if (s.type != PT_LOAD || address < s.address || address - s.address >= s.size)
            continue;
        if (!pbc_elf_holds(f, s.offset, s.size))
            return -1;
        ret->offset = s.offset + (address - s.address);
        ret->size = s.size - (address - s.address);
        return 0;
    }
    return -1;
}

/* --- the dynamic section ------------------------------------------------------------------- */

int pbc_elf_dynamic(const struct pbc_elf_file *f, struct pbc_elf_dynamic *ret)
{
    struct pbc_elf_dynamic d = {0};
    uint64_t address = 0, size = 0;
    struct pbc_elf_segment s;

    if (!pbc_elf_segment(f, PT_DYNAMIC, &s))
        return 0;
    if (!pbc_elf_holds(f, s.offset, s.size))
        return -1;
    d.part = (struct pbc_elf_part){s.offset, s.size};
    d.count = (size_t)(s.size / (f->wide ? sizeof(Elf64_Dyn) : sizeof(Elf32_Dyn)));
    d.ended = d.count <= PBC_ELF_DYNAMIC_MAX;
    if (!d.ended)
        d.count = PBC_ELF_DYNAMIC_MAX;
    for (size_t i = 0; i < d.count; i++) {
        uint64_t tag, value;

        pbc_elf_dynamic_at(f, &d, i, &tag, &value);
        if (tag == DT_NULL) {
            d.count = i;
            d.ended = 1;
        } else if (tag == DT_STRTAB) {
            address = value;
        } else if (tag == DT_STRSZ) {
            size = value;
        }
    }
    if (pbc_elf_locate(f, address, &d.strings) != 0)
        d.strings.size = 0;
    if (size < d.strings.size)
        d.strings.size = size;
    *ret = d;
    return 1;
}

void pbc_elf_dynamic_at(const struct pbc_elf_file *f, const struct pbc_elf_dynamic *d, size_t i,
                        uint64_t *tag, uint64_t *value)
{
    unsigned half = f->wide ? 8 : 4;
    uint64_t at = d->part.offset + (uint64_t)i * 2 * half;

    *tag = pbc_elf_number(f, at, half);
    *value = pbc_elf_number(f, at + half, half);
}

const char *pbc_elf_string(const struct pbc_elf_file *f, const struct pbc_elf_dynamic *d,
                           uint64_t at)
{
    const uint8_t *p;

    if (at >= d->strings.size)
        return NULL;
    p = f->data + d->strings.offset + at;
    return memchr(p, '\0', (size_t)(d->strings.size - at)) == NULL ? NULL : (const char *)p;
}
