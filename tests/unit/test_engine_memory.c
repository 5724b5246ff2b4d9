/* The limits of control groups, over files that say what a kernel would. */
#include "engine_support.h"

#include "base.h"
#include "memory.h"
#include "writer.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB (UINT64_C(1) << 20)

/* One root per test, below the scratch directory. */
static const char *new_root(void **state)
{
    static unsigned n;
    static char root[4096];
    char name[16];

    snprintf(name, sizeof(name), "root%u", n++);
    snprintf(root, sizeof(root), "%s", in(*state, name));
    make_dir(root, 0755);
    return root;
}

/* The file `path` below `root`, and the directories to it. */
static void say(const char *root, const char *path, const char *text)
{
    char whole[8192];

    snprintf(whole, sizeof(whole), "%s/%s", root, path);
    for (char *slash = whole + strlen(root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        if (!exists(whole))
            make_dir(whole, 0755);
        *slash = '/';
    }
    make_file(whole, text, strlen(text));
}

static void version_1(const char *root, const char *group)
{
    char text[8192];

    snprintf(text, sizeof(text), "9:name=systemd:/x\n4:cpu,memory:%s\n0::/\n", group);
    say(root, "proc/self/cgroup", text);
    say(root, "proc/self/mountinfo",
        "22 1 0:20 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
        "30 22 0:26 / /sys/fs/cgroup/cpuset rw,relatime shared:9 - cgroup cgroup rw,cpuset\n"
        "31 22 0:27 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,cpu,memory\n"
        "32 22 0:28 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n");
}

static void version_2(const char *root, const char *group)
{
    char text[8192];

    snprintf(text, sizeof(text), "0::%s\n", group);
    say(root, "proc/self/cgroup", text);
    say(root, "proc/self/mountinfo",
        "22 1 0:20 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
        "32 22 0:28 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n");
}

static struct pbc_memory_room room_of(const char *root)
{
    struct pbc_memory m;
    struct pbc_memory_room room;

    pbc_memory_open(&m, root);
    room = pbc_memory_room(&m);
    pbc_memory_close(&m);
    return room;
}

static void assert_room(const char *root, uint64_t limit, uint64_t left)
{
    struct pbc_memory_room room = room_of(root);

    assert_int_equal(room.limit, limit);
    assert_int_equal(room.free, left);
}

static void assert_no_limit(const char *root)
{
    assert_room(root, UINT64_MAX, UINT64_MAX);
}

static void the_group_that_leaves_least_counts_in_version_1(void **state)
{
    const char *root = new_root(state);

    version_1(root, "/slurm/uid_7/job_5/step_0/task_0");
#define GROUP "sys/fs/cgroup/memory/slurm/uid_7/job_5/"
    say(root, GROUP "step_0/task_0/memory.limit_in_bytes", "9223372036854771712\n");
    say(root, GROUP "step_0/task_0/memory.usage_in_bytes", "1\n");
    say(root, GROUP "step_0/memory.limit_in_bytes", "104857600\n"); /* 100 MiB */
    say(root, GROUP "step_0/memory.usage_in_bytes", "1048576\n");
    say(root, GROUP "memory.limit_in_bytes", "104857600\n");
    say(root, GROUP "memory.usage_in_bytes", "62914560\n"); /* 60, what earlier steps left too */
    assert_room(root, 100 * MIB, 40 * MIB);
#undef GROUP
}

static void the_kernel_s_cache_of_files_is_free(void **state)
{
    const char *root = new_root(state);

    version_1(root, "/job");
    say(root, "sys/fs/cgroup/memory/job/memory.limit_in_bytes", "104857600\n");
    say(root, "sys/fs/cgroup/memory/job/memory.usage_in_bytes", "94371840\n"); /* 90 */
    say(root, "sys/fs/cgroup/memory/job/memory.stat",
        "cache 1\ninactive_file 1\nactive_file 1\ntotal_inactive_anon 52428800\n"
        "total_inactive_file 20971520\ntotal_active_file 10485760\ntotal_unevictable 0\n");
    assert_room(root, 100 * MIB, 40 * MIB);

    root = new_root(state);
    version_2(root, "/job");
    say(root, "sys/fs/cgroup/job/memory.max", "104857600\n");
    say(root, "sys/fs/cgroup/job/memory.current", "94371840\n");
    say(root, "sys/fs/cgroup/job/memory.stat",
        "anon 5\nfile 62914560\nshmem 31457280\ninactive_file 20971520\nactive_file 10485760\n");
    assert_room(root, 100 * MIB, 40 * MIB);

    /* The names of the staged files stand there too. */
    say(root, "sys/fs/cgroup/job/memory.stat",
        "inactive_file 20971520\nactive_file 10485760\nslab_reclaimable 8388608\n");
    assert_room(root, 100 * MIB, 40 * MIB);

    /* More than is used is nonsense, and no reason to count below zero. */
    say(root, "sys/fs/cgroup/job/memory.stat", "inactive_file 999999999999\n");
    assert_room(root, 100 * MIB, 100 * MIB);
}

static void version_2_has_two_limits_in_every_group(void **state)
{
    const char *root = new_root(state);

#define GROUP "sys/fs/cgroup/system.slice/slurmstepd.scope/job_5/step_0/user/task_0/"
    version_2(root, "/system.slice/slurmstepd.scope/job_5/step_0/user/task_0");
    say(root, GROUP "memory.max", "max\n");
    say(root, GROUP "memory.current", "4096\n");
    say(root, "sys/fs/cgroup/system.slice/slurmstepd.scope/job_5/memory.max", "104857600\n");
    say(root, "sys/fs/cgroup/system.slice/slurmstepd.scope/job_5/memory.high", "83886080\n");
    say(root, "sys/fs/cgroup/system.slice/slurmstepd.scope/job_5/memory.current", "52428800\n");
    assert_room(root, 80 * MIB, 30 * MIB);
    say(root, "sys/fs/cgroup/system.slice/slurmstepd.scope/job_5/memory.high", "max\n");
    assert_room(root, 100 * MIB, 50 * MIB);
    /* Over its limit. */
    say(root, "sys/fs/cgroup/system.slice/slurmstepd.scope/job_5/memory.current", "209715200\n");
    assert_room(root, 100 * MIB, 0);
#undef GROUP
}

/* As in a container that sees a part of the hierarchy, under a name with a blank. */
static void what_is_mounted_may_be_a_part(void **state)
{
    const char *root = new_root(state);

    version_2(root, "/box/a b/job");
    say(root, "proc/self/mountinfo",
        "32 22 0:28 /other /mnt rw - cgroup2 cgroup2 rw\n"
        "32 22 0:28 /box/a\\040b /sys/my\\040groups rw,relatime - cgroup2 cgroup2 rw\n"
        "32 22 0:28 /bo /mnt rw - cgroup2 cgroup2 rw\n");
    say(root, "sys/my groups/job/memory.max", "1048576\n");
    say(root, "sys/my groups/job/memory.current", "0\n");
    assert_room(root, MIB, MIB);
    /* A group above what is mounted. */
    version_2(root, "/..");
    assert_no_limit(root);
}

static void the_last_mount_that_can_be_seen_covers_the_others(void **state)
{
    const char *root = new_root(state);

    version_1(root, "/job");
    say(root, "proc/self/mountinfo",
        "31 22 0:27 / /old rw - cgroup cgroup rw,memory\n"
        "31 22 0:27 /.. /older rw - cgroup cgroup rw,memory\n"
        "33 22 0:27 / /new rw shared:2 master:1 - cgroup cgroup rw,memory\n"
        "34 22 0:28 / /hugetlb rw - cgroup cgroup rw,nomemory\n");
    say(root, "old/job/memory.limit_in_bytes", "1\n");
    say(root, "old/job/memory.usage_in_bytes", "1\n");
    say(root, "new/job/memory.limit_in_bytes", "2097152\n");
    say(root, "new/job/memory.usage_in_bytes", "1048576\n");
    assert_room(root, 2 * MIB, MIB);
    /* If it can be seen: not so where something else is mounted over it. */
    say(root, "proc/self/mountinfo",
        "33 22 0:27 / /new rw - cgroup cgroup rw,memory\n"
        "35 22 0:27 / /covered rw - cgroup cgroup rw,memory\n");
    assert_room(root, 2 * MIB, MIB);
    say(root, "covered/not-ours", "");
    assert_room(root, 2 * MIB, MIB);
}

/* The site may have bounded all jobs together, or what they run in. */
static void a_group_above_the_job_s_is_told_from_it(void **state)
{
    const char *root = new_root(state);
    struct pbc_memory m;
    struct pbc_memory_room room;
    struct pbc_error err;
    uint64_t used[PBC_MEMORY_LEVELS];

#define GROUP "sys/fs/cgroup/memory/slurm/"
    version_1(root, "/slurm/uid_7/job_5/step_0");
    say(root, GROUP "uid_7/job_5/step_0/tasks", "");
    say(root, GROUP "uid_7/job_5/memory.limit_in_bytes", "419430400\n"); /* 400 */
    say(root, GROUP "uid_7/job_5/memory.usage_in_bytes", "104857600\n"); /* 100 */
    say(root, GROUP "memory.limit_in_bytes", "524288000\n");             /* 500 */
    say(root, GROUP "memory.usage_in_bytes", "471859200\n");             /* 450 */
    pbc_memory_open(&m, root);
    room = pbc_memory_room(&m);
    assert_int_equal(room.limit, 500 * MIB);
    assert_string_equal(room.above, "/slurm");
    pbc_memory_used(&m, used);
    assert_int_equal(used[room.level], 450 * MIB);
    assert_int_equal(used[1 - room.level], 100 * MIB);
    assert_int_equal(pbc_memory_short(&room, 0, 60 * MIB, 16 * MIB, "so", &err), -1);
    assert_error(&err, PBC_EXIT_NOSPACE, "so: ", "control group /slurm", "is 500 MiB",
                 "50 MiB of it", "about 60 MiB", "--mem does not");
    say(root, GROUP "memory.usage_in_bytes", "5\n");
    room = pbc_memory_room(&m);
    assert_int_equal(room.limit, 400 * MIB);
    assert_null(room.above);
    pbc_memory_close(&m);

    /* Nothing there is called as Slurm calls a job's. */
    version_1(root, "/slurm/uid_7/job_x");
    say(root, GROUP "uid_7/job_x/tasks", "");
    say(root, GROUP "memory.usage_in_bytes", "471859200\n");
    pbc_memory_open(&m, root);
    room = pbc_memory_room(&m);
    assert_int_equal(room.limit, 500 * MIB);
    assert_null(room.above);
    pbc_memory_close(&m);
#undef GROUP
}

static void what_cannot_be_read_is_no_limit(void **state)
{
    static const char *const groups[] = {
        "", "\n", ":::::\n", "4:memory\n", "4:memory:\n", "4:memory:relative\n", "0::/../..\n",
    };
    const char *root = new_root(state);
    struct bytes deep = {0};

    assert_no_limit(root);
    version_1(root, "/job");
    assert_no_limit(root); /* no such group */
    say(root, "sys/fs/cgroup/memory/job/memory.limit_in_bytes", "1048576\n");
    assert_no_limit(root); /* and no usage */
    say(root, "sys/fs/cgroup/memory/job/memory.usage_in_bytes", "many\n");
    assert_no_limit(root);
    say(root, "sys/fs/cgroup/memory/job/memory.usage_in_bytes", "");
    assert_no_limit(root);
    say(root, "sys/fs/cgroup/memory/job/memory.usage_in_bytes", "5\n");
    say(root, "sys/fs/cgroup/memory/job/memory.limit_in_bytes", "99999999999999999999999\n");
    assert_no_limit(root);
    say(root, "sys/fs/cgroup/memory/job/memory.limit_in_bytes", "-1\n");
    assert_no_limit(root);
    say(root, "sys/fs/cgroup/memory/job/memory.limit_in_bytes", "7\n");
    assert_room(root, 7, 2);
    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
        say(root, "proc/self/cgroup", groups[i]);
        (void)room_of(root);
    }
    version_1(root, "/job");
    say(root, "proc/self/mountinfo",
        "31 22 0:27 / /sys/fs/cgroup/memory rw - cgroup\n- - -\n\n31\n");
    assert_no_limit(root);

    /* Longer than a path can be. */
    bytes_add(&deep, "0::", 3);
    for (int i = 0; i < 5000; i++)
        bytes_add(&deep, "/a", 2);
    bytes_add(&deep, "", 1);
    say(root, "proc/self/cgroup", (char *)deep.data);
    assert_no_limit(root);
    bytes_free(&deep);
}

