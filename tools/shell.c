#include "shell.h"

#include <stdint.h>
#include <string.h>

static const char *const names[] = {
    [PBC_SHELL_BASH] = "bash",
    [PBC_SHELL_FISH] = "fish",
    [PBC_SHELL_CSH] = "csh",
    [PBC_SHELL_JSON] = "json",
};

int pbc_shell_from_name(const char *name, enum pbc_shell *ret)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(names[i], name) == 0) {
            *ret = (enum pbc_shell)i;
            return 0;
        }
    }
    return -1;
}

/* In single quotes nothing means anything, but for these. */
static void quote(FILE *out, const char *text, enum pbc_shell shell)
{
    putc('\'', out);
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '\'' && shell != PBC_SHELL_FISH)
            fputs("'\\''", out);
        else if ((shell == PBC_SHELL_FISH && (*p == '\'' || *p == '\\')) ||
                 (shell == PBC_SHELL_CSH && (*p == '!' || *p == '\n')))
            fprintf(out, "\\%c", *p);
        else
            putc(*p, out);
    }
    putc('\'', out);
}

/* The bytes of the UTF-8 character at `p` (RFC 3629), 0 if there is none. */
static size_t utf8_length(const unsigned char *p)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t len = p[0] < 0x80 ? 1 : p[0] < 0xc0 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    uint32_t code;

    if (len < 2)
        return len;
    if (p[0] > 0xf4)
        return 0;
    code = p[0] & (0xffu >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (p[i] & 0x3f);
    }
    return code < least[len] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? 0 : len;
}

static void write_json(FILE *out, const char *text)
{
    putc('"', out);
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0';) {
        size_t len = utf8_length(p);

        if (len == 0)
            fprintf(out, "\\udc%02x", (unsigned)*p);
        else if (*p == '"' || *p == '\\')
            fprintf(out, "\\%c", *p);
        else if (*p < 0x20 || *p == 0x7f)
            fprintf(out, "\\u%04x", (unsigned)*p);
        else
            fwrite(p, 1, len, out);
        p += len == 0 ? 1 : len;
    }
    putc('"', out);
}

static void write_entry(FILE *out, const char *name, const char *value, bool first, bool last)
{
    fputs(first ? "{\n  " : "  ", out);
    write_json(out, name);
    fputs(": ", out);
    if (value == NULL)
        fputs("null", out);
    else
        write_json(out, value);
    fputs(last ? "\n}\n" : ",\n", out);
}

void pbc_shell_write(FILE *out, enum pbc_shell shell, const char *name, const char *value,
                     bool first, bool last)
{
    static const char *const set[][2] = {{"export ", "="}, {"set -gx ", " "}, {"setenv ", " "}};
    static const char *const unset[] = {"unset ", "set -e ", "unsetenv "};

    if (shell == PBC_SHELL_JSON) {
        write_entry(out, name, value, first, last);
        return;
    }
    if (value == NULL) {
        fprintf(out, "%s%s", unset[shell], name);
    } else {
        fprintf(out, "%s%s%s", set[shell][0], name, set[shell][1]);
        quote(out, value, shell);
    }
    fputs(";\n", out);
}
