#include "scan.h"

#include "beneath.h"
#include "contents.h"
#include "path.h"
#include "reader.h"
#include "script.h"
#include "unpack_pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct scanning {
    struct pbc_scan *s;
    struct pbc_reader *reader;
    struct pbc_contents contents;
    struct pbc_progress *progress;
    uint64_t members;
    unsigned metas; /* how often .pbcast/bundle.conf has come */
    int others;     /* something that is not the bundle's own */
    int begun;      /* the same, and no directory */
    uint8_t *held;  /* the start of a file, or all of it */
    size_t held_len;
    size_t held_size;
};

static int no_memory(struct pbc_error *err)
{
    return pbc_fail(err, PBC_EXIT_FAILED, "no memory for the members");
}

/* --- members ------------------------------------------------------------------------------- */

static struct pbc_seen *add(struct pbc_scan *s, struct pbc_error *err)
{
    if (s->count == s->size) {
        size_t size = s->size == 0 ? 1024 : 2 * s->size;
        struct pbc_seen *more;

        if (s->count >= PBC_SCAN_MEMBERS_MAX) {
            pbc_fail(err, PBC_EXIT_REFUSED, "%s: more than %u members", s->path,
                     PBC_SCAN_MEMBERS_MAX);
            return NULL;
        }
        more = reallocarray(s->seen, size, sizeof(*more));
        if (more == NULL) {
            no_memory(err);
            return NULL;
        }
        s->seen = more;
        s->size = size;
    }
    memset(&s->seen[s->count], 0, sizeof(s->seen[0]));
    return &s->seen[s->count++];
}

/* Of plain parts, if it can be. */
static char *plain(const char *name)
{
    char joined[PBC_PATH_MAX];
    struct pbc_name n;

    if (pbc_name_parse(name, &n, NULL) != 0)
        return strdup(name);
    pbc_name_join(&n, n.depth, joined);
    return strdup(joined);
}

static void describe(struct pbc_seen *m, struct archive_entry *e)
{
    m->mode = archive_entry_perm(e);
    m->mtime = archive_entry_mtime(e);
    if (archive_entry_hardlink(e) != NULL) {
        m->kind = 'h';
        m->target = plain(archive_entry_hardlink(e));
    } else if (archive_entry_filetype(e) == AE_IFLNK) {
        m->kind = 'l';
        m->target = strdup(archive_entry_symlink(e) == NULL ? "" : archive_entry_symlink(e));
    } else if (archive_entry_filetype(e) == AE_IFDIR) {
        m->kind = 'd';
    } else {
        m->kind = archive_entry_filetype(e) == AE_IFREG ? 'f' : '?';
        m->size = archive_entry_size(e) > 0 ? (uint64_t)archive_entry_size(e) : 0;
    }
}

static void count(struct pbc_scan *s, const struct pbc_seen *m)
{
    s->files += m->kind == 'f';
    s->dirs += m->kind == 'd';
    s->links += m->kind == 'l' || m->kind == 'h';
    s->bytes += m->size;
}

/* --- contents ------------------------------------------------------------------------------ */

static int is_text(const struct pbc_seen *m)
{
    const char *last = pbc_path_last(m->name);

    return m->size <= PBC_SCAN_TEXT_MAX &&
           (strcmp(m->name, "pyvenv.cfg") == 0 || pbc_path_ends(last, ".pth") ||
            pbc_path_ends(last, ".egg-link") || strcmp(last, "direct_url.json") == 0);
}

/* How much of the file is wanted, once its first bytes are known. */
static size_t wanted(const struct pbc_seen *m, const uint8_t *head, size_t len)
{
    if (len >= 4 && memcmp(head, "\177ELF", 4) == 0 && m->size <= PBC_SCAN_ELF_MAX)
        return (size_t)m->size;
    if (strcmp(m->name, PBC_META_NAME) == 0 && m->size <= PBC_META_MAX)
        return (size_t)m->size;
    return is_text(m) ? (size_t)m->size : PBC_SHEBANG_MAX;
}

static int hold(struct scanning *k, const struct pbc_seen *m, const void *data, size_t len,
                int64_t offset, struct pbc_error *err)
{
    size_t want = offset == 0 ? wanted(m, data, len) : wanted(m, k->held, k->held_len);
    size_t end;

    if ((uint64_t)offset >= want)
        return 0;
    end = len < want - (size_t)offset ? (size_t)offset + len : want;
    if (end > k->held_size) {
        size_t size = want > (64u << 10) ? want : (64u << 10);
        uint8_t *more = realloc(k->held, size);

        if (more == NULL)
            return no_memory(err);
        k->held = more;
        k->held_size = size;
    }
    if ((size_t)offset > k->held_len)
        memset(k->held + k->held_len, 0, (size_t)offset - k->held_len);
    memcpy(k->held + offset, data, end - (size_t)offset);
    if (end > k->held_len)
        k->held_len = end;
    return 0;
}

