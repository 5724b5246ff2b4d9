/* What the root node tells the user. */
#include "run_state.h"

#include <stdio.h>

static double seconds(uint64_t from, uint64_t to)
{
    return to > from && from != 0 ? (double)(to - from) / 1000 : 0;
}

static double mib(uint64_t bytes)
{
    return (double)bytes / (1 << 20);
}

void pbc_report_progress(const struct pbc_run *r)
{
    double elapsed = seconds(r->first_byte, r->tick);
    uint32_t done = (uint32_t)(r->unpacked || r->has_set);

    if (r->conf->progress == PBC_PROGRESS_OFF)
        return;
    for (uint32_t i = 0; i < r->children; i++)
        done += r->child[i].progress;
    fprintf(stderr, "pbcast: progress: %.0f of %.0f MiB, %.0f MiB/s, %u of %u nodes done\n",
            mib(r->bytes), mib(r->check.bytes), elapsed > 0 ? mib(r->bytes) / elapsed : 0, done,
            r->size);
}

void pbc_report_summary(const struct pbc_run *r)
{
    uint64_t now = pbc_now_ms() - r->clock.stood;
    const char *s = r->check.bundles == 1 ? "" : "s";
    const char *n = r->size == 1 ? "" : "s";
    char new[24] = "";
    char shape[32] = "two trees";
    double read = 0;
    uint64_t bytes;

    if (r->conf->verbose < 1)
        return;
    if (r->have.have == r->have.nodes) {
        fprintf(stderr, "pbcast: %u bundle%s already staged on %u node%s, %.1f s\n",
                r->check.bundles, s, r->size, n, seconds(r->began, now));
        return;
    }
    pbc_source_figures(r->source, &read, &bytes);
    if (r->extends > 0)
        snprintf(new, sizeof(new), " (%u new)", r->check.bundles - r->extends);
    fprintf(
        stderr,
        "pbcast: staged %u bundle%s%s, %llu files, %.0f MiB on %u node%s in %.1f s (start %.1f, "
        "read %.1f, send %.1f, unpack %.1f, commit %.1f)",
        r->check.bundles, s, new, (unsigned long long)r->ready.files, mib(r->ready.bytes), r->size,
        n, seconds(r->began, now), seconds(r->began, r->first_byte), read,
        seconds(r->first_byte, r->sent), seconds(r->first_byte, r->all_ready),
        seconds(r->all_ready, now));
    if (r->ready.slow == 1)
        fprintf(stderr, ", went round a slow node (%s)", r->ready.slow_node);
    else if (r->ready.slow > 1)
        fprintf(stderr, ", went round slow nodes %u times (%s, ...)", r->ready.slow,
                r->ready.slow_node);
    fputc('\n', stderr);
    if (r->arity != PBC_TREE_TWO)
        snprintf(shape, sizeof(shape), "a tree of arity %u", r->arity);
    if (r->conf->verbose >= 2)
        fprintf(stderr,
                "pbcast: %.1f MiB of archives %s %s, slowest node %s with %.2f s, %u of %u nodes "
                "had the set, %u connections refused\n",
                mib(bytes), r->stream != NULL ? "by MPI, answers through" : "through", shape,
                r->ready.slowest, (double)r->ready.slowest_us / 1e6, r->have.have, r->have.nodes,
                r->refused);
}
