#include "plan.h"

#include "io.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void pbc_plan_init(struct pbc_plan *p)
{
    memset(p, 0, sizeof(*p));
    p->spool = -1;
}

static void item_free(struct pbc_item *i)
{
    free(i->name);
    free(i->source);
    free(i->target);
    free(i->data);
    free(i->patch);
}

void pbc_plan_free(struct pbc_plan *p)
{
    for (size_t i = 0; i < p->count; i++)
        item_free(&p->item[i]);
    for (size_t i = 0; i < p->nroots; i++) {
        free(p->root[i].dir);
        free(p->root[i].name);
    }
    free(p->item);
    free(p->root);
    if (p->spool >= 0)
        close(p->spool);
    pbc_plan_init(p);
}

static int no_memory(struct pbc_error *err)
{
    return pbc_fail(err, PBC_EXIT_FAILED, "no memory for the names of files");
}

/* --- items --------------------------------------------------------------------------------- */

static int copy(char **to, const char *from)
{
    *to = from == NULL ? NULL : strdup(from);
    return from != NULL && *to == NULL ? -1 : 0;
}

static int grow(struct pbc_plan *p, struct pbc_error *err)
{
    size_t size = p->size == 0 ? 1024 : 2 * p->size;
    struct pbc_item *more;

    if (p->count < p->size)
        return 0;
    if (p->count >= PBC_PLAN_ITEMS_MAX)
        return pbc_fail(err, PBC_EXIT_REFUSED, "more than %u files and directories",
                        PBC_PLAN_ITEMS_MAX);
    more = reallocarray(p->item, size, sizeof(*more));
    if (more == NULL)
        return no_memory(err);
    p->item = more;
    p->size = size;
    return 0;
}

int pbc_plan_add(struct pbc_plan *p, const struct pbc_item *item, struct pbc_error *err)
{
    struct pbc_item mine = *item;
    int rc = grow(p, err);

    if (rc != 0) {
        free(item->data);
        return -1;
    }
    rc = copy(&mine.name, item->name);
    rc |= copy(&mine.source, item->source);
    rc |= copy(&mine.target, item->target);
    if (rc != 0) {
        item_free(&mine);
        return no_memory(err);
    }
    p->item[p->count++] = mine;
    return 0;
}

int pbc_plan_add_found(struct pbc_plan *p, const char *name, const char *source,
                       const struct stat *st, const char *target, struct pbc_error *err)
{
    struct pbc_item i = {.name = (char *)(uintptr_t)name,
                         .source = (char *)(uintptr_t)source,
                         .target = (char *)(uintptr_t)target,
                         .mode = st->st_mode & 0777,
                         .mtime = st->st_mtim.tv_sec,
                         .spool = -1};

    switch (st->st_mode & S_IFMT) {
    case S_IFDIR:
        i.kind = PBC_PLAN_DIR;
        break;
    case S_IFLNK:
        i.kind = PBC_PLAN_SYMLINK;
        break;
    case S_IFREG:
        if (st->st_mode & (S_ISUID | S_ISGID))
            return pbc_fail(err, PBC_EXIT_REFUSED,
                            "%s is set%cid, which a staged file cannot be: leave it out with "
                            "--exclude, or take the bit away with chmod",
                            source, st->st_mode & S_ISUID ? 'u' : 'g');
        i.kind = PBC_PLAN_FILE;
        i.size = (uint64_t)st->st_size;
        i.dev = st->st_dev;
        i.ino = st->st_ino;
        i.nlink = st->st_nlink;
        i.changed = st->st_mtim;
        i.blocks = (uint64_t)st->st_blocks;
        break;
    default:
        return pbc_fail(err, PBC_EXIT_REFUSED,
                        "%s is neither file, directory nor link: leave it out with --exclude",
                        source);
    }
    return pbc_plan_add(p, &i, err);
}

int pbc_plan_add_root(struct pbc_plan *p, const char *dir, const char *name, struct pbc_error *err)
{
    struct pbc_root *more = reallocarray(p->root, p->nroots + 1, sizeof(*more));

    if (more == NULL)
        return no_memory(err);
    p->root = more;
    if (copy(&more[p->nroots].dir, dir) != 0)
        return no_memory(err);
    if (copy(&more[p->nroots].name, name) != 0) {
        free(more[p->nroots].dir);
        return no_memory(err);
    }
    p->nroots++;
    return 0;
}

