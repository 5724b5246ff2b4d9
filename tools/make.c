#include "make.h"

#include "command.h"
#include "compile.h"
#include "libpath.h"
#include "output.h"
#include "pack.h"
#include "shebang.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PARTS_TOLD  5
#define PART_LEVELS 4 /* lib/python3.11/site-packages/torch */

void pbc_make_init(struct pbc_make *m)
{
    memset(m, 0, sizeof(*m));
    pbc_plan_init(&m->plan);
    m->walk.plan = &m->plan;
    m->walk.exclude = m->exclude;
}

void pbc_make_free(struct pbc_make *m)
{
    pbc_progress_free(m->progress);
    pbc_plan_free(&m->plan);
    pbc_meta_free(&m->meta);
    free(m->pip.word);
}

int pbc_make_given(struct pbc_variables *list, const struct pbc_variables *given,
                   struct pbc_error *err)
{
    for (size_t i = 0; i < given->count; i++) {
        const struct pbc_variable *v = &given->item[i];

        if (pbc_variables_add(list, v->kind, v->name, v->value) != 0)
            return errno == ENOMEM
                       ? pbc_fail(err, PBC_EXIT_FAILED, "no memory for variables")
                       : pbc_fail(err, PBC_EXIT_REFUSED, "more than %d variables in one bundle",
                                  PBC_VARIABLES_MAX);
    }
    return 0;
}

/* --- the size ------------------------------------------------------------------------------ */

struct part {
    const char *name;
    size_t len; /* of the name */
    uint64_t bytes;
};

static int by_bytes(const void *a, const void *b)
{
    const struct part *x = a;
    const struct part *y = b;

    return x->bytes != y->bytes ? (x->bytes < y->bytes ? 1 : -1) : strcmp(x->name, y->name);
}

static int by_part(const void *a, const void *b)
{
    const struct part *x = a;
    const struct part *y = b;
    int rc = strncmp(x->name, y->name, x->len < y->len ? x->len : y->len);

    return rc != 0 ? rc : x->len < y->len ? -1 : x->len > y->len;
}

/* How much of a name is that of its part: what lies in one directory so many levels down. */
static size_t part_of(const char *name)
{
    const char *end = name;

    for (int level = 0; level < PART_LEVELS; level++) {
        const char *slash = strchr(end + (end > name), '/');

        if (slash == NULL)
            return level == 0 ? strlen(name) : (size_t)(end - name);
        end = slash;
    }
    return (size_t)(end - name);
}

/* The sum of each part. */
static size_t add_up(const struct pbc_plan *p, struct part *part)
{
    size_t count = 0, kept = 0;

    for (size_t i = 0; i < p->count; i++) {
        const struct pbc_item *item = &p->item[i];
        size_t len = part_of(item->name);

        if (item->kind != PBC_PLAN_FILE)
            continue;
        part[count++] = (struct part){.name = item->name, .len = len, .bytes = item->size};
    }
    qsort(part, count, sizeof(*part), by_part);
    for (size_t i = 0; i < count; i++) {
        if (kept > 0 && by_part(&part[kept - 1], &part[i]) == 0)
            part[kept - 1].bytes += part[i].bytes;
        else
            part[kept++] = part[i];
    }
    count = kept;
    qsort(part, count, sizeof(*part), by_bytes);
    return count;
}