/* A hole may be large. */
static int digest_zeros(struct scanning *k, uint64_t len, struct pbc_error *err)
{
    static const uint8_t zeros[64 << 10];

    while (len > 0) {
        size_t n = len < sizeof(zeros) ? (size_t)len : sizeof(zeros);

        pbc_contents_data(&k->contents, zeros, n);
        len -= n;
        if (pbc_progress_bytes(k->progress, n, err) != 0)
            return -1;
    }
    return 0;
}

static int read_file(struct scanning *k, const struct pbc_seen *m, int own, struct pbc_error *err)
{
    uint64_t done = 0;
    const void *data;
    int64_t offset;
    size_t len;
    int rc;

    k->held_len = 0;
    while ((rc = pbc_reader_data(k->reader, &data, &len, &offset, err)) == 1) {
        if (offset < 0 || (uint64_t)offset < done || (uint64_t)offset > m->size ||
            len > m->size - (uint64_t)offset)
            return pbc_fail(err, PBC_EXIT_REFUSED, "%s: member '%s' has pieces out of order",
                            k->s->path, m->name);
        if (len > 0 && hold(k, m, data, len, offset, err) != 0)
            return -1;
        if (!own) {
            if (digest_zeros(k, (uint64_t)offset - done, err) != 0)
                return -1;
            pbc_contents_data(&k->contents, data, len);
        }
        done = (uint64_t)offset + len;
        if (pbc_progress_bytes(k->progress, len, err) != 0)
            return -1;
    }
    if (rc == 0 && !own)
        rc = digest_zeros(k, m->size - done, err);
    return rc;
}

/* What the agent says to the bundle's own members. */
static void check_own(struct scanning *k, const struct pbc_seen *m)
{
    struct pbc_scan *s = k->s;

    if (strcmp(m->name, PBC_META_NAME) != 0 || s->refused.text[0] != '\0')
        return;
    (void)pbc_meta_admit(k->metas++ > 0, k->begun, m->kind == 'f', m->size, &s->refused);
}

static int keep_elf(struct scanning *k, struct pbc_seen *m, struct pbc_error *err)
{
    struct pbc_elf elf;
    int rc;

    if (k->held_len < m->size) {
        if (k->held_len < 4 || memcmp(k->held, "\177ELF", 4) != 0)
            return 0;
    }
    rc = pbc_elf_parse(k->held, k->held_len, &elf);
    m->broken_elf = rc < 0 && k->held_len == m->size;
    if (rc != 1)
        return 0;
    m->elf = malloc(sizeof(elf));
    if (m->elf == NULL) {
        pbc_elf_free(&elf);
        return no_memory(err);
    }
    *m->elf = elf;
    return 0;
}

static int keep(struct scanning *k, struct pbc_seen *m, struct pbc_error *err)
{
    struct pbc_shebang script;

    m->head_len = k->held_len < sizeof(m->head) ? k->held_len : sizeof(m->head);
    if (m->head_len > 0)
        memcpy(m->head, k->held, m->head_len);
    if (strcmp(m->name, PBC_META_NAME) == 0) {
        if (k->s->has_meta || k->s->refused.text[0] != '\0')
            return 0;
        k->s->has_meta = pbc_meta_parse(k->held == NULL ? "" : (const char *)k->held, k->held_len,
                                        &k->s->meta, &k->s->refused) == 0;
        return 0;
    }
    if (m->head_len > 0 && is_text(m)) {
        m->text = strndup((const char *)k->held, k->held_len);
        if (m->text == NULL)
            return no_memory(err);
    }
    if (m->mode & 0111 && k->held_len > 0 &&
        pbc_shebang_parse(k->held, k->held_len < PBC_SHEBANG_MAX ? k->held_len : PBC_SHEBANG_MAX,
                          &script)) {
        m->program = strdup(script.path);
        if (m->program == NULL)
            return no_memory(err);
    }
    return keep_elf(k, m, err);
}

