#include "cmd_catalog.h"

#include "catalog.h"
#include "catalog_file.h"
#include "command.h"
#include "path.h"
#include "trusted.h"

#include <errno.h>
#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef PBC_CATALOG_DEFAULT
#define PBC_CATALOG_DEFAULT "/etc/pbcast/catalog"
#endif

static const char usage[] =
    "usage: pbcast catalog [-f FILE] list [NAME]\n"
    "       pbcast catalog [-f FILE] show NAME[/VERSION]\n"
    "       pbcast catalog [-f FILE] add [OPTION...] NAME/VERSION BUNDLE\n"
    "       pbcast catalog [-f FILE] remove NAME/VERSION\n"
    "       pbcast catalog [-f FILE] verify [NAME[/VERSION]...]\n"
    "\n"
    "The site's catalogue: bundles that --pbcast-bundle takes by name.\n"
    "\n"
    "  -f, --file FILE        the catalogue ($PBCAST_CATALOG, else " PBC_CATALOG_DEFAULT ")\n"
    "  -h, --help\n"
    "\n"
    "add reads the bundle, and notes its path and digest; the catalogue is made if there is none:\n"
    "  --default              what NAME alone means, from now on\n"
    "  --default-in P[,P...]  the same in jobs of these partitions\n"
    "  --profile PROFILE      " PBC_PROFILE_NAMES "\n"
    "  --description TEXT\n"
    "\n"
    "remove takes the entry out; the bundle stays where it is. verify looks whether srun would\n"
    "trust the file, and whether each bundle is there and has its digest.\n"
    "\n"
    "Exit status: 0 good, 1 failed, 2 usage, 3 no such name, or a bundle that is not as it should\n"
    "be, 4 no space. See pbcast-catalog(1).\n";

struct request {
    const char *file;
    int is_default;
    const char *partitions;
    const char *profile;
    const char *description;
    char **word; /* what follows the verb */
    int words;
};

enum { DEFAULT = 256, DEFAULT_IN, PROFILE, DESCRIPTION };

static const struct option options[] = {
    {"file", required_argument, NULL, 'f'},
    {"help", no_argument, NULL, 'h'},
    {"default", no_argument, NULL, DEFAULT},
    {"default-in", required_argument, NULL, DEFAULT_IN},
    {"profile", required_argument, NULL, PROFILE},
    {"description", required_argument, NULL, DESCRIPTION},
    {0},
};

static int load(const struct request *q, struct pbc_catalog *cat, struct pbc_error *err)
{
    struct pbc_error why;
    size_t len;
    char *text = pbc_catalog_text(q->file, &len, err);
    int rc;

    if (text == NULL)
        return -1;
    rc = pbc_catalog_parse(text, len, cat, &why);
    free(text);
    return rc < 0 ? pbc_fail(err, why.code, "%s: %s", q->file, why.text) : 0;
}

/* ---- list, show ---- */

/* Of this name, or of this name and version. */
static int selected(const struct pbc_catalog_entry *e, const char *name)
{
    size_t len = strlen(e->name);

    return strncmp(name, e->name, len) == 0 &&
           (name[len] == '\0' || (name[len] == '/' && strcmp(name + len + 1, e->version) == 0));
}

static int list(const struct request *q)
{
    struct pbc_catalog cat;
    struct pbc_error err;
    int found = q->words == 0, width = 0;

    if (q->words > 1)
        return pbc_complain_usage("catalog", "list takes one name at most");
    if (load(q, &cat, &err) < 0)
        return pbc_complain(&err);
    for (size_t i = 0; i < cat.count; i++) {
        int n = (int)(strlen(cat.entry[i].name) + strlen(cat.entry[i].version) + 1);

        width = n > width ? n : width;
    }
    for (size_t i = 0; i < cat.count; i++) {
        const struct pbc_catalog_entry *e = &cat.entry[i];
        int pad = width - (int)(strlen(e->name) + strlen(e->version) + 1);

        if (q->words > 0 && !selected(e, q->word[0]))
            continue;
        found = 1;
        printf("%s/%s%*s %s%s%s%s%s\n", e->name, e->version, pad, "",
               e->is_default ? "(default) " : "", e->partitions != NULL ? "(default in " : "",
               e->partitions != NULL ? e->partitions : "", e->partitions != NULL ? ") " : "",
               e->description != NULL ? e->description : "");
    }
    if (!found) {
        (void)pbc_catalog_find(&cat, q->word[0], NULL, &err);
        pbc_catalog_free(&cat);
        return pbc_complain(&err);
    }
    pbc_catalog_free(&cat);
    return PBC_EXIT_OK;
}

