#include "elf_path.h"

#include "elf_file.h"

#include <elf.h>
#include <stddef.h>
#include <string.h>

#define VERSIONS_MAX 65536 /* records of versions that are looked at */

/* The path's place in the table of strings. */
struct place {
    const struct pbc_elf_file *f;
    const struct pbc_elf_dynamic *d;
    uint64_t at;
    size_t len;
};

/* Whether a string at `at` in the table uses the path's bytes. Where the byte before the path is
 * NUL no earlier one reaches it. */
static int touches(const struct place *p, uint64_t at)
{
    return at >= p->at && at < p->at + p->len;
}

static int overlaps(const struct place *p, uint64_t offset, uint64_t size)
{
    uint64_t begin = p->d->strings.offset + p->at;

    return offset < begin + p->len + 1 && begin < offset + size;
}

/* --- who else names strings ---------------------------------------------------------------- */

static int is_string(uint64_t tag)
{
    switch (tag) {
    case DT_NEEDED:
    case DT_SONAME:
    case DT_RPATH:
    case DT_RUNPATH:
    case DT_AUXILIARY:
    case DT_FILTER:
    case DT_CONFIG:
    case DT_DEPAUDIT:
    case DT_AUDIT:
        return 1;
    default:
        return 0;
    }
}

/* RPATH and RUNPATH may be one string: they change together then. */
static int entries_touch(const struct place *p)
{
    for (size_t i = 0; i < p->d->count; i++) {
        uint64_t tag, value;

        pbc_elf_dynamic_at(p->f, p->d, i, &tag, &value);
        if (!is_string(tag) || ((tag == DT_RPATH || tag == DT_RUNPATH) && value == p->at))
            continue;
        if (touches(p, value))
            return 1;
    }
    return 0;
}

/* The last entry of the tag, which is the one that counts for the loader too. 0 without one. */
static int find_entry(const struct place *p, uint64_t wanted, uint64_t *ret)
{
    int found = 0;

    for (size_t i = 0; i < p->d->count; i++) {
        uint64_t tag, value;

        pbc_elf_dynamic_at(p->f, p->d, i, &tag, &value);
        if (tag != wanted)
            continue;
        *ret = value;
        found = 1;
    }
    return found;
}

/* Records of versions, alike in both classes, those needed (DT_VERNEED) or those given (DT_VERDEF),
 * are lists of lists: a record names its first part and the next record, a part the next part, by
 * distances. Names are in the parts, and of those needed in the record too. */
struct versions {
    uint64_t table; /* tags */
    uint64_t count;
    unsigned size;  /* of a record, and where it has: */
    unsigned parts; /* how many parts, 2 bytes */
    unsigned first; /* the first one's distance */
    unsigned next;  /* that of the next record */
    unsigned name;  /* its own; 0 none */
    unsigned part_size;
    unsigned part_name;
    unsigned part_next;
};

static int parts_touch(const struct place *p, const struct versions *v, uint64_t at, uint64_t count,
                       size_t *seen)
{
    for (uint64_t i = 0; i < count; i++) {
        uint64_t next;

        if (++*seen > VERSIONS_MAX || !pbc_elf_holds(p->f, at, v->part_size) ||
            touches(p, pbc_elf_number(p->f, at + v->part_name, 4)))
            return 1;
        next = pbc_elf_number(p->f, at + v->part_next, 4);
        if (next == 0)
            break;
        at += next;
    }
    return 0;
}

static int versions_touch(const struct place *p, const struct versions *v)
{
    uint64_t table = 0, count = 0;
    struct pbc_elf_part part;
    size_t seen = 0;

    if (!find_entry(p, v->table, &table) || !find_entry(p, v->count, &count))
        return 0;
    if (pbc_elf_locate(p->f, table, &part) != 0)
        return 1;
    for (uint64_t i = 0, at = part.offset; i < count; i++) {
        uint64_t next;

        if (++seen > VERSIONS_MAX || !pbc_elf_holds(p->f, at, v->size) ||
            (v->name != 0 && touches(p, pbc_elf_number(p->f, at + v->name, 4))) ||
            parts_touch(p, v, at + pbc_elf_number(p->f, at + v->first, 4),
                        pbc_elf_number(p->f, at + v->parts, 2), &seen))
            return 1;
        next = pbc_elf_number(p->f, at + v->next, 4);
        if (next == 0)
            break;
        at += next;
    }
    return 0;
}

static int names_touch(const struct place *p, uint64_t offset, uint64_t size)
{
    unsigned each = p->f->wide ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym);

    if (!pbc_elf_holds(p->f, offset, size))
        return 1;
    for (uint64_t at = 0; size - at >= each; at += each) {
        if (touches(p, pbc_elf_number(p->f, offset + at, 4)))
            return 1;
    }
    return 0;
}

