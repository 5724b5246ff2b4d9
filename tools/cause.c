#include "cause.h"

#include "path.h"

#include <stdio.h>

static const struct {
    const char *words;
    const char *advice;
} texts[PBC_CAUSES] = {
    [PBC_CAUSE_SYSTEM] = {"loader, libc and their settings", ""},
    [PBC_CAUSE_COMMAND] = {"the command itself",
                           "it is not in the tree: is its bundle staged, and the environment set?"},
    [PBC_CAUSE_PROGRAM] = {"programs outside the tree",
                           "put them into a bundle, if there are many starts of them"},
    [PBC_CAUSE_USER] = {"the user's own packages", "stage them too: --pbcast-userbase"},
    [PBC_CAUSE_VENV] = {"home of pyvenv.cfg", "make the bundle with 'pbcast bundle venv', which "
                                              "takes the base interpreter along"},
    [PBC_CAUSE_CONFIG] = {"sysconfig", "put the interpreter's whole prefix into the bundle"},
    [PBC_CAUSE_SCRIPT] = {"directory of the script", "stage it too: --pbcast-mirror=DIR"},
    [PBC_CAUSE_VARIABLE] = {"variable", "unset it, or let it name the staged tree"},
    [PBC_CAUSE_LIBRARY] = {"shared libraries of the system",
                           "put them into a bundle: 'pbcast bundle system-libs'"},
    [PBC_CAUSE_RUNPATH] =
        {"shared libraries by RUNPATH",
         "'pbcast check' names those of a bundle; patchelf --set-rpath '$ORIGIN/...' mends them"},
    [PBC_CAUSE_WORK] = {"working directory", "run in another directory: srun --chdir=DIR"},
    [PBC_CAUSE_HOME] = {"settings in the home directory", ""},
    [PBC_CAUSE_OTHER] = {"other", ""},
};

const char *pbc_cause_words(enum pbc_cause cause)
{
    return texts[cause].words;
}

const char *pbc_cause_advice(enum pbc_cause cause)
{
    return texts[cause].advice;
}

bool pbc_path_staged(const struct pbc_command_facts *f, const char *path)
{
    return pbc_path_below(path, f->root) || pbc_path_below(path, f->job_dir);
}

static bool starts(const char *text, const char *const list[])
{
    for (size_t i = 0; list[i] != NULL; i++) {
        if (strncmp(text, list[i], strlen(list[i])) == 0)
            return true;
    }
    return false;
}

/* The loader's cache names libraries by whole paths, the kernel says /usr/lib where that may say
 * /lib. */
static bool in_cache(const struct pbc_command_facts *f, const char *path)
{
    size_t len = (size_t)(pbc_path_last(path) - path); /* with the last '/' */

    if (memmem(f->cache, f->cache_len, path, len) != NULL)
        return true;
    return strncmp(path, "/usr/", 5) == 0 &&
           memmem(f->cache, f->cache_len, path + 4, len - 4) != NULL;
}

/* What the loader and glibc read for every program, at the places of the system. */
static bool is_system(const struct pbc_command_facts *f, const char *path)
{
    static const char *const places[] = {"/lib", "/usr/lib", "/etc/", NULL};
    static const char *const files[] = {
        "ld-linux",   "ld64.so",         "ld.so.",       "libc.so.6",
        "libc-2.",    "libm.so.6",       "libm-2.",      "libdl.so.2",
        "librt.so.1", "libpthread.so.0", "libutil.so.1", "libresolv.so.",
        "libnss_",    "libmvec.so",      "libanl.so.1",  NULL};
    static const char *const settings[] = {
        "/etc/nsswitch.conf", "/etc/passwd",     "/etc/group",          "/etc/localtime",
        "/etc/timezone",      "/etc/host.conf",  "/etc/hosts",          "/etc/resolv.conf",
        "/etc/gai.conf",      "/etc/os-release", "/usr/lib/os-release", NULL};
    static const char *const data[] = {"/usr/lib/locale/", "/usr/share/locale/",
                                       "/usr/share/zoneinfo", NULL};

    if (starts(pbc_path_last(path), files) && (starts(path, places) || in_cache(f, path)))
        return true;
    return starts(path, settings) || starts(path, data) || strstr(path, "/gconv/") != NULL;
}

