/* path.h - paths as text. */
#ifndef PBC_PATH_H
#define PBC_PATH_H

#include "bundle.h"

#include <stdbool.h>
#include <string.h>

/* Whether `path` is `dir` or lies below it; "/" is above all. */
static inline bool pbc_path_below(const char *path, const char *dir)
{
    size_t len = strlen(dir);

    if (len > 0 && dir[len - 1] == '/')
        len--;
    return strncmp(path, dir, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

/* The last part of a path. */
static inline const char *pbc_path_last(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? path : slash + 1;
}

/* Whether its text ends so. */
static inline bool pbc_path_ends(const char *path, const char *end)
{
    size_t len = strlen(path), n = strlen(end);

    return len >= n && strcmp(path + len - n, end) == 0;
}

/* Whether it is called as shared libraries are: NAME.so, NAME.so.N. */
static inline bool pbc_path_is_library(const char *path)
{
    const char *so = strstr(pbc_path_last(path), ".so");

    return so != NULL && (so[3] == '\0' || so[3] == '.');
}

/* `name` below `dir`, without empty, "." and ".." parts; what links make of it is not asked.
 * false if it is too long. */
static inline bool pbc_path_join(const char *dir, const char *name, char out[PBC_PATH_MAX])
{
    const char *part[] = {name[0] == '/' ? "" : dir, name};
    size_t len = 0;

    for (int i = 0; i < 2; i++) {
        for (const char *p = part[i]; *p != '\0';) {
            size_t n = strcspn(p, "/");

            if (n == 2 && p[0] == '.' && p[1] == '.') {
                while (len > 0 && out[--len] != '/')
                    ;
            } else if (n > 0 && !(n == 1 && p[0] == '.')) {
                if (len + 1 + n >= PBC_PATH_MAX)
                    return false;
                out[len++] = '/';
                memcpy(out + len, p, n);
                len += n;
            }
            p += n;
            p += *p == '/';
        }
    }
    if (len == 0)
        out[len++] = '/';
    out[len] = '\0';
    return true;
}

#endif