static void more_levels_than_are_looked_at_do_no_harm(void **state)
{
    const char *root = new_root(state);
    char group[512] = "";
    char path[1024];

    for (int i = 0; i < 40; i++) {
        strcat(group, "/g");
        snprintf(path, sizeof(path), "sys/fs/cgroup/memory%s/memory.limit_in_bytes", group);
        say(root, path, i == 39 ? "10\n" : "20\n");
        snprintf(path, sizeof(path), "sys/fs/cgroup/memory%s/memory.usage_in_bytes", group);
        say(root, path, "1\n");
    }
    version_1(root, group);
    assert_room(root, 10, 9);
}

static void the_error_says_what_to_ask_for(void **state)
{
    struct pbc_memory_room room = {.limit = 300 * MIB, .free = 100 * MIB};
    struct pbc_error err;

    (void)state;
    assert_int_equal(pbc_memory_short(&room, 10 * MIB + 1, 700 * MIB, 64 * MIB, "so", &err), -1);
    assert_error(&err, PBC_EXIT_NOSPACE, "so: ", "limit of the job is 300 MiB", "100 MiB of it",
                 "64 MiB must stay", "about 700 MiB", "--mem=839M");
    assert_int_equal(pbc_memory_short(&room, 0, UINT64_MAX, UINT64_MAX, "so", &err), -1);
    assert_int_equal(err.code, PBC_EXIT_NOSPACE);
}

