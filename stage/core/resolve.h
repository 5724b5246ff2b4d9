/* resolve.h - elements of a list of bundles: paths, or names of the site's catalogue.
 *
 * An element that begins with '/', "./" or "../" is a path. Any other is a name if the site has a
 * catalogue with that name; if there is a file of that name as well the element is refused, so
 * that neither takes the place of the other unnoticed. What is not in the catalogue is a path.
 */
#ifndef PBC_RESOLVE_H
#define PBC_RESOLVE_H

#include "bundle.h"
#include "error.h"
#include "site.h"

/* What is known of where a list comes from. */
struct pbc_where_from {
    int job;               /* it was resolved before (pbc_bundles_format): paths are absolute, and
                              what is none is a name, whatever lies here */
    const char *partition; /* of the job, for defaults; NULL: not known yet */
};

/* In a parsed list, give elements that are names their path and digest, and NAME/VERSION as name,
 * or NAME alone if what it means depends on a partition that is not known. A list that is resolved
 * may be resolved again. The catalogue is read only if an element may be a name. Refused: an
 * ambiguous element; a name that is not there and no file either; with allow_user_bundles=no every
 * path (PBC_EXIT_REFUSED); a catalogue that cannot be read or is not trusted (PBC_EXIT_FAILED). */
int pbc_resolve(struct pbc_bundles *list, const struct pbc_site *site,
                const struct pbc_where_from *from, struct pbc_error *err);

/* 1 if an element's meaning still depends on the partition. */
int pbc_resolve_floats(const struct pbc_bundles *list);

#endif
