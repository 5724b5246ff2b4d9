#include "site.h"

#include "catalog.h"
#include "store.h"
#include "text.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <string.h>

#ifndef PBC_AGENT_DEFAULT
#define PBC_AGENT_DEFAULT "/usr/bin/pbcast-stage"
#endif
#define PBC_MPI_AGENT_DEFAULT PBC_AGENT_DEFAULT "-mpich"

/* What pbcast adds behind the store's path must fit in PBC_PATH_MAX too. */
#define STORE_MAX (PBC_PATH_MAX - 512)

#define DIGITS "0123456789"

int pbc_parse_bytes(const char *text, uint64_t *ret)
{
    static const char units[] = "KMGT";
    size_t digits = strspn(text, DIGITS);
    unsigned shift = 0;
    uint64_t value;

    if (pbc_text_u64(text, digits, &value) < 0)
        return -1;
    if (text[digits] != '\0') {
        const char *unit = strchr(units, text[digits]);

        if (unit == NULL || text[digits + 1] != '\0')
            return -1;
        shift = 10 * (unsigned)(unit - units + 1);
    }
    if (value > UINT64_MAX >> shift)
        return -1;
    *ret = value << shift;
    return 0;
}

int pbc_parse_number(const char *text, unsigned long lo, unsigned long hi, unsigned long *ret)
{
    uint64_t value;

    if (pbc_text_u64(text, strlen(text), &value) < 0 || value < lo || value > hi)
        return -1;
    *ret = (unsigned long)value;
    return 0;
}

/* Keeps one form of each path, as it ends up in messages and in the tasks' environment. */
static int set_store(struct pbc_site *site, const char *value)
{
    char *end = site->store;

    /* a colon would split PATH */
    if (value[0] != '/' || strlen(value) >= STORE_MAX || strchr(value, ':') != NULL ||
        pbc_text_has_control(value, strlen(value)))
        return -1;
    while (*value != '\0') {
        size_t len;

        value += strspn(value, "/");
        len = strcspn(value, "/");
        if (len == 2 && value[0] == '.' && value[1] == '.')
            return -1;
        if (len > 0 && !(len == 1 && value[0] == '.')) {
            *end++ = '/';
            memcpy(end, value, len);
            end += len;
        }
        value += len;
    }
    *end = '\0';
    return end > site->store ? 0 : -1;
}

static int set_file(char *out, const char *value)
{
    size_t len = strlen(value);

    if (value[0] != '/' || len >= PBC_PATH_MAX || value[len - 1] == '/' ||
        pbc_text_has_control(value, len))
        return -1;
    memcpy(out, value, len + 1);
    return 0;
}

static int set_agent(struct pbc_site *site, const char *value)
{
    return set_file(site->agent, value);
}

static int set_srun(struct pbc_site *site, const char *value)
{
    return set_file(site->srun, value);
}

static int set_mpi_agent(struct pbc_site *site, const char *value)
{
    return set_file(site->mpi_agent, value);
}

static int set_mpi(struct pbc_site *site, const char *value)
{
    static const char *const types[] = {"auto",    "pmix", "pmix_v3",    "pmix_v4",
                                        "pmix_v5", "pmi2", "cray_shasta"};

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (strcmp(value, types[i]) == 0) {
            memcpy(site->mpi, value, strlen(value) + 1);
            return 0;
        }
    }
    return -1;
}

static bool is_subnet(const char *value, const char *slash)
{
    char host[INET6_ADDRSTRLEN];
    unsigned char bin[sizeof(struct in6_addr)];
    size_t len = (size_t)(slash - value);
    unsigned long bits;

    if (len >= sizeof(host))
        return false;
    memcpy(host, value, len);
    host[len] = '\0';
    if (inet_pton(AF_INET, host, bin) == 1)
        return pbc_parse_number(slash + 1, 0, 32, &bits) == 0;
    if (inet_pton(AF_INET6, host, bin) == 1)
        return pbc_parse_number(slash + 1, 0, 128, &bits) == 0;
    return false;
}

static int set_address(struct pbc_site *site, const char *value)
{
    static const char interface_chars[] = "abcdefghijklmnopqrstuvwxyz"
                                          "ABCDEFGHIJKLMNOPQRSTUVWXYZ" DIGITS "._:@-";
    const char *slash = strchr(value, '/');
    size_t len = strlen(value);

    if (len >= sizeof(site->address))
        return -1;
    if (slash != NULL) {
        if (!is_subnet(value, slash))
            return -1;
    } else if (len > 15 || strspn(value, interface_chars) != len) { /* IFNAMSIZ - 1 */
        return -1;
    }
    memcpy(site->address, value, len + 1);
    return 0;
}

static int set_catalog(struct pbc_site *site, const char *value)
{
    return set_file(site->catalog, value);
}

