#include "pack_dir.h"

#include "dir.h"
#include "pack.h"
#include "walk.h"

#include <stdlib.h>
#include <string.h>

static int walk_parts(struct pbc_walk *w, const struct pbc_bundle *b, struct pbc_error *err)
{
    const char *parts = b->parts;
    char path[2 * PBC_PATH_MAX];
    char part[PBC_PATH_MAX];

    if (parts == NULL)
        return pbc_walk(w, b->path, "", err);
    /* Links from one part to another hold in the tree too. */
    if (pbc_plan_add_root(w->plan, b->path, "", err) != 0)
        return -1;
    while (*parts != '\0') {
        size_t len = strcspn(parts, ":");

        memcpy(part, parts, len);
        part[len] = '\0';
        snprintf(path, sizeof(path), "%s/%s", b->path, part);
        if (pbc_walk(w, path, part, err) != 0)
            return -1;
        parts += len + (parts[len] == ':');
    }
    return 0;
}

/* What the bundle says of itself. */
static int describe(const struct pbc_bundle *b, struct pbc_meta *meta, struct pbc_error *err)
{
    meta->origin = b->path;
    if (b->kind != PBC_BUNDLE_USERBASE)
        return 0;
    if (pbc_variables_add(&meta->vars, PBC_ENV_SET, "PYTHONUSERBASE", "@ROOT@") == 0 &&
        pbc_variables_add(&meta->vars, PBC_ENV_UNSET, "PYTHONNOUSERSITE", NULL) == 0)
        return 0;
    return pbc_fail(err, PBC_EXIT_FAILED, "no memory to pack a directory");
}

int pbc_pack_dir(const struct pbc_bundle *b, pbc_source_write *write, void *arg,
                 struct pbc_error *err)
{
    const struct pbc_sink sink = {.write = write, .arg = arg};
    struct pbc_members_figures figures;
    struct pbc_meta meta = {0};
    struct pbc_plan plan;
    struct pbc_exclude left_out = {.pattern = PBC_DIR_LEFT_OUT};
    struct pbc_walk w = {.plan = &plan, .exclude = &left_out, .nexclude = 1};
    int rc;

    pbc_plan_init(&plan);
    rc = describe(b, &meta, err);
    if (rc == 0)
        rc = walk_parts(&w, b, err);
    if (rc == 0)
        rc = pbc_plan_sort(&plan, err);
    if (rc == 0)
        rc = pbc_walk_settle(&w, false, err);
    if (rc == 0)
        rc = pbc_plan_finish(&plan, err);
    if (rc == 0)
        rc = pbc_pack(&plan, &meta, &sink, PBC_CODEC_TAR, 0, NULL, &figures, err);
    meta.origin = NULL; /* the bundle's */
    pbc_meta_free(&meta);
    pbc_plan_free(&plan);
    return rc;
}
