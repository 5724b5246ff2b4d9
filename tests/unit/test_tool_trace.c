/* What strace writes becomes files that were opened or looked for, by mount and cause. */
#include "support.h"

#include "cause.h"
#include "leaks.h"
#include "mounts.h"
#include "trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct pbc_trace *trace;
static struct pbc_trace_event ev;

static int trace_setup(void **state)
{
    (void)state;
    trace = pbc_trace_new("/start");
    return trace == NULL ? -1 : 0;
}

static int trace_teardown(void **state)
{
    (void)state;
    pbc_trace_free(trace);
    return 0;
}

/* "'text'" becomes hexadecimal escapes in '"', "<text>" in angle brackets. */
static int line(const char *text)
{
    char out[4 * 4096], *to = out;

    for (const char *p = text; *p != '\0'; p++) {
        char end = *p == '\'' ? '\'' : *p == '{' ? '}' : '\0';

        if (end == '\0') {
            *to++ = *p;
            continue;
        }
        *to++ = end == '}' ? '<' : '"';
        for (p++; *p != end; p++)
            to += sprintf(to, "\\x%02x", (unsigned)(unsigned char)*p);
        *to++ = end == '}' ? '>' : '"';
    }
    *to = '\0';
    return pbc_trace_line(trace, out, &ev);
}

static void opened(const char *text, const char *path)
{
    assert_int_equal(line(text), 1);
    assert_string_equal(ev.path, path);
    assert_true(ev.opened);
}

static void missed(const char *text, const char *path)
{
    assert_int_equal(line(text), 1);
    assert_string_equal(ev.path, path);
    assert_true(ev.failed && !ev.opened);
}

static void files_that_are_opened_are_told_from_those_looked_for(void **state)
{
    (void)state;
    opened("7 openat(AT_FDCWD{/start}, 'a/../b', O_RDONLY) = 3{/real/b}", "/real/b");
    missed("7 openat(5{/dir}, 'x', O_RDONLY) = -1 ENOENT (No such file or directory)", "/dir/x");
    opened("7 open('/x y\n\"', O_RDONLY) = 3{/x y\n\"}", "/x y\n\"");
    assert_int_equal(line("7 newfstatat(AT_FDCWD{/start}, './c', {st_mode=1}, 0) = 0"), 1);
    assert_string_equal(ev.path, "/start/c");
    assert_false(ev.opened || ev.failed);
    missed("7 access('/etc/ld.so.preload', R_OK)      = -1 ENOENT (No such file)",
           "/etc/ld.so.preload");
    assert_int_equal(line("7 newfstatat(3{/x}, '', {st_mode=1}, AT_EMPTY_PATH) = 0"), 0);
    assert_int_equal(line("7 readlink('/shared', 0x7ff, 4095) = -1 EINVAL (Invalid argument)"), 1);
    assert_false(ev.failed);
    assert_int_equal(line("7 symlink('/to', '/from') = 0"), 0);
    assert_int_equal(line("7 statx(AT_FDCWD{/start}, '', 0, 0, NULL) = -1 EFAULT (Bad address)"),
                     0);
}

static void calls_that_were_cut_are_put_together(void **state)
{
    (void)state;
    assert_int_equal(line("7 openat(AT_FDCWD{/start}, 'a', O_RDONLY <unfinished ...>"), 0);
    assert_int_equal(line("8 openat(AT_FDCWD{/other}, 'b', O_RDONLY <unfinished ...>"), 0);
    opened("7 <... openat resumed>)              = 4{/start/a}", "/start/a");
    assert_int_equal(ev.pid, 7);
    missed("8 <... openat resumed>) = -1 EACCES (Permission denied)", "/other/b");
    assert_int_equal(line("9 <... openat resumed>) = 3{/x}"), 0);
}