/* Nobody's working directory is meant: names or absolute paths. */
static int set_default_bundle(struct pbc_site *site, const char *value)
{
    struct pbc_bundles list;
    int good =
        strlen(value) < sizeof(site->default_bundle) && pbc_bundles_parse(value, &list, NULL) == 0;

    if (!good)
        return -1;
    for (size_t i = 0; i < list.count; i++) {
        const char *word = list.item[i].path;

        good = good && (word[0] == '/' || pbc_catalog_is_name(word));
    }
    pbc_bundles_free(&list);
    if (!good)
        return -1;
    strcpy(site->default_bundle, value);
    return 0;
}

static int set_mirror_max(struct pbc_site *site, const char *value)
{
    return pbc_parse_bytes(value, &site->mirror_max);
}

static int set_allow_user_bundles(struct pbc_site *site, const char *value)
{
    if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
        return -1;
    site->allow_user_bundles = value[0] == 'y';
    return 0;
}

static int set_timeout(struct pbc_site *site, const char *value)
{
    unsigned long n;

    if (pbc_parse_number(value, 1, 86400, &n) < 0)
        return -1;
    site->timeout = (unsigned)n;
    return 0;
}

static int set_stall(struct pbc_site *site, const char *value)
{
    unsigned long n;

    if (pbc_parse_number(value, 2, 3600, &n) < 0)
        return -1;
    site->stall = (unsigned)n;
    return 0;
}

static int set_max_size(struct pbc_site *site, const char *value)
{
    return pbc_parse_bytes(value, &site->max_size);
}

static int set_min_free(struct pbc_site *site, const char *value)
{
    return pbc_parse_bytes(value, &site->min_free);
}

static const struct key {
    const char *name;
    int (*set)(struct pbc_site *site, const char *value);
    const char *accepts;
} keys[] = {
    {"store", set_store, "an absolute path without \"..\" and ':', not \"/\""},
    {"agent", set_agent, "the absolute path of a file"},
    {"srun", set_srun, "the absolute path of a file"},
    {"mpi", set_mpi, "auto, pmix, pmix_v3, pmix_v4, pmix_v5, pmi2 or cray_shasta"},
    {"mpi_agent", set_mpi_agent, "the absolute path of a file"},
    {"address", set_address, "the name of a network interface, SUBNET/BITS, or nothing"},
    {"catalog", set_catalog, "the absolute path of a file"},
    {"default_bundle", set_default_bundle,
     "a list of absolute paths and names of the catalogue, with commas between them"},
    {"allow_user_bundles", set_allow_user_bundles, "yes or no"},
    {"mirror_max", set_mirror_max,
     "a number of bytes with an optional K, M, G or T; 0 is no limit"},
    {"timeout", set_timeout, "seconds from 1 to 86400"},
    {"stall", set_stall, "seconds from 2 to 3600"},
    {"max_size", set_max_size, "a number of bytes with an optional K, M, G or T; 0 is no limit"},
    {"min_free", set_min_free, "a number of bytes with an optional K, M, G or T"},
};
#define NKEYS (sizeof(keys) / sizeof(keys[0]))

static size_t find_key(const char *word, size_t len)
{
    size_t i = 0;

    while (i < NKEYS && (strlen(keys[i].name) != len || memcmp(keys[i].name, word, len) != 0))
        i++;
    return i;
}

void pbc_site_defaults(struct pbc_site *site)
{
    memset(site, 0, sizeof(*site));
    strcpy(site->store, PBC_STORE_DEFAULT);
    strcpy(site->agent, PBC_AGENT_DEFAULT);
    strcpy(site->srun, PBC_SRUN_DEFAULT);
    strcpy(site->mpi, "auto");
    strcpy(site->mpi_agent, PBC_MPI_AGENT_DEFAULT);
    site->allow_user_bundles = 1;
    site->mirror_max = (uint64_t)512 << 20;
    site->timeout = 600;
    site->stall = 20;
    site->max_size = (uint64_t)64 << 30;
    site->min_free = (uint64_t)64 << 20;
}

int pbc_site_parse(int argc, char *const argv[], struct pbc_site *site, struct pbc_error *err)
{
    struct pbc_site parsed;
    bool seen[NKEYS] = {false};

    pbc_site_defaults(&parsed);
    for (int i = 0; i < argc; i++) {
        size_t len = strcspn(argv[i], "=");
        size_t k = find_key(argv[i], len);

        if (argv[i][len] == '\0')
            return pbc_fail(err, PBC_EXIT_USAGE, "\"%s\" is not a setting: key=value is needed",
                            argv[i]);
        if (k == NKEYS)
            return pbc_fail(
                err, PBC_EXIT_USAGE,
                "unknown key \"%.*s\"; known are store, agent, srun, mpi, mpi_agent, "
                "address, catalog, default_bundle, allow_user_bundles, mirror_max, timeout, stall, "
                "max_size, min_free",
                (int)(len < 64 ? len : 64), argv[i]);
        if (seen[k])
            return pbc_fail(err, PBC_EXIT_USAGE, "%s= is given twice", keys[k].name);
        seen[k] = true;
        if (keys[k].set(&parsed, argv[i] + len + 1) < 0)
            return pbc_fail(err, PBC_EXIT_USAGE, "wrong value in \"%.512s\": %s= takes %s", argv[i],
                            keys[k].name, keys[k].accepts);
    }
    *site = parsed;
    return 0;
}
