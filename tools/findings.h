/* findings.h - what `pbcast check` finds in a bundle: where, why it matters, how to mend it. */
#ifndef PBC_FINDINGS_H
#define PBC_FINDINGS_H

#include "error.h"
#include "scan.h"

enum pbc_finding {
    PBC_FINDING_REFUSED,
    PBC_FINDING_CHANGED,
    PBC_FINDING_LINK_OUT,
    PBC_FINDING_LINK_NOWHERE,
    PBC_FINDING_SETID,
    PBC_FINDING_TOO_LARGE,
    PBC_FINDING_LARGE,
    PBC_FINDING_MACHINE,
    PBC_FINDING_BROKEN_ELF,
    PBC_FINDING_RPATH,
    PBC_FINDING_NEEDED,
    PBC_FINDING_SCRIPT,
    PBC_FINDING_VENV,
    PBC_FINDING_PTH,
    PBC_FINDING_EDITABLE,
    PBC_FINDING_PYC_MISSING,
    PBC_FINDING_PYC_STALE,
    PBC_FINDING_CASE,
    PBC_FINDING_ONE_STREAM,
    PBC_FINDINGS_COUNT,
};

enum pbc_severity { PBC_NOTE, PBC_WARNING, PBC_ERROR };

struct pbc_finding_words {
    enum pbc_severity severity;
    const char *what;
    const char *why;
    const char *mend;
};
extern const struct pbc_finding_words pbc_finding_words[PBC_FINDINGS_COUNT];

#define PBC_PLACES_KEPT 1000 /* of one kind; more are counted only */

struct pbc_findings {
    struct {
        char **place;
        size_t kept;
        uint64_t count;
    } of[PBC_FINDINGS_COUNT];
};

/* One more place. -1 without memory. */
int pbc_finding(struct pbc_findings *f, enum pbc_finding kind, struct pbc_error *err,
                const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void pbc_findings_free(struct pbc_findings *f);

/* All there is to find in a bundle that has been scanned, for a store that has `capacity` bytes. */
int pbc_check(struct pbc_scan *s, uint64_t capacity, struct pbc_findings *f, struct pbc_error *err);

/* Parts of it, each in a file of its own. `names` are those of the scan. */
int pbc_check_elf(const struct pbc_scan *s, const struct pbc_names *names, struct pbc_findings *f,
                  struct pbc_error *err);
int pbc_check_python(const struct pbc_scan *s, const struct pbc_names *names,
                     const struct pbc_manifest *found, struct pbc_findings *f,
                     struct pbc_error *err);

#endif
