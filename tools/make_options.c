/* The options of `pbcast bundle`. */
#include "make.h"

#include "command.h"
#include "convert.h"
#include "path.h"
#include "site.h"
#include "text.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    EXCLUDE = 256,
    FOLLOW,
    NO_COMPILE,
    PYTHON,
    AT,
    LIMIT,
    PROFILE,
    SET,
    PREPEND,
    APPEND,
    UNSET,
    WITH_LIBC,
    FIND_LINKS,
    NO_INDEX,
    INDEX_URL
};

static const struct option_words {
    struct option option;
    unsigned takes; /* 0: all kinds */
    const char *argument;
    const char *words;
} options[] = {
    {{"output", required_argument, NULL, 'o'},
     0,
     "FILE",
     "the bundle: .tar.zst (of frames), .tar.gz or .tar"},
    {{"level", required_argument, NULL, 'l'}, 0, "N", "of zstd, 1 to 19 (3); of gzip, 1 to 9 (6)"},
    {{"exclude", required_argument, NULL, EXCLUDE},
     0,
     "PATTERN",
     "leave out; '*' matches '/' too; without '/' for names at any depth"},
    {{"follow", no_argument, NULL, FOLLOW},
     PBC_TAKES_FOLLOW,
     NULL,
     "pack what links that leave the tree lead to"},
    {{"at", required_argument, NULL, AT}, PBC_TAKES_AT, "PATH", "place it there in the tree"},
    {{"limit", required_argument, NULL, LIMIT},
     PBC_TAKES_LIMIT,
     "BYTES",
     "refuse more than that; K M G T allowed (no limit)"},
    {{"limit", required_argument, NULL, LIMIT},
     PBC_TAKES_DIR_LIMIT,
     "BYTES",
     "refuse more than that; K M G T allowed, 0 = no limit (1G)"},
    {{"python", required_argument, NULL, PYTHON},
     PBC_TAKES_PYTHON,
     "PROGRAM",
     "the interpreter that the tree is for"},
    {{"no-compile", no_argument, NULL, NO_COMPILE},
     PBC_TAKES_COMPILE,
     NULL,
     "do not compile Python modules that lack a valid .pyc"},
    {{"requirement", required_argument, NULL, 'r'}, PBC_TAKES_PIP, "FILE", "as pip has it"},
    {{"find-links", required_argument, NULL, FIND_LINKS}, PBC_TAKES_PIP, "PLACE", "as pip has it"},
    {{"index-url", required_argument, NULL, INDEX_URL}, PBC_TAKES_PIP, "URL", "as pip has it"},
    {{"no-index", no_argument, NULL, NO_INDEX}, PBC_TAKES_PIP, NULL, "as pip has it"},
    {{"with-libc", no_argument, NULL, WITH_LIBC},
     PBC_TAKES_LIBC,
     NULL,
     "the C library and the loader too"},
    {{"profile", required_argument, NULL, PROFILE}, 0, "NAME", PBC_PROFILE_NAMES},
    {{"set", required_argument, NULL, SET},
     0,
     "NAME=VALUE",
     "a variable for the tasks; @ROOT@ is the staged tree"},
    {{"prepend", required_argument, NULL, PREPEND}, 0, "NAME=VALUE", "the same before a list"},
    {{"append", required_argument, NULL, APPEND}, 0, "NAME=VALUE", "the same after a list"},
    {{"unset", required_argument, NULL, UNSET}, 0, "NAME", "a variable that tasks must not have"},
    {{"quiet", no_argument, NULL, 'q'}, 0, NULL, "print errors only"},
    {{"help", no_argument, NULL, 'h'}, 0, NULL, ""},
};
#define NOPTIONS (sizeof(options) / sizeof(options[0]))

static int takes(const struct pbc_kind *kind, const struct option_words *o)
{
    return o->takes == 0 || (kind->options & o->takes) != 0;
}

void pbc_make_usage(const struct pbc_kind *kind)
{
    printf("usage: pbcast bundle %s [OPTION...] -o FILE %s\n\nPack %s.\n\n", kind->name,
           kind->arguments, kind->words);
    for (size_t i = 0; i < NOPTIONS; i++) {
        const struct option_words *o = &options[i];
        char left[64];

        if (!takes(kind, o))
            continue;
        snprintf(left, sizeof(left), "%c%c%s --%s%s%s", o->option.val < 256 ? '-' : ' ',
                 o->option.val < 256 ? o->option.val : ' ', o->option.val < 256 ? "," : " ",
                 o->option.name, o->argument == NULL ? "" : " ",
                 o->argument == NULL ? "" : o->argument);
        printf("  %-*s%s%s\n", *o->words == '\0' ? 0 : 28, left, *o->words == '\0' ? "" : " ",
               o->words);
    }
}

