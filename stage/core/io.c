#include "io.h"

#include <errno.h>
#include <unistd.h>

int pbc_io_write(int fd, const void *data, size_t len)
{
    const char *p = data;

    while (len > 0) {
        ssize_t n = write(fd, p, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

/* From where the file is, or with `at` from there on. */
static ssize_t read_all(int fd, char *buf, size_t len, const off_t *at)
{
    size_t have = 0;

    while (have < len) {
        ssize_t n = at == NULL ? read(fd, buf + have, len - have)
                               : pread(fd, buf + have, len - have, *at + (off_t)have);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        have += (size_t)n;
    }
    return (ssize_t)have;
}

ssize_t pbc_io_read(int fd, void *buf, size_t len)
{
    return read_all(fd, buf, len, NULL);
}

ssize_t pbc_io_pread(int fd, void *buf, size_t len, off_t at)
{
    return read_all(fd, buf, len, &at);
}
