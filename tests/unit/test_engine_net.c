/* Addresses: subnets, the choice of an interface, and sockets on the loopback. */
#include "engine_support.h"

#include "net.h"

#include <arpa/inet.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

static struct pbc_address address(const char *text)
{
    struct pbc_address a = {.family = 4};

    if (inet_pton(AF_INET, text, a.bytes) != 1) {
        a.family = 6;
        assert_int_equal(inet_pton(AF_INET6, text, a.bytes), 1);
    }
    return a;
}

static void an_address_lies_in_a_subnet_or_not(void **state)
{
    static const struct {
        const char *spec, *address;
        int in;
    } cases[] = {
        {"10.0.0.0/8", "10.255.0.1", 1},
        {"10.0.0.0/8", "11.0.0.1", 0},
        {"10.1.2.3/8", "10.9.9.9", 1}, /* host bits do not count */
        {"192.168.4.0/22", "192.168.7.255", 1},
        {"192.168.4.0/22", "192.168.8.0", 0},
        {"192.168.4.128/25", "192.168.4.127", 0},
        {"192.168.4.128/25", "192.168.4.128", 1},
        {"1.2.3.4/32", "1.2.3.4", 1},
        {"1.2.3.4/32", "1.2.3.5", 0},
        {"0.0.0.0/0", "255.255.255.255", 1},
        {"0.0.0.0/0", "fd00::1", 0},
        {"::/0", "1.2.3.4", 0},
        {"::/0", "fd00::1", 1},
        {"fd00:1::/33", "fd00:1:7fff::1", 1},
        {"fd00:1::/33", "fd00:1:8000::1", 0},
        {"fd00::1/128", "fd00::1", 1},
        {"fd00::1/128", "fd00::2", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pbc_address a = address(cases[i].address);

        if (pbc_net_in_subnet(cases[i].spec, &a) != cases[i].in)
            fail_msg("%s in %s", cases[i].address, cases[i].spec);
    }
}

static void what_is_no_subnet_is_told(void **state)
{
    static const char *const specs[] = {"",
                                        "eth0",
                                        "10.0.0.0",
                                        "10.0.0.0/",
                                        "/8",
                                        "10.0.0.0/33",
                                        "::/129",
                                        "10.0.0.0/8x",
                                        "10.0.0.0/-1",
                                        "10.0.0.0/ 8",
                                        "10.0.0/8",
                                        "10.0.0.0/+8",
                                        "fd00::/64/2",
                                        "10.0.0.0/99999999999999999999"};
    struct pbc_address a = address("10.0.0.1");

    (void)state;
    for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
        if (pbc_net_in_subnet(specs[i], &a) != -1)
            fail_msg("'%s' is taken for a subnet", specs[i]);
    }
}

static void the_loopback_is_chosen_by_name_and_by_subnet_only(void **state)
{
    struct pbc_address a;
    struct pbc_error err;

    (void)state;
    assert_int_equal(pbc_net_choose("lo", "node", &a, &err), 0);
    assert_int_equal(a.family, 4);
    assert_memory_equal(a.bytes, "\x7f\0\0\1", 4);
    assert_int_equal(pbc_net_choose("127.0.0.0/8", "node", &a, &err), 0);
    assert_memory_equal(a.bytes, "\x7f\0\0\1", 4);
    if (pbc_net_choose("", "localhost", &a, &err) == 0)
        assert_true(a.bytes[0] != 127 || a.family != 4);
    else
        assert_error(&err, PBC_EXIT_FAILED, "loopback");
}

static void an_interface_or_subnet_that_is_not_here_is_named(void **state)
{
    struct pbc_address a;
    struct pbc_error err;

    (void)state;
    assert_int_equal(pbc_net_choose("nosuch0", "node", &a, &err), -1);
    assert_error(&err, PBC_EXIT_FAILED, "nosuch0");
    assert_int_equal(pbc_net_choose("203.0.113.0/24", "node", &a, &err), -1);
    assert_error(&err, PBC_EXIT_FAILED, "203.0.113.0/24");
    assert_int_equal(pbc_net_choose("127.0.0.0/", "node", &a, &err), -1);
}

static void addresses_are_printed_with_their_port(void **state)
{
    struct pbc_address a = address("10.1.2.3");
    char text[64];

    (void)state;
    a.port = 4567;
    assert_string_equal(pbc_net_text(&a, text), "10.1.2.3:4567");
    a = address("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255");
    a.port = 65535;
    assert_string_equal(pbc_net_text(&a, text), "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
}

static void what_listens_can_be_connected_to(void **state)
{
    struct pbc_address a = address("127.0.0.1");
    struct pbc_error err;
    struct pollfd p = {.events = POLLIN};
    int l, c, s;

    (void)state;
    l = pbc_net_listen(&a, 4, &err);
    assert_true(l >= 0);
    assert_int_not_equal(a.port, 0);
    assert_int_equal(accept(l, NULL, NULL), -1); /* does not wait */
    c = pbc_net_connect(&a, &err);
    assert_true(c >= 0);
    p.fd = l;
    assert_int_equal(poll(&p, 1, 10000), 1);
    s = accept(l, NULL, NULL);
    assert_true(s >= 0);
    pbc_net_tune(c);
    close(s);
    close(c);
    close(l);
}

static void an_address_of_no_family_is_refused(void **state)
{
    struct pbc_address a = {0};
    struct pbc_error err;

    (void)state;
    assert_int_equal(pbc_net_connect(&a, &err), -1);
    assert_int_equal(err.code, PBC_EXIT_PEER);
    assert_int_equal(pbc_net_listen(&a, 4, &err), -1);
    assert_int_equal(err.code, PBC_EXIT_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_lies_in_a_subnet_or_not),
        cmocka_unit_test(what_is_no_subnet_is_told),
        cmocka_unit_test(the_loopback_is_chosen_by_name_and_by_subnet_only),
        cmocka_unit_test(an_interface_or_subnet_that_is_not_here_is_named),
        cmocka_unit_test(addresses_are_printed_with_their_port),
        cmocka_unit_test(what_listens_can_be_connected_to),
        cmocka_unit_test(an_address_of_no_family_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
