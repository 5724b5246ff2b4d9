/* pbcast inspect */
#include "command.h"
#include "relocate.h"
#include "scan.h"
#include "stop.h"
#include "text.h"
#include "unpack_pipe.h"

#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIRS_TOLD 15
#define ROOT      "/ROOT" /* stands for the staged tree */

static const char usage[] =
    "usage: pbcast inspect [-q] [--json] BUNDLE\n"
    "\n"
    "Say what a bundle holds: members, sizes by directory, profile, variables, and what it would\n"
    "set for tasks, with " ROOT " for the staged tree. Any archive that can be staged will do.\n"
    "\n"
    "      --json   for programs; all directories\n"
    "  -q, --quiet  no progress\n"
    "  -h, --help\n";

static const struct option long_options[] = {
    {"json", no_argument, NULL, 'j'},
    {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},
    {0},
};

/* --- sizes by directory -------------------------------------------------------------------- */

struct dir {
    const char *name; /* of a member in it */
    size_t len;       /* of the directory's name, 0 for the top */
    uint64_t files;
    uint64_t bytes;
};

static int by_dir(const void *a, const void *b)
{
    const struct dir *x = a;
    const struct dir *y = b;
    int rc = strncmp(x->name, y->name, x->len < y->len ? x->len : y->len);

    return rc != 0 ? rc : x->len < y->len ? -1 : x->len > y->len;
}

static int by_bytes(const void *a, const void *b)
{
    const struct dir *x = a;
    const struct dir *y = b;

    return x->bytes != y->bytes ? (x->bytes < y->bytes ? 1 : -1) : by_dir(a, b);
}

/* Files two levels down, and by package where Python has them: enough to see what is large. */
static size_t dir_of(const char *name)
{
    const char *packages = strstr(name, "-packages/");
    const char *end = packages == NULL ? NULL : strchr(packages + 10, '/');
    const char *slash = strchr(name, '/');

    if (end != NULL)
        return (size_t)(end - name);
    if (packages != NULL)
        return (size_t)(packages + 9 - name);
    if (slash == NULL)
        return 0;
    return (size_t)((strchr(slash + 1, '/') == NULL ? slash : strchr(slash + 1, '/')) - name);
}

/* Malloced; NULL without memory. */
static struct dir *add_up(const struct pbc_scan *s, size_t *ret)
{
    struct dir *dir = calloc(s->count + 1, sizeof(*dir));
    size_t n = 0, kept = 0;

    if (dir == NULL)
        return NULL;
    for (size_t i = 0; i < s->count; i++) {
        const struct pbc_seen *m = &s->seen[i];

        if (m->kind == 'f' && !pbc_member_is_own(m->name))
            dir[n++] = (struct dir){m->name, dir_of(m->name), 1, m->size};
    }
    qsort(dir, n, sizeof(*dir), by_dir);
    for (size_t i = 0; i < n; i++) {
        if (kept > 0 && by_dir(&dir[kept - 1], &dir[i]) == 0) {
            dir[kept - 1].files++;
            dir[kept - 1].bytes += dir[i].bytes;
        } else {
            dir[kept++] = dir[i];
        }
    }
    qsort(dir, kept, sizeof(*dir), by_bytes);
    *ret = kept;
    return dir;
}

/* --- for people ---------------------------------------------------------------------------- */

static const char *kind_name(enum pbc_env_kind kind)
{
    switch (kind) {
    case PBC_ENV_SET:
        return "set";
    case PBC_ENV_UNSET:
        return "unset";
    case PBC_ENV_PREPEND:
        return "prepend";
    default:
        return "append";
    }
}

/* Names may hold what a terminal obeys. */
static void print_plain(const char *text, size_t len)
{
    char plain[256];

    for (size_t n; len > 0; text += n, len -= n) {
        n = len < sizeof(plain) ? len : sizeof(plain);
        n -= n < len && (unsigned char)text[n - 1] == 0xc2; /* with what follows */
        memcpy(plain, text, n);
        pbc_text_plain(plain, n);
        fwrite(plain, 1, n, stdout);
    }
}

