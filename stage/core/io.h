/* io.h - read(2) and write(2) until done, or until there is no more. They go on after EINTR; errno
 * says why one failed. For regular files; a descriptor that would block is an error. */
#ifndef PBC_IO_H
#define PBC_IO_H

#include <stddef.h>
#include <sys/types.h>

/* All of it: 0, or -1. */
int pbc_io_write(int fd, const void *data, size_t len);

/* Bytes read, less than `len` only at the end of the file, or -1. */
ssize_t pbc_io_read(int fd, void *buf, size_t len);

/* The same from offset `at` on. */
ssize_t pbc_io_pread(int fd, void *buf, size_t len, off_t at);

#endif