int pbc_words_add(struct pbc_words *w, char *word, struct pbc_error *err)
{
    char **more = reallocarray(w->word, w->count + 2, sizeof(*more));

    if (more == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory");
    w->word = more;
    w->word[w->count++] = word;
    w->word[w->count] = NULL;
    return 0;
}

/* --- values -------------------------------------------------------------------------------- */

static int bad(struct pbc_error *err, const char *fmt, const char *value)
{
    char text[256];

    snprintf(text, sizeof(text), "%s, not '%.128s'", fmt, value);
    return pbc_fail(err, PBC_EXIT_USAGE, "%s", text);
}

static int take_exclude(struct pbc_make *m, const char *value, struct pbc_error *err)
{
    if (m->walk.nexclude == PBC_EXCLUDES_MAX)
        return pbc_fail(err, PBC_EXIT_USAGE, "more than %d patterns with --exclude",
                        PBC_EXCLUDES_MAX);
    /* "./x" and "x/" are what people write for x */
    if (strncmp(value, "./", 2) == 0)
        value += 2;
    if (*value == '\0' || value[strlen(value) - 1] == '/')
        return bad(err, "--exclude takes a pattern that does not end in '/'", value);
    m->exclude[m->walk.nexclude++].pattern = value;
    return 0;
}

static int take_variable(struct pbc_make *m, enum pbc_env_kind kind, char *text,
                         struct pbc_error *err)
{
    char *equals = strchr(text, '=');
    int rc;

    if ((equals == NULL) != (kind == PBC_ENV_UNSET))
        return bad(err, kind == PBC_ENV_UNSET ? "--unset takes a name" : "give NAME=VALUE", text);
    if (equals != NULL)
        *equals = '\0';
    rc = pbc_variables_add(&m->meta.vars, kind, text, equals == NULL ? NULL : equals + 1);
    if (rc != 0 && errno == EPERM)
        return pbc_fail(err, PBC_EXIT_USAGE, "'%.128s' is no variable that a bundle may touch",
                        text);
    if (rc != 0)
        return pbc_fail_errno(err, PBC_EXIT_USAGE, "the value of '%.128s' cannot be kept", text);
    return 0;
}

static int take_pip(struct pbc_make *m, char *option, char *value, struct pbc_error *err)
{
    if (pbc_words_add(&m->pip, option, err) != 0)
        return -1;
    return value == NULL ? 0 : pbc_words_add(&m->pip, value, err);
}

static int take_level(struct pbc_make *m, const char *value, struct pbc_error *err)
{
    unsigned long n;

    if (pbc_parse_number(value, 1, PBC_ZSTD_LEVEL_MAX, &n) != 0)
        return bad(err, "the level is a number from 1 to 19", value);
    m->level = (int)n;
    return 0;
}

static int take_at(struct pbc_make *m, const char *value, struct pbc_error *err)
{
    if (!pbc_text_is_below(value))
        return bad(err, "--at takes a relative path without '..'", value);
    m->at = value;
    return 0;
}

static int take_option(struct pbc_make *m, int c, char *value, struct pbc_error *err)
{
    switch (c) {
    case 'o':
        m->output = value;
        return 0;
    case 'l':
        return take_level(m, value, err);
    case 'q':
        m->quiet = true;
        return 0;
    case 'r':
        return take_pip(m, "--requirement", value, err);
    case FIND_LINKS:
        return take_pip(m, "--find-links", value, err);
    case INDEX_URL:
        return take_pip(m, "--index-url", value, err);
    case NO_INDEX:
        return take_pip(m, "--no-index", NULL, err);
    case EXCLUDE:
        return take_exclude(m, value, err);
    case FOLLOW:
        m->follow = true;
        return 0;
    case NO_COMPILE:
        m->no_compile = true;
        return 0;
    case WITH_LIBC:
        m->with_libc = true;
        return 0;
    case PYTHON:
        m->python = value;
        return 0;
    case AT:
        return take_at(m, value, err);
    case LIMIT:
        return pbc_parse_bytes(value, &m->limit) == 0 ? 0 : bad(err, "--limit takes bytes", value);
    case PROFILE:
        m->meta.has_profile = true;
        return pbc_profile_from_name(value, &m->meta.profile) == 0
                   ? 0
                   : bad(err, "a profile is one of " PBC_PROFILE_NAMES, value);
    case SET:
        return take_variable(m, PBC_ENV_SET, value, err);
    case PREPEND:
        return take_variable(m, PBC_ENV_PREPEND, value, err);
    case APPEND:
        return take_variable(m, PBC_ENV_APPEND, value, err);
    default:
        return take_variable(m, PBC_ENV_UNSET, value, err);
    }
}

/* --- all of them --------------------------------------------------------------------------- */

/* The name of the output says how it is compressed. */
static int choose_codec(struct pbc_make *m, struct pbc_error *err)
{
    const char *o = m->output;

    if (o == NULL)
        return pbc_fail(err, PBC_EXIT_USAGE, "name the bundle with -o");
    if (pbc_path_ends(o, ".tar.zst") || pbc_path_ends(o, ".tzst"))
        m->codec = PBC_CODEC_FRAMES;
    else if (pbc_path_ends(o, ".tar.gz") || pbc_path_ends(o, ".tgz"))
        m->codec = PBC_CODEC_GZIP;
    else if (pbc_path_ends(o, ".tar"))
        m->codec = PBC_CODEC_TAR;
    else
        return bad(err, "the bundle's name ends in .tar.zst, .tar.gz or .tar", o);
    if (m->codec == PBC_CODEC_GZIP && m->level > 9)
        return pbc_fail(err, PBC_EXIT_USAGE, "the level of gzip is a number from 1 to 9");
    if (m->level == 0)
        m->level = m->codec == PBC_CODEC_GZIP ? 6 : PBC_ZSTD_LEVEL;
    return 0;
}

/* 0; 1: help is wanted; 2: getopt has said what is wrong; -1 with err. */
static int read_options(struct pbc_make *m, const struct pbc_kind *kind, int argc, char *argv[],
                        const struct option *list, const char *letters, struct pbc_error *err)
{
    int c;

    optind = 1;
    while ((c = getopt_long(argc, argv, letters, list, NULL)) != -1) {
        if (c == 'h')
            return 1;
        if (c == '?')
            return 2;
        if (take_option(m, c, optarg, err) != 0)
            return -1;
    }
    m->rest = argv + optind;
    m->nrest = (size_t)(argc - optind);
    if (m->nrest < kind->least)
        return pbc_fail(err, PBC_EXIT_USAGE, "give %s", kind->arguments);
    if (kind->most > 0 && m->nrest > kind->most)
        return pbc_fail(err, PBC_EXIT_USAGE, "give one %s only, not '%.128s' too", kind->arguments,
                        m->rest[kind->most]);
    return choose_codec(m, err);
}

int pbc_make_options(struct pbc_make *m, const struct pbc_kind *kind, int argc, char *argv[],
                     int *status)
{
    struct option list[NOPTIONS + 1] = {0};
    char letters[2 * NOPTIONS + 1];
    size_t n = 0, k = 0;
    struct pbc_error err;
    char command[32];
    int rc, words;

    for (size_t i = 0; i < NOPTIONS; i++) {
        if (!takes(kind, &options[i]))
            continue;
        list[n++] = options[i].option;
        if (options[i].option.val < 256) {
            letters[k++] = (char)options[i].option.val;
            if (options[i].option.has_arg)
                letters[k++] = ':';
        }
    }
    letters[k] = '\0';
    /* Behind "--" stands what is not ours: getopt must not see it. */
    for (words = 1; words < argc && strcmp(argv[words], "--") != 0; words++)
        ;
    if (words < argc && (kind->options & PBC_TAKES_COMMAND)) {
        m->command = argv + words + 1;
        m->ncommand = (size_t)(argc - words - 1);
        argc = words;
    }
    m->kind = kind->name;
    rc = read_options(m, kind, argc, argv, list, letters, &err);
    if (rc == 0)
        return 0;
    if (rc == 1)
        pbc_make_usage(kind);
    if (rc > 0) {
        *status = rc == 1 ? PBC_EXIT_OK : PBC_EXIT_USAGE;
        return -1;
    }
    snprintf(command, sizeof(command), "bundle %s", kind->name);
    *status = pbc_complain_usage(command, "%s", err.text);
    return -1;
}
