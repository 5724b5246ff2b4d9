#include "elf_needs.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADERS_MAX 1024

struct file {
    const uint8_t *data;
    size_t len;
    int big; /* endian */
    int wide;
};

struct segment {
    uint64_t type;
    uint64_t offset;
    uint64_t address;
    uint64_t size; /* in the file */
};

struct table {
    uint64_t offset;
    uint64_t size;
};

/* A number at `at`, which the caller has checked to be in the file. */
static uint64_t number(const struct file *f, uint64_t at, unsigned bytes)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < bytes; i++) {
        unsigned k = f->big ? i : bytes - 1 - i;

        v = v << 8 | f->data[at + k];
    }
    return v;
}

static int holds(const struct file *f, uint64_t at, uint64_t len)
{
    return at <= f->len && len <= f->len - at;
}

static int segment_at(const struct file *f, uint64_t at, struct segment *s)
{
    if (!holds(f, at, f->wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)))
        return -1;
    s->type = number(f, at, 4);
    s->offset = f->wide ? number(f, at + 8, 8) : number(f, at + 4, 4);
    s->address = f->wide ? number(f, at + 16, 8) : number(f, at + 8, 4);
    s->size = f->wide ? number(f, at + 32, 8) : number(f, at + 16, 4);
    return 0;
}

struct program {
    uint64_t at;
    unsigned entry;
    unsigned count;
};

static int find_program(const struct file *f, struct program *p)
{
    if (!holds(f, 0, f->wide ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr)))
        return -1;
    p->at = f->wide ? number(f, 32, 8) : number(f, 28, 4);
    p->entry = (unsigned)number(f, f->wide ? 54 : 42, 2);
    p->count = (unsigned)number(f, f->wide ? 56 : 44, 2);
    if (p->count == 0)
        return 0;
    return p->count > HEADERS_MAX ||
                   p->entry < (f->wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)) ||
                   !holds(f, p->at, (uint64_t)p->count * p->entry)
               ? -1
               : 0;
}

/* Where the byte with that address lies in the file, and how many follow it there. */
static int locate(const struct file *f, const struct program *p, uint64_t address,
                  struct table *ret)
{
    for (unsigned i = 0; i < p->count; i++) {
        struct segment s;

        if (segment_at(f, p->at + (uint64_t)i * p->entry, &s) != 0)
            return -1;
        if (s.type != PT_LOAD || address < s.address || address - s.address >= s.size)
            continue;
        if (!holds(f, s.offset, s.size))
            return -1;
        ret->offset = s.offset + (address - s.address);
        ret->size = s.size - (address - s.address);
        return 0;
    }
    return -1;
}

/* A copy of the string at `at` in the table; NULL if it does not end in it. */
static char *string_at(const struct file *f, const struct table *strings, uint64_t at)
{
    const uint8_t *p;

    if (at >= strings->size)
        return NULL;
    p = f->data + strings->offset + at;
    return memchr(p, '\0', (size_t)(strings->size - at)) == NULL ? NULL : strdup((const char *)p);
}

static int add_needed(struct pbc_elf *e, char *name)
{
    char **more;

    if (e->nneeded == PBC_ELF_NEEDED_MAX)
        return -1;
    more = reallocarray(e->needed, e->nneeded + 1, sizeof(*more));
    if (more == NULL)
        return -1;
    e->needed = more;
    e->needed[e->nneeded++] = name;
    return 0;
}

static int take_string(const struct file *f, const struct table *strings, uint64_t tag, uint64_t at,
                       struct pbc_elf *e)
{
    char **to = tag == DT_SONAME ? &e->soname : tag == DT_RPATH ? &e->rpath : &e->runpath;
    char *text = string_at(f, strings, at);

    if (text == NULL)
        return -1;
    if (tag == DT_NEEDED) {
        if (add_needed(e, text) == 0)
            return 0;
        free(text);
        return -1;
    }
    free(*to);
    *to = text;
    return 0;
}

static int is_string(uint64_t tag)
{
    return tag == DT_NEEDED || tag == DT_SONAME || tag == DT_RPATH || tag == DT_RUNPATH;
}

static int parse_dynamic(const struct file *f, const struct program *p, const struct segment *d,
                         struct pbc_elf *e)
{
    unsigned half = f->wide ? 8 : 4;
    uint64_t count = d->size / (2 * half);
    uint64_t address = 0, size = 0;
    struct table strings = {0};
    int wanted = 0;