static int show(const struct request *q)
{
    const struct pbc_catalog_entry *e;
    struct pbc_catalog cat;
    struct pbc_error err;

    if (q->words != 1)
        return pbc_complain_usage("catalog", "show takes one name");
    if (load(q, &cat, &err) < 0)
        return pbc_complain(&err);
    e = pbc_catalog_find(&cat, q->word[0], NULL, &err);
    if (e == NULL) {
        pbc_catalog_free(&cat);
        return pbc_complain(&err);
    }
    printf("bundle=%s/%s\npath=%s\ndigest=%s\n", e->name, e->version, e->path, e->digest);
    if (e->is_default)
        puts("default=yes");
    if (e->partitions != NULL)
        printf("default-in=%s\n", e->partitions);
    if (e->has_profile)
        printf("profile=%s\n", pbc_profile_name(e->profile));
    pbc_variables_write(stdout, "", &e->vars);
    if (e->description != NULL)
        printf("description=%s\n", e->description);
    pbc_catalog_free(&cat);
    return PBC_EXIT_OK;
}

/* ---- verify ---- */

static int verify_entry(const struct pbc_catalog_entry *e, struct pbc_error *err)
{
    char digest[PBC_DIGEST_LEN + 1];
    struct pbc_bundles one;
    int rc;

    if (pbc_bundles_parse(e->path, &one, err) < 0)
        return -1;
    rc = pbc_bundles_probe(&one, err);
    pbc_bundles_free(&one);
    if (rc < 0 || pbc_file_digest(e->path, digest, err) < 0)
        return -1;
    if (strcmp(digest, e->digest) != 0)
        return pbc_fail(err, PBC_EXIT_REFUSED, "%s has the digest %s, not %s", e->path, digest,
                        e->digest);
    return 0;
}

static int asked_for(const struct request *q, const struct pbc_catalog_entry *e)
{
    for (int i = 0; i < q->words; i++) {
        if (selected(e, q->word[i]))
            return 1;
    }
    return q->words == 0;
}

/* As srun reads it, which is told the whole path. */
static char *read_trusted(const char *file, size_t *len, struct pbc_error *err)
{
    char dir[PBC_PATH_MAX], path[PBC_PATH_MAX];

    if (file[0] == '/')
        return pbc_trusted_read(file, PBC_CATALOG_MAX, len, err);
    if (getcwd(dir, sizeof(dir)) == NULL || !pbc_path_join(dir, file, path)) {
        pbc_fail(err, PBC_EXIT_FAILED, "cannot tell the whole path of %s", file);
        return NULL;
    }
    return pbc_trusted_read(path, PBC_CATALOG_MAX, len, err);
}

static int verify(const struct request *q)
{
    enum pbc_exit code = PBC_EXIT_OK;
    struct pbc_catalog cat;
    struct pbc_error err, why;
    size_t len;
    char *text;

    if (load(q, &cat, &err) < 0)
        return pbc_complain(&err);
    for (int i = 0; i < q->words; i++) {
        int known = 0;

        for (size_t k = 0; k < cat.count && !known; k++)
            known = selected(&cat.entry[k], q->word[i]);
        if (!known) {
            (void)pbc_catalog_find(&cat, q->word[i], NULL, &err);
            pbc_catalog_free(&cat);
            return pbc_complain(&err);
        }
    }
    text = read_trusted(q->file, &len, &err);
    free(text);
    if (text == NULL)
        code = (enum pbc_exit)pbc_complain(&err);
    for (size_t i = 0; i < cat.count; i++) {
        const struct pbc_catalog_entry *e = &cat.entry[i];

        if (!asked_for(q, e))
            continue;
        if (verify_entry(e, &err) == 0) {
            printf("%s/%s: good\n", e->name, e->version);
        } else {
            pbc_fail(&why, PBC_EXIT_REFUSED, "%s/%s: %s", e->name, e->version, err.text);
            code = (enum pbc_exit)pbc_complain(&why);
        }
        fflush(stdout);
    }
    pbc_catalog_free(&cat);
    return (int)code;
}

