#include "support.h"

#include "site.h"

#include <string.h>

static struct pbc_site site;
static struct pbc_error err;

static int parse(const char *word)
{
    char copy[2 * PBC_PATH_MAX];
    char *argv[] = {copy};

    strcpy(copy, word);
    return pbc_site_parse(1, argv, &site, &err);
}

/* Refused with the key named, and the settings are as they were. */
static void refused(const char *word, const char *why)
{
    struct pbc_site before;

    memset(&site, 0x5a, sizeof(site));
    before = site;
    assert_int_equal(parse(word), -1);
    assert_error(&err, PBC_EXIT_USAGE, why);
    assert_memory_equal(&before, &site, sizeof(site));
}

static void without_words_the_defaults_hold(void **state)
{
    struct pbc_site defaults;

    (void)state;
    pbc_site_defaults(&defaults);
    assert_int_equal(pbc_site_parse(0, NULL, &site, &err), 0);
    assert_memory_equal(&defaults, &site, sizeof(site));
    assert_string_equal(site.store, "/dev/shm/pbcast");
    assert_int_equal(site.srun[0], '/');
    assert_string_equal(site.mpi, "auto");
    assert_non_null(strstr(site.mpi_agent, "/pbcast-stage-mpich"));
    assert_string_equal(site.address, "");
    assert_int_equal(site.agent[0], '/');
    assert_int_equal(site.timeout, 600);
    assert_int_equal(site.stall, 20);
    assert_int_equal(site.max_size, (uint64_t)64 << 30);
    assert_int_equal(site.min_free, 64 << 20);
}

static void every_key_sets_its_value(void **state)
{
    char store[] = "store=/local/pbcast", agent[] = "agent=/opt/pbcast-stage",
         srun[] = "srun=/opt/slurm/bin/srun", mpi[] = "mpi=pmix_v4",
         mpi_agent[] = "mpi_agent=/opt/agent", address[] = "address=ib0",
         timeout[] = "timeout=86400", stall[] = "stall=2", max_size[] = "max_size=0",
         min_free[] = "min_free=3G";
    char *argv[] = {store,   agent,   srun,  mpi,      mpi_agent,
                    address, timeout, stall, max_size, min_free};

    (void)state;
    assert_int_equal(pbc_site_parse(10, argv, &site, &err), 0);
    assert_string_equal(site.mpi_agent, "/opt/agent");
    assert_string_equal(site.store, "/local/pbcast");
    assert_string_equal(site.agent, "/opt/pbcast-stage");
    assert_string_equal(site.srun, "/opt/slurm/bin/srun");
    assert_string_equal(site.mpi, "pmix_v4");
    assert_string_equal(site.address, "ib0");
    assert_int_equal(site.timeout, 86400);
    assert_int_equal(site.stall, 2);
    assert_int_equal(site.max_size, 0);
    assert_int_equal(site.min_free, (uint64_t)3 << 30);
}

static void unknown_keys_are_refused_whole_not_by_prefix(void **state)
{
    (void)state;
    refused("colour=red", "unknown key \"colour\"");
    refused("stor=/x", "known are store");
    refused("stores=/x", "unknown key");
    refused("Store=/x", "unknown key");
    refused("=x", "unknown key");
}

static void a_word_without_a_value_is_refused(void **state)
{
    (void)state;
    refused("store", "key=value");
    refused("", "key=value");
    refused("store=", "store= takes");
    refused("timeout=", "timeout= takes");
}

static void a_key_given_twice_is_refused(void **state)
{
    char one[] = "stall=3", two[] = "stall=3";
    char *argv[] = {one, two};

    (void)state;
    assert_int_equal(pbc_site_parse(2, argv, &site, &err), -1);
    assert_error(&err, PBC_EXIT_USAGE, "stall= is given twice");
}

static void a_store_must_be_an_absolute_path_below_the_root(void **state)
{
    char word[2 * PBC_PATH_MAX] = "store=/";

    (void)state;
    refused("store=tmp", "absolute");
    refused("store=/", "not \"/\"");
    refused("store=//", "not \"/\"");
    refused("store=/./", "not \"/\"");
    refused("store=/tmp/../x", "\"..\"");
    refused("store=/..", "\"..\"");
    refused("store=/a:b", "':'");
    refused("store=/a\nb", "store= takes");
    memset(word + 7, 'x', PBC_PATH_MAX);
    refused(word, "store= takes");
}

static void a_store_is_kept_in_one_form(void **state)
{
    (void)state;
    assert_int_equal(parse("store=//local/./scratch///pb..cast/"), 0);
    assert_string_equal(site.store, "/local/scratch/pb..cast");
}

static void agent_and_srun_must_be_absolute_paths_of_files(void **state)
{
    char word[2 * PBC_PATH_MAX] = "agent=/";

    (void)state;
    refused("agent=pbcast-stage", "agent= takes the absolute path of a file");
    refused("agent=/usr/bin/", "agent= takes");
    refused("srun=srun", "srun= takes the absolute path of a file");
    refused("srun=", "srun= takes");
    refused("srun=/a\tb", "srun= takes");
    memset(word + 7, 'x', PBC_PATH_MAX - 1);
    refused(word, "agent= takes");
    word[7 + PBC_PATH_MAX - 2] = '\0';
    assert_int_equal(parse(word), 0);
    assert_int_equal(strlen(site.agent), PBC_PATH_MAX - 1);
}