    if (!holds(f, d->offset, d->size))
        return -1;
    if (count > PBC_ELF_DYNAMIC_MAX)
        count = PBC_ELF_DYNAMIC_MAX;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t at = d->offset + i * 2 * half;
        uint64_t tag = number(f, at, half);
        uint64_t value = number(f, at + half, half);

        if (tag == DT_NULL)
            count = i;
        else if (tag == DT_STRTAB)
            address = value;
        else if (tag == DT_STRSZ)
            size = value;
        wanted |= is_string(tag);
    }
    if (!wanted)
        return 0;
    if (locate(f, p, address, &strings) != 0)
        return -1;
    if (size < strings.size)
        strings.size = size;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t at = d->offset + i * 2 * half;
        uint64_t tag = number(f, at, half);

        if (is_string(tag) && take_string(f, &strings, tag, number(f, at + half, half), e) != 0)
            return -1;
    }
    return 0;
}

int pbc_elf_parse(const uint8_t *file, size_t len, struct pbc_elf *ret)
{
    struct file f = {.data = file, .len = len};
    struct program p;
    int rc;

    memset(ret, 0, sizeof(*ret));
    if (len < EI_NIDENT + 4 || memcmp(file, ELFMAG, SELFMAG) != 0)
        return 0;
    if ((file[EI_CLASS] != ELFCLASS32 && file[EI_CLASS] != ELFCLASS64) ||
        (file[EI_DATA] != ELFDATA2LSB && file[EI_DATA] != ELFDATA2MSB))
        return -1;
    f.wide = file[EI_CLASS] == ELFCLASS64;
    f.big = file[EI_DATA] == ELFDATA2MSB;
    ret->bits = f.wide ? 64 : 32;
    ret->machine = (uint16_t)number(&f, 18, 2);
    rc = find_program(&f, &p);
    for (unsigned i = 0; rc == 0 && i < p.count; i++) {
        struct segment s;

        rc = segment_at(&f, p.at + (uint64_t)i * p.entry, &s);
        if (rc == 0 && s.type == PT_DYNAMIC) {
            rc = parse_dynamic(&f, &p, &s, ret);
            break;
        }
    }
    if (rc == 0)
        return 1;
    pbc_elf_free(ret);
    return -1;
}

int pbc_elf_read(const char *path, struct pbc_elf *ret)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    void *map = MAP_FAILED;
    struct stat st;
    int rc = 0;

    memset(ret, 0, sizeof(*ret));
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0)
        map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map != MAP_FAILED) {
        rc = pbc_elf_parse(map, (size_t)st.st_size, ret);
        munmap(map, (size_t)st.st_size);
    }
    if (fd >= 0)
        close(fd);
    return rc;
}

void pbc_elf_free(struct pbc_elf *e)
{
    for (size_t i = 0; i < e->nneeded; i++)
        free(e->needed[i]);
    free(e->needed);
    free(e->soname);
    free(e->rpath);
    free(e->runpath);
    memset(e, 0, sizeof(*e));
}

const char *pbc_elf_machine(uint16_t machine)
{
    static char other[32];

    switch (machine) {
    case EM_X86_64:
        return "x86-64";
    case EM_386:
        return "i386";
    case EM_AARCH64:
        return "AArch64";
    case EM_PPC64:
        return "PowerPC64";
    case EM_RISCV:
        return "RISC-V";
    case EM_ARM:
        return "ARM";
    case EM_S390:
        return "S/390";
    default:
        snprintf(other, sizeof(other), "machine %u", machine);
        return other;
    }
}

/* Of the C library, which must be the node's own. */
static const char *const libc_names[] = {
    "libc.so.",           "libm.so.",         "libdl.so.",
    "libpthread.so.",     "librt.so.",        "libutil.so.",
    "libresolv.",         "libmvec.so.",      "libanl.so.",
    "libnsl.so.1",        "libthread_db.",    "ld-linux",
    "libc_malloc_debug.", "libBrokenLocale.", "linux-vdso",
    "ld64.so.",           "ld.so.",           "libnss_",
};

int pbc_elf_is_libc(const char *name)
{
    for (size_t i = 0; i < sizeof(libc_names) / sizeof(libc_names[0]); i++) {
        if (strncmp(name, libc_names[i], strlen(libc_names[i])) == 0)
            return 1;
    }
    return 0;
}
