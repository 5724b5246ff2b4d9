#include "compile.h"

#include "bundle.h"
#include "child.h"
#include "stop.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CHILDREN_MAX 8
#define PYC_MAX      (64u << 20)
#define TAG_MAX      32

/* One request is the path, the name for tracebacks (which importing replaces), the source's time
 * and its size, each ended by NUL, and without a path the source itself; the answer eight bytes of
 * length, 0 if it does not compile, and so many bytes. The first answer is the tag, magic number
 * and version. */
static const char script[] =
    "import sys\n"
    "import importlib._bootstrap_external as b\n"
    "from importlib.util import MAGIC_NUMBER\n"
    "i = sys.stdin.buffer\n"
    "o = sys.stdout.buffer\n"
    "def put(x):\n"
    "    o.write(len(x).to_bytes(8, 'big') + x)\n"
    "    o.flush()\n"
    "def get():\n"
    "    x = bytearray()\n"
    "    while True:\n"
    "        c = i.read(1)\n"
    "        if not c:\n"
    "            sys.exit(0)\n"
    "        if c == b'\\0':\n"
    "            return bytes(x)\n"
    "        x += c\n"
    "def one():\n"
    "    path, name, mtime, size = get(), get(), int(get()), int(get())\n"
    "    source = b'' if path else i.read(size)\n"
    "    try:\n"
    "        if path:\n"
    "            with open(path, 'rb') as f:\n"
    "                source = f.read()\n"
    "        if len(source) != size:\n"
    "            return b''\n"
    "        code = b.SourceLoader.source_to_code(None, source, name.decode('utf-8', 'replace'))\n"
    "        return bytes(b._code_to_timestamp_pyc(code, mtime & 0xffffffff, size & 0xffffffff))\n"
    "    except (Exception, RecursionError):\n"
    "        return b''\n"
    "sys.setrecursionlimit(5000)\n"
    "put(sys.implementation.cache_tag.encode() + b'\\0' + MAGIC_NUMBER + b'%d.%d\\0' %\n"
    "    sys.version_info[:2])\n"
    "import warnings\n"
    "warnings.simplefilter('ignore')\n"
    "while True:\n"
    "    put(one())\n";

struct compiler {
    struct pbc_walk *w;
    struct pbc_child child[CHILDREN_MAX];
    size_t children;
    const char *interpreter;
    char tag[TAG_MAX];
    uint8_t magic[4];
    char version[16];
    uint64_t spool_at;
    size_t sorted; /* items of the plan at the beginning */
    struct pbc_compiled *ret;
};

/* --- the interpreter ----------------------------------------------------------------------- */

static int get_answer(struct compiler *c, struct pbc_child *child, uint8_t **ret, size_t *ret_len,
                      struct pbc_error *err)
{
    uint8_t length[8];
    uint64_t len = 0;

