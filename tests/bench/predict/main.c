/* predict - the predicted time of a staging run, by the simulation of simulate.h.
 *
 *     predict SHAPE NODES KEY=VALUE...
 *
 * SHAPE is an arity, `two-tree`, or `pbcast`: the shape that an agent chooses, which knows the
 * bytes but not the links. Keys are those of struct pbc_sim. Prints one line of JSON; its shape is
 * an arity or two-tree.
 */
#include "simulate.h"
#include "tree.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TWO_TREES "two-tree"

/* PBC_CHUNK_BYTES of stage/wire.h. */
#define AGENT_CHUNK 65536

static struct pbc_sim sim = {.bytes = 100000000,
                             .chunk = 262144,
                             .rate = 1.25e9,
                             .latency = 5e-5,
                             .pool = 128,
                             .window = 16,
                             .slow_factor = 1,
                             .seed = 1};

static void die(const char *what, const char *why)
{
    fprintf(stderr, "predict: %s: %s\n", what, why);
    exit(2);
}

static double number(const char *text)
{
    char *end;
    double value;

    errno = 0;
    value = strtod(text, &end);
    if (errno != 0 || end == text || *end != '\0' || !(value >= 0) || value > 1e18)
        die(text, "not a number");
    return value;
}

static void take(char *word)
{
    char *equals = strchr(word, '=');
    double value;

    if (equals == NULL)
        die(word, "not KEY=VALUE");
    *equals = '\0';
    value = number(equals + 1);
    if (strcmp(word, "bytes") == 0)
        sim.bytes = (uint64_t)value;
    else if (strcmp(word, "chunk") == 0)
        sim.chunk = (uint32_t)value;
    else if (strcmp(word, "rate") == 0)
        sim.rate = value;
    else if (strcmp(word, "latency") == 0)
        sim.latency = value;
    else if (strcmp(word, "hop") == 0)
        sim.hop = value;
    else if (strcmp(word, "read_rate") == 0)
        sim.read_rate = value;
    else if (strcmp(word, "unpack_rate") == 0)
        sim.unpack_rate = value;
    else if (strcmp(word, "pool") == 0)
        sim.pool = (uint32_t)value;
    else if (strcmp(word, "window") == 0)
        sim.window = (uint32_t)value;
    else if (strcmp(word, "slow_share") == 0)
        sim.slow_share = value;
    else if (strcmp(word, "slow_factor") == 0)
        sim.slow_factor = value;
    else if (strcmp(word, "slow_rank") == 0)
        sim.slow_rank = (int)value;
    else if (strcmp(word, "handover") == 0)
        sim.handover = value != 0;
    else if (strcmp(word, "seed") == 0)
        sim.seed = (uint64_t)value;
    else
        die(word, "no such key");
}

static uint32_t arity_of(const char *shape, uint32_t size)
{
    double arity;

    if (strcmp(shape, TWO_TREES) == 0)
        return PBC_TREE_TWO;
    if (strcmp(shape, "pbcast") == 0)
        return pbc_tree_arity(size, sim.bytes, AGENT_CHUNK, PBC_LINK_RATE, PBC_LINK_LATENCY);
    arity = number(shape);
    if (arity < 1 || arity > PBC_ARITY_MAX)
        die(shape, "no arity of a tree");
    return (uint32_t)arity;
}

int main(int argc, char *argv[])
{
    struct pbc_sim_result r;
    uint32_t size, arity;
    char shape[16] = TWO_TREES;

    if (argc < 3) {
        fputs("usage: predict pbcast|two-tree|ARITY NODES [KEY=VALUE...]\n", stderr);
        return 2;
    }
    size = (uint32_t)number(argv[2]);
    if (size < 1)
        die(argv[2], "no number of nodes");
    for (int i = 3; i < argc; i++)
        take(argv[i]);
    arity = arity_of(argv[1], size);
    if (arity != PBC_TREE_TWO)
        snprintf(shape, sizeof(shape), "%u", arity);
    if (pbc_simulate(size, arity, &sim, &r) != 0)
        die("parameters", "make no sense, or there is no memory");
    printf(
        "{\"shape\": \"%s\", \"depth\": %u, \"sent\": %.6f, \"done\": %.6f, \"fast_sent\": %.6f, "
        "\"fast_done\": %.6f, \"slow_nodes\": %u, \"degree\": %u, \"events\": %llu}\n",
        shape, pbc_tree_depth(arity, size), r.sent, r.done, r.fast_sent, r.fast_done, r.slow_nodes,
        r.degree, (unsigned long long)r.events);
    return 0;
}