/* ---- add, remove ---- */

/* The lines of the new entry. NULL with err. */
static char *lines_of(const struct request *q, struct pbc_error *err)
{
    char digest[PBC_DIGEST_LEN + 1], *lines = NULL;
    struct pbc_bundles one;
    size_t len;
    FILE *out;

    if (pbc_bundles_parse(q->word[1], &one, err) < 0)
        return NULL;
    if (one.count != 1) {
        pbc_fail(err, PBC_EXIT_USAGE, "%s: one bundle is needed, without commas", q->word[1]);
    } else if (pbc_bundles_probe(&one, err) == 0 &&
               pbc_file_digest(one.item[0].path, digest, err) == 0) {
        out = open_memstream(&lines, &len);
        if (out != NULL) {
            fprintf(out, "\nbundle=%s\npath=%s\ndigest=%s\n", q->word[0], one.item[0].path, digest);
            if (q->is_default)
                fputs("default=yes\n", out);
            if (q->partitions != NULL)
                fprintf(out, "default-in=%s\n", q->partitions);
            if (q->profile != NULL)
                fprintf(out, "profile=%s\n", q->profile);
            if (q->description != NULL)
                fprintf(out, "description=%s\n", q->description);
        }
        if (out == NULL || fclose(out) != 0) {
            free(lines);
            lines = NULL;
            pbc_fail(err, PBC_EXIT_FAILED, "no memory for the catalogue");
        }
    }
    pbc_bundles_free(&one);
    return lines;
}

/* `lines` behind `kept`, which is `old` (NULL: there is no file) or what stays of it. */
static int put(const struct request *q, const char *old, const char *kept, const char *lines,
               struct pbc_error *err)
{
    struct pbc_catalog cat;
    struct pbc_error why;
    char *text = NULL;
    int rc;

    if (asprintf(&text, "%s%s%s", kept,
                 kept[0] != '\0' && kept[strlen(kept) - 1] != '\n' ? "\n" : "", lines) < 0)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory for the catalogue");
    if (pbc_catalog_parse(text, strlen(text), &cat, &why) < 0) {
        free(text);
        return pbc_fail(err, PBC_EXIT_REFUSED, "%s is left as it is; with the new entry: %s",
                        q->file, why.text);
    }
    pbc_catalog_free(&cat);
    rc = pbc_catalog_replace(q->file, old, text, err);
    free(text);
    return rc;
}

/* An entry NAME/VERSION. What cannot be parsed has none. */
static int has_entry(const char *text, const char *name)
{
    struct pbc_catalog cat;
    int found = 0;

    if (pbc_catalog_parse(text, strlen(text), &cat, NULL) < 0)
        return 0;
    for (size_t i = 0; i < cat.count && !found; i++)
        found = selected(&cat.entry[i], name);
    pbc_catalog_free(&cat);
    return found;
}

static int is_entry_name(const char *name)
{
    return pbc_catalog_is_name(name) && strchr(name, '/') != NULL;
}

