/* script.h - scripts that begin with the absolute path of an interpreter. */
#ifndef PBC_SCRIPT_H
#define PBC_SCRIPT_H

#include "bundle.h"

#include <stddef.h>

#define PBC_SHEBANG_MAX 4096 /* bytes at a script's start that are looked at */

/* The interpreter of a script by its first PBC_SHEBANG_MAX bytes, or all that it has, and what
 * follows in its line:
 * "/opt/py/bin/python3" and "-E". The form that pip writes for long paths, which goes through
 * /bin/sh, is understood. `skip` is how many bytes of the script say this, newline included if
 * there is one. 1; 0 for what is no script of an absolute path, or whose first line is longer than
 * the buffers. */
struct pbc_shebang {
    char path[1024];
    char args[256];
    size_t skip;
};
int pbc_shebang_parse(const void *head, size_t len, struct pbc_shebang *ret);

/* Which program the kernel starts for the file at `path`, if that is such a script: its real path,
 * which may be a script again. 0 for what is none, cannot be read, or whose interpreter is gone. */
int pbc_script_interpreter(const char *path, char out[PBC_PATH_MAX]);

#endif