static void children_run_the_program_of_their_parent(void **state)
{
    (void)state;
    opened("7 execve('/tree/bin/python3', ['python3'], 0x7ff /* 3 vars */) = 0",
           "/tree/bin/python3");
    assert_true(ev.exec);
    assert_int_equal(line("7 clone(child_stack=NULL, flags=SIGCHLD) = 8"), 0);
    opened("8 openat(AT_FDCWD{/start}, '/a', O_RDONLY) = 3{/a}", "/a");
    assert_string_equal(ev.program, "/tree/bin/python3");
    /* a child may be seen before its parent's call has ended */
    assert_int_equal(line("7 vfork( <unfinished ...>"), 0);
    assert_int_equal(line("9 execve('/usr/bin/sed', ['sed'], 0x7 /* 1 var */ <unfinished ...>"), 0);
    assert_int_equal(line("7 <... vfork resumed>) = 9"), 0);
    opened("9 <... execve resumed>) = 0", "/usr/bin/sed");
    opened("7 openat(AT_FDCWD{/start}, '/b', O_RDONLY) = 3{/b}", "/b");
    assert_string_equal(ev.program, "/tree/bin/python3");
    opened("9 openat(AT_FDCWD{/start}, '/b', O_RDONLY) = 3{/b}", "/b");
    assert_string_equal(ev.program, "/usr/bin/sed");
    assert_int_equal(pbc_trace_processes(trace), 3);
}

static void a_process_that_moves_is_followed(void **state)
{
    (void)state;
    assert_int_equal(line("7 chdir('sub') = 0"), 1);
    opened("7 open('x', O_RDONLY) = 3", "/start/sub/x");
    opened("7 execve('../y', ['y'], 0x7 /* 1 var */) = 0", "/start/y");
}

static void what_is_no_such_line_is_ignored(void **state)
{
    static const char *const lines[] = {"",
                                        "7",
                                        "7 ",
                                        "x open('/a', 0) = 3",
                                        "7 open(",
                                        "7 open('/a', 0)",
                                        "7 open(\"\\x2f",
                                        "-7 open('/a', 0) = 3",
                                        "7 +++ exited with 0 +++",
                                        "7 --- SIGCHLD {si_signo=SIGCHLD} ---",
                                        "7 open(\"\\x2\", 0) = 3",
                                        "7 open(\"\\x00\", 0) = 3",
                                        "7 open(\"plain\", 0) = 3"};

    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        assert_int_equal(line(lines[i]), 0);
}

static const char table[] = "1 0 8:1 / / rw - ext4 /dev/sda rw\n"
                            "2 1 0:1 / /proj rw,noatime shared:1 - lustre mgs:/proj rw\n"
                            "3 1 0:2 / /proj/my\\040own rw - fuse.glusterfs x rw\n"
                            "4 1 0:3 / /dev/shm rw - tmpfs tmpfs rw\n"
                            "5 1 0:4 / /proc rw - proc proc rw\n"
                            "garbage\n"
                            "6 1 0:5 / /over rw - nfs4 a:/ rw\n"
                            "7 6 0:6 / /over rw - xfs /dev/sdb rw\n"
                            "8 1 0:7 / /cvmfs/s ro - fuse cvmfs2 rw\n"
                            "9 1 0:8 / /sq ro - fuse.squashfuse x rw\n";

static void read_table(struct pbc_mounts *m)
{
    FILE *f = fmemopen((char *)(uintptr_t)table, strlen(table), "r");

    assert_int_equal(pbc_mounts_read(f, m, NULL), 0);
    fclose(f);
}

static void a_path_is_on_the_mount_that_covers_it(void **state)
{
    static const struct {
        const char *path;
        const char *dir;
        enum pbc_mount_kind kind;
    } want[] = {{"/usr/lib/x", "/", PBC_MOUNT_LOCAL},
                {"/proj", "/proj", PBC_MOUNT_SHARED},
                {"/proj/a", "/proj", PBC_MOUNT_SHARED},
                {"/project", "/", PBC_MOUNT_LOCAL},
                {"/proj/my own/x", "/proj/my own", PBC_MOUNT_SHARED},
                {"/dev/shm/x", "/dev/shm", PBC_MOUNT_MEMORY},
                {"/proc/self", "/proc", PBC_MOUNT_KERNEL},
                {"/over/x", "/over", PBC_MOUNT_LOCAL},
                {"/cvmfs/s/x", "/cvmfs/s", PBC_MOUNT_SHARED},
                {"/sq/x", "/sq", PBC_MOUNT_LOCAL},
                {"/opt/a", "/opt/a", PBC_MOUNT_SHARED},
                {"/opt/b", "/", PBC_MOUNT_LOCAL}};
    struct pbc_mounts m;

    (void)state;
    read_table(&m);
    assert_int_equal(pbc_mounts_share(&m, "/opt/a", NULL), 0);
    for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
        const struct pbc_mount *got = pbc_mounts_find(&m, want[i].path);

        assert_string_equal(got->dir, want[i].dir);
        assert_int_equal(got->kind, want[i].kind);
    }
    pbc_mounts_free(&m);
}

