#include "shebang.h"

#include "bundle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCRIPT_MAX (16u << 20)

static const char *end_of_line(const char *p, const char *end)
{
    const char *newline = memchr(p, '\n', (size_t)(end - p));

    return newline;
}

static int is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The first word of [p, end) and the rest, without blanks around them. */
static int split(const char *p, const char *end, struct pbc_shebang *ret)
{
    const char *word;

    while (p < end && is_blank(*p))
        p++;
    while (end > p && (is_blank(end[-1]) || end[-1] == '\r'))
        end--;
    for (word = p; p < end && !is_blank(*p); p++)
        ;
    if (p == word || *word != '/' || (size_t)(p - word) >= sizeof(ret->path))
        return 0;
    memcpy(ret->path, word, (size_t)(p - word));
    ret->path[p - word] = '\0';
    while (p < end && is_blank(*p))
        p++;
    if ((size_t)(end - p) >= sizeof(ret->args))
        return 0;
    memcpy(ret->args, p, (size_t)(end - p));
    ret->args[end - p] = '\0';
    return 1;
}

/* #!/bin/sh
 * '''exec' "/a long path/bin/python3" "$0" "$@"
 * ' '''
 */
static int parse_by_shell(const char *head, const char *end, const char *line,
                          struct pbc_shebang *ret)
{
    static const char exec[] = "'''exec' ";
    static const char args[] = " \"$0\" \"$@\"";
    static const char last[] = "' '''\n";
    const char *p = line + sizeof(exec) - 1;
    const char *eol, *stop;

    if ((size_t)(end - line) < sizeof(exec) - 1 || memcmp(line, exec, sizeof(exec) - 1) != 0)
        return 0;
    eol = end_of_line(p, end);
    if (eol == NULL || (size_t)(eol - p) < sizeof(args) - 1)
        return 0;
    stop = eol - (sizeof(args) - 1);
    if (memcmp(stop, args, sizeof(args) - 1) != 0 || (size_t)(end - eol - 1) < sizeof(last) - 1 ||
        memcmp(eol + 1, last, sizeof(last) - 1) != 0)
        return 0;
    if (stop - p >= 2 && *p == '"' && stop[-1] == '"') {
        p++;
        stop--;
    }
    if (p == stop || *p != '/' || (size_t)(stop - p) >= sizeof(ret->path))
        return 0;
    memcpy(ret->path, p, (size_t)(stop - p));
    ret->path[stop - p] = '\0';
    ret->args[0] = '\0';
    ret->skip = (size_t)(eol + sizeof(last) - head);
    return 1;
}

int pbc_shebang_parse(const void *head, size_t len, struct pbc_shebang *ret)
{
    const char *p = head;
    const char *end = p + len;
    const char *eol;

    if (len < 4 || memcmp(p, "#!", 2) != 0)
        return 0;
    eol = end_of_line(p, end);
    if (eol == NULL || !split(p + 2, eol, ret))
        return 0;
    ret->skip = (size_t)(eol + 1 - p);
    if (strcmp(ret->path, "/bin/sh") == 0 && parse_by_shell(p, end, eol + 1, ret))
        return 1;
    return 1;
}

/* X, if `path` is <root>/bin/X and bin/X is in the bundle; else NULL. */
static const char *own_program(const struct pbc_plan *p, const char *path)
{
    for (size_t i = 0; i < p->nroots; i++) {
        const struct pbc_root *root = &p->root[i];
        size_t len = strlen(root->dir);
        const char *name = path + len + 5;

        if (root->name[0] == '\0' && strncmp(path, root->dir, len) == 0 &&
            strncmp(path + len, "/bin/", 5) == 0 && *name != '\0' && strchr(name, '/') == NULL &&
            pbc_plan_find(p, path + len + 1) != NULL)
            return name;
    }
    return NULL;
}

static int rewrite(struct pbc_plan *p, struct pbc_item *i, const struct pbc_shebang *s,
                   const char *program, struct pbc_error *err)
{
    char line[2048];
    int n = snprintf(line, sizeof(line), "#!/usr/bin/env %s%s%s%s\n", *s->args == '\0' ? "" : "-S ",
                     program, *s->args == '\0' ? "" : " ", s->args);
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
