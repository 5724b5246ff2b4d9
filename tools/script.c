#include "script.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
static void parse_by_shell(const char *head, const char *end, const char *line,
                           struct pbc_shebang *ret)
{
    static const char exec[] = "'''exec' ";
    static const char args[] = " \"$0\" \"$@\"";
    static const char last[] = "' '''\n";
    const char *p = line + sizeof(exec) - 1;
    const char *eol, *stop;

    if ((size_t)(end - line) < sizeof(exec) - 1 || memcmp(line, exec, sizeof(exec) - 1) != 0)
        return;
    eol = end_of_line(p, end);
    if (eol == NULL || (size_t)(eol - p) < sizeof(args) - 1)
        return;
    stop = eol - (sizeof(args) - 1);
    if (memcmp(stop, args, sizeof(args) - 1) != 0 || (size_t)(end - eol - 1) < sizeof(last) - 1 ||
        memcmp(eol + 1, last, sizeof(last) - 1) != 0)
        return;
    if (stop - p >= 2 && *p == '"' && stop[-1] == '"') {
        p++;
        stop--;
    }
    if (p == stop || *p != '/' || (size_t)(stop - p) >= sizeof(ret->path))
        return;
    memcpy(ret->path, p, (size_t)(stop - p));
    ret->path[stop - p] = '\0';
    ret->args[0] = '\0';
    ret->skip = (size_t)(eol + sizeof(last) - head);
}

int pbc_shebang_parse(const void *head, size_t len, struct pbc_shebang *ret)
{
    const char *p = head;
    const char *end = p + len;
    const char *eol;

    if (len < 4 || memcmp(p, "#!", 2) != 0)
        return 0;
    eol = end_of_line(p, end);
    if (eol == NULL && len >= PBC_SHEBANG_MAX)
        return 0;
    if (!split(p + 2, eol == NULL ? end : eol, ret))
        return 0;
    if (eol == NULL) { /* the file ends there, which is good enough for the kernel */
        ret->skip = len;
        return 1;
    }
    ret->skip = (size_t)(eol + 1 - p);
    if (strcmp(ret->path, "/bin/sh") == 0)
        parse_by_shell(p, end, eol + 1, ret);
    return 1;
}

int pbc_script_interpreter(const char *path, char out[PBC_PATH_MAX])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char head[PBC_SHEBANG_MAX];
    struct pbc_shebang script;
    ssize_t n = fd < 0 ? -1 : read(fd, head, sizeof(head));
    const char *newline = n <= 0 ? NULL : end_of_line(head, head + n);
    size_t line = newline != NULL ? (size_t)(newline + 1 - head) : n > 0 ? (size_t)n : 0;
    char *real = NULL;
    int found;

    if (fd >= 0)
        close(fd);
    /* The kernel looks at the first line only. */
    if (pbc_shebang_parse(head, line, &script))
        real = realpath(script.path, NULL);
    found = real != NULL && strlen(real) < PBC_PATH_MAX;
    if (found)
        memcpy(out, real, strlen(real) + 1);
    free(real);
    return found;
}
