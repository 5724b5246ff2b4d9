/* net.h - addresses and sockets: which address a node offers, listening, connecting. */
#ifndef PBC_NET_H
#define PBC_NET_H

#include "error.h"

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

/* An address as it goes into a record: family 4 or 6, network byte order. */
struct pbc_address {
    uint8_t family;
    uint8_t bytes[16];
    uint16_t port;
};

/* The address of this node that carries data. `spec` is "" (the address of `node`'s name if it is
 * one of ours, else the first that is up and not a loopback), an interface's name, or SUBNET/BITS.
 * -1 if there is none; err names the spec and what was found. */
int pbc_net_choose(const char *spec, const char *node, struct pbc_address *ret,
                   struct pbc_error *err);

/* 1 if `spec` is a subnet that `address` lies in; 0 if not; -1 if it is no subnet at all. */
int pbc_net_in_subnet(const char *spec, const struct pbc_address *address);

/* Listen on `a` at a free port, which is filled in. Returns a non-blocking descriptor. */
int pbc_net_listen(struct pbc_address *a, int backlog, struct pbc_error *err);

/* Start to connect; non-blocking. Returns the descriptor, which is writable once it is decided. */
int pbc_net_connect(const struct pbc_address *a, struct pbc_error *err);

/* TCP_NODELAY, and what else each connection wants. */
void pbc_net_tune(int fd);

/* "10.1.2.3:4567" for messages. */
const char *pbc_net_text(const struct pbc_address *a, char out[64]);

#endif