static char lib_path[] = "LD_LIBRARY_PATH=/tree/1/s/lib:/sw/lib",
            python_path[] = "PYTHONPATH=/sw/py", other[] = "OTHER=/sw";
static const char cache[] = "glibc-ld.so.cache1.1\0libz.so.1\0/lib/libz.so.1\0";
static char *const vars[] = {lib_path, python_path, other, NULL};
static const struct pbc_command_facts facts = {.root = "/tree/1/s",
                                               .job_dir = "/tree/1",
                                               .cwd = "/proj/run",
                                               .home = "/home/u",
                                               .script = "/proj/app",
                                               .venv_home = "/opt/python",
                                               .vars = vars,
                                               .cache = cache,
                                               .cache_len = sizeof(cache)};

static enum pbc_cause cause(const char *path, const char *program, bool exec)
{
    struct pbc_trace_event e = {.program = program, .exec = exec};
    char name[64];

    snprintf(e.path, sizeof(e.path), "%s", path);
    return pbc_cause_of(&facts, &e, name, sizeof(name));
}

static void each_file_has_its_cause(void **state)
{
    static const struct {
        const char *path;
        enum pbc_cause cause;
    } want[] = {{"/lib/x86_64-linux-gnu/libc.so.6", PBC_CAUSE_SYSTEM},
                {"/lib64/ld-linux-x86-64.so.2", PBC_CAUSE_SYSTEM},
                {"/etc/ld.so.cache", PBC_CAUSE_SYSTEM},
                {"/usr/lib/os-release", PBC_CAUSE_SYSTEM},
                {"/usr/lib/libssl.so.3", PBC_CAUSE_LIBRARY},
                {"/opt/lib/libssl.so.3", PBC_CAUSE_RUNPATH},
                {"/opt/lib/libc.so.6", PBC_CAUSE_RUNPATH},
                {"/sw/lib/libc.so.6", PBC_CAUSE_VARIABLE},
                {"/usr/lib/sub/libssl.so.3", PBC_CAUSE_RUNPATH},
                {"/sw/lib/libssl.so.3", PBC_CAUSE_VARIABLE},
                {"/sw/py/a.py", PBC_CAUSE_VARIABLE},
                {"/sw/python", PBC_CAUSE_OTHER},
                {"/home/u/.local/lib/python3.11/site-packages/a.py", PBC_CAUSE_USER},
                {"/home/u/.julia/packages/x", PBC_CAUSE_USER},
                {"/home/u/.Rprofile", PBC_CAUSE_HOME},
                {"/opt/python/lib/python3.11/os.py", PBC_CAUSE_VENV},
                {"/usr/lib/python3.11/_sysconfigdata__linux_x86_64-linux-gnu.py", PBC_CAUSE_CONFIG},
                {"/proj/app/b.py", PBC_CAUSE_SCRIPT},
                {"/proj/run/input", PBC_CAUSE_WORK},
                {"/usr/share/x", PBC_CAUSE_OTHER}};
    const char *in_tree = "/tree/1/s/bin/python3";

    (void)state;
    for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
        if (cause(want[i].path, in_tree, false) != want[i].cause)
            fail_msg("%s: %s", want[i].path, pbc_cause_words(cause(want[i].path, in_tree, false)));
    }
    assert_int_equal(cause("/usr/share/x", "/usr/bin/sed", false), PBC_CAUSE_PROGRAM);
    assert_int_equal(cause("/usr/bin/sed", in_tree, true), PBC_CAUSE_PROGRAM);
}

