#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* 1 if `sa` is of a family that we use. */
static int from_sockaddr(const struct sockaddr *sa, struct pbc_address *a)
{
    memset(a, 0, sizeof(*a));
    if (sa == NULL)
        return 0;
    if (sa->sa_family == AF_INET) {
        a->family = 4;
        memcpy(a->bytes, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
        return 1;
    }
    if (sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)sa;

        a->family = 6;
        memcpy(a->bytes, &in6->sin6_addr, 16);
        return !IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr);
    }
    return 0;
}

static socklen_t to_sockaddr(const struct pbc_address *a, struct sockaddr_storage *ss)
{
    memset(ss, 0, sizeof(*ss));
    if (a->family == 4) {
        struct sockaddr_in *in = (void *)ss;

        in->sin_family = AF_INET;
        in->sin_port = htons(a->port);
        memcpy(&in->sin_addr, a->bytes, 4);
        return sizeof(*in);
    }
    if (a->family == 6) {
        struct sockaddr_in6 *in6 = (void *)ss;

        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(a->port);
        memcpy(&in6->sin6_addr, a->bytes, 16);
        return sizeof(*in6);
    }
    return 0;
}

const char *pbc_net_text(const struct pbc_address *a, char out[64])
{
    char host[INET6_ADDRSTRLEN] = "?";

    inet_ntop(a->family == 4 ? AF_INET : AF_INET6, a->bytes, host, sizeof(host));
    snprintf(out, 64, a->family == 6 ? "[%s]:%u" : "%s:%u", host, a->port);
    return out;
}

int pbc_net_in_subnet(const char *spec, const struct pbc_address *address)
{
    char net[INET6_ADDRSTRLEN];
    const char *slash = strchr(spec, '/');
    struct pbc_address a = {.family = 4};
    unsigned long bits;
    char *end;

    if (slash == NULL || (size_t)(slash - spec) >= sizeof(net))
        return -1;
    memcpy(net, spec, (size_t)(slash - spec));
    net[slash - spec] = '\0';
    if (inet_pton(AF_INET, net, a.bytes) != 1) {
        a.family = 6;
        if (inet_pton(AF_INET6, net, a.bytes) != 1)
            return -1;
    }
    bits = strtoul(slash + 1, &end, 10);
    if (slash[1] < '0' || slash[1] > '9' || *end != '\0' || bits > (a.family == 4 ? 32u : 128u))
        return -1;
    if (address->family != a.family)
        return 0;
    for (unsigned long i = 0; i < bits; i++) {
        uint8_t mask = (uint8_t)(0x80u >> (i % 8));

        if ((a.bytes[i / 8] ^ address->bytes[i / 8]) & mask)
            return 0;
    }
    return 1;
}

/* 1 if the name of the node resolves to `a`. */
static int is_named(const struct addrinfo *names, const struct pbc_address *a)
{
    for (; names != NULL; names = names->ai_next) {
        struct pbc_address n;

        if (from_sockaddr(names->ai_addr, &n) && n.family == a->family &&
            memcmp(n.bytes, a->bytes, sizeof(n.bytes)) == 0)
            return 1;
    }
    return 0;
}

int pbc_net_choose(const char *spec, const char *node, struct pbc_address *ret,
                   struct pbc_error *err)
{
    struct ifaddrs *all;
    struct addrinfo *names = NULL;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    int best = 0; /* 1 any, 2 IPv4, 3 that of the node's name */
    int subnet = strchr(spec, '/') != NULL;

    if (getifaddrs(&all) != 0)
        return pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot list network interfaces");
    if (*spec == '\0')
        (void)getaddrinfo(node, NULL, &hints, &names);
    for (struct ifaddrs *i = all; i != NULL; i = i->ifa_next) {
        struct pbc_address a;
        int rank = 1;

        if (!(i->ifa_flags & IFF_UP) || !from_sockaddr(i->ifa_addr, &a))
            continue;
        if (subnet ? pbc_net_in_subnet(spec, &a) != 1
                   : *spec != '\0' && strcmp(spec, i->ifa_name) != 0)
            continue;
        if (*spec == '\0' && (i->ifa_flags & IFF_LOOPBACK))
            continue;
        if (is_named(names, &a))
            rank = 3;
        else if (a.family == 4)
            rank = 2;
        if (rank > best) {
            best = rank;
            *ret = a;
        }
    }
    if (names != NULL)
        freeaddrinfo(names);
    freeifaddrs(all);
    if (best > 0)
        return 0;
    if (*spec == '\0')
        return pbc_fail(err, PBC_EXIT_FAILED, "no network interface is up but the loopback");
    return pbc_fail(err, PBC_EXIT_FAILED,
                    "no interface that is up matches address=%s; correct the site's plugstack line",
                    spec);
}

int pbc_net_listen(struct pbc_address *a, int backlog, struct pbc_error *err)
{
    struct sockaddr_storage ss;
    socklen_t len;
    char text[64];
    int fd;

    a->port = 0;
    len = to_sockaddr(a, &ss);
    fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&ss, len) != 0 || listen(fd, backlog) != 0 ||
        getsockname(fd, (struct sockaddr *)&ss, &len) != 0) {
        pbc_fail_errno(err, PBC_EXIT_FAILED, "cannot listen on %s", pbc_net_text(a, text));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    a->port = ntohs(a->family == 4 ? ((struct sockaddr_in *)(void *)&ss)->sin_port
                                   : ((struct sockaddr_in6 *)(void *)&ss)->sin6_port);
    return fd;
}

int pbc_net_connect(const struct pbc_address *a, struct pbc_error *err)
{
    struct sockaddr_storage ss;
    socklen_t len = to_sockaddr(a, &ss);
    char text[64];
    int fd = len == 0 ? -1 : socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (len == 0)
        errno = EAFNOSUPPORT;
    if (fd >= 0 && connect(fd, (struct sockaddr *)&ss, len) != 0 && errno != EINPROGRESS) {
        int saved = errno;

        close(fd);
        errno = saved;
        fd = -1;
    }
    if (fd < 0)
        pbc_fail_errno(err, PBC_EXIT_PEER, "cannot connect to %s", pbc_net_text(a, text));
    return fd;
}

void pbc_net_tune(int fd)
{
    int unsent = 256 << 10;
    int on = 1;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    /* What waits to be sent waits here, where something urgent can overtake it. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
}
