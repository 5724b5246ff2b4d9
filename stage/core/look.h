/* look.h - looking into a tree without leaving it.
 *
 * Links inside the tree are followed, part by part and by descriptors; those that are absolute or
 * lead above the tree are not (errno EXDEV). No kernel feature beyond O_PATH is needed.
 */
#ifndef PBC_LOOK_H
#define PBC_LOOK_H

#include <dirent.h>
#include <sys/stat.h>

/* What lies at `path` in the tree, links resolved. -1 with errno. */
int pbc_look_stat(int treefd, const char *path, struct stat *st);

/* The directory at `path` in the tree, for reading. NULL with errno. */
DIR *pbc_look_opendir(int treefd, const char *path);

#endif
