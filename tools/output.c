#include "output.h"

#include "stop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct pbc_output {
    char *path;
    char *temporary; /* NULL once it is committed */
    int fd;
    uint64_t at;
};

static mode_t file_mode(void)
{
    mode_t mask = umask(0);

    umask(mask);
    return 0666 & ~mask;
}

static int open_temporary(struct pbc_output *o, struct pbc_error *err)
{
    struct stat st;

    if (stat(o->path, &st) == 0 && !S_ISREG(st.st_mode))
        return pbc_fail(err, PBC_EXIT_REFUSED, "%s is there and no file: choose another name",
                        o->path);
    if (asprintf(&o->temporary, "%s.XXXXXX", o->path) < 0) {
        o->temporary = NULL;
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory");
    }
    o->fd = mkostemp(o->temporary, O_CLOEXEC);
    if (o->fd < 0) {
        pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot make %s", o->temporary);
        free(o->temporary);
        o->temporary = NULL;
        return -1;
    }
    if (fchmod(o->fd, file_mode()) != 0)
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot make %s", o->temporary);
    return 0;
}

struct pbc_output *pbc_output_open(const char *path, struct pbc_error *err)
{
    struct pbc_output *o = calloc(1, sizeof(*o));

    if (o != NULL) {
        o->fd = -1;
        o->path = strdup(path);
    }
    if (o == NULL || o->path == NULL)
        pbc_fail(err, PBC_EXIT_FAILED, "no memory");
    else if (open_temporary(o, err) == 0)
        return o;
    pbc_output_free(o);
    return NULL;
}

static int write_at(struct pbc_output *o, uint64_t at, const uint8_t *data, size_t len,
                    struct pbc_error *err)
{
    while (len > 0) {
        ssize_t n;

        if (pbc_stopped(err) != 0)
            return -1;
        n = pwrite(o->fd, data, len, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return pbc_fail_errno(
                err, errno == ENOSPC || errno == EDQUOT ? PBC_EXIT_NOSPACE : PBC_EXIT_FAILED,
                "cannot write %s", o->path);
        data += n;
        len -= (size_t)n;
        at += (uint64_t)n;
    }
    return 0;
}

static int sink_write(void *arg, const void *data, size_t len, struct pbc_error *err)
{
    struct pbc_output *o = arg;

    if (write_at(o, o->at, data, len, err) != 0)
        return -1;
    o->at += len;
    return 0;
}

static int sink_patch(void *arg, uint64_t at, const void *data, size_t len, struct pbc_error *err)
{
    return write_at(arg, at, data, len, err);
}

struct pbc_sink pbc_output_sink(struct pbc_output *o)
{
    return (struct pbc_sink){.write = sink_write, .patch = sink_patch, .arg = o};
}

int pbc_output_commit(struct pbc_output *o, struct pbc_error *err)
{
    /* What a file system finds out late (a quota, a full disk) comes out here. */
    int rc = fsync(o->fd) != 0 && errno != EINVAL ? -1 : 0;

    if (rc == 0) {
        rc = close(o->fd);
        o->fd = -1;
    }
    if (rc != 0)
        return pbc_fail_errno(
            err, errno == ENOSPC || errno == EDQUOT ? PBC_EXIT_NOSPACE : PBC_EXIT_FAILED,
            "cannot write %s", o->path);
    if (pbc_stopped(err) != 0)
        return -1;
    if (rename(o->temporary, o->path) != 0)
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot put the bundle at %s", o->path);
    free(o->temporary);
    o->temporary = NULL;
    return 0;
}

void pbc_output_free(struct pbc_output *o)
{
    if (o == NULL)
        return;
    if (o->fd >= 0)
        close(o->fd);
    if (o->temporary != NULL)
        unlink(o->temporary);
    free(o->temporary);
    free(o->path);
    free(o);
}
