/* cmd_catalog.h - `pbcast catalog`: look at the site's catalogue, add to it, verify it. */
#ifndef PBC_CMD_CATALOG_H
#define PBC_CMD_CATALOG_H

/* argv[0] is "catalog". Prints; the exit status of the program (pbcast-catalog(1)). */
int pbc_cmd_catalog(int argc, char **argv);

#endif
