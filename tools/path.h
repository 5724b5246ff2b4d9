/* path.h - paths as text. */
#ifndef PBC_PATH_H
#define PBC_PATH_H

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

#endif