static bool is_config(const char *path)
{
    const char *last = pbc_path_last(path);

    return strncmp(last, "_sysconfigdata", 14) == 0 || strcmp(last, "pyconfig.h") == 0 ||
           (strcmp(last, "Makefile") == 0 && strstr(path, "/config-3.") != NULL);
}

static bool is_users(const struct pbc_command_facts *f, const char *path)
{
    static const char *const below[] = {".local/lib/python",
                                        ".local/lib/R",
                                        "R/",
                                        ".julia/",
                                        "perl5/",
                                        ".node_",
                                        "node_modules/",
                                        NULL};

    if (strstr(path, "/.local/lib/python") != NULL)
        return true;
    return f->home[0] == '/' && f->home[1] != '\0' && pbc_path_below(path, f->home) &&
           path[strlen(f->home)] == '/' && starts(path + strlen(f->home) + 1, below);
}

/* A variable that holds a list of directories, and has one that the file lies below. */
static bool names(const char *assignment, const char *path, char *variable, size_t size)
{
    static const char *const lists[] = {"R_LIBS",   "R_LIBS_USER",    "R_LIBS_SITE",
                                        "PERL5LIB", "PYTHONUSERBASE", "PYTHONHOME",
                                        "R_HOME",   "OPAL_PREFIX",    NULL};
    const char *equal = strchr(assignment, '=');
    size_t len = equal == NULL ? 0 : (size_t)(equal - assignment);
    bool list = len > 4 && memcmp(equal - 4, "PATH", 4) == 0;

    for (size_t i = 0; lists[i] != NULL && !list; i++)
        list = strlen(lists[i]) == len && memcmp(lists[i], assignment, len) == 0;
    if (!list || strncmp(assignment, "MANPATH=", 8) == 0)
        return false;
    for (const char *p = equal + 1;; p++) {
        size_t n = strcspn(p, ":");
        char entry[PBC_PATH_MAX];

        if (n > 1 && n < sizeof(entry) && p[0] == '/') {
            memcpy(entry, p, n);
            entry[n] = '\0';
            if (pbc_path_below(path, entry)) {
                snprintf(variable, size, "%.*s", (int)len, assignment);
                return true;
            }
        }
        p += n;
        if (*p == '\0')
            return false;
    }
}

enum pbc_cause pbc_cause_of(const struct pbc_command_facts *f, const struct pbc_trace_event *ev,
                            char *variable, size_t size)
{
    const char *path = ev->path;

    variable[0] = '\0';
    if (is_system(f, path))
        return PBC_CAUSE_SYSTEM;
    if (ev->exec || (ev->program[0] != '\0' && !pbc_path_staged(f, ev->program)))
        return PBC_CAUSE_PROGRAM;
    if (is_users(f, path))
        return PBC_CAUSE_USER;
    if (f->venv_home[0] != '\0' && pbc_path_below(path, f->venv_home) &&
        strstr(path, "/lib/python3") != NULL)
        return PBC_CAUSE_VENV;
    if (is_config(path))
        return PBC_CAUSE_CONFIG;
    for (char *const *v = f->vars; *v != NULL; v++) {
        if (names(*v, path, variable, size))
            return PBC_CAUSE_VARIABLE;
    }
    if (pbc_path_is_library(path))
        return in_cache(f, path) ? PBC_CAUSE_LIBRARY : PBC_CAUSE_RUNPATH;
    if (f->script[0] != '\0' && pbc_path_below(path, f->script))
        return PBC_CAUSE_SCRIPT;
    if (strcmp(f->cwd, "/") != 0 ? pbc_path_below(path, f->cwd) : strcmp(path, "/") == 0)
        return PBC_CAUSE_WORK;
    if (f->home[0] == '/' && f->home[1] != '\0' && pbc_path_below(path, f->home) &&
        path[strlen(f->home)] == '/' && path[strlen(f->home) + 1] == '.')
        return PBC_CAUSE_HOME;
    return PBC_CAUSE_OTHER;
}
