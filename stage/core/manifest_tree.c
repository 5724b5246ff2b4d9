/* What a manifest says of its tree: what the bundles state, what was found, what fits. */
#include "manifest.h"
#include "meta.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int pbc_profile_fits(const struct pbc_manifest *m, enum pbc_profile profile, struct pbc_error *err)
{
    const char *lacks = NULL;

    if (profile == PBC_PROFILE_PYTHON && (m->python[0] == '\0' || m->base != NULL))
        lacks = "bin/python3 with lib/python3.N/os.py";
    else if (profile == PBC_PROFILE_VENV && m->python[0] == '\0')
        lacks = "the base interpreter, bin/python3 with lib/python3.N/os.py, at its top or in a "
                "directory there";
    else if (profile == PBC_PROFILE_R && m->rhome == NULL)
        lacks = "lib/R or lib64/R with bin/R and library/base";
    else if (profile == PBC_PROFILE_PERL && m->perl.count == 0)
        lacks = "directories of Perl modules";
    if (lacks == NULL)
        return 0;
    return pbc_fail(err, PBC_EXIT_REFUSED, "the profile is %s, but the tree has not %s",
                    pbc_profile_name(profile), lacks);
}

static bool is_runtime(enum pbc_profile profile)
{
    return profile != PBC_PROFILE_GENERIC && profile != PBC_PROFILE_NONE;
}

static void add_profile(struct pbc_manifest *m, bool first, const struct pbc_meta *meta)
{
    bool says = meta != NULL && meta->has_profile;

    if (!first && m->stated && is_runtime(m->profile))
        return;
    if (says && (first || is_runtime(meta->profile))) {
        m->profile = meta->profile;
        m->stated = true;
    } else if (!says) {
        m->stated = false;
    }
}

int pbc_manifest_add_meta(struct pbc_manifest *m, bool first, const struct pbc_meta *meta,
                          struct pbc_error *err)
{
    add_profile(m, first, meta);
    if (meta == NULL)
        return 0;
    m->rewritten = m->rewritten || meta->nrewrites > 0;
    for (size_t i = 0; i < meta->vars.count; i++) {
        const struct pbc_variable *v = &meta->vars.item[i];

        if (pbc_variables_add(&m->vars, v->kind, v->name, v->value) == 0)
            continue;
        if (errno == ENOMEM)
            return pbc_fail(err, PBC_EXIT_FAILED, "no memory for the manifest");
        return pbc_fail(err, PBC_EXIT_REFUSED, "the bundles state more than %d variables",
                        PBC_VARIABLES_MAX);
    }
    return 0;
}

static void free_dirs(struct pbc_dirs *dirs)
{
    for (size_t i = 0; i < dirs->count; i++)
        free(dirs->dir[i]);
    memset(dirs, 0, sizeof(*dirs));
}

void pbc_manifest_forget_found(struct pbc_manifest *m)
{
    m->python[0] = '\0';
    m->openmpi = false;
    free(m->base);
    free(m->rhome);
    m->base = m->rhome = NULL;
    free_dirs(&m->lib);
    free_dirs(&m->perl);
    free_dirs(&m->node);
    free_dirs(&m->depot);
}

void pbc_manifest_forget_tree(struct pbc_manifest *m)
{
    pbc_manifest_forget_found(m);
    pbc_variables_free(&m->vars);
    m->profile = PBC_PROFILE_GENERIC;
    m->stated = m->rewritten = false;
}