static int check_limit(const struct pbc_make *m, struct pbc_error *err)
{
    char largest[512] = "";
    struct part *part;
    uint64_t files, bytes;
    size_t count, at = 0;

    pbc_plan_sum(&m->plan, &files, &bytes);
    if (m->limit == 0 || bytes <= m->limit)
        return 0;
    part = calloc(m->plan.count, sizeof(*part));
    if (part == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory");
    count = add_up(&m->plan, part);
    for (size_t i = 0; i < count && i < PARTS_TOLD && at < sizeof(largest); i++)
        at +=
            (size_t)snprintf(largest + at, sizeof(largest) - at, "%s%.*s (%s)", i == 0 ? "" : ", ",
                             (int)part[i].len, part[i].name, pbc_size_words(part[i].bytes));
    free(part);
    return pbc_fail(err, PBC_EXIT_REFUSED,
                    "%s are more than the limit of %s; the largest parts: %s; leave some out with "
                    "--exclude, name what is needed, or raise --limit",
                    pbc_size_words(bytes), pbc_size_words(m->limit), largest);
}

/* --- the bundle ---------------------------------------------------------------------------- */

static int compile(struct pbc_make *m, const char *compiler, bool own, struct pbc_error *err)
{
    struct pbc_compiled made;

    if (pbc_compile(&m->walk, compiler, own, &made, err) != 0)
        return -1;
    pbc_progress_clear(m->progress);
    if (made.made > 0 && !m->quiet)
        pbc_note("compiled Python modules that had no valid .pyc: %llu",
                 (unsigned long long)made.made);
    if (made.failed > 0 && !m->quiet)
        pbc_note("Python modules that do not compile: %llu, '%s' for one",
                 (unsigned long long)made.failed, made.first);
    return 0;
}

static int settle_paths(struct pbc_make *m, struct pbc_error *err)
{
    struct pbc_libpaths paths;

    if (pbc_libpath_settle(&m->plan, m->progress, &paths, err) != 0)
        return -1;
    pbc_progress_clear(m->progress);
    if (paths.kept > 0 && !m->quiet)
        pbc_note("library paths (RUNPATH, RPATH) that lead into the tree and stay absolute: %llu, "
                 "that of %s for one",
                 (unsigned long long)paths.kept, paths.first);
    return 0;
}

static int prepare(struct pbc_make *m, const char *compiler, bool own, struct pbc_error *err)
{
    if (pbc_walk_settle(&m->walk, m->follow, err) != 0 ||
        pbc_shebang_settle(&m->plan, m->interpreter, err) != 0)
        return -1;
    if (m->plan.count == 0)
        return pbc_fail(err, PBC_EXIT_REFUSED, "there is nothing to pack");
    if (compiler != NULL && !m->no_compile && compile(m, compiler, own, err) != 0)
        return -1;
    for (size_t i = 0; i < m->walk.nexclude && !m->quiet; i++) {
        if (m->exclude[i].matched == 0)
            pbc_note("nothing matches --exclude '%s'", m->exclude[i].pattern);
    }
    if (pbc_plan_finish(&m->plan, err) != 0 || settle_paths(m, err) != 0)
        return -1;
    return check_limit(m, err);
}

static void report(const struct pbc_make *m, const char *output,
                   const struct pbc_members_figures *f)
{
    printf("%s: %llu files, %s -> %s%s%s\n", output, (unsigned long long)m->meta.files,
           pbc_size_words(m->meta.bytes), pbc_size_words(f->packed),
           m->meta.has_profile ? ", profile " : "",
           m->meta.has_profile ? pbc_profile_name(m->meta.profile) : "");
}

int pbc_make_write(struct pbc_make *m, const char *output, const char *compiler, bool own,
                   struct pbc_error *err)
{
    struct pbc_members_figures figures;
    uint64_t files, bytes;
    struct pbc_output *o;
    struct pbc_sink sink;
    int rc;

    if (prepare(m, compiler, own, err) != 0)
        return -1;
    o = pbc_output_open(output, err);
    if (o == NULL)
        return -1;
    pbc_plan_sum(&m->plan, &files, &bytes);
    pbc_progress_phase(m->progress, "packing", bytes);
    sink = pbc_output_sink(o);
    rc = pbc_pack(&m->plan, &m->meta, &sink, m->codec, m->level, m->progress, &figures, err);
    if (rc == 0)
        rc = pbc_output_commit(o, err);
    pbc_output_free(o);
    pbc_progress_clear(m->progress);
    if (rc == 0 && !m->quiet)
        report(m, output, &figures);
    return rc;
}