static int add(const struct request *q)
{
    char *old, *lines, *kept;
    struct pbc_error err;
    char name[2 * PBC_CATALOG_NAME];
    size_t len;
    int rc;

    if (q->words != 2)
        return pbc_complain_usage("catalog", "add takes NAME/VERSION and a bundle");
    if (!is_entry_name(q->word[0]))
        return pbc_complain_usage(
            "catalog", "add: NAME/VERSION is of letters, digits and . _ + -, and one slash");
    if ((q->description != NULL && strpbrk(q->description, "\n\r") != NULL) ||
        (q->partitions != NULL && strpbrk(q->partitions, "\n\r") != NULL) ||
        (q->profile != NULL && strpbrk(q->profile, "\n\r") != NULL))
        return pbc_complain_usage("catalog", "add: a value is one line");
    old = pbc_catalog_text(q->file, &len, &err);
    if (old == NULL && errno != ENOENT)
        return pbc_complain(&err);
    if (old != NULL && has_entry(old, q->word[0])) { /* said before the bundle is read */
        free(old);
        pbc_fail(&err, PBC_EXIT_REFUSED,
                 "%s has %s already: add another version, or take that one out first (pbcast "
                 "catalog remove)",
                 q->file, q->word[0]);
        return pbc_complain(&err);
    }
    snprintf(name, sizeof(name), "%.*s", (int)strcspn(q->word[0], "/"), q->word[0]);
    kept = old == NULL     ? strdup("pbcast-catalog=1\n")
           : q->is_default ? pbc_catalog_without_default(old, name)
                           : strdup(old);
    lines = kept == NULL ? NULL : lines_of(q, &err);
    if (kept == NULL)
        pbc_fail(&err, PBC_EXIT_FAILED, "no memory for the catalogue");
    rc = lines == NULL ? -1 : put(q, old, kept, lines, &err);
    free(lines);
    free(kept);
    free(old);
    return rc < 0 ? pbc_complain(&err) : PBC_EXIT_OK;
}

static int take_out(const struct request *q)
{
    struct pbc_catalog cat;
    struct pbc_error err;
    char *old, *kept;
    size_t len;
    int rc;

    if (q->words != 1 || !is_entry_name(q->word[0]))
        return pbc_complain_usage("catalog", "remove takes one NAME/VERSION");
    if (load(q, &cat, &err) < 0)
        return pbc_complain(&err);
    rc = pbc_catalog_find(&cat, q->word[0], NULL, &err) == NULL ? -1 : 0;
    pbc_catalog_free(&cat);
    if (rc < 0 || (old = pbc_catalog_text(q->file, &len, &err)) == NULL)
        return pbc_complain(&err);
    kept = pbc_catalog_without_entry(old, q->word[0]);
    rc = kept != NULL ? pbc_catalog_replace(q->file, old, kept, &err)
                      : pbc_fail(&err, PBC_EXIT_FAILED, "no memory for the catalogue");
    free(kept);
    free(old);
    return rc < 0 ? pbc_complain(&err) : PBC_EXIT_OK;
}

/* ---- */

#define VERBS "list, show, add, remove or verify"

static const struct {
    const char *verb;
    int (*fn)(const struct request *q);
} verbs[] = {
    {"list", list}, {"show", show}, {"add", add}, {"remove", take_out}, {"verify", verify}};

int pbc_cmd_catalog(int argc, char **argv)
{
    const char *file = getenv("PBCAST_CATALOG");
    struct request q = {.file = file != NULL && file[0] != '\0' ? file : PBC_CATALOG_DEFAULT};
    struct pbc_error err;
    int only_add = 0;
    int c;

    optind = 1;
    while ((c = getopt_long(argc, argv, "f:h", options, NULL)) != -1) {
        only_add |= c >= DEFAULT;
        switch (c) {
        case 'f':
            q.file = optarg;
            break;
        case 'h':
            fputs(usage, stdout);
            return PBC_EXIT_OK;
        case DEFAULT:
            q.is_default = 1;
            break;
        case DEFAULT_IN:
            q.partitions = optarg;
            break;
        case PROFILE:
            q.profile = optarg;
            break;
        case DESCRIPTION:
            q.description = optarg;
            break;
        default:
            return PBC_EXIT_USAGE; /* getopt has said why */
        }
    }
    if (optind == argc)
        return pbc_complain_usage("catalog", VERBS " is needed");
    if (sodium_init() < 0) {
        pbc_fail(&err, PBC_EXIT_FAILED, "libsodium does not start");
        return pbc_complain(&err);
    }
    q.word = argv + optind + 1;
    q.words = argc - optind - 1;
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (strcmp(argv[optind], verbs[i].verb) != 0)
            continue;
        if (only_add && verbs[i].fn != add)
            return pbc_complain_usage(
                "catalog", "--default, --default-in, --profile and --description go with add");
        return verbs[i].fn(&q);
    }
    return pbc_complain_usage("catalog", VERBS " is needed");
}
