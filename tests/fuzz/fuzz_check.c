/* Bytes as a bundle that pbcast check reads: it says something of it, and leaves nothing behind. */
#include "fuzz.h"

#include "findings.h"

#include <fcntl.h>
#include <locale.h>
#include <sodium.h>
#include <string.h>
#include <unistd.h>

#define INPUT_MAX (64u << 10)

static char path[64];

static void set_up(void)
{
    CLAIM(sodium_init() >= 0);
    setlocale(LC_CTYPE, "C.UTF-8");
    setenv("TMPDIR", "/dev/shm", 1);
    snprintf(path, sizeof(path), "/dev/shm/pbcast-fuzz-check-%d", (int)getpid());
}

static void check(void)
{
    struct pbc_findings f = {0};
    struct pbc_error err = {0};
    struct pbc_scan s;

    if (pbc_scan(&s, path, NULL, &err) != 0) {
        CLAIM(err.text[0] != '\0');
    } else {
        CLAIM(s.count <= INPUT_MAX * 16);
        CLAIM(pbc_check(&s, 1, &f, &err) == 0 || err.text[0] != '\0');
        for (size_t k = 0; k < PBC_FINDINGS_COUNT; k++)
            CLAIM(f.of[k].kept <= PBC_PLACES_KEPT && f.of[k].kept <= f.of[k].count);
    }
    pbc_findings_free(&f);
    pbc_scan_free(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd;

    if (path[0] == '\0')
        set_up();
    if (size > INPUT_MAX)
        return 0;
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CLAIM(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    close(fd);
    check();
    unlink(path);
    return 0;
}
