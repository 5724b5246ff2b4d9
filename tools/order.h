/* order.h - whether the members of an archive may be unpacked in another order.
 *
 * Directories and symbolic links first, then files in any order, then hard links: that gives the
 * same tree as the archive's own order, unless a name comes twice, something lies below a member
 * that is no directory, or a hard link comes before what it names.
 */
#ifndef PBC_ORDER_H
#define PBC_ORDER_H

#include "error.h"

struct pbc_order;

enum pbc_order_kind { PBC_ORDER_DIR, PBC_ORDER_SYMLINK, PBC_ORDER_FILE, PBC_ORDER_HARDLINK };

/* NULL without memory. */
struct pbc_order *pbc_order_new(void);

/* The next member, in the archive's order. `target` is that of a hard link. Names as
 * pbc_name_parse has them; -1 for one that it refuses, and without memory. */
int pbc_order_add(struct pbc_order *o, enum pbc_order_kind kind, const char *name,
                  const char *target, struct pbc_error *err);

/* NULL if they may; else the name of a member that stands in the way, which lives as long as `o`.
 */
const char *pbc_order_obstacle(struct pbc_order *o);

void pbc_order_free(struct pbc_order *o); /* NULL is fine */

#endif
