#include "catalog_file.h"

#include "catalog.h"
#include "io.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *pbc_catalog_text(const char *path, size_t *ret_len, struct pbc_error *err)
{
    char *text = malloc(PBC_CATALOG_MAX + 2);
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    ssize_t n = -1;

    if (text == NULL) {
        pbc_fail(err, PBC_EXIT_FAILED, "no memory for the catalogue");
    } else if (fd < 0) {
        pbc_fail_errno(err, PBC_EXIT_FAILED,
                       "cannot open the catalogue %s (-f FILE or PBCAST_CATALOG names another)",
                       path);
    } else {
        n = pbc_io_read(fd, text, PBC_CATALOG_MAX + 1);
        if (n < 0)
            pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot read %s", path);
        else if (n > PBC_CATALOG_MAX)
            n = pbc_fail(err, PBC_EXIT_FAILED, "%s is longer than %u bytes", path, PBC_CATALOG_MAX);
        else if (memchr(text, '\0', (size_t)n) != NULL)
            n = pbc_fail(err, PBC_EXIT_FAILED, "%s has a NUL byte, which no text has", path);
        if (n < 0 && errno == ENOENT) /* which was of something before */
            errno = EIO;
    }
    if (fd >= 0) {
        int saved = errno;

        close(fd);
        errno = saved;
    }
    if (n < 0) {
        free(text);
        return NULL;
    }
    text[n] = '\0';
    *ret_len = (size_t)n;
    return text;
}

/* What another has added since must not be lost. */
static int check_same(const char *path, const char *old, struct pbc_error *err)
{
    size_t len;
    char *now = pbc_catalog_text(path, &len, err);
    int same = now == NULL ? old == NULL && errno == ENOENT : old != NULL && strcmp(now, old) == 0;

    free(now);
    return same ? 0
                : pbc_fail(err, PBC_EXIT_FAILED, "%s has been changed meanwhile: try again", path);
}

static int write_new(int fd, const char *text, mode_t mode, const char *temporary, const char *path,
                     struct pbc_error *err)
{
    if (pbc_io_write(fd, text, strlen(text)) == 0 && fchmod(fd, mode) == 0 && fsync(fd) == 0 &&
        rename(temporary, path) == 0)
        return 0;
    return pbc_fail_errno(err, errno == ENOSPC ? PBC_EXIT_NOSPACE : PBC_EXIT_FAILED,
                          "cannot write %s", path);
}

int pbc_catalog_replace(const char *path, const char *old, const char *text, struct pbc_error *err)
{
    struct stat st;
    mode_t mode = stat(path, &st) == 0 ? st.st_mode & 0777 : 0644;
    char *real = realpath(path, NULL); /* a link stays one */
    char *temporary = NULL;
    int fd, rc = -1;

    if (asprintf(&temporary, "%s.new", real != NULL ? real : path) < 0) {
        free(real);
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory for the catalogue");
    }
    fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST) {
        pbc_fail(err, PBC_EXIT_FAILED,
                 "%s exists: another 'pbcast catalog' is at work, or was killed; remove it then",
                 temporary);
    } else if (fd < 0) {
        pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot make %s", temporary);
    } else {
        rc = check_same(path, old, err);
        if (rc == 0)
            rc = write_new(fd, text, mode, temporary, real != NULL ? real : path, err);
        if (rc < 0)
            unlink(temporary);
        close(fd);
    }
    free(temporary);
    free(real);
    return rc;
}

char *pbc_catalog_without_default(const char *text, const char *name)
{
    char *out = malloc(strlen(text) + 1);
    char *end = out;
    size_t len = strlen(name);
    int here = 0;

    if (out == NULL)
        return NULL;
    while (*text != '\0') {
        size_t n = strcspn(text, "\n");

        n += text[n] == '\n';
        if (strncmp(text, "bundle=", 7) == 0)
            here = strncmp(text + 7, name, len) == 0 && text[7 + len] == '/';
        if (!here || strncmp(text, "default=yes\n", n) != 0)
            end = mempcpy(end, text, n);
        text += n;
    }
    *end = '\0';
    return out;
}

char *pbc_catalog_without_entry(const char *text, const char *entry)
{
    char *out = malloc(strlen(text) + 1);
    char *end = out;
    size_t len = strlen(entry);
    int here = 0;

    if (out == NULL)
        return NULL;
    while (*text != '\0') {
        size_t n = strcspn(text, "\n");

        if (strncmp(text, "bundle=", 7) == 0)
            here = n == 7 + len && memcmp(text + 7, entry, len) == 0;
        n += text[n] == '\n';
        if (!here || text[0] == '#')
            end = mempcpy(end, text, n);
        text += n;
    }
    *end = '\0';
    return out;
}

int pbc_file_digest(const char *path, char hex[PBC_DIGEST_LEN + 1], struct pbc_error *err)
{
    static unsigned char block[1 << 18];
    unsigned char digest[PBC_DIGEST_LEN / 2];
    crypto_generichash_state st;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    ssize_t n;

    if (fd < 0)
        return pbc_fail_errno(err, PBC_EXIT_REFUSED, "cannot open %s", path);
    crypto_generichash_init(&st, NULL, 0, sizeof(digest));
    while ((n = pbc_io_read(fd, block, sizeof(block))) > 0)
        crypto_generichash_update(&st, block, (size_t)n);
    if (n < 0)
        pbc_fail_errno(err, PBC_EXIT_REFUSED, "cannot read %s", path);
    close(fd);
    crypto_generichash_final(&st, digest, sizeof(digest));
    sodium_bin2hex(hex, PBC_DIGEST_LEN + 1, digest, sizeof(digest));
    return n < 0 ? -1 : 0;
}