/* --- the writer ---------------------------------------------------------------------------- */

struct place {
    const char *root;
    int fd;
    struct pbc_memory memory;
    struct pbc_writer_limits limits;
    struct pbc_writer *w;
};

static void use(const struct place *p, uint64_t bytes)
{
    char text[32];

    snprintf(text, sizeof(text), "%llu\n", (unsigned long long)bytes);
    say(p->root, "sys/fs/cgroup/job/memory.current", text);
}

static void begin(struct place *p, void **state, uint64_t used)
{
    memset(p, 0, sizeof(*p));
    p->root = new_root(state);
    version_2(p->root, "/job");
    say(p->root, "sys/fs/cgroup/job/memory.max", "104857600\n"); /* 100 MiB */
    use(p, used);
    pbc_memory_open(&p->memory, p->root);
    assert_int_equal(p->memory.levels, 1);
    make_dir(in(p->root, "tree"), 0755);
    p->fd = open(in(p->root, "tree"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    p->limits = (struct pbc_writer_limits){.entries = 1000000, .memory = &p->memory};
    p->w = pbc_writer_new(p->fd, &p->limits);
    assert_non_null(p->w);
}

static void end(struct place *p)
{
    pbc_writer_free(p->w);
    pbc_memory_close(&p->memory);
    close(p->fd);
}

static int fill(struct place *p, const char *name, uint64_t bytes, struct pbc_error *err)
{
    static const char piece[1 << 20];
    struct timespec t = {0};

    if (pbc_writer_file(p->w, name, 0644, bytes, err) != 0)
        return -1;
    for (uint64_t at = 0; at < bytes; at += sizeof(piece)) {
        uint64_t left = bytes - at;

        if (pbc_writer_data(p->w, at, piece, left < sizeof(piece) ? left : sizeof(piece), err) != 0)
            return -1;
    }
    return pbc_writer_close(p->w, t, err);
}

static void a_writer_stops_before_the_limit(void **state)
{
    struct pbc_memory_room room;
    struct pbc_error err = {0};
    struct place p;
    char name[16];
    unsigned n = 0;

    begin(&p, state, 60 * MIB);
    assert_int_equal(pbc_writer_memory_reserve(&p.limits), PBC_MEMORY_RESERVE);
    assert_int_equal(pbc_writer_lacks_memory(p.w, &room), 0);
    do {
        use(&p, (60 + n) * MIB);
        snprintf(name, sizeof(name), "f%u", n++);
    } while (n < 100 && fill(&p, name, MIB, &err) == 0);
    /* 40 are free, of which 16 must stay. */
    assert_in_range(n, 23, 25);
    assert_error(&err, PBC_EXIT_NOSPACE, "memory", name);
    assert_int_equal(pbc_writer_lacks_memory(p.w, &room), 1);
    assert_int_equal(room.limit, 100 * MIB);
    assert_in_range(room.free, 16 * MIB, 18 * MIB);
    /* What other threads write is refused as well. */
    assert_int_equal(fill(&p, "more", 2 * MIB, &err), -1);
    end(&p);
}

static void min_free_is_left_of_the_memory_too(void **state)
{
    struct pbc_error err;
    struct place p;

    begin(&p, state, 60 * MIB);
    pbc_writer_free(p.w);
    p.limits.min_free = 41 * MIB;
    p.limits.own = 96 * MIB;
    assert_int_equal(pbc_writer_memory_reserve(&p.limits), 41 * MIB);
    p.w = pbc_writer_new(p.fd, &p.limits);
    assert_int_equal(fill(&p, "not", 1, &err), -1);
    assert_int_equal(err.code, PBC_EXIT_NOSPACE);
    end(&p);
}

/* It is for what the agent may come to need; a small set needs less. */
static void min_free_is_not_more_than_the_agent_can_need(void **state)
{
    struct pbc_writer_limits limits = {.min_free = 64 * MIB};

    (void)state;
    assert_int_equal(pbc_writer_memory_reserve(&limits), PBC_MEMORY_RESERVE);
    limits.own = 30 * MIB;
    assert_int_equal(pbc_writer_memory_reserve(&limits), 30 * MIB);
    limits.own = 9 * MIB;
    assert_int_equal(pbc_writer_memory_reserve(&limits), PBC_MEMORY_RESERVE);
    limits.own = 96 * MIB;
    assert_int_equal(pbc_writer_memory_reserve(&limits), 64 * MIB);
}

/* A million files of a byte are more than a megabyte, and as many links are not nothing. */
static void small_members_count(void **state)
{
    struct pbc_error err = {0};
    struct place p;
    char name[32];
    unsigned n = 0;

    begin(&p, state, 80 * MIB); /* 4 MiB may be written, then it is looked at again */
    do {
        snprintf(name, sizeof(name), "f%u", n++);
        use(&p, 80 * MIB + n * 5 * UINT64_C(1024));
    } while (n < 10000 && fill(&p, name, 1, &err) == 0);
    assert_int_equal(err.code, PBC_EXIT_NOSPACE);
    assert_in_range(n, 700, 900);
    end(&p);

    begin(&p, state, 80 * MIB);
    n = 0;
    do {
        snprintf(name, sizeof(name), "l%u", n++);
        use(&p, 80 * MIB + n * UINT64_C(1024));
    } while (n < 10000 && pbc_writer_symlink(p.w, name, "x", &err) == 0);
    assert_in_range(n, 3900, 4200);
    end(&p);
}

/* --- the pipeline -------------------------------------------------------------------------- */

static struct pbc_unpack *unpack(struct place *p, const struct pbc_base *base, uint64_t own)
{
    struct pbc_unpack_conf conf = {.rootfd = p->fd,
                                   .root = UNPACKING_ROOT,
                                   .limits = p->limits,
                                   .base = base,
                                   .own = own,
                                   .workers = 1,
                                   .bundles = 1};
    struct pbc_error err;
    struct pbc_unpack *u = pbc_unpack_start(&conf, &err);

    assert_non_null(u);
    return u;
}

static void fails(struct pbc_unpack *u, struct pbc_error *err)
{
    struct pollfd fd = {.fd = pbc_unpack_fd(u), .events = POLLIN};

    assert_int_equal(poll(&fd, 1, 120000), 1);
    assert_int_equal(pbc_unpack_state(u, err), PBC_UNPACK_FAILED);
    pbc_unpack_free(u);
}

static void push_file(struct pbc_unpack *u, struct pbc_pool *pool, size_t len)
{
    struct bytes tar = {0}, data = {0};

    bytes_fill(&data, 'x', len);
    tar_add(&tar, (struct member){.name = "lib/x", .data = data.data, .len = len});
    pbc_unpack_push(u, begin_chunk(0, PBC_FORMAT_TAR, tar.len, "/bundles/b.tar"));
    for (size_t at = 0, n; at < tar.len; at += n) {
        struct pbc_chunk *c = pbc_pool_wait(pool);

        if (c == NULL)
            break;
        n = tar.len - at < 65536 ? tar.len - at : 65536;
        memcpy(c->data, tar.data + at, n);
        pbc_chunk_set(c,
                      (struct pbc_frame){.type = PBC_FRAME_DATA, .length = (uint32_t)n, .aux = at});
        pbc_unpack_push(u, c);
    }
    bytes_free(&data);
    bytes_free(&tar);
}

/* One group leaves least at first, another at the end: what was used of the one says nothing of the
 * other. */
static void what_the_bundles_need_is_counted_in_one_group(void **state)
{
    struct pbc_pool *pool = pbc_pool_new(64, 65536);
    struct pbc_unpack *u;
    struct pbc_error err;
    struct place p;

    begin(&p, state, 0);
    pbc_memory_close(&p.memory);
    version_2(p.root, "/job_5/step_0");
    say(p.root, "sys/fs/cgroup/job_5/step_0/memory.max", "314572800\n");     /* 300 */
    say(p.root, "sys/fs/cgroup/job_5/step_0/memory.current", "262144000\n"); /* 250 */
    say(p.root, "sys/fs/cgroup/job_5/memory.max", "419430400\n");            /* 400 */
    say(p.root, "sys/fs/cgroup/job_5/memory.current", "346030080\n");        /* 330 */
    pbc_memory_open(&p.memory, p.root);
    u = unpack(&p, NULL, 20 * MIB);
    say(p.root, "sys/fs/cgroup/job_5/memory.current", "408944640\n"); /* 390, 60 of them ours */
    push_file(u, pool, MIB);
    fails(u, &err);
    assert_error(&err, PBC_EXIT_NOSPACE, "/bundles/b.tar: the job's memory", "'lib/x'",
                 "job is 400 MiB", "10 MiB of it", "need about 60 MiB",
                 "--mem=490M"); /* 330 + 20 + 64 + 60 + 16 */
    pbc_pool_free(pool);
    end(&p);
}

/* In a set that extends another most are links, and only those that are rewritten take memory. */
static void files_that_a_base_has_rewritten_are_charged(void **state)
{
    struct pbc_base base = {
        .old_root = "/dev/shm/pbcast/7/1123456789abcdef0123456789abcdef",
        .new_root = UNPACKING_ROOT,
    };
    struct pbc_unpack *u;
    struct bytes data = {0};
    struct pbc_error err;
    struct place p;

    begin(&p, state, 70 * MIB); /* 30 are free */
    bytes_fill(&data, 'x', 15 * MIB);
    make_dir(in(p.root, "base"), 0755);
    make_file(in(p.root, "base/linked"), (char *)data.data, data.len);
    bytes_add(&data, base.old_root, strlen(base.old_root));
    make_file(in(p.root, "base/rewritten"), (char *)data.data, data.len);
    bytes_free(&data);
    base.fd = open(in(p.root, "base"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    u = unpack(&p, &base, 20 * MIB);
    fails(u, &err);
    assert_error(&err, PBC_EXIT_NOSPACE, "the job's memory does not suffice for member 'rewritten'",
                 "job is 100 MiB", "30 MiB of it", "--mem=");
    close(base.fd);
    end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_group_that_leaves_least_counts_in_version_1),
        cmocka_unit_test(the_kernel_s_cache_of_files_is_free),
        cmocka_unit_test(version_2_has_two_limits_in_every_group),
        cmocka_unit_test(what_is_mounted_may_be_a_part),
        cmocka_unit_test(the_last_mount_that_can_be_seen_covers_the_others),
        cmocka_unit_test(what_cannot_be_read_is_no_limit),
        cmocka_unit_test(more_levels_than_are_looked_at_do_no_harm),
        cmocka_unit_test(the_error_says_what_to_ask_for),
        cmocka_unit_test(a_writer_stops_before_the_limit),
        cmocka_unit_test(min_free_is_left_of_the_memory_too),
        cmocka_unit_test(a_group_above_the_job_s_is_told_from_it),
        cmocka_unit_test(min_free_is_not_more_than_the_agent_can_need),
        cmocka_unit_test(small_members_count),
        cmocka_unit_test(what_the_bundles_need_is_counted_in_one_group),
        cmocka_unit_test(files_that_a_base_has_rewritten_are_charged),
    };

    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
