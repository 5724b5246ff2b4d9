/* pbcast bundle system-libs: the shared libraries that a command loads.
 *
 * They are observed by LD_DEBUG=libs of glibc's loader (ld.so(8)), which names each library when it
 * is initialised, those of dlopen and of all child processes as well. No tracer is needed, nor the
 * right to trace; programs that are linked statically or run set-user-id say nothing.
 */
#include "make.h"

#include "bundle.h"
#include "child.h"
#include "command.h"
#include "elf_needs.h"
#include "io.h"
#include "ld_debug.h"
#include "tempdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

static int run(struct pbc_make *m, const char *dir, struct pbc_error *err)
{
    char output[PBC_PATH_MAX + 32];
    struct pbc_words env = {0};
    struct pbc_child c;
    int rc = 0;

    snprintf(output, sizeof(output), "LD_DEBUG_OUTPUT=%s/ld", dir);
    for (char **p = environ; *p != NULL && rc == 0; p++) {
        if (strncmp(*p, "LD_DEBUG", 8) != 0)
            rc = pbc_words_add(&env, *p, err);
    }
    if (rc == 0)
        rc = pbc_words_add(&env, "LD_DEBUG=libs", err);
    if (rc == 0)
        rc = pbc_words_add(&env, output, err);
    if (rc == 0)
        rc = pbc_child_start(&c, m->command, env.word, 0, err);
    if (rc == 0)
        rc = pbc_child_wait(&c, err);
    free(env.word);
    if (rc > 0)
        return pbc_fail(err, PBC_EXIT_REFUSED,
                        "%s failed (status %d): what it loads is known when it runs as in the job",
                        m->command[0], rc);
    return rc;
}

/* Of the system, and no module of an interpreter. */
static int is_system(const char *path, const char *name)
{
    static const char *const dirs[] = {"/lib/",           "/lib64/",          "/lib32/",
                                       "/usr/lib/",       "/usr/lib64/",      "/usr/lib32/",
                                       "/usr/local/lib/", "/usr/local/lib64/"};
    int system = 0;

    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
        system |= strncmp(path, dirs[i], strlen(dirs[i])) == 0;
    return system && strncmp(name, "lib", 3) == 0 && strstr(name, ".so") != NULL &&
           strstr(path, "/python") == NULL && strstr(path, "/perl") == NULL;
}

static int take(void *arg, const char *path, struct pbc_error *err)
{
    struct pbc_make *m = arg;
    const char *slash = strrchr(path, '/');
    char name[PBC_PATH_MAX];

    if (slash == NULL || (pbc_elf_is_libc(slash + 1) && !m->with_libc) ||
        (!is_system(path, slash + 1) && !(m->with_libc && pbc_elf_is_libc(slash + 1))))
        return 0;
    if ((size_t)snprintf(name, sizeof(name), "lib/%s", slash + 1) >= sizeof(name) ||
        pbc_walk_excluded(&m->walk, name))
        return 0;
    for (size_t i = 0; i < m->plan.count; i++) {
        if (strcmp(m->plan.item[i].name, name) == 0)
            return 0;
    }
    return pbc_walk(&m->walk, path, name, err);
}

/* The loader does not say that it could not write: what it loaded would be missing in silence. */
static int check_room(const char *dir, struct pbc_error *err)
{
    static const char block[64 << 10] = {1};
    char path[PBC_PATH_MAX + 8];
    int fd, rc;

    snprintf(path, sizeof(path), "%s/room", dir);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    rc = fd < 0 || pbc_io_write(fd, block, sizeof(block)) != 0 ? -1 : 0;
    if (rc != 0)
        pbc_fail_errno(err, errno == ENOSPC || errno == EDQUOT ? PBC_EXIT_NOSPACE : PBC_EXIT_FAILED,
                       "what the command loads could not be noted in %s: set TMPDIR to a directory "
                       "with room",
                       dir);
    if (fd >= 0)
        close(fd);
    return rc;
}

static int read_log(struct pbc_make *m, const char *path, struct pbc_error *err)
{
    FILE *in = fopen(path, "re");
    int rc;

    if (in == NULL)
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot read %s", path);
    rc = pbc_ld_debug_read(in, take, m, err);
    fclose(in);
    return rc;
}

/* One file for each process. */
static int read_logs(struct pbc_make *m, const char *dir, struct pbc_error *err)
{
    DIR *d = opendir(dir);
    struct dirent *entry;
    int rc = 0;

    if (d == NULL)
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot read the directory %s", dir);
    while (rc == 0 && (entry = readdir(d)) != NULL) {
        char path[PBC_PATH_MAX + 300];

        snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
        if (strncmp(entry->d_name, "ld.", 3) == 0)
            rc = read_log(m, path, err);
    }
    closedir(d);
    return rc;
}

int pbc_make_libs(struct pbc_make *m, struct pbc_error *err)
{
    struct pbc_tempdir dir = {""};
    int rc;

    if (m->ncommand == 0 || m->nrest > 0)
        return pbc_fail(err, PBC_EXIT_USAGE, "give a command behind '--'");
    rc = pbc_tempdir_make(&dir, err);
    if (rc == 0)
        rc = run(m, dir.path, err);
    if (rc == 0)
        rc = check_room(dir.path, err);
    if (rc == 0)
        rc = read_logs(m, dir.path, err);
    pbc_tempdir_remove(&dir);
    if (rc == 0 && m->plan.count == 0)
        rc = pbc_fail(err, PBC_EXIT_REFUSED,
                      "%s loads no library of the system but the C library's", m->command[0]);
    return rc == 0 ? pbc_make_write(m, m->output, NULL, false, err) : -1;
}
