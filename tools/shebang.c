#include "shebang.h"

#include "path.h"
#include "script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCRIPT_MAX (16u << 20)

/* X, if `path` is <root>/bin/X and that is in the bundle, and so is bin/X, which is on the PATH;
 * else NULL. */
static const char *own_program(const struct pbc_plan *p, const char *path)
{
    const char *last = pbc_path_last(path);
    char name[PBC_PATH_MAX], end[PBC_PATH_MAX];

    snprintf(end, sizeof(end), "/bin/%s", last);
    if (*last == '\0' || !pbc_plan_name_of(p, path, name) ||
        (strcmp(name, end + 1) != 0 && !pbc_path_ends(name, end)))
        return NULL;
    return pbc_plan_find(p, name) != NULL && pbc_plan_find(p, end + 1) != NULL ? last : NULL;
}

static int rewrite(struct pbc_plan *p, struct pbc_item *i, const struct pbc_shebang *s,
                   const char *program, struct pbc_error *err)
{
    char line[2048];
    int n = snprintf(line, sizeof(line), "#!/usr/bin/env %s%s%s%s\n", *s->args == '\0' ? "" : "-S ",
                     program, *s->args == '\0' ? "" : " ", s->args);
    bool settled = i->data == NULL || i->settled;
    uint8_t *old, *new;
    size_t rest;

    old = pbc_plan_contents(p, i, SCRIPT_MAX, err);
    if (old == NULL)
        return -1;
    rest = (size_t)i->size - s->skip;
    new = malloc((size_t)n + rest + 1);
    if (new == NULL) {
        free(old);
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory for a script");
    }
    memcpy(new, line, (size_t)n);
    memcpy(new + n, old + s->skip, rest);
    free(old);
    pbc_plan_replace(i, new, (size_t)n + rest);
    i->settled = settled;
    return 0;
}

int pbc_shebang_settle(struct pbc_plan *p, const char *interpreter, struct pbc_error *err)
{
    for (size_t k = 0; k < p->count; k++) {
        struct pbc_item *i = &p->item[k];
        struct pbc_shebang s;
        const char *program;
        char head[PBC_SHEBANG_MAX];
        ssize_t n;

        if (i->kind != PBC_PLAN_FILE || !(i->mode & 0111) || i->size < 4 || i->size > SCRIPT_MAX)
            continue;
        n = pbc_plan_head(p, i, head, sizeof(head), err);
        if (n < 0)
            return -1;
        if (!pbc_shebang_parse(head, (size_t)n, &s))
            continue;
        program = own_program(p, s.path);
        if (program == NULL && interpreter != NULL && strcmp(s.path, interpreter) == 0)
            program = strrchr(interpreter, '/') + 1;
        if (program != NULL && rewrite(p, i, &s, program, err) != 0)
            return -1;
    }
    return 0;
}
