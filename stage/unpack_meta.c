/* What a bundle says of itself, and the files in which it has a placeholder for its place. */
#include "rewrite.h"
#include "unpack_pipe.h"

#include <stdlib.h>
#include <string.h>

#define OWN ".pbcast"

bool pbc_member_is_own(const char *name)
{
    while (name[0] == '.' && name[1] == '/')
        name += 1 + strspn(name + 1, "/");
    return strncmp(name, OWN, strlen(OWN)) == 0 &&
           (name[strlen(OWN)] == '\0' || name[strlen(OWN)] == '/');
}

int pbc_member_is_meta(const char *name, struct pbc_error *err)
{
    struct pbc_name n;
    char plain[PBC_PATH_MAX];

    if (pbc_name_parse(name, &n, err) != 0)
        return -1;
    pbc_name_join(&n, n.depth, plain);
    return strcmp(plain, PBC_META_NAME) == 0;
}

/* Of one that is admitted. */
static char *read_text(struct archive *a, struct archive_entry *e, size_t *ret_len,
                       struct pbc_error *err)
{
    la_int64_t size = archive_entry_size(e);
    char *text = malloc((size_t)size + 1);
    la_ssize_t n;

    if (text == NULL) {
        pbc_fail(err, PBC_EXIT_FAILED, "no memory for " PBC_META_NAME);
        return NULL;
    }
    n = archive_read_data(a, text, (size_t)size);
    if (n == size) {
        *ret_len = (size_t)size;
        return text;
    }
    free(text);
    if (n < 0)
        pbc_archive_failed(a, PBC_META_NAME, err);
    else
        pbc_fail(err, PBC_EXIT_REFUSED, "truncated: member '" PBC_META_NAME "' is cut");
    return NULL;
}

/* Binary files have no room for more. */
static int check_root(const struct pbc_unpack *u, const struct pbc_meta *m, struct pbc_error *err)
{
    size_t root = strlen(u->conf.root);

    if (m->placeholder == NULL || root <= strlen(m->placeholder))
        return 0;
    for (size_t i = 0; i < m->nrewrites; i++) {
        if (m->rewrite[i].binary)
            return pbc_fail(
                err, PBC_EXIT_REFUSED,
                "the staged tree's path %s (%zu bytes) does not fit into '%s' and the bundle's "
                "other binary files, which have room for %zu: use a store with a shorter path, or "
                "make the bundle with a longer placeholder",
                u->conf.root, root, m->rewrite[i].path, strlen(m->placeholder));
    }
    return 0;
}

static int take_meta(struct pbc_unpack *u, struct pbc_unpacked *b, struct archive *a,
                     struct archive_entry *e, struct pbc_error *err)
{
    bool regular = archive_entry_filetype(e) == AE_IFREG && archive_entry_hardlink(e) == NULL;
    size_t len;
    char *text;
    int rc;

    /* A size below 0 is as one too large. */
    if (pbc_meta_admit(b->has_meta, atomic_load(&b->begun), regular,
                       (uint64_t)archive_entry_size(e), err) != 0)
        return -1;
    text = read_text(a, e, &len, err);
    if (text == NULL)
        return -1;
    rc = pbc_meta_parse(text, len, &b->meta, err);
    free(text);
    if (rc != 0)
        return -1;
    b->has_meta = true;
    return check_root(u, &b->meta, err);
}

int pbc_member_own(struct pbc_unpack *u, unsigned bundle, struct archive *a,
                   struct archive_entry *e, const char *name, struct pbc_error *err)
{
    int rc;

    if (!pbc_member_is_own(name)) {
        atomic_int *begun = &u->result[bundle].begun;

        if (archive_entry_filetype(e) != AE_IFDIR && !atomic_load(begun))
            atomic_store(begun, 1);
        return 0;
    }
    rc = pbc_member_is_meta(name, err);
    if (rc < 0)
        return -1;
    if (rc == 1 && take_meta(u, &u->result[bundle], a, e, err) != 0)
        return -1;
    return 1;
}

int pbc_member_rewriter(const struct pbc_unpack *u, unsigned bundle, struct pbc_writer *w,
                        const char *name, struct pbc_rewriter **ret, struct pbc_error *err)
{
    const struct pbc_meta *m = &u->result[bundle].meta;
    const struct pbc_rewrite *how;
    struct pbc_name n;
    char plain[PBC_PATH_MAX];

    *ret = NULL;
    if (m->rewrite == NULL)
        return 0;
    if (pbc_name_parse(name, &n, err) != 0)
        return -1;
    pbc_name_join(&n, n.depth, plain);
    how = pbc_meta_rewrite(m, plain);
    if (how == NULL)
        return 0;
    *ret = pbc_rewriter_new(w, how->binary, m->placeholder, u->conf.root);
    return *ret != NULL ? 0 : pbc_fail(err, PBC_EXIT_FAILED, "no memory to rewrite '%s'", name);
}
