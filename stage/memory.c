#include "memory.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The kernel's "no limit" of version 1 is a little below 2^63. */
#define UNLIMITED (UINT64_C(1) << 60)

/* What the two versions call their files. */
struct version {
    const char *fstype;
    const char
        *controller; /* in /proc/self/cgroup and among the mount's options; "" for version 2 */
    const char *limit;
    const char *high; /* above it the kernel slows a process down until it seems dead */
    const char *usage;
    const char *cache[2]; /* in memory.stat: what can be taken back */
};

static const struct version v1 = {"cgroup",
                                  "memory",
                                  "memory.limit_in_bytes",
                                  NULL,
                                  "memory.usage_in_bytes",
                                  {"total_inactive_file", "total_active_file"}};
static const struct version v2 = {
    "cgroup2", "", "memory.max", "memory.high", "memory.current", {"inactive_file", "active_file"}};

/* --- where the groups are ------------------------------------------------------------------ */

static FILE *open_proc(const char *root, const char *name)
{
    char path[PATH_MAX];

    if (snprintf(path, sizeof(path), "%s/proc/self/%s", root, name) >= (int)sizeof(path))
        return NULL;
    return fopen(path, "re");
}

/* Whether `word` stands in a list with commas. */
static int listed(const char *list, const char *word)
{
    size_t len = strlen(word);

    for (; *list != '\0'; list += strcspn(list, ","), list += *list == ',') {
        if (strcspn(list, ",") == len && strncmp(list, word, len) == 0)
            return 1;
    }
    return 0;
}

/* This process's group, "ID:CONTROLLERS:PATH": malloced, or NULL. */
static char *own_group(const char *root, const struct version *v)
{
    FILE *in = open_proc(root, "cgroup");
    char *line = NULL, *found = NULL;
    size_t size = 0;

    if (in == NULL)
        return NULL;
    while (found == NULL && getline(&line, &size, in) > 0) {
        char *controllers = strchr(line, ':');
        char *path = controllers != NULL ? strchr(++controllers, ':') : NULL;

        if (path == NULL)
            continue;
        *path++ = '\0';
        path[strcspn(path, "\n")] = '\0';
        if (v->controller[0] == '\0' ? controllers[0] == '\0' : listed(controllers, v->controller))
            found = strdup(path);
    }
    free(line);
    fclose(in);
    return found;
}

/* \040 and the like. */
static void unescape(char *s)
{
    char *to = s;

    while (*s != '\0') {
        if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
            s[3] >= '0' && s[3] <= '7') {
            *to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
            s += 4;
        } else {
            *to++ = *s++;
        }
    }
    *to = '\0';
}

/* The fields of a line of mountinfo that matter: 1 if all are there. */
static int mount_fields(char *line, char **top, char **point, char **fstype, char **options)
{
    char *save, *word = strtok_r(line, " \n", &save);
    unsigned n = 0;

    *top = *point = *fstype = *options = NULL;
    for (; word != NULL && strcmp(word, "-") != 0; word = strtok_r(NULL, " \n", &save), n++) {
        if (n == 3)
            *top = word;
        if (n == 4)
            *point = word;
    }
    *fstype = word != NULL ? strtok_r(NULL, " \n", &save) : NULL;
    if (*fstype == NULL || strtok_r(NULL, " \n", &save) == NULL)
        return 0;
    *options = strtok_r(NULL, " \n", &save);
    if (*options == NULL || *top == NULL || *point == NULL)
        return 0;
    unescape(*top);
    unescape(*point);
    return 1;
}

/* The part of `group` below `top`, which is what is mounted; NULL if it lies elsewhere. */
static const char *below(const char *group, const char *top)
{
    size_t len = strlen(top);

    if (strcmp(top, "/") == 0)
        return group;
    if (strncmp(group, top, len) == 0 && (group[len] == '/' || group[len] == '\0'))
        return group + len;
    return NULL;
}

