/* The library path of a file may be changed where nothing else uses its bytes: files of both
 * classes and byte orders, made here part by part. */
#include "support.h"

#include "elf_needs.h"
#include "elf_path.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#define LOADED 0x40000u /* address of the file's first byte */

/* Offsets in the strings. */
enum { LIBRARY = 1, SONAME = 11, SYMBOL = 20, VERSION = 27, PATH = 31, OTHER = 52 };
static const char strings[] = "\0"
                              "libx.so.1\0"
                              "libme.so\0"
                              "symbol\0"
                              "V_1\0"
                              "/opt/sw/lib:/usr/sub\0"
                              "/other\0";

enum { NSYMBOLS = 3 };

/* What the file says; of each the offset of its string. */
struct wanted {
    int wide, big;
    uint64_t needed, soname, rpath, runpath; /* 0: no entry */
    uint64_t audit;
    uint64_t symbol; /* the name of the last */
    uint64_t needs;  /* names of a version that is needed: its file, itself */
    uint64_t needs_part;
    uint64_t gives_part; /* of one that is given */
    bool loader;         /* PT_INTERP */
    bool sections;
};

struct image {
    uint8_t data[4096];
    size_t len;
    int wide, big;
    size_t dynamic, headers, strings, symbols, needs, gives, sections; /* offsets */
};

static void put(struct image *m, size_t at, unsigned bytes, uint64_t value)
{
    for (unsigned i = 0; i < bytes; i++)
        m->data[at + (m->big ? bytes - 1 - i : i)] = (uint8_t)(value >> 8 * i);
}

static size_t room(struct image *m, size_t bytes)
{
    size_t at = (m->len + 7) & ~(size_t)7;

    m->len = at + bytes;
    assert_true(m->len <= sizeof(m->data));
    return at;
}

static void segment(struct image *m, unsigned i, uint64_t type, uint64_t offset, uint64_t size)
{
    size_t at = m->headers + i * (m->wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr));

    put(m, at, 4, type);
    if (m->wide) {
        put(m, at + 8, 8, offset);
        put(m, at + 16, 8, LOADED + offset);
        put(m, at + 32, 8, size);
    } else {
        put(m, at + 4, 4, offset);
        put(m, at + 8, 4, LOADED + offset);
        put(m, at + 16, 4, size);
    }
}

static void section(struct image *m, unsigned i, uint64_t type, uint64_t offset, uint64_t size)
{
    size_t at = m->sections + i * (m->wide ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr));

    put(m, at + 4, 4, type);
    put(m, at + (m->wide ? 24 : 16), m->wide ? 8 : 4, offset);
    put(m, at + (m->wide ? 32 : 20), m->wide ? 8 : 4, size);
}

static void entry(struct image *m, unsigned *i, uint64_t tag, uint64_t value)
{
    unsigned half = m->wide ? 8 : 4;

    put(m, m->dynamic + *i * 2 * half, half, tag);
    put(m, m->dynamic + *i * 2 * half + half, half, value);
    ++*i;
}

static void fill_dynamic(struct image *m, const struct wanted *w)
{
    const struct {
        uint64_t tag, value;
    } names[] = {{DT_NEEDED, w->needed},
                 {DT_SONAME, w->soname},
                 {DT_RPATH, w->rpath},
                 {DT_RUNPATH, w->runpath},
                 {DT_AUDIT, w->audit}};
    unsigned i = 0;

    for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
        if (names[k].value != 0)
            entry(m, &i, names[k].tag, names[k].value);
    }
    entry(m, &i, DT_STRTAB, LOADED + m->strings);
    entry(m, &i, DT_STRSZ, sizeof(strings));
    entry(m, &i, DT_SYMTAB, LOADED + m->symbols);
    entry(m, &i, DT_VERNEED, LOADED + m->needs);
    entry(m, &i, DT_VERNEEDNUM, 1);
    entry(m, &i, DT_VERDEF, LOADED + m->gives);
    entry(m, &i, DT_VERDEFNUM, 1);
    entry(m, &i, DT_NULL, 0);
}

