/* Names and links in words: "name\n", "name>target\n", "name/\n". Where a link leads to is inside,
 * and no link itself. */
#include "fuzz.h"

#include "bundle.h"
#include "names.h"
#include "text.h"

#include <string.h>

static void follow_all(struct pbc_names *n)
{
    for (size_t i = 0; i < n->count; i++) {
        const struct pbc_name_of *of = &n->of[i];
        char real[PBC_PATH_MAX];
        const struct pbc_name_of *end;
        char *relative;

        CLAIM(pbc_names_find(n, of->name) != NULL);
        if (of->target == NULL ||
            pbc_names_follow(n, of->name, of->target, real) != PBC_LEADS_INSIDE)
            continue;
        CLAIM(of->target[0] != '/' && real[0] != '/' && strstr(real, "..") == NULL);
        end = *real == '\0' ? NULL : pbc_names_find(n, real);
        CLAIM(*real == '\0' || end != NULL || pbc_names_has_below(n, real));
        if (end != NULL) {
            CLAIM(end->target == NULL);
            relative = pbc_names_relative(of->name, real);
            CLAIM(relative != NULL && relative[0] != '/');
            free(relative);
        }
    }
}

/* No name twice, nothing below a link, nothing that is not plain: else there is nothing to claim.
 */
static int makes_sense(const struct pbc_names *n)
{
    for (size_t i = 0; i < n->count; i++) {
        const struct pbc_name_of *of = &n->of[i];

        if (!pbc_text_is_below(of->name) || (i > 0 && strcmp(n->of[i - 1].name, of->name) == 0) ||
            (of->target != NULL && pbc_names_has_below(n, of->name)))
            return 0;
    }
    return 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    struct pbc_names names = {0};
    struct pbc_error err;

    if (text == NULL || size > 4096) {
        free(text);
        return 0;
    }
    memcpy(text, data, size);
    text[size] = '\0';
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        char *arrow = strchr(line, '>');
        size_t len;

        if (arrow != NULL)
            *arrow++ = '\0';
        len = strlen(line);
        if (len == 0 || line[0] == '/' || strstr(line, "..") != NULL)
            continue;
        if (line[len - 1] == '/')
            line[len - 1] = '\0';
        if (pbc_names_add(&names,
                          (struct pbc_name_of){.name = line,
                                               .target = arrow,
                                               .dir = arrow == NULL && line[len - 1] == '\0'},
                          &err) != 0)
            break;
    }
    pbc_names_sort(&names);
    if (makes_sense(&names))
        follow_all(&names);
    pbc_names_free(&names);
    free(text);
    return 0;
}
