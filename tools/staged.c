#include "staged.h"

#include "relocate.h"
#include "site.h"
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SUFFIX         ".manifest"
#define COMPONENTS_MAX 128 /* of a heterogeneous job, as in Slurm */

/* Where and what is looked for. */
struct search {
    char store[PBC_PATH_MAX];
    uint32_t job;
    char set[PBC_SET_ID_LEN + 1]; /* "": the only one */
    int fd;                       /* of <store>/<job> */
};

static int read_job(const struct pbc_staged_wish *wish, struct search *s, struct pbc_error *err)
{
    const char *text = getenv("SLURM_JOB_ID");
    unsigned long job;

    s->job = wish->job;
    if (s->job != 0)
        return 0;
    if (text == NULL || text[0] == '\0')
        return pbc_fail(err, PBC_EXIT_FAILED,
                        "SLURM_JOB_ID is not set: run this in a job, or say --job=N");
    if (pbc_parse_number(text, 1, UINT32_MAX, &job) < 0)
        return pbc_fail(err, PBC_EXIT_USAGE, "SLURM_JOB_ID=%s is no job", text);
    s->job = (uint32_t)job;
    return 0;
}

static int set_of_bundles(const struct pbc_staged_wish *wish, struct search *s,
                          struct pbc_error *err)
{
    struct pbc_bundles list = {0};
    int rc;

    if (pbc_bundles_parse_words(wish->bundle, wish->bundles, &list, err) < 0)
        return -1;
    rc = pbc_bundles_probe(&list, err);
    if (rc == 0)
        pbc_bundles_id(&list, s->set);
    pbc_bundles_free(&list);
    return rc;
}

static int read_set(const struct pbc_staged_wish *wish, struct search *s, struct pbc_error *err)
{
    const char *set = wish->set != NULL ? wish->set : getenv("SLURM_PBCAST_SET");

    if (wish->bundles > 0)
        return set_of_bundles(wish, s, err);
    if (set == NULL || set[0] == '\0')
        return 0;
    if (!pbc_set_id_valid(set))
        return pbc_fail(err, PBC_EXIT_USAGE, "\"%.64s\" is not the name of a set", set);
    memcpy(s->set, set, sizeof(s->set));
    return 0;
}

/* <store>/<job>/<set>, if PBCAST_ROOT has that form. */
static bool read_root(struct search *s)
{
    const char *root = getenv("PBCAST_ROOT");
    char copy[PBC_PATH_MAX];
    unsigned long job;
    char *slash;

    if (root == NULL || root[0] != '/' || strlen(root) >= sizeof(copy))
        return false;
    memcpy(copy, root, strlen(root) + 1);
    slash = strrchr(copy, '/');
    if (!pbc_set_id_valid(slash + 1))
        return false;
    memcpy(s->set, slash + 1, sizeof(s->set));
    *slash = '\0';
    slash = strrchr(copy, '/');
    if (slash == NULL || slash == copy || pbc_parse_number(slash + 1, 1, UINT32_MAX, &job) < 0)
        return false;
    *slash = '\0';
    s->job = (uint32_t)job;
    memcpy(s->store, copy, strlen(copy) + 1);
    return true;
}

/* The id of a component of the heterogeneous job, 0 if there is none. */
static uint32_t component(unsigned i)
{
    char name[64];
    const char *text;
    unsigned long job;

    snprintf(name, sizeof(name), "SLURM_JOB_ID_HET_GROUP_%u", i);
    text = getenv(name);
    return text != NULL && pbc_parse_number(text, 1, UINT32_MAX, &job) == 0 ? (uint32_t)job : 0;
}

/* The directory of the job in s->store. Where the job is heterogeneous SLURM_JOB_ID is the first
 * component's, and the directory that of the component which this node belongs to. */
static int open_component(const struct pbc_staged_wish *wish, struct search *s,
                          struct pbc_error *err)
{
    bool is_het = false;
    uint32_t job;

    s->fd = pbc_store_open(s->store, s->job, geteuid(), err);
    if (s->fd >= 0 || errno != ENOENT || wish->job != 0)
        return s->fd;
    /* A job that was submitted in one has its variables. */
    for (unsigned i = 0; i < COMPONENTS_MAX && (job = component(i)) != 0; i++)
        is_het |= job == s->job;
    for (unsigned i = 0; is_het && i < COMPONENTS_MAX && (job = component(i)) != 0; i++) {
        int fd = pbc_store_open(s->store, job, geteuid(), NULL);

        if (fd >= 0) {
            s->job = job;
            s->fd = fd;
            return fd;
        }
    }
    errno = ENOENT;
    return -1;
}