void pbc_plan_replace(struct pbc_item *item, uint8_t *data, size_t len)
{
    free(item->data);
    item->data = data;
    item->size = len;
    item->nlink = 1; /* another name of the same file keeps the old contents */
}

void pbc_plan_patch(struct pbc_item *item, uint64_t at, uint8_t *bytes, size_t len)
{
    if (item->data != NULL) {
        memcpy(item->data + at, bytes, len);
        free(bytes);
        return;
    }
    item->patch = bytes;
    item->patch_at = at;
    item->patch_len = len;
}

/* --- the order ----------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    const struct pbc_item *x = a;
    const struct pbc_item *y = b;

    return strcmp(x->name, y->name);
}

int pbc_plan_sort(struct pbc_plan *p, struct pbc_error *err)
{
    size_t kept = 0;

    if (p->count > 0)
        qsort(p->item, p->count, sizeof(*p->item), by_name);
    for (size_t i = 0; i < p->count; i++) {
        struct pbc_item *before = kept > 0 ? &p->item[kept - 1] : NULL;

        if (before == NULL || strcmp(before->name, p->item[i].name) != 0) {
            struct pbc_item moved = p->item[i];

            p->item[i] = p->item[kept];
            p->item[kept++] = moved;
        } else if (before->kind != PBC_PLAN_DIR || p->item[i].kind != PBC_PLAN_DIR) {
            return pbc_fail(err, PBC_EXIT_REFUSED,
                            "'%s' would come twice into the bundle: %s and %s", before->name,
                            before->source == NULL ? "(made)" : before->source,
                            p->item[i].source == NULL ? "(made)" : p->item[i].source);
        }
    }
    for (size_t i = kept; i < p->count; i++)
        item_free(&p->item[i]);
    p->count = kept;
    return 0;
}

struct pbc_item *pbc_plan_find_in(const struct pbc_plan *p, size_t count, const char *name)
{
    struct pbc_item key = {.name = (char *)(uintptr_t)name};

    return count == 0 ? NULL : bsearch(&key, p->item, count, sizeof(key), by_name);
}

struct pbc_item *pbc_plan_find(const struct pbc_plan *p, const char *name)
{
    return pbc_plan_find_in(p, p->count, name);
}

static int by_inode(const void *a, const void *b)
{
    const struct pbc_item *x = *(struct pbc_item *const *)a;
    const struct pbc_item *y = *(struct pbc_item *const *)b;

    if (x->dev != y->dev)
        return x->dev < y->dev ? -1 : 1;
    if (x->ino != y->ino)
        return x->ino < y->ino ? -1 : 1;
    return strcmp(x->name, y->name);
}

static int join_names(struct pbc_plan *p, struct pbc_error *err)
{
    struct pbc_item **list = calloc(p->count + 1, sizeof(*list));
    struct pbc_item *first = NULL;
    size_t n = 0;

    if (list == NULL)
        return no_memory(err);
    for (size_t i = 0; i < p->count; i++) {
        if (p->item[i].kind == PBC_PLAN_FILE && p->item[i].nlink > 1 && p->item[i].data == NULL)
            list[n++] = &p->item[i];
    }
    qsort(list, n, sizeof(*list), by_inode);
    for (size_t i = 0; i < n; i++) {
        if (first == NULL || first->dev != list[i]->dev || first->ino != list[i]->ino) {
            first = list[i];
            continue;
        }
        list[i]->kind = PBC_PLAN_HARDLINK;
        list[i]->target = strdup(first->name);
        if (list[i]->target == NULL) {
            free(list);
            return no_memory(err);
        }
    }
    free(list);
    return 0;
}

static int class_of(const struct pbc_item *i)
{
    return i->kind == PBC_PLAN_FILE ? 1 : i->kind == PBC_PLAN_HARDLINK ? 2 : 0;
}

static int by_place(const void *a, const void *b)
{
    int x = class_of(a);
    int y = class_of(b);

    return x != y ? x - y : by_name(a, b);
}

int pbc_plan_finish(struct pbc_plan *p, struct pbc_error *err)
{
    if (join_names(p, err) != 0)
        return -1;
    if (p->count > 0)
        qsort(p->item, p->count, sizeof(*p->item), by_place);
    return 0;
}

int pbc_plan_name_of(const struct pbc_plan *p, const char *path, char out[PBC_PATH_MAX])
{
    for (size_t i = 0; i < p->nroots; i++) {
        const struct pbc_root *root = &p->root[i];
        size_t len = strcmp(root->dir, "/") == 0 ? 0 : strlen(root->dir);
        const char *rest = path + len;

        if (strncmp(path, root->dir, len) != 0 || (*rest != '/' && *rest != '\0'))
            continue;
        rest += strspn(rest, "/");
        if ((size_t)snprintf(out, PBC_PATH_MAX, "%s%s%s", root->name,
                             *root->name != '\0' && *rest != '\0' ? "/" : "", rest) < PBC_PATH_MAX)
            return 1;
    }
    return 0;
}

int pbc_plan_may_be_elf(const struct pbc_item *item)
{
    return item->kind == PBC_PLAN_FILE &&
           (strstr(item->name, ".so") != NULL || (item->mode & 0111) != 0);
}

void pbc_plan_sum(const struct pbc_plan *p, uint64_t *files, uint64_t *bytes)
{
    *files = *bytes = 0;
    for (size_t i = 0; i < p->count; i++) {
        if (p->item[i].kind == PBC_PLAN_FILE) {
            *files += 1;
            *bytes += p->item[i].size;
        }
    }
}

/* --- contents ------------------------------------------------------------------------------ */

