/* What a staged tree holds: its interpreters, and the profile that fits. */
#include "detect.h"
#include "look.h"
#include "relocate.h"
#include "site.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_file(int treefd, const char *path)
{
    struct stat st;

    return pbc_look_stat(treefd, path, &st) == 0 && S_ISREG(st.st_mode);
}

static bool is_dir(int treefd, const char *path)
{
    struct stat st;

    return pbc_look_stat(treefd, path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* ---- Python ---- */

/* The N of "python3.N"; -1 for another name. */
static int python_minor(const char *name)
{
    static const char prefix[] = "python3.";
    unsigned long minor;

    if (strncmp(name, prefix, sizeof(prefix) - 1) != 0)
        return -1;
    name += sizeof(prefix) - 1;
    if ((name[0] == '0' && name[1] != '\0') || pbc_parse_number(name, 0, 999, &minor) < 0)
        return -1;
    return (int)minor;
}

/* What `top`/bin/python3 is: a file below the tree or nothing. `top` is "" or ends with a '/'. */
static bool stat_python(int treefd, const char *top, int minor, struct stat *st)
{
    char path[NAME_MAX + 64];

    if (minor < 0)
        snprintf(path, sizeof(path), "%sbin/python3", top);
    else
        snprintf(path, sizeof(path), "%sbin/python3.%d", top, minor);
    return pbc_look_stat(treefd, path, st) == 0 && S_ISREG(st->st_mode);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* How well bin/ fits to python3.N: 3 python3 is it, 2 python3.N is there, 1 some python3 is. */
static int python_rank(int treefd, const char *top, int minor)
{
    struct stat plain, versioned;
    bool has_plain = stat_python(treefd, top, -1, &plain);
    bool has_versioned = stat_python(treefd, top, minor, &versioned);

    if (has_plain && has_versioned && same_file(&plain, &versioned))
        return 3;
    return has_versioned ? 2 : has_plain ? 1 : 0;
}

/* The N of the Python at `top`, with its library in `top`/`lib`; -1 if there is none. */
static int find_python_in(int treefd, const char *top, const char *lib)
{
    char path[NAME_MAX + 128];
    int best = -1, best_rank = 0;
    struct dirent *entry;
    DIR *dir;

    snprintf(path, sizeof(path), "%s%s", top, lib);
    dir = pbc_look_opendir(treefd, path);
    if (dir == NULL)
        return -1;
    while ((entry = readdir(dir)) != NULL) {
        int minor = python_minor(entry->d_name);
        int rank;

        if (minor < 0)
            continue;
        snprintf(path, sizeof(path), "%s%s/python3.%d/os.py", top, lib, minor);
        if (!is_file(treefd, path))
            continue;
        rank = python_rank(treefd, top, minor);
        if (rank > best_rank || (rank > 0 && rank == best_rank && minor > best)) {
            best = minor;
            best_rank = rank;
        }
    }
    closedir(dir);
    return best;
}

static int find_python_at(int treefd, const char *top)
{
    int minor = find_python_in(treefd, top, "lib");

    return minor >= 0 ? minor : find_python_in(treefd, top, "lib64");
}

/* The directory at the top of the tree that has the Python of a virtual environment: that which
 * bin/python3 leads to, else the first by name. -1 without memory. */
static int find_base(int treefd, struct pbc_manifest *m)
{
    struct stat venv, own;
    bool has_venv = stat_python(treefd, "", -1, &venv);
    DIR *dir = pbc_look_opendir(treefd, ".");
    char best[NAME_MAX + 1] = "";
    bool best_fits = false;
    int best_minor = -1;
    struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char top[NAME_MAX + 2];
        bool fits;
        int minor;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            strchr(entry->d_name, ':') != NULL)
            continue;
        snprintf(top, sizeof(top), "%s/", entry->d_name);
        minor = find_python_at(treefd, top);
        if (minor < 0)
            continue;
        fits = has_venv &&
               (stat_python(treefd, top, minor, &own) || stat_python(treefd, top, -1, &own)) &&
               same_file(&own, &venv);
        if (best_minor < 0 || fits > best_fits ||
            (fits == best_fits && strcmp(entry->d_name, best) < 0)) {
            snprintf(best, sizeof(best), "%s", entry->d_name);
            best_fits = fits;
            best_minor = minor;
        }
    }
    if (dir != NULL)
        closedir(dir);
    if (best_minor < 0)
        return 0;
    snprintf(m->python, sizeof(m->python), "3.%d", best_minor);
    m->base = strdup(best);
    return m->base == NULL ? -1 : 0;
}

static int find_python(int treefd, bool venv, struct pbc_manifest *m)
{
    int minor = find_python_at(treefd, "");

    if (minor < 0)
        return venv ? find_base(treefd, m) : 0;
    snprintf(m->python, sizeof(m->python), "3.%d", minor);
    return 0;
}

/* ---- others ---- */

static int find_r(int treefd, struct pbc_manifest *m)
{
    static const char *const homes[] = {"lib/R", "lib64/R"};

    for (size_t i = 0; i < 2 && m->rhome == NULL; i++) {
        char bin[32], library[32];

        snprintf(bin, sizeof(bin), "%s/bin/R", homes[i]);
        snprintf(library, sizeof(library), "%s/library/base", homes[i]);
        if (!is_file(treefd, bin) || !is_dir(treefd, library))
            continue;
        m->rhome = strdup(homes[i]);
        if (m->rhome == NULL)
            return -1;
    }
    return 0;
}

/* Its programs must be there too: the system's mpirun would look for its daemon in the tree. */
static bool has_openmpi(int treefd)
{
    return is_dir(treefd, "share/openmpi") &&
           (is_file(treefd, "bin/orted") || is_file(treefd, "bin/prted"));
}

static enum pbc_profile guess(int treefd, const struct pbc_manifest *m, bool venv)
{
    if (is_dir(treefd, "conda-meta"))
        return PBC_PROFILE_CONDA;
    if (venv && m->python[0] != '\0')
        return PBC_PROFILE_VENV;
    if (m->python[0] != '\0')
        return PBC_PROFILE_PYTHON;
    if (m->rhome != NULL && (is_file(treefd, "bin/R") || is_file(treefd, "bin/Rscript")))
        return PBC_PROFILE_R;
    if (is_file(treefd, "bin/julia"))
        return PBC_PROFILE_JULIA;
    if (m->perl.count > 0 && is_file(treefd, "bin/perl"))
        return PBC_PROFILE_PERL;
    return is_file(treefd, "bin/node") ? PBC_PROFILE_NODE : PBC_PROFILE_GENERIC;
}

static int no_memory(struct pbc_error *err)
{
    return pbc_fail(err, PBC_EXIT_FAILED, "no memory to look at the tree");
}

int pbc_profile_detect(int treefd, struct pbc_manifest *m, struct pbc_error *err)
{
    bool venv = is_file(treefd, "pyvenv.cfg");

    pbc_manifest_forget_found(m);
    if (find_python(treefd, venv, m) < 0 || find_r(treefd, m) < 0)
        return no_memory(err);
    m->openmpi = has_openmpi(treefd);
    if (pbc_find_libdirs(treefd, m->base, &m->lib, err) < 0 ||
        pbc_find_perldirs(treefd, &m->perl, err) < 0 ||
        pbc_find_nodedirs(treefd, &m->node, err) < 0 || pbc_find_depots(treefd, &m->depot, err) < 0)
        return -1;
    if (!m->stated)
        m->profile = guess(treefd, m, venv);
    return pbc_profile_fits(m, m->profile, err);
}