static void fill_header(struct image *m, bool sections)
{
    memcpy(m->data, ELFMAG, SELFMAG);
    m->data[EI_CLASS] = m->wide ? ELFCLASS64 : ELFCLASS32;
    m->data[EI_DATA] = m->big ? ELFDATA2MSB : ELFDATA2LSB;
    m->data[EI_VERSION] = EV_CURRENT;
    put(m, 16, 2, ET_DYN);
    put(m, 18, 2, m->wide ? EM_PPC64 : EM_PPC);
    put(m, m->wide ? 32 : 28, m->wide ? 8 : 4, m->headers);
    put(m, m->wide ? 54 : 42, 2, m->wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr));
    put(m, m->wide ? 56 : 44, 2, 3);
    if (sections) {
        put(m, m->wide ? 40 : 32, m->wide ? 8 : 4, m->sections);
        put(m, m->wide ? 58 : 46, 2, m->wide ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr));
        put(m, m->wide ? 60 : 48, 2, 2);
    }
}

static void make(struct image *m, const struct wanted *w)
{
    size_t symbol = w->wide ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym);

    memset(m, 0, sizeof(*m));
    m->wide = w->wide;
    m->big = w->big;
    room(m, w->wide ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr));
    m->headers = room(m, 3 * sizeof(Elf64_Phdr));
    m->dynamic = room(m, 16 * sizeof(Elf64_Dyn));
    m->symbols = room(m, NSYMBOLS * symbol);
    m->needs = room(m, sizeof(Elf64_Verneed) + sizeof(Elf64_Vernaux));
    m->gives = room(m, sizeof(Elf64_Verdef) + sizeof(Elf64_Verdaux));
    m->strings = room(m, sizeof(strings));
    m->sections = room(m, 2 * sizeof(Elf64_Shdr));
    memcpy(m->data + m->strings, strings, sizeof(strings));
    put(m, m->symbols + symbol, 4, SYMBOL);
    put(m, m->symbols + 2 * symbol, 4, w->symbol);
    put(m, m->needs + 2, 2, 1);
    put(m, m->needs + 4, 4, w->needs);
    put(m, m->needs + 8, 4, sizeof(Elf64_Verneed));
    put(m, m->needs + sizeof(Elf64_Verneed) + 8, 4, w->needs_part);
    put(m, m->gives + 6, 2, 1);
    put(m, m->gives + 12, 4, sizeof(Elf64_Verdef));
    put(m, m->gives + sizeof(Elf64_Verdef), 4, w->gives_part);
    fill_header(m, w->sections);
    fill_dynamic(m, w);
    segment(m, 0, w->loader ? PT_INTERP : PT_NOTE, 0, 0);
    segment(m, 1, PT_LOAD, 0, m->len);
    segment(m, 2, PT_DYNAMIC, m->dynamic, 16 * (w->wide ? sizeof(Elf64_Dyn) : sizeof(Elf32_Dyn)));
    section(m, 1, SHT_DYNSYM, m->symbols, NSYMBOLS * symbol);
}

static const struct wanted usual = {
    .wide = 1,
    .needed = LIBRARY,
    .soname = SONAME,
    .runpath = PATH,
    .symbol = SYMBOL,
    .needs = LIBRARY,
    .needs_part = VERSION,
    .gives_part = VERSION,
    .sections = true,
};

/* On the heap, of its exact size, so that a sanitizer sees a byte too far. */
static enum pbc_elf_path_state look_at(const struct image *m, struct pbc_elf_path *ret)
{
    uint8_t *copy = malloc(m->len);
    enum pbc_elf_path_state state;

    assert_non_null(copy);
    memcpy(copy, m->data, m->len);
    state = pbc_elf_path(copy, m->len, ret);
    if (state != PBC_ELF_PATH_NONE)
        ret->text = (const char *)m->data + ret->offset;
    free(copy);
    return state;
}

static enum pbc_elf_path_state state_of(const struct wanted *w)
{
    struct pbc_elf_path path;
    struct image m;

    make(&m, w);
    return look_at(&m, &path);
}