int pbc_plan_unchanged(const struct pbc_item *item, int fd, struct pbc_error *err)
{
    struct stat st;

    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_dev == item->dev &&
        st.st_ino == item->ino && (uint64_t)st.st_size == item->size &&
        st.st_mtim.tv_sec == item->changed.tv_sec && st.st_mtim.tv_nsec == item->changed.tv_nsec)
        return 0;
    return pbc_fail(err, PBC_EXIT_REFUSED, "%s has changed while it was being packed: try again",
                    item->source);
}

int pbc_plan_open(const struct pbc_item *item, struct pbc_error *err)
{
    int fd = open(item->source, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0)
        return pbc_fail_errno(err, PBC_EXIT_REFUSED, "cannot read %s", item->source);
    if (pbc_plan_unchanged(item, fd, err) == 0)
        return fd;
    close(fd);
    return -1;
}

ssize_t pbc_plan_head(const struct pbc_plan *p, const struct pbc_item *item, void *buf, size_t len,
                      struct pbc_error *err)
{
    ssize_t n;
    int fd;

    if (len > item->size)
        len = (size_t)item->size;
    if (item->data != NULL) {
        memcpy(buf, item->data, len);
        return (ssize_t)len;
    }
    if (item->spool >= 0) {
        n = pbc_io_pread(p->spool, buf, len, (off_t)item->spool);
    } else {
        fd = pbc_plan_open(item, err);
        if (fd < 0)
            return -1;
        n = pbc_io_pread(fd, buf, len, 0);
        close(fd);
    }
    if (n != (ssize_t)len)
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot read %s",
                              item->source == NULL ? item->name : item->source);
    return n;
}

uint8_t *pbc_plan_contents(const struct pbc_plan *p, const struct pbc_item *item, size_t max,
                           struct pbc_error *err)
{
    uint8_t *buf;

    if (item->size > max) {
        pbc_fail(err, PBC_EXIT_REFUSED, "%s is larger than %zu bytes", item->name, max);
        return NULL;
    }
    buf = malloc((size_t)item->size + 1);
    if (buf == NULL) {
        no_memory(err);
        return NULL;
    }
    if (pbc_plan_head(p, item, buf, (size_t)item->size, err) < 0) {
        free(buf);
        return NULL;
    }
    buf[item->size] = '\0';
    return buf;
}
