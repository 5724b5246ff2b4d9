/* ledger.h - what the writers of one tree (writer.h) have in common: limits, counts, the space that
 * is left, and the names of symbolic links. Thread safe, but for the walk over the links.
 */
#ifndef PBC_LEDGER_H
#define PBC_LEDGER_H

#include "error.h"
#include "writer.h"

#include <stddef.h>
#include <stdint.h>

struct pbc_ledger;

/* For the tree at `rootfd`, which is borrowed. NULL without memory. */
struct pbc_ledger *pbc_ledger_new(int rootfd, const struct pbc_writer_limits *limits);
void pbc_ledger_free(struct pbc_ledger *l);

/* One member more, one file more, `size` bytes more. -1 with PBC_EXIT_REFUSED, `name` in it, where
 * a limit is exceeded. */
int pbc_ledger_member(struct pbc_ledger *l, const char *name, struct pbc_error *err);
void pbc_ledger_file(struct pbc_ledger *l);
int pbc_ledger_bytes(struct pbc_ledger *l, uint64_t size, const char *name, struct pbc_error *err);
/* Before all else: what the tree begins with. -1 with PBC_EXIT_REFUSED if that is over the limit.
 */
int pbc_ledger_begin_with(struct pbc_ledger *l, uint64_t files, uint64_t bytes,
                          struct pbc_error *err);
void pbc_ledger_counts(const struct pbc_ledger *l, struct pbc_writer_count *ret);

/* Before and after `len` bytes are written to the file `name`. -1 with PBC_EXIT_NOSPACE if they
 * would go into the space or memory that is to be left free; then there is no after. */
int pbc_ledger_write(struct pbc_ledger *l, size_t len, const char *name, struct pbc_error *err);
void pbc_ledger_written(struct pbc_ledger *l, size_t len);

/* 1 if that was for lack of memory, of which there was this. */
int pbc_ledger_lacks_memory(struct pbc_ledger *l, struct pbc_memory_room *ret);

/* Remember the real name of a symbolic link, PBC_LINKS_MAX bytes in all. */
int pbc_ledger_link(struct pbc_ledger *l, const char *name, struct pbc_error *err);
/* The name after `name`, the first after NULL, NULL after the last. Only while no link is added. */
const char *pbc_ledger_next_link(const struct pbc_ledger *l, const char *name);

/* See pbc_writer_tangled. */
void pbc_ledger_set_tangled(struct pbc_ledger *l, int tangled);
int pbc_ledger_tangled(const struct pbc_ledger *l);

#endif
