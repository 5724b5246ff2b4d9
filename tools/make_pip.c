/* pbcast bundle pip: what the user's pip installs, as a bundle of its own. */
#include "make.h"

#include "bundle.h"
#include "child.h"
#include "command.h"
#include "shebang.h"
#include "tempdir.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* pip gives what it installs the time of doing so; this is the first that zip files can hold. */
#define ZIP_EPOCH 315532800

static int run_pip(struct pbc_make *m, const char *python, const char *dir, struct pbc_error *err)
{
    struct pbc_words w = {0};
    char prefix[PBC_PATH_MAX + 16];
    struct pbc_child c;
    int rc = 0;
    char *const fixed[] = {(char *)(uintptr_t)python,
                           "-m",
                           "pip",
                           "install",
                           "--no-compile",
                           "--no-warn-script-location",
                           "--disable-pip-version-check",
                           "--no-input"};

    snprintf(prefix, sizeof(prefix), "--prefix=%s", dir);
    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]) && rc == 0; i++)
        rc = pbc_words_add(&w, fixed[i], err);
    if (rc == 0)
        rc = pbc_words_add(&w, prefix, err);
    if (rc == 0 && m->quiet)
        rc = pbc_words_add(&w, "--quiet", err);
    for (size_t i = 0; i < m->pip.count && rc == 0; i++)
        rc = pbc_words_add(&w, m->pip.word[i], err);
    for (size_t i = 0; i < m->ncommand && rc == 0; i++)
        rc = pbc_words_add(&w, m->command[i], err);
    /* Requirements are no options, whatever they look like. */
    if (rc == 0 && m->nrest > 0)
        rc = pbc_words_add(&w, "--", err);
    for (size_t i = 0; i < m->nrest && rc == 0; i++)
        rc = pbc_words_add(&w, m->rest[i], err);
    if (rc == 0)
        rc = pbc_child_start(&c, w.word, NULL, 0, err);
    if (rc == 0)
        rc = pbc_child_wait(&c, err);
    free(w.word);
    if (rc > 0)
        return pbc_fail(err, PBC_EXIT_REFUSED,
                        "pip failed (status %d), and has said why above; nothing was packed", rc);
    return rc;
}

/* Debian's pip installs below local/, where its Python looks for modules; programs go where every
 * tree has them. */
static int walk_local(struct pbc_make *m, const char *local, struct pbc_error *err)
{
    DIR *dir = opendir(local);
    struct dirent *entry;
    int rc = 0;

    if (dir == NULL)
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot read the directory %s", local);
    while (rc == 0 && (entry = readdir(dir)) != NULL) {
        char path[PBC_PATH_MAX + 300], name[300];

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(path, sizeof(path), "%s/%s", local, entry->d_name);
        snprintf(name, sizeof(name), "%s%s", strcmp(entry->d_name, "lib") == 0 ? "local/" : "",
                 entry->d_name);
        rc = pbc_walk(&m->walk, path, name, err);
    }
    closedir(dir);
    return rc;
}

static int pack(struct pbc_make *m, const char *python, const char *dir, struct pbc_error *err)
{
    char local[PBC_PATH_MAX + 8];
    struct stat st;
    int rc = 0;

    snprintf(local, sizeof(local), "%s/local", dir);
    if (stat(local, &st) == 0)
        rc = walk_local(m, local, err);
    else
        rc = pbc_walk(&m->walk, dir, "", err);
    if (rc != 0)
        return -1;
    if (m->plan.count == 0)
        return pbc_fail(err, PBC_EXIT_REFUSED,
                        "pip installed nothing: %s has all of it already; to pack it all the same "
                        "add: -- --ignore-installed",
                        python);
    for (size_t i = 0; i < m->plan.count; i++)
        m->plan.item[i].mtime = ZIP_EPOCH;
    m->interpreter = python;
    return pbc_make_write(m, m->output, python, false, err);
}

/* As scripts are to name it. Malloced. */
static char *ask_path(const char *python, struct pbc_error *err)
{
    char *const argv[] = {(char *)(uintptr_t)python, "-c",
                          "import sys; sys.stdout.write(sys.executable)", NULL};

    char *path = pbc_child_output(argv, NULL, PBC_PATH_MAX, "where it is", NULL, err);

    if (path == NULL || path[0] == '/')
        return path;
    free(path);
    pbc_fail(err, PBC_EXIT_REFUSED,
             "%s does not tell where it is: name a Python 3 by its path (--python)", argv[0]);
    return NULL;
}

int pbc_make_pip(struct pbc_make *m, struct pbc_error *err)
{
    char *python = ask_path(m->python == NULL ? "python3" : m->python, err);
    struct pbc_tempdir dir = {""};
    int rc;

    if (python == NULL)
        return -1;
    if (m->nrest == 0 && m->pip.count == 0) {
        free(python);
        return pbc_fail(err, PBC_EXIT_USAGE, "give a requirement, or -r FILE");
    }
    setenv("PIP_USER", "0", 1); /* whatever pip's configuration says */
    rc = pbc_tempdir_make(&dir, err);
    if (rc == 0)
        rc = run_pip(m, python, dir.path, err);
    if (rc == 0)
        rc = pack(m, python, dir.path, err);
    pbc_tempdir_remove(&dir);
    free(python);
    return rc;
}