static void a_path_that_stands_alone_is_found_and_may_be_replaced(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct wanted w = usual;
        struct pbc_elf_path path;
        struct pbc_elf e;
        struct image m;

        w.wide = i & 1;
        w.big = i >> 1;
        make(&m, &w);
        assert_int_equal(look_at(&m, &path), PBC_ELF_PATH_FREE);
        assert_string_equal(path.text, "/opt/sw/lib:/usr/sub");
        assert_int_equal(path.offset, m.strings + PATH);
        assert_int_equal(path.room, strlen("/opt/sw/lib:/usr/sub"));
        assert_false(path.program);
        memset(m.data + path.offset, 0, path.room);
        strcpy((char *)m.data + path.offset, "$ORIGIN");
        assert_int_equal(pbc_elf_parse(m.data, m.len, &e), 1);
        assert_string_equal(e.runpath, "$ORIGIN");
        assert_string_equal(e.soname, "libme.so");
        assert_int_equal(e.nneeded, 1);
        assert_string_equal(e.needed[0], "libx.so.1");
        pbc_elf_free(&e);
    }
}

static void the_runpath_counts_and_without_one_the_rpath(void **state)
{
    struct wanted w = usual;
    struct pbc_elf_path path;
    struct image m;

    (void)state;
    w.rpath = OTHER;
    w.loader = true;
    make(&m, &w);
    assert_int_equal(look_at(&m, &path), PBC_ELF_PATH_FREE);
    assert_string_equal(path.text, "/opt/sw/lib:/usr/sub");
    assert_true(path.program);
    w.runpath = 0;
    make(&m, &w);
    assert_int_equal(look_at(&m, &path), PBC_ELF_PATH_FREE);
    assert_string_equal(path.text, "/other");
    /* both of one string change together */
    w.runpath = OTHER;
    assert_int_equal(state_of(&w), PBC_ELF_PATH_FREE);
    w.runpath = w.rpath = 0;
    assert_int_equal(state_of(&w), PBC_ELF_PATH_NONE);
}

/* Its first byte, one within, and the last. */
static void claim_shared(struct wanted *w, uint64_t *name)
{
    static const uint64_t touching[] = {PATH, PATH + 12, OTHER - 2};
    uint64_t was = *name;

    for (size_t i = 0; i < sizeof(touching) / sizeof(touching[0]); i++) {
        *name = touching[i];
        assert_int_equal(state_of(w), PBC_ELF_PATH_SHARED);
    }
    /* its end, which stays one, and the next string */
    for (uint64_t at = OTHER - 1; at <= OTHER; at++) {
        *name = at;
        assert_int_equal(state_of(w), PBC_ELF_PATH_FREE);
    }
    *name = was;
    assert_int_equal(state_of(w), PBC_ELF_PATH_FREE);
}

static void whatever_else_uses_its_bytes_is_noticed(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct wanted w = usual;

        w.wide = i & 1;
        w.big = i >> 1;
        claim_shared(&w, &w.needed);
        claim_shared(&w, &w.soname);
        claim_shared(&w, &w.audit);
        claim_shared(&w, &w.symbol);
        claim_shared(&w, &w.needs);
        claim_shared(&w, &w.needs_part);
        claim_shared(&w, &w.gives_part);
        /* another path, that the loader ignores, ends with this one's end */
        w.rpath = PATH + 4;
        assert_int_equal(state_of(&w), PBC_ELF_PATH_SHARED);
        /* this one is the end of another string */
        w.rpath = 0;
        w.runpath = PATH + 4;
        assert_int_equal(state_of(&w), PBC_ELF_PATH_SHARED);
    }
}

static void symbols_that_cannot_be_counted_may_use_it(void **state)
{
    struct wanted w = usual;
    struct pbc_elf_path path;
    struct image m;

    (void)state;
    w.sections = false;
    assert_int_equal(state_of(&w), PBC_ELF_PATH_SHARED);
    w.sections = true;
    make(&m, &w);
    section(&m, 1, SHT_PROGBITS, m.symbols, 72);
    assert_int_equal(look_at(&m, &path), PBC_ELF_PATH_SHARED);
    section(&m, 1, SHT_DYNSYM, m.symbols + 8, 72);
    assert_int_equal(look_at(&m, &path), PBC_ELF_PATH_SHARED);
    section(&m, 1, SHT_DYNSYM, m.symbols, UINT64_MAX - 8);
    assert_int_equal(look_at(&m, &path), PBC_ELF_PATH_SHARED);
    put(&m, 40, 8, m.len - 4);
    assert_int_equal(look_at(&m, &path), PBC_ELF_PATH_SHARED);
    put(&m, 40, 8, UINT64_MAX);
    assert_int_equal(look_at(&m, &path), PBC_ELF_PATH_SHARED);
}

