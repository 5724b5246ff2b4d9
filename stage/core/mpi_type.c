#include "mpi_type.h"

#include <stdio.h>
#include <string.h>

#define BLANKS " \t\r"

/* The next line of one word, which is a type. NULL at the end. */
static const char *next_type(const char **list, size_t *ret_len)
{
    while (**list != '\0') {
        const char *word = *list + strspn(*list, BLANKS);
        size_t len = strcspn(word, BLANKS "\n");
        const char *rest = word + len + strspn(word + len, BLANKS);

        *list = rest + strcspn(rest, "\n");
        if (**list == '\n')
            ++*list;
        if (len > 0 && (*rest == '\0' || *rest == '\n')) {
            *ret_len = len;
            return word;
        }
    }
    return NULL;
}

static int offers(const char *list, const char *type)
{
    const char *word;
    size_t len;

    while ((word = next_type(&list, &len)) != NULL) {
        if (len == strlen(type) && memcmp(word, type, len) == 0)
            return 1;
    }
    return 0;
}

int pbc_mpi_is_pmix(const char *type)
{
    return strcmp(type, "pmix") == 0 || strncmp(type, "pmix_", 5) == 0;
}

/* Where the site has plugins of some versions and none that is called pmix alone. */
static int first_version(const char *list, char ret[PBC_MPI_TYPE_MAX])
{
    static const char mark[] = "pmix plugin versions available:";
    const char *word = strstr(list, mark);
    size_t digits, len;

    if (word == NULL)
        return -1;
    word += sizeof(mark) - 1;
    word += strspn(word, BLANKS);
    len = strcspn(word, BLANKS ",\n");
    digits = strncmp(word, "pmix_v", 6) == 0 ? strspn(word + 6, "0123456789") : 0;
    if (digits == 0 || len != 6 + digits || len >= PBC_MPI_TYPE_MAX)
        return -1;
    memcpy(ret, word, len);
    ret[len] = '\0';
    return 0;
}

int pbc_mpi_choose(const char *list, char ret[PBC_MPI_TYPE_MAX])
{
    if (offers(list, "pmix")) {
        strcpy(ret, "pmix");
        return 0;
    }
    if (first_version(list, ret) == 0)
        return 0;
    strcpy(ret, "pmi2");
    return offers(list, "pmi2") ? 0 : -1;
}

void pbc_mpi_offered(const char *list, char *ret, size_t size)
{
    const char *word;
    size_t len, used = 0;

    snprintf(ret, size, "nothing");
    while ((word = next_type(&list, &len)) != NULL && used + len + 2 < size)
        used += (size_t)snprintf(ret + used, size - used, "%s%.*s", used > 0 ? ", " : "", (int)len,
                                 word);
}
