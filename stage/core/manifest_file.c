/* Reading a manifest from a directory that its user may write. */
#include "manifest.h"

#include "io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *read_text(int fd, size_t size, size_t *ret_len)
{
    char *text = malloc(size + 1);
    ssize_t n;

    if (text == NULL)
        return NULL;
    n = pbc_io_read(fd, text, size + 1); /* one byte more than it had, to see that it grows */
    if (n < 0) {
        free(text);
        return NULL;
    }
    *ret_len = (size_t)n;
    return text;
}

static int read_file(int fd, const char *name, struct pbc_manifest *out, struct pbc_error *err)
{
    struct stat st;
    char *text;
    size_t len;
    int rc;

    if (fstat(fd, &st) < 0)
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot look at the manifest %s", name);
    if (!S_ISREG(st.st_mode))
        return pbc_fail(err, PBC_EXIT_FAILED, "the manifest %s is not a regular file", name);
    if (st.st_size > (off_t)PBC_MANIFEST_MAX)
        return pbc_fail(err, PBC_EXIT_FAILED, "the manifest %s has more than %u bytes", name,
                        PBC_MANIFEST_MAX);
    text = read_text(fd, (size_t)st.st_size, &len);
    if (text == NULL)
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot read the manifest %s", name);
    if (len != (size_t)st.st_size)
        rc = pbc_fail(err, PBC_EXIT_FAILED, "the manifest %s changes while it is read", name);
    else
        rc = pbc_manifest_parse(text, len, out, err);
    free(text);
    return rc;
}

int pbc_manifest_read(int jobfd, const char *set, struct pbc_manifest *out, struct pbc_error *err)
{
    char name[PBC_SET_ID_LEN + sizeof(".manifest")];
    int fd, rc;

    memset(out, 0, sizeof(*out));
    if (!pbc_set_id_valid(set))
        return pbc_fail(err, PBC_EXIT_FAILED, "\"%.64s\" is not the name of a bundle set", set);
    snprintf(name, sizeof(name), "%s.manifest", set);
    fd = openat(jobfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 && errno == ENOENT)
        return 1;
    if (fd < 0 && errno == ELOOP)
        return pbc_fail(err, PBC_EXIT_FAILED, "the manifest %s is a symbolic link", name);
    if (fd < 0)
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot open the manifest %s", name);
    rc = read_file(fd, name, out, err);
    close(fd);
    if (rc == 0 && strcmp(out->set, set) != 0) {
        rc =
            pbc_fail(err, PBC_EXIT_FAILED, "the manifest %s is of another set: %s", name, out->set);
        pbc_manifest_free(out);
    }
    return rc;
}