static void line(const char *what, const char *text)
{
    printf("  %-10s ", what);
    print_plain(text, strlen(text));
    putchar('\n');
}

static void print_env(const struct pbc_env_ops *ops)
{
    for (size_t i = 0; i < ops->count; i++) {
        const struct pbc_env_op *op = &ops->item[i];

        printf("  %-10s %-7s ", i == 0 ? "tasks get" : "", kind_name(op->kind));
        print_plain(op->name, strlen(op->name));
        if (op->value != NULL) {
            putchar('=');
            print_plain(op->value, strlen(op->value));
        }
        putchar('\n');
    }
}

static const char *digest_words(const struct pbc_scan *s)
{
    if (!s->has_meta || s->meta.contents[0] == '\0')
        return "not stated";
    return strcmp(s->meta.contents, s->contents) == 0 ? "as stated"
                                                      : "NOT AS STATED: the bundle was changed";
}

static void print_people(const struct pbc_scan *s, const struct pbc_manifest *found,
                         const struct pbc_env_ops *ops, const struct dir *dir, size_t ndirs)
{
    print_plain(s->path, strlen(s->path));
    printf(": %s, %s", pbc_size_words(s->packed), s->format);
    if (s->frames > 0)
        printf(", %llu frames", (unsigned long long)s->frames);
    printf("\n  %-10s %llu files (%s), %llu directories, %llu links\n", "holds",
           (unsigned long long)s->files, pbc_size_words(s->bytes), (unsigned long long)s->dirs,
           (unsigned long long)s->links);
    printf("  %-10s %s, %s\n", "contents", s->contents, digest_words(s));
    if (s->has_meta && s->meta.origin != NULL)
        line("origin", s->meta.origin);
    if (s->has_meta && s->meta.placeholder != NULL)
        printf("  %-10s %zu files, of a prefix of %zu bytes\n", "rewrites", s->meta.nrewrites,
               strlen(s->meta.placeholder));
    if (s->refused.text[0] != '\0') {
        line("REFUSED", s->refused.text);
    } else {
        printf("  %-10s %s, %s%s%s\n", "profile", pbc_profile_name(found->profile),
               found->stated ? "stated" : "by what the tree holds",
               found->python[0] == '\0' ? "" : ", Python ", found->python);
        print_env(ops);
    }
    for (size_t i = 0; i < ndirs && i < DIRS_TOLD; i++) {
        printf("  %10s %6llu files  ", pbc_size_words(dir[i].bytes),
               (unsigned long long)dir[i].files);
        print_plain(dir[i].len == 0 ? "." : dir[i].name, dir[i].len == 0 ? 1 : dir[i].len);
        putchar('\n');
    }
    if (ndirs > DIRS_TOLD)
        printf("  %10s and %zu directories more\n", "", ndirs - DIRS_TOLD);
}

/* --- for programs -------------------------------------------------------------------------- */

/* JSON is UTF-8: bytes that are not become U+FFFD. */
static json_t *text(const char *from, size_t len)
{
    json_t *j = json_stringn(from, len);
    char *out, *p;

    if (j != NULL)
        return j;
    p = out = malloc(3 * len + 1);
    if (out == NULL)
        return NULL;
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)from[i] < 0x80) {
            *p++ = from[i];
        } else {
            memcpy(p, "\xef\xbf\xbd", 3);
            p += 3;
        }
    }
    j = json_stringn(out, (size_t)(p - out));
    free(out);
    return j;
}

static json_t *whole(const char *from)
{
    return from == NULL ? json_null() : text(from, strlen(from));
}

static json_t *json_env(const struct pbc_env_ops *ops)
{
    json_t *list = json_array();

    for (size_t i = 0; i < ops->count; i++) {
        const struct pbc_env_op *op = &ops->item[i];

        json_array_append_new(list, json_pack("{s:s, s:o, s:o}", "kind", kind_name(op->kind),
                                              "name", whole(op->name), "value", whole(op->value)));
    }
    return list;
}