/* How many symbols there are is said by the section headers alone: hash tables leave out those that
 * are not defined. A file without them counts as one whose symbols touch. */
static int symbols_touch(const struct place *p)
{
    const struct pbc_elf_file *f = p->f;
    unsigned each = f->wide ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr);
    uint64_t at = f->wide ? pbc_elf_number(f, 40, 8) : pbc_elf_number(f, 32, 4);
    uint64_t size = pbc_elf_number(f, f->wide ? 58 : 46, 2);
    uint64_t count = pbc_elf_number(f, f->wide ? 60 : 48, 2);
    struct pbc_elf_part symbols;
    uint64_t table = 0;

    if (!find_entry(p, DT_SYMTAB, &table))
        return 0;
    if (pbc_elf_locate(f, table, &symbols) != 0 || size < each ||
        !pbc_elf_holds(f, at, size * count))
        return 1;
    for (; count > 0; count--, at += size) {
        uint64_t offset, bytes;

        offset = f->wide ? pbc_elf_number(f, at + 24, 8) : pbc_elf_number(f, at + 16, 4);
        bytes = f->wide ? pbc_elf_number(f, at + 32, 8) : pbc_elf_number(f, at + 20, 4);
        if (pbc_elf_number(f, at + 4, 4) == SHT_DYNSYM && offset == symbols.offset)
            return names_touch(p, offset, bytes);
    }
    return 1;
}

static int is_shared(const struct place *p)
{
    static const struct versions needed = {.table = DT_VERNEED,
                                           .count = DT_VERNEEDNUM,
                                           .size = sizeof(Elf64_Verneed),
                                           .parts = offsetof(Elf64_Verneed, vn_cnt),
                                           .first = offsetof(Elf64_Verneed, vn_aux),
                                           .next = offsetof(Elf64_Verneed, vn_next),
                                           .name = offsetof(Elf64_Verneed, vn_file),
                                           .part_size = sizeof(Elf64_Vernaux),
                                           .part_name = offsetof(Elf64_Vernaux, vna_name),
                                           .part_next = offsetof(Elf64_Vernaux, vna_next)};
    static const struct versions given = {.table = DT_VERDEF,
                                          .count = DT_VERDEFNUM,
                                          .size = sizeof(Elf64_Verdef),
                                          .parts = offsetof(Elf64_Verdef, vd_cnt),
                                          .first = offsetof(Elf64_Verdef, vd_aux),
                                          .next = offsetof(Elf64_Verdef, vd_next),
                                          .part_size = sizeof(Elf64_Verdaux),
                                          .part_name = offsetof(Elf64_Verdaux, vda_name),
                                          .part_next = offsetof(Elf64_Verdaux, vda_next)};
    const uint8_t *text = p->f->data + p->d->strings.offset + p->at;

    return !p->d->ended || p->at == 0 || text[-1] != '\0' ||
           overlaps(p, 0, p->f->wide ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr)) ||
           overlaps(p, p->f->headers.offset, p->f->headers.size) ||
           overlaps(p, p->d->part.offset, p->d->part.size) || entries_touch(p) ||
           versions_touch(p, &needed) || versions_touch(p, &given) || symbols_touch(p);
}

/* --- the path ------------------------------------------------------------------------------ */

enum pbc_elf_path_state pbc_elf_path(const uint8_t *file, size_t len, struct pbc_elf_path *ret)
{
    struct pbc_elf_segment loader;
    struct pbc_elf_dynamic d;
    struct pbc_elf_file f;
    struct place p = {.f = &f, .d = &d};
    const char *text;

    if (pbc_elf_file(file, len, &f) != 1 || pbc_elf_dynamic(&f, &d) != 1)
        return PBC_ELF_PATH_NONE;
    if (!find_entry(&p, DT_RUNPATH, &p.at) && !find_entry(&p, DT_RPATH, &p.at))
        return PBC_ELF_PATH_NONE;
    text = pbc_elf_string(&f, &d, p.at);
    if (text == NULL || *text == '\0')
        return PBC_ELF_PATH_NONE;
    p.len = strlen(text);
    *ret = (struct pbc_elf_path){.text = text,
                                 .offset = d.strings.offset + p.at,
                                 .room = p.len,
                                 .program = pbc_elf_segment(&f, PT_INTERP, &loader)};
    return is_shared(&p) ? PBC_ELF_PATH_SHARED : PBC_ELF_PATH_FREE;
}
