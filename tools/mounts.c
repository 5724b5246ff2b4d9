#include "mounts.h"

#include "path.h"
#include "text.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool is_one_of(const char *type, const char *const list[])
{
    for (size_t i = 0; list[i] != NULL; i++) {
        if (strcmp(type, list[i]) == 0)
            return true;
    }
    return false;
}

static enum pbc_mount_kind kind_of(const char *type)
{
    static const char *const memory[] = {"tmpfs", "ramfs", NULL};
    static const char *const kernel[] = {
        "proc",    "sysfs",    "devtmpfs",  "devpts",     "cgroup",    "cgroup2",     "mqueue",
        "debugfs", "tracefs",  "hugetlbfs", "securityfs", "pstore",    "binfmt_misc", "configfs",
        "bpf",     "efivarfs", "fusectl",   "nsfs",       "selinuxfs", "rpc_pipefs",  NULL};
    static const char *const shared[] = {
        "nfs",   "nfs4",   "lustre", "gpfs",  "beegfs",    "ceph",     "cifs",
        "smb3",  "afs",    "9p",     "panfs", "pvfs2",     "wekafs",   "gfs2",
        "ocfs2", "cvmfs2", "acfs",   "coda",  "glusterfs", "orangefs", NULL};
    /* of FUSE those that unpack what lies on the node */
    static const char *const local[] = {"fuse.squashfuse",     "fuse.squashfuse_ll", "fuse.portal",
                                        "fuse.fuse-overlayfs", "fuse.lxcfs",         NULL};

    if (is_one_of(type, memory))
        return PBC_MOUNT_MEMORY;
    if (is_one_of(type, kernel))
        return PBC_MOUNT_KERNEL;
    if (is_one_of(type, shared))
        return PBC_MOUNT_SHARED;
    /* without a subtype: CVMFS and others that do not name one */
    return strcmp(type, "fuse") == 0 || (strncmp(type, "fuse.", 5) == 0 && !is_one_of(type, local))
               ? PBC_MOUNT_SHARED
               : PBC_MOUNT_LOCAL;
}

static int add(struct pbc_mounts *m, const char *dir, const char *type, enum pbc_mount_kind kind,
               struct pbc_error *err)
{
    struct pbc_mount *more = reallocarray(m->item, m->count + 1, sizeof(*more));
    struct pbc_mount one = {.dir = strdup(dir), .type = strdup(type), .kind = kind};

    if (more != NULL)
        m->item = more;
    if (more == NULL || one.dir == NULL || one.type == NULL) {
        free(one.dir);
        free(one.type);
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory for the list of mounts");
    }
    m->item[m->count++] = one;
    return 0;
}

/* ID PARENT MAJOR:MINOR ROOT DIR OPTIONS [TAG...] - TYPE SOURCE ... */
static int read_line(struct pbc_mounts *m, char *line, struct pbc_error *err)
{
    char *dir = NULL, *word;
    const char *type;

    for (int i = 0; i < 5; i++)
        dir = strsep(&line, " ");
    while ((word = strsep(&line, " ")) != NULL && strcmp(word, "-") != 0)
        ;
    type = strsep(&line, " ");
    if (dir == NULL || dir[0] != '/' || type == NULL || pbc_text_unescape(dir) < 0)
        return 0;
    return add(m, dir, type, kind_of(type), err);
}

int pbc_mounts_read(FILE *in, struct pbc_mounts *ret, struct pbc_error *err)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t len;
    int rc = 0;

    memset(ret, 0, sizeof(*ret));
    while (rc == 0 && (len = getline(&line, &size, in)) > 0) {
        if (line[len - 1] == '\n')
            line[len - 1] = '\0';
        rc = read_line(ret, line, err);
    }
    free(line);
    if (rc < 0)
        pbc_mounts_free(ret);
    return rc;
}

int pbc_mounts_share(struct pbc_mounts *m, const char *dir, struct pbc_error *err)
{
    const struct pbc_mount *on = pbc_mounts_find(m, dir);

    return add(m, dir, on == NULL ? "?" : on->type, PBC_MOUNT_SHARED, err);
}

const struct pbc_mount *pbc_mounts_find(const struct pbc_mounts *m, const char *path)
{
    const struct pbc_mount *best = NULL;

    /* of those at one place the last covers the others */
    for (size_t i = 0; i < m->count; i++) {
        const struct pbc_mount *one = &m->item[i];

        if (pbc_path_below(path, one->dir) &&
            (best == NULL || strlen(one->dir) >= strlen(best->dir)))
            best = one;
    }
    return best;
}

void pbc_mounts_free(struct pbc_mounts *m)
{
    for (size_t i = 0; i < m->count; i++) {
        free(m->item[i].dir);
        free(m->item[i].type);
    }
    free(m->item);
    memset(m, 0, sizeof(*m));
}
