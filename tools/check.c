/* What is to be found in any bundle. */
#include "findings.h"

#include "command.h"
#include "unpack_pipe.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SYSTEM_DIRS                                                                                \
    {                                                                                              \
        "/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/"                                               \
    }

static int check_links(const struct pbc_scan *s, const struct pbc_names *names,
                       struct pbc_findings *f, struct pbc_error *err)
{
    for (size_t i = 0; i < s->count; i++) {
        const struct pbc_seen *m = &s->seen[i];
        enum pbc_leads leads;
        enum pbc_finding kind;

        if (m->kind != 'l')
            continue;
        leads = pbc_names_follow(names, m->name, m->target, NULL);
        if (leads == PBC_LEADS_INSIDE)
            continue;
        kind = leads == PBC_LEADS_OUT ? PBC_FINDING_LINK_OUT : PBC_FINDING_LINK_NOWHERE;
        if (pbc_finding(f, kind, err, "%s -> %s", m->name, m->target) != 0)
            return -1;
    }
    return 0;
}

static int check_files(const struct pbc_scan *s, const struct pbc_manifest *found,
                       struct pbc_findings *f, struct pbc_error *err)
{
    static const char *const dirs[] = SYSTEM_DIRS;
    int python = found->python[0] != '\0';

    for (size_t i = 0; i < s->count; i++) {
        const struct pbc_seen *m = &s->seen[i];
        int system = 0;

        if (m->kind == 'f' && m->mode & 06000 &&
            pbc_finding(f, PBC_FINDING_SETID, err, "%s (%04o)", m->name, m->mode & 07777) != 0)
            return -1;
        if (m->program == NULL || pbc_scan_is_below(s, m->program))
            continue;
        for (size_t d = 0; d < sizeof(dirs) / sizeof(dirs[0]); d++)
            system |= strncmp(m->program, dirs[d], strlen(dirs[d])) == 0;
        /* The system's Python is another one than the bundle's. */
        if (system && python && strstr(m->program, "/python") != NULL)
            system = 0;
        if (!system &&
            pbc_finding(f, PBC_FINDING_SCRIPT, err, "%s: #!%s", m->name, m->program) != 0)
            return -1;
    }
    return 0;
}

static int by_case(const void *a, const void *b)
{
    const char *x = *(const char *const *)a;
    const char *y = *(const char *const *)b;
    int rc = strcasecmp(x, y);

    return rc != 0 ? rc : strcmp(x, y);
}

static int check_case(const struct pbc_scan *s, struct pbc_findings *f, struct pbc_error *err)
{
    const char **name = calloc(s->count + 1, sizeof(*name));
    int rc = 0;

    if (name == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory");
    for (size_t i = 0; i < s->count; i++)
        name[i] = s->seen[i].name;
    qsort(name, s->count, sizeof(*name), by_case);
    for (size_t i = 1; i < s->count && rc == 0; i++) {
        if (strcasecmp(name[i - 1], name[i]) == 0 && strcmp(name[i - 1], name[i]) != 0)
            rc = pbc_finding(f, PBC_FINDING_CASE, err, "%s and %s", name[i - 1], name[i]);
    }
    free(name);
    return rc;
}

static int check_whole(const struct pbc_scan *s, uint64_t capacity, struct pbc_findings *f,
                       struct pbc_error *err)
{
    const struct pbc_meta *m = &s->meta;
    int rc = 0;

    if (s->refused.text[0] != '\0')
        rc = pbc_finding(f, PBC_FINDING_REFUSED, err, "%s", s->refused.text);
    if (rc == 0 && s->has_meta && m->contents[0] != '\0' && strcmp(m->contents, s->contents) != 0)
        rc = pbc_finding(f, PBC_FINDING_CHANGED, err, "contents=%s, but they have %s", m->contents,
                         s->contents);
    if (rc == 0 && s->has_meta &&
        ((m->has_files && m->files != s->files) || (m->has_bytes && m->bytes != s->bytes)))
        rc = pbc_finding(f, PBC_FINDING_CHANGED, err,
                         "it says %llu files of %llu bytes, and has %llu of %llu",
                         (unsigned long long)m->files, (unsigned long long)m->bytes,
                         (unsigned long long)s->files, (unsigned long long)s->bytes);
    if (rc == 0 && capacity > 0 && s->bytes > capacity / 2)
        rc = pbc_finding(f, s->bytes > capacity ? PBC_FINDING_TOO_LARGE : PBC_FINDING_LARGE, err,
                         "%s of %s", pbc_size_words(s->bytes), pbc_size_words(capacity));
    if (rc == 0 && s->frames == 0 && s->bytes > (64u << 20))
        rc = pbc_finding(f, PBC_FINDING_ONE_STREAM, err, "%s, %s unpacked", s->format,
                         pbc_size_words(s->bytes));
    return rc;
}

int pbc_check(struct pbc_scan *s, uint64_t capacity, struct pbc_findings *f, struct pbc_error *err)
{
    struct pbc_manifest found = {0};
    struct pbc_names names = {0};
    int rc = pbc_scan_tree(s, &found, err);

    if (rc == 0)
        rc = pbc_scan_names(s, &names, err);
    if (rc == 0)
        rc = check_whole(s, capacity, f, err);
    if (rc == 0)
        rc = check_links(s, &names, f, err);
    if (rc == 0)
        rc = check_files(s, &found, f, err);
    if (rc == 0)
        rc = pbc_check_elf(s, &names, f, err);
    if (rc == 0)
        rc = pbc_check_python(s, &names, &found, f, err);
    if (rc == 0)
        rc = check_case(s, f, err);
    pbc_names_free(&names);
    pbc_manifest_free(&found);
    return rc;
}