static void only_what_is_shared_is_a_leak_unless_all_is(void **state)
{
    static const char *const lines[] = {
        "7 execve('/tree/1/s/bin/python3', ['python3'], 0x7 /* 1 var */) = 0",
        "7 open('/lib/libc.so.6', 0) = 3",
        "7 open('/usr/lib/libz.so.1', 0) = 3",
        "7 open('/usr/lib/none', 0) = -1 ENOENT (No)",
        "7 open('/proc/self/maps', 0) = 3",
        "7 open('/dev/shm/x', 0) = 3",
        "7 open('/tree/1/other/x', 0) = 3",
        "7 stat('/proj/run', {}) = 0",
        "7 open('/proj/a.py', 0) = -1 ENOENT (No)",
        "7 open('/proj/b.py', 0) = 3",
        "7 open('/proj/b.py', 0) = 3"};
    struct pbc_mounts m;
    struct pbc_leaks *l;
    char *text;
    size_t len;
    FILE *out;

    (void)state;
    read_table(&m);
    l = pbc_leaks_new(&facts, &m);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        assert_int_equal(line(lines[i]), 1);
        assert_int_equal(pbc_leaks_add(l, &ev), 0);
    }
    assert_int_equal(pbc_leaks_staged(l), 2);
    assert_int_equal(pbc_leaks_count(l, false), 2);
    assert_int_equal(pbc_leaks_count(l, true), 3);
    out = open_memstream(&text, &len);
    assert_int_equal(pbc_leaks_write(l, out, false), 0);
    fclose(out);
    assert_string_equal(
        text,
        "/proj (lustre, shared): 1 file opened 2 times, 1 looked for in vain, 1 other "
        "requests\n"
        "  working directory: 0 files opened 0 times, 0 looked for in vain, 1 other requests\n"
        "    (run in another directory: srun --chdir=DIR)\n"
        "         1  (not opened) /proj/run\n"
        "  other: 1 file opened 2 times, 1 looked for in vain, 0 other requests\n"
        "         2  /proj/b.py\n"
        "         1  (not opened) /proj/a.py\n"
        "/ (ext4, of this node): 2 files opened 2 times, 1 looked for in vain, 0 other "
        "requests\n"
        "  loader, libc and their settings: 1 file opened 1 time, 0 looked for in vain, 0 "
        "other requests\n"
        "         1  /lib/libc.so.6\n"
        "  shared libraries of the system: 1 file opened 1 time, 0 looked for in vain, 0 other "
        "requests\n"
        "    (put them into a bundle: 'pbcast bundle system-libs')\n"
        "         1  /usr/lib/libz.so.1\n"
        "  other: 0 files opened 0 times, 1 looked for in vain, 0 other requests\n"
        "         1  (not opened) /usr/lib/none\n");
    free(text);
    pbc_leaks_free(l);
    pbc_mounts_free(&m);
}

static void a_command_outside_the_tree_is_a_leak_of_its_own(void **state)
{
    struct pbc_mounts m;
    struct pbc_leaks *l;

    (void)state;
    read_table(&m);
    l = pbc_leaks_new(&facts, &m);
    assert_int_equal(line("7 execve('/usr/bin/python3', ['python3'], 0x7 /* 1 var */) = 0"), 1);
    assert_int_equal(pbc_leaks_add(l, &ev), 0);
    assert_int_equal(line("7 execve('/usr/bin/sed', ['sed'], 0x7 /* 1 var */) = 0"), 1);
    assert_int_equal(pbc_leaks_add(l, &ev), 0);
    assert_int_equal(pbc_leaks_count(l, false), 0);
    assert_int_equal(pbc_leaks_count(l, true), 1);
    pbc_leaks_free(l);
    pbc_mounts_free(&m);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, trace_setup, trace_teardown)
    const struct CMUnitTest tests[] = {
        TEST(files_that_are_opened_are_told_from_those_looked_for),
        TEST(calls_that_were_cut_are_put_together),
        TEST(children_run_the_program_of_their_parent),
        TEST(a_process_that_moves_is_followed),
        TEST(what_is_no_such_line_is_ignored),
        TEST(a_path_is_on_the_mount_that_covers_it),
        TEST(each_file_has_its_cause),
        TEST(only_what_is_shared_is_a_leak_unless_all_is),
        TEST(a_command_outside_the_tree_is_a_leak_of_its_own),
    };

    return cmocka_run_group_tests_name("trace", tests, NULL, NULL);
}
