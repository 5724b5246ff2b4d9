#include "fix_r.h"

#include "bundle.h"
#include "io.h"
#include "look.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SCRIPT_MAX (1 << 20) /* bytes; R 4's has 9000 */

static bool is_dir(int treefd, const char *path)
{
    struct stat st;

    return pbc_look_stat(treefd, path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Where the directory lies below the tree: in R's home, or where Debian has it. */
static void place_of(int treefd, const char *rhome, const char *what, char out[PBC_PATH_MAX])
{
    snprintf(out, PBC_PATH_MAX, "share/R/%s", what);
    if (what[0] == '\0' || !is_dir(treefd, out))
        snprintf(out, PBC_PATH_MAX, "%s%s%s", rhome, what[0] == '\0' ? "" : "/", what);
}

static void quote(FILE *out, const char *root, const char *path)
{
    putc('\'', out);
    for (const char *p = root; *p != '\0'; p++) {
        if (*p == '\'')
            fputs("'\\''", out);
        else
            putc(*p, out);
    }
    fprintf(out, "/%s'\n", path); /* of fixed words: no quotes */
}

/* The lines of `text`, which is changed. Returns how many were replaced. */
static unsigned write_lines(FILE *out, char *text, int treefd, const char *rhome, const char *root)
{
    static const char *const names[][2] = {{"R_HOME_DIR=", ""},
                                           {"R_SHARE_DIR=", "share"},
                                           {"R_INCLUDE_DIR=", "include"},
                                           {"R_DOC_DIR=", "doc"}};
    unsigned replaced = 0;
    char *line;

    while ((line = strsep(&text, "\n")) != NULL) {
        size_t i = 0;

        while (i < 4 && strncmp(line, names[i][0], strlen(names[i][0])) != 0)
            i++;
        if (i < 4) {
            char path[PBC_PATH_MAX];

            place_of(treefd, rhome, names[i][1], path);
            fputs(names[i][0], out);
            quote(out, root, path);
            replaced++;
        } else {
            fputs(line, out);
            if (text != NULL)
                putc('\n', out);
        }
    }
    return replaced;
}

static int failed(const char *path, struct pbc_error *err)
{
    return pbc_fail_errno(err,
                          errno == ENOSPC || errno == EDQUOT ? PBC_EXIT_NOSPACE : PBC_EXIT_FAILED,
                          "cannot put the tree's path into R's script %s", path);
}

static char *read_script(int fd, size_t size)
{
    char *text = malloc(size + 1);
    ssize_t n = text == NULL ? -1 : pbc_io_read(fd, text, size);

    if (n < 0) {
        free(text);
        return NULL;
    }
    text[n] = '\0';
    return text;
}

/* Write the new script beside the old one, and put it in its place if anything is new in it. */
static int replace(int treefd, const char *path, const struct stat *old, char *text,
                   const char *rhome, const char *root, struct pbc_error *err)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, old->st_mtim};
    char fresh[PBC_PATH_MAX + 16];
    unsigned replaced = 0;
    FILE *out = NULL;
    int rc = -1;
    int fd;

    snprintf(fresh, sizeof(fresh), "%s.pbcast", path);
    fd = openat(treefd, fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return failed(path, err);
    out = fdopen(fd, "w");
    if (out == NULL) {
        close(fd);
    } else {
        replaced = write_lines(out, text, treefd, rhome, root);
        rc = fflush(out) != 0 || fchmod(fd, old->st_mode & 07777) != 0 || futimens(fd, times) != 0
                 ? -1
                 : 0;
        if (fclose(out) != 0)
            rc = -1;
    }
    if (rc == 0 && replaced > 0)
        rc = renameat(treefd, fresh, treefd, path);
    if (rc != 0)
        failed(path, err);
    if (rc != 0 || replaced == 0)
        (void)unlinkat(treefd, fresh, 0);
    return rc;
}

static int fix(int treefd, const char *path, const char *rhome, const char *root,
               struct pbc_error *err)
{
    int fd = openat(treefd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;
    char *text;
    int rc = 0;

    if (fd < 0) /* none, or a link to the other one */
        return errno == ENOENT || errno == ELOOP || errno == ENOTDIR ? 0 : failed(path, err);
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= SCRIPT_MAX) {
        text = read_script(fd, (size_t)st.st_size);
        if (text == NULL)
            rc = failed(path, err);
        /* a program of that name is none of ours */
        else if (strncmp(text, "#!", 2) == 0)
            rc = replace(treefd, path, &st, text, rhome, root, err);
        free(text);
    }
    close(fd);
    return rc;
}

int pbc_fix_r(int treefd, const char *rhome, const char *root, struct pbc_error *err)
{
    char path[PBC_PATH_MAX];

    snprintf(path, sizeof(path), "%s/bin/R", rhome);
    return fix(treefd, path, rhome, root, err) != 0 ? -1 : fix(treefd, "bin/R", rhome, root, err);
}
