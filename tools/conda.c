#include "conda.h"

#include "bundle.h"
#include "text.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* --- records ------------------------------------------------------------------------------- */

static int take_path(json_t *j,
                     int (*take)(void *, const struct pbc_conda_file *, struct pbc_error *),
                     void *arg, struct pbc_error *err)
{
    const char *mode = json_string_value(json_object_get(j, "file_mode"));
    struct pbc_conda_file f = {
        .path = json_string_value(json_object_get(j, "_path")),
        .placeholder = json_string_value(json_object_get(j, "prefix_placeholder")),
        .binary = mode != NULL && strcmp(mode, "binary") == 0,
    };

    if (f.path == NULL || f.placeholder == NULL || *f.placeholder == '\0')
        return 0;
    if (!pbc_text_is_below(f.path) || strlen(f.path) >= PBC_PATH_MAX)
        return pbc_fail(err, PBC_EXIT_REFUSED, "it names the path '%.128s'", f.path);
    if (f.placeholder[0] != '/' || strlen(f.placeholder) >= PBC_PATH_MAX)
        return pbc_fail(err, PBC_EXIT_REFUSED, "the placeholder of '%.128s' is no absolute path",
                        f.path);
    return take(arg, &f, err);
}

int pbc_conda_record(const char *text, size_t len,
                     int (*take)(void *arg, const struct pbc_conda_file *f, struct pbc_error *err),
                     void *arg, struct pbc_error *err)
{
    json_error_t where;
    json_t *j = len > PBC_CONDA_RECORD_MAX ? NULL : json_loadb(text, len, 0, &where);
    json_t *paths, *path;
    size_t i;
    int rc = 0;

    if (!json_is_object(j)) {
        json_decref(j);
        return pbc_fail(err, PBC_EXIT_REFUSED, "it is no record of conda");
    }
    paths = json_object_get(json_object_get(j, "paths_data"), "paths");
    json_array_foreach(paths, i, path)
    {
        rc = take_path(path, take, arg, err);
        if (rc != 0)
            break;
    }
    json_decref(j);
    return rc;
}

/* --- contents ------------------------------------------------------------------------------ */

static size_t count_in(const uint8_t *data, size_t len, const char *what, size_t n)
{
    const uint8_t *p = data, *end = data + len;
    size_t count = 0;

    while ((p = memmem(p, (size_t)(end - p), what, n)) != NULL) {
        count++;
        p += n;
    }
    return count;
}

/* All `from` become `to`; gives back where the output ends. */
static uint8_t *replace_in(const uint8_t *data, size_t len, const char *from, const char *to,
                           uint8_t *out)
{
    const uint8_t *p = data, *end = data + len, *hit;
    size_t n = strlen(from), m = strlen(to);

    while ((hit = memmem(p, (size_t)(end - p), from, n)) != NULL) {
        memcpy(out, p, (size_t)(hit - p));
        out += hit - p;
        memcpy(out, to, m);
        out += m;
        p = hit + n;
    }
    memcpy(out, p, (size_t)(end - p));
    return out + (end - p);
}

uint8_t *pbc_conda_restore_text(const uint8_t *data, size_t len, const char *prefix, const char *to,
                                size_t *ret_len, size_t *count)
{
    size_t n = strlen(prefix), m = strlen(to);
    uint8_t *out;

    *count = count_in(data, len, prefix, n);
    *ret_len = len - *count * n + *count * m;
    out = malloc(*ret_len + 1);
    if (out == NULL)
        return NULL;
    *replace_in(data, len, prefix, to, out) = '\0';
    return out;
}

static int all_nul(const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (p[i] != 0)
            return 0;
    }
    return 1;
}

void pbc_conda_restore_binary(uint8_t *data, size_t len, const char *prefix, const char *to,
                              size_t room, size_t *count, size_t *stuck)
{
    size_t n = strlen(prefix), m = strlen(to);
    uint8_t *p = data, *end = data + len;

    *count = *stuck = 0;
    if (n == 0 || room < n || room < m)
        return;
    while ((p = memmem(p, (size_t)(end - p), prefix, n)) != NULL) {
        uint8_t *stop = memchr(p, '\0', (size_t)(end - p));
        size_t hits, freed, whole;
        uint8_t *copy, *last;

        if (stop == NULL) {
            (*stuck)++;
            return;
        }
        hits = count_in(p, (size_t)(stop - p), prefix, n);
        freed = hits * (room - n);
        if (freed > (size_t)(end - stop) - 1 || !all_nul(stop + 1, freed)) {
            (*stuck)++;
            p = stop;
            continue;
        }
        whole = (size_t)(stop - p) + freed;
        copy = malloc(whole + hits * m + 1);
        if (copy == NULL) {
            (*stuck)++;
            return;
        }
        last = replace_in(p, (size_t)(stop - p), prefix, to, copy);
        memset(p, 0, whole);
        memcpy(p, copy, (size_t)(last - copy));
        free(copy);
        *count += hits;
        p += whole;
    }
}
