/* Lists joined by a colon. */
#include "relocate.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Whether `list`, joined by ':', has the entry. */
static bool has_entry(const char *list, const char *entry, size_t len)
{
    for (const char *p = list;; p++) {
        size_t n = strcspn(p, ":");

        if (n == len && memcmp(p, entry, len) == 0)
            return true;
        p += n;
        if (*p == '\0')
            return false;
    }
}

/* `to` and the entries of `list` that `other` does not have. */
static char *add_entries(char *to, const char *list, const char *other)
{
    for (;; list++) {
        size_t len = strcspn(list, ":");

        if (!has_entry(other, list, len)) {
            *to++ = ':';
            memcpy(to, list, len);
            to += len;
        }
        list += len;
        if (*list == '\0')
            break;
    }
    *to = '\0';
    return to;
}

/* `first`, then what `second` has besides. */
static char *join_lists(const char *first, const char *second)
{
    char *text;

    /* an empty entry means the current directory: none must come of joining with nothing */
    if (second == NULL || second[0] == '\0')
        return strdup(first == NULL ? "" : first);
    if (first == NULL || first[0] == '\0')
        return strdup(second);
    text = malloc(strlen(first) + 1 + strlen(second) + 1);
    if (text != NULL)
        add_entries(stpcpy(text, first), second, first);
    return text;
}

char *pbc_env_prepend(const char *value, const char *old)
{
    return join_lists(value, old);
}

char *pbc_env_append(const char *value, const char *old)
{
    return join_lists(old, value);
}
