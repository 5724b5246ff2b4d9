/* engine_proxy.h - a link between two agents that does harm: it changes a byte, or is slow. */
#ifndef PBC_TEST_ENGINE_PROXY_H
#define PBC_TEST_ENGINE_PROXY_H

#include <stdint.h>

struct proxy;

/* A link whose child's side is a port of this machine. It changes the byte at `flip` of what the
 * parent sends (0: none), and passes on `rate` bytes a second each way (0: no limit). */
struct proxy *proxy_new(uint64_t flip, uint64_t rate);

uint16_t proxy_port(const struct proxy *p);

/* The parent's side: rank `rank` of the agents that meet in `meet`. Once it is known the link
 * works. */
void proxy_to(struct proxy *p, const char *meet, uint32_t rank);

/* Cut it, and free. */
void proxy_free(struct proxy *p);

#endif
