#include "tempdir.h"

#include "store.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int pbc_tempdir_make(struct pbc_tempdir *t, struct pbc_error *err)
{
    const char *tmp = getenv("TMPDIR");

    if ((size_t)snprintf(t->path, sizeof(t->path), "%s/pbcast-XXXXXX",
                         tmp == NULL || *tmp != '/' ? "/tmp" : tmp) >= sizeof(t->path)) {
        t->path[0] = '\0';
        return pbc_fail(err, PBC_EXIT_FAILED, "TMPDIR is too long");
    }
    if (mkdtemp(t->path) != NULL)
        return 0;
    pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot make a temporary directory (TMPDIR): %s", t->path);
    t->path[0] = '\0';
    return -1;
}

void pbc_tempdir_remove(struct pbc_tempdir *t)
{
    char *slash = strrchr(t->path, '/');
    int fd;

    if (slash == NULL)
        return;
    *slash = '\0';
    fd = open(t->path[0] == '\0' ? "/" : t->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)pbc_remove_tree(fd, slash + 1, NULL);
        close(fd);
    }
    t->path[0] = '\0';
}
