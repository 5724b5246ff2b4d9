#include "elf_needs.h"

#include "elf_file.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

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

static int take_string(const char *string, uint64_t tag, struct pbc_elf *e)
{
    char **to = tag == DT_SONAME ? &e->soname : tag == DT_RPATH ? &e->rpath : &e->runpath;
    char *text = string == NULL ? NULL : strdup(string);

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

int pbc_elf_parse(const uint8_t *file, size_t len, struct pbc_elf *ret)
{
    struct pbc_elf_dynamic d;
    struct pbc_elf_file f;
    int rc = pbc_elf_file(file, len, &f);

    memset(ret, 0, sizeof(*ret));
    if (rc != 1)
        return rc;
    ret->bits = f.wide ? 64 : 32;
    ret->machine = f.machine;
    rc = pbc_elf_dynamic(&f, &d);
    for (size_t i = 0; rc == 1 && i < d.count; i++) {
        uint64_t tag, value;

        pbc_elf_dynamic_at(&f, &d, i, &tag, &value);
        if (is_string(tag) && take_string(pbc_elf_string(&f, &d, value), tag, ret) != 0)
            rc = -1;
    }
    if (rc >= 0)
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