static int scan_member(struct scanning *k, struct archive_entry *e, struct pbc_error *err)
{
    const char *name = archive_entry_pathname(e);
    struct pbc_seen *m;
    int own;

    if (name == NULL)
        return pbc_fail(err, PBC_EXIT_REFUSED, "%s: a member has no name", k->s->path);
    m = add(k->s, err);
    if (m == NULL)
        return -1;
    m->name = plain(name);
    describe(m, e);
    if (m->name == NULL || ((m->kind == 'l' || m->kind == 'h') && m->target == NULL))
        return no_memory(err);
    own = pbc_member_is_own(m->name);
    if (m->name[0] == '\0') /* the top itself */
        return 0;
    if (own) {
        check_own(k, m);
    } else {
        k->begun |= m->kind != 'd';
        k->others = 1;
        count(k->s, m);
        pbc_contents_member(&k->contents, m->kind, m->kind == 'l' ? 0777 : m->mode, m->name,
                            m->target == NULL ? "" : m->target, m->kind == 'f' ? m->size : 0);
    }
    if (m->kind == 'f' && (read_file(k, m, own, err) != 0 || keep(k, m, err) != 0))
        return -1;
    return pbc_progress_tick(k->progress, err);
}

/* --- the archive --------------------------------------------------------------------------- */

static int look_at_file(struct pbc_scan *s, struct pbc_error *err)
{
    uint8_t head[PBC_SNIFF_BYTES];
    int fd = open(s->path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    ssize_t n;

    if (fd < 0 || fstat(fd, &st) != 0) {
        pbc_fail_errno(err, PBC_EXIT_REFUSED, "cannot open %s", s->path);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    s->packed = (uint64_t)st.st_size;
    n = pread(fd, head, sizeof(head), 0);
    s->format = pbc_format_name(pbc_format_sniff(head, n < 0 ? 0 : (size_t)n));
    pbc_scan_frames(s, fd);
    close(fd);
    return 0;
}

int pbc_scan(struct pbc_scan *s, const char *path, struct pbc_progress *progress,
             struct pbc_error *err)
{
    struct scanning k = {.s = s, .progress = progress};
    struct archive_entry *e;
    int rc = -1;

    memset(s, 0, sizeof(*s));
    s->path = strdup(path);
    if (s->path == NULL)
        return no_memory(err);
    k.reader = pbc_reader_open(path, err);
    if (k.reader != NULL && look_at_file(s, err) == 0) {
        pbc_reader_take_all(k.reader);
        pbc_contents_begin(&k.contents);
        while ((rc = pbc_reader_next(k.reader, &e, err)) == 1) {
            k.members++;
            if (scan_member(&k, e, err) != 0) {
                rc = -1;
                break;
            }
        }
        if (rc == 0 && !k.others && s->refused.text[0] == '\0')
            pbc_fail(&s->refused, PBC_EXIT_REFUSED, "the archive has no members");
        if (rc == 0 && s->frames > 0 && s->frame_members != k.members && s->refused.text[0] == '\0')
            pbc_fail(&s->refused, PBC_EXIT_REFUSED,
                     "corrupt: it has %" PRIu64 " members, its frames' headers say %" PRIu64,
                     k.members, s->frame_members);
        pbc_contents_end(&k.contents, s->contents);
    }
    free(k.held);
    pbc_reader_free(k.reader);
    return rc;
}

void pbc_scan_free(struct pbc_scan *s)
{
    for (size_t i = 0; i < s->count; i++) {
        struct pbc_seen *m = &s->seen[i];

        if (m->elf != NULL)
            pbc_elf_free(m->elf);
        free(m->elf);
        free(m->name);
        free(m->target);
        free(m->program);
        free(m->text);
    }
    free(s->seen);
    free(s->path);
    pbc_meta_free(&s->meta);
    memset(s, 0, sizeof(*s));
}

bool pbc_scan_is_below(const struct pbc_scan *s, const char *path)
{
    const char *placeholder = s->meta.placeholder;
    size_t len = placeholder == NULL ? 0 : strlen(placeholder);

    return len > 0 && strncmp(path, placeholder, len) == 0 &&
           (path[len] == '/' || path[len] == '\0');
}

int pbc_scan_names(const struct pbc_scan *s, struct pbc_names *ret, struct pbc_error *err)
{
    memset(ret, 0, sizeof(*ret));
    for (size_t i = 0; i < s->count; i++) {
        struct pbc_seen *m = &s->seen[i];
        struct pbc_name_of of = {.name = m->name,
                                 .target = m->kind == 'l' ? m->target : NULL,
                                 .dir = m->kind == 'd',
                                 .item = m};

        if (m->name[0] != '\0' && pbc_names_add(ret, of, err) != 0) {
            pbc_names_free(ret);
            return -1;
        }
    }
    pbc_names_sort(ret);
    return 0;
}