static json_t *json_dirs(const struct dir *dir, size_t ndirs)
{
    json_t *list = json_array();

    for (size_t i = 0; i < ndirs; i++)
        json_array_append_new(
            list, json_pack("{s:o, s:I, s:I}", "name",
                            dir[i].len == 0 ? json_string(".") : text(dir[i].name, dir[i].len),
                            "files", (json_int_t)dir[i].files, "bytes", (json_int_t)dir[i].bytes));
    return list;
}

static int print_json(const struct pbc_scan *s, const struct pbc_manifest *found,
                      const struct pbc_env_ops *ops, const struct dir *dir, size_t ndirs)
{
    int refused = s->refused.text[0] != '\0';
    json_t *j = json_pack(
        "{s:o, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:o, s:o, s:o, s:b, s:o, s:o, s:o, s:o}",
        "path", whole(s->path), "format", s->format, "archive_bytes", (json_int_t)s->packed,
        "frames", (json_int_t)s->frames, "files", (json_int_t)s->files, "directories",
        (json_int_t)s->dirs, "links", (json_int_t)s->links, "bytes", (json_int_t)s->bytes,
        "contents", s->contents, "contents_stated",
        s->has_meta && s->meta.contents[0] != '\0' ? whole(s->meta.contents) : json_null(),
        "origin", whole(s->has_meta ? s->meta.origin : NULL), "profile",
        refused ? json_null() : json_string(pbc_profile_name(found->profile)), "profile_stated",
        (int)found->stated, "python",
        found->python[0] == '\0' ? json_null() : json_string(found->python), "refused",
        refused ? whole(s->refused.text) : json_null(), "environment", json_env(ops),
        "by_directory", json_dirs(dir, ndirs));

    if (j == NULL || json_dumpf(j, stdout, JSON_INDENT(2)) != 0)
        return -1;
    putchar('\n');
    json_decref(j);
    return 0;
}

/* --- the command --------------------------------------------------------------------------- */

static int inspect(const char *path, int json, struct pbc_progress *progress, struct pbc_error *err)
{
    struct pbc_env_ops ops = {0};
    struct pbc_manifest found = {0};
    struct dir *dir = NULL;
    struct pbc_scan s;
    size_t ndirs = 0;
    int rc;

    pbc_progress_phase(progress, "reading", 0);
    rc = pbc_scan(&s, path, progress, err);
    if (rc == 0)
        rc = pbc_scan_tree(&s, &found, err);
    if (rc == 0 && s.refused.text[0] == '\0')
        rc = pbc_relocate(&found, ROOT, &ops, err);
    if (rc == 0 && (dir = add_up(&s, &ndirs)) == NULL)
        rc = pbc_fail(err, PBC_EXIT_FAILED, "no memory");
    pbc_progress_clear(progress);
    if (rc == 0 && json)
        rc = print_json(&s, &found, &ops, dir, ndirs) == 0
                 ? 0
                 : pbc_fail(err, PBC_EXIT_FAILED, "cannot write JSON");
    else if (rc == 0)
        print_people(&s, &found, &ops, dir, ndirs);
    free(dir);
    pbc_env_ops_free(&ops);
    pbc_manifest_free(&found);
    pbc_scan_free(&s);
    return rc;
}

int pbc_cmd_inspect(int argc, char *argv[])
{
    struct pbc_progress *progress;
    struct pbc_error err;
    int json = 0, quiet = 0;
    int c, rc;

    while ((c = getopt_long(argc, argv, "qh", long_options, NULL)) != -1) {
        switch (c) {
        case 'j':
            json = 1;
            break;
        case 'q':
            quiet = 1;
            break;
        case 'h':
            fputs(usage, stdout);
            return PBC_EXIT_OK;
        default:
            return PBC_EXIT_USAGE;
        }
    }
    if (argc - optind != 1)
        return pbc_complain_usage("inspect", "give one bundle");
    pbc_stop_catch();
    progress = pbc_progress_new(quiet);
    rc = inspect(argv[optind], json, progress, &err);
    pbc_progress_free(progress);
    return rc == 0 ? PBC_EXIT_OK : pbc_complain(&err);
}
