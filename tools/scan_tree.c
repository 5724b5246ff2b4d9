/* The tree of a scanned bundle, without contents, as the agent would make it. */
#include "scan.h"

#include "path.h"
#include "relocate.h"
#include "stop.h"
#include "tempdir.h"
#include "unpack_pipe.h"
#include "writer.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct making {
    struct pbc_writer *w;
    const char *dull; /* the last that was made */
};

/* What says nothing of the profile, and there is much of. */
static int is_dull(const char *name)
{
    return strstr(name, "__pycache__/") != NULL;
}

static int same_directory(const char *a, const char *b)
{
    size_t n = (size_t)(pbc_path_last(a) - a);

    return n == (size_t)(pbc_path_last(b) - b) && memcmp(a, b, n) == 0;
}

/* One of each directory is made, as it may be that the directory is none. */
static int may_skip(struct making *k, const struct pbc_seen *m)
{
    if (!is_dull(m->name) || (m->mode & 06000))
        return 0;
    if (k->dull != NULL && same_directory(k->dull, m->name))
        return 1;
    k->dull = m->name;
    return 0;
}

static int make_member(struct making *k, const struct pbc_seen *m, struct pbc_error *err)
{
    struct pbc_writer *w = k->w;

    switch (m->kind) {
    case 'd':
        return m->name[0] == '\0' ? 0 : pbc_writer_dir(w, m->name, 0755, err);
    case 'l':
        return pbc_writer_symlink(w, m->name, m->target, err);
    case 'h':
        return is_dull(m->name) || is_dull(m->target)
                   ? 0
                   : pbc_writer_hardlink(w, m->name, m->target, err);
    case 'f':
        if (may_skip(k, m))
            return 0;
        if (pbc_writer_file(w, m->name, m->mode, 0, err) != 0)
            return -1;
        return pbc_writer_close(w, (struct timespec){0}, err);
    default:
        return pbc_fail(err, PBC_EXIT_REFUSED,
                        "member '%s' is neither file, directory nor link: bundles cannot have it",
                        m->name);
    }
}

static int make_tree(struct pbc_scan *s, int root, struct pbc_error *why)
{
    struct pbc_writer_limits limits = {.entries = PBC_SCAN_MEMBERS_MAX};
    struct making k = {.w = pbc_writer_new(root, &limits)};
    int rc = 0;

    if (k.w == NULL)
        return pbc_fail(why, PBC_EXIT_FAILED, "no memory");
    for (size_t i = 0; i < s->count && rc == 0; i++) {
        rc = pbc_stopped(why);
        if (rc == 0 && !pbc_member_is_own(s->seen[i].name))
            rc = make_member(&k, &s->seen[i], why);
    }
    if (rc == 0)
        rc = pbc_writer_finish(k.w, why);
    pbc_writer_free(k.w);
    return rc;
}

/* What a node would refuse is noted; what this machine refuses is an error here. */
static int judge(struct pbc_scan *s, const char *dir, const struct pbc_error *why,
                 struct pbc_error *err)
{
    if (pbc_stopped(err) != 0)
        return -1;
    if (why->code != PBC_EXIT_REFUSED)
        return pbc_fail(err, why->code,
                        "%s (the names are unpacked below %s to look at them; TMPDIR is another "
                        "place)",
                        why->text, dir);
    s->refused = *why;
    return 0;
}

int pbc_scan_tree(struct pbc_scan *s, struct pbc_manifest *found, struct pbc_error *err)
{
    struct pbc_tempdir dir;
    struct pbc_error why;
    int root, rc = 0;

    memset(found, 0, sizeof(*found));
    if (pbc_tempdir_make(&dir, err) != 0)
        return -1;
    root = open(dir.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        rc = pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot open %s", dir.path);
    if (rc == 0 && s->refused.text[0] == '\0' && make_tree(s, root, &why) != 0)
        rc = judge(s, dir.path, &why, err);
    if (rc == 0 && s->has_meta && pbc_manifest_add_meta(found, true, &s->meta, err) != 0)
        rc = -1;
    if (rc == 0 && s->refused.text[0] == '\0' && pbc_profile_detect(root, found, &why) != 0)
        rc = judge(s, dir.path, &why, err);
    if (root >= 0)
        close(root);
    pbc_tempdir_remove(&dir);
    return rc;
}