static int is_dir(const char *point, const char *rest)
{
    char path[2 * PATH_MAX];
    struct stat st;

    snprintf(path, sizeof(path), "%s/%s", point, rest);
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* The directories of the hierarchy's mount and of `group` in it, no slash between them. Of several
 * mounts the last in which the group can be seen: it may cover the others. 1, or 0 if there is
 * none. */
static int find_mount(const char *root, const struct version *v, const char *group, char *point_out,
                      char *rest_out)
{
    FILE *in = open_proc(root, "mountinfo");
    char *line = NULL, at[PATH_MAX];
    size_t size = 0;
    int found = 0;

    if (in == NULL)
        return 0;
    while (getline(&line, &size, in) > 0) {
        char *top, *point, *fstype, *options;
        const char *rest;

        if (!mount_fields(line, &top, &point, &fstype, &options) ||
            strcmp(fstype, v->fstype) != 0 ||
            (v->controller[0] != '\0' && !listed(options, v->controller)) ||
            (rest = below(group, top)) == NULL || strstr(rest, "/..") != NULL)
            continue;
        rest += strspn(rest, "/");
        if (snprintf(at, sizeof(at), "%s%s", root, point) >= PATH_MAX || strlen(rest) >= PATH_MAX ||
            !is_dir(at, rest))
            continue;
        strcpy(point_out, at);
        strcpy(rest_out, rest);
        found = 1;
    }
    free(line);
    fclose(in);
    return found;
}

/* --- what they say ------------------------------------------------------------------------- */

static int read_file(int fd, char *out, size_t size)
{
    ssize_t n = fd < 0 ? -1 : pread(fd, out, size - 1, 0);

    if (n <= 0)
        return -1;
    out[n] = '\0';
    return 0;
}

static uint64_t number(const char *text)
{
    char *end;
    unsigned long long n;

    if (text[0] < '0' || text[0] > '9')
        return UINT64_MAX; /* "max" */
    errno = 0;
    n = strtoull(text, &end, 10);
    return errno != 0 || n >= UNLIMITED ? UINT64_MAX : n;
}

static uint64_t read_limit(int dir, const char *name)
{
    int fd = name == NULL ? -1 : openat(dir, name, O_RDONLY | O_CLOEXEC);
    char text[64];
    uint64_t limit = read_file(fd, text, sizeof(text)) == 0 ? number(text) : UINT64_MAX;

    if (fd >= 0)
        close(fd);
    return limit;
}

/* The group `rest`, which lies above the job's if `above`. */
static void look_at_level(struct pbc_memory *m, const struct version *v, const char *path,
                          const char *rest, int above)
{
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    uint64_t limit, high;
    int usage;

    if (dir < 0)
        return;
    limit = read_limit(dir, v->limit);
    high = read_limit(dir, v->high);
    if (high < limit)
        limit = high;
    usage = limit == UINT64_MAX ? -1 : openat(dir, v->usage, O_RDONLY | O_CLOEXEC);
    if (usage >= 0) {
        m->level[m->levels].limit = limit;
        m->level[m->levels].usage = usage;
        m->level[m->levels].stat = openat(dir, "memory.stat", O_RDONLY | O_CLOEXEC);
        if (above)
            snprintf(m->level[m->levels].above, PBC_MEMORY_NAME, "/%.*s", PBC_MEMORY_NAME - 2,
                     rest);
        m->levels++;
    }
    close(dir);
}

/* Whether the group is that of a job, as Slurm names it, or lies in it. */
static int in_job(const char *group)
{
    for (const char *p = group; (p = strstr(p, "job_")) != NULL; p++) {
        if ((p == group || p[-1] == '/') && p[4] >= '0' && p[4] <= '9')
            return 1;
    }
    return 0;
}

/* From the process's own group up to the top of what is mounted. */
static void look_at_levels(struct pbc_memory *m, const struct version *v, const char *point,
                           char *rest)
{
    char path[2 * PATH_MAX];
    int named = in_job(rest);

    while (m->levels < PBC_MEMORY_LEVELS) {
        char *slash;

        snprintf(path, sizeof(path), "%s/%s", point, rest);
        look_at_level(m, v, path, rest, named && !in_job(rest));
        if (rest[0] == '\0')
            return;
        slash = strrchr(rest, '/');
        *(slash != NULL ? slash : rest) = '\0';
    }
}

void pbc_memory_open(struct pbc_memory *m, const char *root)
{
    static const struct version *const versions[] = {&v1, &v2};
    char point[PATH_MAX];
    char rest[PATH_MAX];

    memset(m, 0, sizeof(*m));
    /* Both may be mounted; the controller is in one of them. */
    for (size_t i = 0; i < 2 && m->levels == 0; i++) {
        char *group = own_group(root, versions[i]);

        if (group != NULL && find_mount(root, versions[i], group, point, rest))
            look_at_levels(m, versions[i], point, rest);
        free(group);
    }
}

void pbc_memory_close(struct pbc_memory *m)
{
    for (unsigned i = 0; i < m->levels; i++) {
        close(m->level[i].usage);
        if (m->level[i].stat >= 0)
            close(m->level[i].stat);
    }
    m->levels = 0;
}

/* The value of `key` in the lines "KEY VALUE"; 0 if it is not there. */
static uint64_t value_of(const char *text, const char *key)
{
    size_t len = strlen(key);
    uint64_t n;

    for (; text != NULL; text = strchr(text, '\n')) {
        text += *text == '\n';
        if (strncmp(text, key, len) != 0 || text[len] != ' ')
            continue;
        n = number(text + len + 1);
        return n == UINT64_MAX ? 0 : n;
    }
    return 0;
}

static uint64_t cache_of(const struct pbc_memory *m, unsigned i)
{
    char text[16384];
    uint64_t n = 0;

    if (read_file(m->level[i].stat, text, sizeof(text)) != 0)
        return 0;
    /* The sums over the groups below have other names in version 1, where both kinds stand. */
    for (size_t k = 0; k < 2; k++)
        n += value_of(text, strstr(text, v1.cache[k]) != NULL ? v1.cache[k] : v2.cache[k]);
    return n;
}

/* What is used of a group, UINT64_MAX if it cannot be read. */
static uint64_t used_of(const struct pbc_memory *m, unsigned i)
{
    char text[64];
    uint64_t used, cache;

    if (read_file(m->level[i].usage, text, sizeof(text)) != 0)
        return UINT64_MAX;
    used = number(text);
    if (used == UINT64_MAX)
        return used;
    cache = cache_of(m, i);
    return used - (cache < used ? cache : used);
}

struct pbc_memory_room pbc_memory_room(const struct pbc_memory *m)
{
    struct pbc_memory_room room = {.limit = UINT64_MAX, .free = UINT64_MAX};

    for (unsigned i = 0; i < m->levels; i++) {
        uint64_t limit = m->level[i].limit;
        uint64_t used = used_of(m, i);
        uint64_t left = used < limit ? limit - used : 0;

        if (used == UINT64_MAX || left >= room.free)
            continue;
        room.free = left;
        room.limit = limit;
        room.level = i;
        room.above = m->level[i].above[0] != '\0' ? m->level[i].above : NULL;
    }
    return room;
}

void pbc_memory_used(const struct pbc_memory *m, uint64_t ret[PBC_MEMORY_LEVELS])
{
    for (unsigned i = 0; i < PBC_MEMORY_LEVELS; i++) {
        uint64_t used = i < m->levels ? used_of(m, i) : 0;

        ret[i] = used != UINT64_MAX ? used : 0;
    }
}

static unsigned long long mib_up(uint64_t bytes)
{
    return (unsigned long long)((bytes + (1u << 20) - 1) >> 20);
}

int pbc_memory_short(const struct pbc_memory_room *room, uint64_t before, uint64_t need,
                     uint64_t reserve, const char *what, struct pbc_error *err)
{
    /* Not the sum of what nobody has, if an archive lies. */
    uint64_t ask = need < UNLIMITED && reserve < UNLIMITED && before < UNLIMITED
                       ? before + PBC_MEMORY_SLACK + need + reserve
                       : UNLIMITED;

    if (room->above != NULL)
        return pbc_fail(
            err, PBC_EXIT_NOSPACE,
            "%s: the limit of the control group %s, which lies above the job's, is %llu "
            "MiB on this node, %llu MiB of it are free and %llu MiB must stay; the "
            "bundles need about %llu MiB: --mem does not change that, use other nodes "
            "or tell the administrator",
            what, room->above, mib_up(room->limit), (unsigned long long)(room->free >> 20),
            mib_up(reserve), mib_up(need));
    return pbc_fail(err, PBC_EXIT_NOSPACE,
                    "%s: the memory limit of the job is %llu MiB on this node, %llu MiB of it are "
                    "free and %llu MiB must stay; files in the store count as memory of the job, "
                    "and the bundles need about %llu MiB: ask for --mem=%lluM or more",
                    what, mib_up(room->limit), (unsigned long long)(room->free >> 20),
                    mib_up(reserve), mib_up(need), mib_up(ask));
}
