/* detect.h - what pbc_profile_detect is made of. Private to detect*.c.
 *
 * Each finds the directories of one kind, relative to the tree, in the order in which they are to
 * be searched. -1 when they are too many (PBC_EXIT_REFUSED) or without memory. */
#ifndef PBC_DETECT_H
#define PBC_DETECT_H

#include "manifest.h"

/* `base`: where the interpreter lies, if not at the top; NULL. */
int pbc_find_libdirs(int treefd, const char *base, struct pbc_dirs *out, struct pbc_error *err);
int pbc_find_perldirs(int treefd, struct pbc_dirs *out, struct pbc_error *err);
int pbc_find_nodedirs(int treefd, struct pbc_dirs *out, struct pbc_error *err);
int pbc_find_depots(int treefd, struct pbc_dirs *out, struct pbc_error *err);

#endif