    *ret = NULL;
    if (pbc_read_full(child->out, length, sizeof(length)) != 0)
        return pbc_fail(
            err, PBC_EXIT_REFUSED,
            "%s does not compile modules: is it a Python 3 that runs here? (--no-compile)",
            c->interpreter);
    for (size_t i = 0; i < sizeof(length); i++)
        len = len << 8 | length[i];
    if (len > PYC_MAX)
        return pbc_fail(err, PBC_EXIT_REFUSED, "%s gives a compiled module of %llu bytes",
                        c->interpreter, (unsigned long long)len);
    *ret_len = (size_t)len;
    *ret = malloc((size_t)len + 1);
    if (*ret == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory for a compiled module");
    if (pbc_read_full(child->out, *ret, (size_t)len) != 0) {
        free(*ret);
        *ret = NULL;
        return pbc_fail(err, PBC_EXIT_FAILED, "%s ended while it compiled", c->interpreter);
    }
    (*ret)[len] = '\0';
    return 0;
}

/* tag NUL magic version NUL */
static int take_greeting(struct compiler *c, const uint8_t *text, size_t len, struct pbc_error *err)
{
    size_t tag = strnlen((const char *)text, len);

    if (tag == 0 || tag >= sizeof(c->tag) || strchr((const char *)text, '/') != NULL ||
        len < tag + 1 + sizeof(c->magic) + 4 ||
        len - tag - 1 - sizeof(c->magic) > sizeof(c->version) || text[len - 1] != '\0')
        return pbc_fail(
            err, PBC_EXIT_REFUSED,
            "%s does not compile modules: is it a Python 3 that runs here? (--no-compile)",
            c->interpreter);
    memcpy(c->tag, text, tag + 1);
    memcpy(c->magic, text + tag + 1, sizeof(c->magic));
    memcpy(c->version, text + tag + 1 + sizeof(c->magic), len - tag - 1 - sizeof(c->magic));
    return 0;
}

static int start_child(struct compiler *c, struct pbc_error *err)
{
    char *const argv[] = {(char *)(uintptr_t)c->interpreter, "-I", "-S", "-B", "-c",
                          (char *)(uintptr_t)script,         NULL};
    struct pbc_child *child = &c->child[c->children];
    uint8_t *text;
    size_t len;
    int rc;

    /* Strings are ordered by their hashes in some constants. */
    if (setenv("PYTHONHASHSEED", "0", 1) != 0)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory");
    if (pbc_child_start(child, argv, NULL, PBC_CHILD_IN | PBC_CHILD_OUT, err) != 0)
        return -1;
    c->children++;
    if (get_answer(c, child, &text, &len, err) != 0)
        return -1;
    rc = take_greeting(c, text, len, err);
    free(text);
    return rc;
}

static size_t processors(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;

    return n > CHILDREN_MAX ? CHILDREN_MAX : n < 1 ? 1 : (size_t)n;
}

/* --- what is to be compiled ---------------------------------------------------------------- */

/* "dir/module.py" has its compiled one at "dir/__pycache__/module.<tag>.pyc". */
static int name_compiled(const struct compiler *c, const char *name, char out[PBC_PATH_MAX])
{
    const char *slash = strrchr(name, '/');
    int dir = slash == NULL ? 0 : (int)(slash + 1 - name);
    int stem = (int)strlen(name) - dir - 3;

    return (size_t)snprintf(out, PBC_PATH_MAX, "%.*s__pycache__/%.*s.%s.pyc", dir, name, stem,
                            name + dir, c->tag) < PBC_PATH_MAX
               ? 0
               : -1;
}

static int is_source(const char *name)
{
    size_t len = strlen(name);

    return len > 3 && strcmp(name + len - 3, ".py") == 0 && name[len - 4] != '/';
}

/* Whether a part of the name is that of a directory which this interpreter looks into. */
static int is_own(const struct compiler *c, const char *name)
{
    char dir[32];

    snprintf(dir, sizeof(dir), "/python%s/", c->version);
    return strstr(name, dir) != NULL || strstr(name, "/python3/") != NULL;
}

static uint32_t get_le(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static int is_valid(const struct compiler *c, const struct pbc_item *source,
                    const struct pbc_item *compiled)
{
    uint8_t head[16];

    if (compiled->kind != PBC_PLAN_FILE ||
        pbc_plan_head(c->w->plan, compiled, head, sizeof(head), NULL) != sizeof(head) ||
        memcmp(head, c->magic, sizeof(c->magic)) != 0)
        return 0;
    if (get_le(head + 4) != 0)
        return 1;
    return get_le(head + 8) == (uint32_t)source->mtime &&
           get_le(head + 12) == (uint32_t)source->size;
}

static int is_wanted(struct compiler *c, const struct pbc_item *i, bool own)
{
    char name[PBC_PATH_MAX];
    const struct pbc_item *compiled;

    if (i->kind != PBC_PLAN_FILE || i->source == NULL || (i->data != NULL && !i->settled) ||
        !is_source(i->name) || (own && !is_own(c, i->name)) || name_compiled(c, i->name, name) != 0)
        return 0;
    compiled = pbc_plan_find(c->w->plan, name);
    if (compiled != NULL)
        return !is_valid(c, i, compiled);
    /* "__pycache__" as a whole may be unwanted */
    *strrchr(name, '/') = '\0';
    if (pbc_walk_excluded(c->w, name))
        return 0;
    name_compiled(c, i->name, name);
    return !pbc_walk_excluded(c->w, name);
}

/* --- compiling ----------------------------------------------------------------------------- */

static int ask(struct compiler *c, struct pbc_child *child, const struct pbc_item *i,
               struct pbc_error *err)
{
    const char *path = i->data != NULL ? "" : i->source;
    char numbers[64];
    int n = snprintf(numbers, sizeof(numbers), "%lld%c%llu", (long long)i->mtime, '\0',
                     (unsigned long long)i->size);

    if (pbc_write_full(child->in, path, strlen(path) + 1) != 0 ||
        pbc_write_full(child->in, i->name, strlen(i->name) + 1) != 0 ||
        pbc_write_full(child->in, numbers, (size_t)n + 1) != 0 ||
        (i->data != NULL && pbc_write_full(child->in, i->data, (size_t)i->size) != 0))
        return pbc_stopped(err) != 0
                   ? -1
                   : pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot speak to %s", c->interpreter);
    return 0;
}

static int open_spool(struct compiler *c, struct pbc_error *err)
{
    const char *dir = getenv("TMPDIR");
    int fd = open(dir == NULL || *dir != '/' ? "/tmp" : dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    /* A file system without O_TMPFILE. */
    if (fd < 0)
        fd = memfd_create("pbcast", MFD_CLOEXEC);
    if (fd < 0)
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot make a temporary file");
    c->w->plan->spool = fd;
    return 0;
}

static int spool(struct compiler *c, const uint8_t *data, size_t len, struct pbc_error *err)
{
    if (c->w->plan->spool < 0 && open_spool(c, err) != 0)
        return -1;
    if (lseek(c->w->plan->spool, (off_t)c->spool_at, SEEK_SET) < 0 ||
        pbc_write_full(c->w->plan->spool, data, len) != 0)
        return pbc_fail_errno(err, errno == ENOSPC ? PBC_EXIT_NOSPACE : PBC_EXIT_FAILED,
                              "cannot write compiled modules to a temporary file (TMPDIR)");
    c->spool_at += len;
    return 0;
}

static int keep(struct compiler *c, size_t index, const uint8_t *data, size_t len,
                struct pbc_error *err)
{
    const struct pbc_item *source = &c->w->plan->item[index];
    char name[PBC_PATH_MAX];
    struct pbc_item made = {.name = name,
                            .source = source->source,
                            .kind = PBC_PLAN_FILE,
                            .mode = 0644,
                            .mtime = source->mtime,
                            .size = len,
                            .spool = (int64_t)c->spool_at};
    struct pbc_item *old;

    if (len == 0) {
        if (c->ret->failed++ == 0)
            snprintf(c->ret->first, sizeof(c->ret->first), "%s", source->name);
        return 0;
    }
    if (spool(c, data, len, err) != 0)
        return -1;
    c->ret->made++;
    (void)name_compiled(c, source->name, name);
    old = pbc_plan_find_in(c->w->plan, c->sorted, name);
    if (old == NULL)
        return pbc_plan_add(c->w->plan, &made, err);
    old->spool = made.spool;
    old->size = len;
    old->nlink = 1;
    old->mtime = made.mtime;
    return 0;
}

/* `list` has indexes of items; each child has at most one of them at a time, in turn. */
static int compile_list(struct compiler *c, const size_t *list, size_t count, struct pbc_error *err)
{
    for (size_t i = 0; i < count + c->children; i++) {
        struct pbc_child *child = &c->child[i % c->children];

        if (i >= c->children && i - c->children < count) {
            uint8_t *data;
            size_t len;
            int rc;

            if (get_answer(c, child, &data, &len, err) != 0)
                return -1;
            rc = keep(c, list[i - c->children], data, len, err);
            free(data);
            if (rc != 0 || pbc_progress_tick(c->w->progress, err) != 0)
                return -1;
        }
        if (i < count && ask(c, child, &c->w->plan->item[list[i]], err) != 0)
            return -1;
    }
    return 0;
}

static int compile_wanted(struct compiler *c, bool own, struct pbc_error *err)
{
    struct pbc_plan *p = c->w->plan;
    size_t *list = calloc(p->count + 1, sizeof(*list));
    size_t count = 0, children = processors();
    int rc = 0;

    c->sorted = p->count;
    if (list == NULL)
        return pbc_fail(err, PBC_EXIT_FAILED, "no memory");
    for (size_t i = 0; i < p->count; i++) {
        if (is_wanted(c, &p->item[i], own))
            list[count++] = i;
    }
    while (rc == 0 && c->children < children && c->children < count)
        rc = start_child(c, err);
    if (rc == 0)
        rc = compile_list(c, list, count, err);
    free(list);
    return rc;
}

int pbc_compile(struct pbc_walk *w, const char *interpreter, bool own, struct pbc_compiled *ret,
                struct pbc_error *err)
{
    struct compiler c = {.w = w, .interpreter = interpreter, .ret = ret};
    int rc;

    memset(ret, 0, sizeof(*ret));
    pbc_progress_phase(w->progress, "compiling", 0);
    rc = start_child(&c, err);
    if (rc == 0)
        rc = compile_wanted(&c, own, err);
    if (rc != 0)
        (void)pbc_stopped(err);
    for (size_t i = 0; i < c.children; i++) {
        struct pbc_child *child = &c.child[i];

        pbc_child_end(child);
    }
    return rc == 0 ? pbc_plan_sort(w->plan, err) : -1;
}