static int open_job(const struct pbc_staged_wish *wish, struct search *s, struct pbc_error *err)
{
    if (wish->store != NULL && (wish->store[0] != '/' || strlen(wish->store) >= sizeof(s->store)))
        return pbc_fail(err, PBC_EXIT_USAGE, "the store is an absolute path, not %s", wish->store);
    snprintf(s->store, sizeof(s->store), "%s",
             wish->store != NULL ? wish->store : PBC_STORE_DEFAULT);
    s->fd = open_component(wish, s, err);
    if (s->fd < 0 && errno == ENOENT && wish->store == NULL) {
        snprintf(s->store, sizeof(s->store), "/dev/shm/pbcast-%u", (unsigned)geteuid());
        s->fd = open_component(wish, s, err);
    }
    if (s->fd < 0 && errno == ENOENT)
        return pbc_fail(err, PBC_EXIT_FAILED,
                        "nothing is staged on this node for job %u in %s: use srun with "
                        "--pbcast-bundle or pbcast-stage first, or say --store=DIR",
                        (unsigned)s->job, wish->store != NULL ? wish->store : PBC_STORE_DEFAULT);
    return s->fd < 0 ? -1 : 0;
}

/* The only manifest of the job. */
static int only_set(struct search *s, struct pbc_error *err)
{
    char other[PBC_SET_ID_LEN + 1];
    int copy = openat(s->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    struct dirent *e;
    unsigned found = 0;

    if (dir == NULL)
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot read %s/%u", s->store,
                              (unsigned)s->job);
    while ((e = readdir(dir)) != NULL) {
        if (strlen(e->d_name) != PBC_SET_ID_LEN + strlen(SUFFIX) ||
            strcmp(e->d_name + PBC_SET_ID_LEN, SUFFIX) != 0)
            continue;
        memcpy(other, e->d_name, PBC_SET_ID_LEN);
        other[PBC_SET_ID_LEN] = '\0';
        if (!pbc_set_id_valid(other))
            continue;
        found++;
        memcpy(s->set, other, sizeof(s->set));
    }
    closedir(dir);
    if (found == 1)
        return 0;
    if (found == 0)
        return pbc_fail(err, PBC_EXIT_FAILED, "no set is staged in %s/%u", s->store,
                        (unsigned)s->job);
    return pbc_fail(err, PBC_EXIT_FAILED,
                    "%u sets are staged in %s/%u: name the bundles of one, or say --set=SET (names "
                    "of *.manifest there)",
                    found, s->store, (unsigned)s->job);
}

static int open_search(const struct pbc_staged_wish *wish, struct search *s, struct pbc_error *err)
{
    bool any = wish->store != NULL || wish->job != 0 || wish->set != NULL || wish->bundles > 0;

    if (!any && read_root(s)) {
        s->fd = pbc_store_open(s->store, s->job, geteuid(), err);
        if (s->fd >= 0)
            return 0;
    }
    s->set[0] = '\0';
    if (read_job(wish, s, err) < 0 || read_set(wish, s, err) < 0 || open_job(wish, s, err) < 0)
        return -1;
    return s->set[0] == '\0' ? only_set(s, err) : 0;
}

/* What --pbcast-env leaves in a job, and its environment twin, count here too. */
static int override(const struct pbc_staged_wish *wish, struct pbc_manifest *m,
                    struct pbc_error *err)
{
    static const char *const vars[] = {"SLURM_PBCAST_ENV", "PBCAST_ENV"};
    const char *name = wish->profile;
    enum pbc_profile profile;

    for (size_t i = 0; i < 2 && name == NULL; i++) {
        name = getenv(vars[i]);
        if (name != NULL && name[0] == '\0')
            name = NULL;
    }
    if (name == NULL)
        return 0;
    if (pbc_profile_from_name(name, &profile) < 0)
        return pbc_fail(err, PBC_EXIT_USAGE, "there is no profile %s; there are " PBC_PROFILE_NAMES,
                        name);
    return pbc_profile_override(m, profile, err);
}

int pbc_staged_find(const struct pbc_staged_wish *wish, struct pbc_staged *ret,
                    struct pbc_error *err)
{
    struct search s = {.fd = -1};
    int rc = open_search(wish, &s, err);

    memset(ret, 0, sizeof(*ret));
    if (rc == 0)
        rc = pbc_manifest_read(s.fd, s.set, &ret->manifest, err);
    if (rc > 0)
        rc = pbc_fail(err, PBC_EXIT_FAILED, "the set %s is not staged in %s/%u", s.set, s.store,
                      (unsigned)s.job);
    if (rc == 0 && (size_t)snprintf(ret->root, sizeof(ret->root), "%s/%u/%s", s.store,
                                    (unsigned)s.job, s.set) >= sizeof(ret->root))
        rc = pbc_fail(err, PBC_EXIT_FAILED, "the path of the store is too long: %s", s.store);
    if (rc == 0)
        rc = override(wish, &ret->manifest, err);
    if (rc < 0)
        pbc_manifest_free(&ret->manifest);
    if (s.fd >= 0)
        close(s.fd);
    return rc;
}