/* An image whose strings begin at `at`, with a path behind an empty one, and nothing that touches
 * it.
 */
static enum pbc_elf_path_state state_at(size_t at)
{
    struct pbc_elf_path path;
    struct image m;

    make(&m, &usual);
    memcpy(m.data + at, "\0/x", 4);
    put(&m, m.dynamic + 8, 8, 0x3000);
    put(&m, m.dynamic + 16 + 8, 8, 0x3000);
    put(&m, m.dynamic + 2 * 16 + 8, 8, 1);
    put(&m, m.dynamic + 3 * 16 + 8, 8, LOADED + at);
    put(&m, m.symbols + 24, 4, 0x3000);
    put(&m, m.symbols + 48, 4, 0x3000);
    put(&m, m.needs + 4, 4, 0x3000);
    put(&m, m.needs + sizeof(Elf64_Verneed) + 8, 4, 0x3000);
    put(&m, m.gives + sizeof(Elf64_Verdef), 4, 0x3000);
    return look_at(&m, &path);
}

static void a_path_among_the_headers_is_left_alone(void **state)
{
    struct image m;

    (void)state;
    make(&m, &usual);
    assert_int_equal(state_at(m.sections), PBC_ELF_PATH_FREE);
    assert_int_equal(state_at(EI_PAD), PBC_ELF_PATH_SHARED);
    assert_int_equal(state_at(m.headers + 4), PBC_ELF_PATH_SHARED);       /* flags */
    assert_int_equal(state_at(m.dynamic + 12 * 16), PBC_ELF_PATH_SHARED); /* behind its end */
}

static void lists_of_versions_that_lead_astray_do_no_harm(void **state)
{
    struct pbc_elf_path path;
    struct image m;

    (void)state;
    make(&m, &usual);
    put(&m, m.needs + 8, 4, UINT32_MAX); /* the first part lies outside */
    assert_int_equal(look_at(&m, &path), PBC_ELF_PATH_SHARED);
    make(&m, &usual);
    put(&m, m.dynamic + 7 * 16 + 8, 8, UINT64_MAX); /* very many records, the second outside */
    assert_int_equal(look_at(&m, &path), PBC_ELF_PATH_FREE);
    put(&m, m.needs + 12, 4, UINT32_MAX);
    assert_int_equal(look_at(&m, &path), PBC_ELF_PATH_SHARED);
    make(&m, &usual);
    put(&m, m.gives + 6, 2, 0xffff); /* and parts, that go on behind the file */
    put(&m, m.gives + sizeof(Elf64_Verdef) + 4, 4, 1024);
    assert_int_equal(look_at(&m, &path), PBC_ELF_PATH_SHARED);
}

static void cut_files_are_none(void **state)
{
    struct pbc_elf_path path;
    struct image m;
    size_t len;

    (void)state;
    make(&m, &usual);
    len = m.len;
    /* The segment says more than the file has: nothing in it can be found. */
    for (m.len = 0; m.len < len; m.len++)
        assert_int_equal(look_at(&m, &path), PBC_ELF_PATH_NONE);
    m.len = len;
    assert_int_equal(look_at(&m, &path), PBC_ELF_PATH_FREE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_that_stands_alone_is_found_and_may_be_replaced),
        cmocka_unit_test(the_runpath_counts_and_without_one_the_rpath),
        cmocka_unit_test(whatever_else_uses_its_bytes_is_noticed),
        cmocka_unit_test(symbols_that_cannot_be_counted_may_use_it),
        cmocka_unit_test(a_path_among_the_headers_is_left_alone),
        cmocka_unit_test(lists_of_versions_that_lead_astray_do_no_harm),
        cmocka_unit_test(cut_files_are_none),
    };

    return cmocka_run_group_tests_name("elf_path", tests, NULL, NULL);
}