static void mpi_types_are_those_with_an_agent(void **state)
{
    (void)state;
    assert_int_equal(parse("mpi=pmix"), 0);
    assert_int_equal(parse("mpi=pmix_v3"), 0);
    assert_int_equal(parse("mpi=pmix_v5"), 0);
    assert_int_equal(parse("mpi=auto"), 0);
    assert_int_equal(parse("mpi=pmi2"), 0);
    assert_int_equal(parse("mpi=cray_shasta"), 0);
    refused("mpi=none", "auto, pmix, pmix_v3, pmix_v4, pmix_v5, pmi2 or cray_shasta");
    refused("mpi=pmi2,", "mpi= takes");
    refused("mpi=pmix_v45", "mpi= takes");
    refused("mpi=pmi", "mpi= takes");
    refused("mpi=", "mpi= takes");
    refused("mpi_agent=pbcast-stage-mpich", "absolute path");
}

static void an_address_is_an_interface_or_a_subnet(void **state)
{
    (void)state;
    assert_int_equal(parse("address="), 0);
    assert_int_equal(parse("address=eth0.12:1"), 0);
    assert_int_equal(parse("address=10.1.0.0/16"), 0);
    assert_string_equal(site.address, "10.1.0.0/16");
    assert_int_equal(parse("address=0.0.0.0/0"), 0);
    assert_int_equal(parse("address=2001:db8::/128"), 0);
    assert_int_equal(parse("address=2001:db8:ffff:ffff:ffff:ffff:255.255.255.255/128"), 0);
    refused("address=10.1.0.0/33", "address= takes");
    refused("address=10.1.0/16", "SUBNET/BITS");
    refused("address=2001:db8::/129", "address= takes");
    refused("address=10.1.0.0/", "address= takes");
    refused("address=10.1.0.0/-1", "address= takes");
    refused("address=/16", "address= takes");
    refused("address=10.1.0.0/16/16", "address= takes");
    refused("address=eth 0", "address= takes");
    refused("address=eth0;rm", "address= takes");
    refused("address=abcdefghijklmnop", "address= takes"); /* IFNAMSIZ is 16 */
    refused("address=00000000000000000000000000000000000000000000000000000000000000001/1",
            "address= takes");
}

static void times_have_their_ranges(void **state)
{
    (void)state;
    assert_int_equal(parse("timeout=1"), 0);
    assert_int_equal(parse("stall=3600"), 0);
    refused("timeout=0", "1 to 86400");
    refused("timeout=86401", "1 to 86400");
    refused("stall=1", "2 to 3600");
    refused("stall=3601", "2 to 3600");
    refused("timeout=10s", "timeout= takes");
    refused("timeout=-1", "timeout= takes");
    refused("timeout=1.5", "timeout= takes");
    refused("timeout= 1", "timeout= takes");
    refused("timeout=18446744073709551617", "timeout= takes");
}

static void sizes_take_a_unit(void **state)
{
    static const struct {
        const char *text;
        uint64_t value;
    } good[] = {
        {"0", 0},
        {"0T", 0},
        {"1", 1},
        {"007", 7},
        {"4K", 4096},
        {"64M", 64 << 20},
        {"3G", (uint64_t)3 << 30},
        {"2T", (uint64_t)2 << 40},
        {"18446744073709551615", UINT64_MAX},
        {"16777215T", (uint64_t)16777215 << 40},
    };
    static const char *const bad[] = {
        "",
        "K",
        "-1",
        "+1",
        " 1",
        "1 ",
        "1k",
        "1KB",
        "1.5G",
        "1P",
        "0x",
        "0x1",
        "1G1M",
        "1\n",
        "1K\n",
        "٣",
        "16777216T",
        "18446744073709551616",
        "9999999999999999999999",
    };
    uint64_t value;

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(pbc_parse_bytes(good[i].text, &value), 0);
        assert_int_equal(value, good[i].value);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        value = 42;
        assert_int_equal(pbc_parse_bytes(bad[i], &value), -1);
        assert_int_equal(value, 42);
    }
    refused("max_size=1X", "K, M, G or T");
    refused("min_free=-1", "K, M, G or T");
}

static void numbers_are_decimal_and_in_range(void **state)
{
    unsigned long value = 42;

    (void)state;
    assert_int_equal(pbc_parse_number("5", 5, 5, &value), 0);
    assert_int_equal(value, 5);
    assert_int_equal(pbc_parse_number("4", 5, 6, &value), -1);
    assert_int_equal(pbc_parse_number("7", 5, 6, &value), -1);
    assert_int_equal(pbc_parse_number("", 0, 6, &value), -1);
    assert_int_equal(pbc_parse_number("0x5", 0, 6, &value), -1);
    assert_int_equal(pbc_parse_number("5 ", 0, 6, &value), -1);
    assert_int_equal(value, 5);
    assert_int_equal(pbc_parse_number("18446744073709551615", 0, UINT64_MAX, &value), 0);
    assert_int_equal(pbc_parse_number("18446744073709551616", 0, UINT64_MAX, &value), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_words_the_defaults_hold),
        cmocka_unit_test(every_key_sets_its_value),
        cmocka_unit_test(unknown_keys_are_refused_whole_not_by_prefix),
        cmocka_unit_test(a_word_without_a_value_is_refused),
        cmocka_unit_test(a_key_given_twice_is_refused),
        cmocka_unit_test(a_store_must_be_an_absolute_path_below_the_root),
        cmocka_unit_test(a_store_is_kept_in_one_form),
        cmocka_unit_test(agent_and_srun_must_be_absolute_paths_of_files),
        cmocka_unit_test(mpi_types_are_those_with_an_agent),
        cmocka_unit_test(an_address_is_an_interface_or_a_subnet),
        cmocka_unit_test(times_have_their_ranges),
        cmocka_unit_test(sizes_take_a_unit),
        cmocka_unit_test(numbers_are_decimal_and_in_range),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
