#include "output.h"

#include "step_line.h"
#include "text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void pbc_output_init(struct pbc_output *o, int fd, int verbose)
{
    memset(o, 0, sizeof(*o));
    o->fd = fd;
    o->verbose = verbose;
    o->tty = isatty(fd);
}

/* One write for a whole line, so that lines of several writers stay whole. A user who closed his
 * end does not stop the staging. */
static void put(const struct pbc_output *o, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = write(o->fd, text, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        text += n;
        len -= (size_t)n;
    }
}

static void erase_progress(struct pbc_output *o)
{
    if (o->shown > 0)
        put(o, "\r\033[K", 4);
    o->shown = 0;
}

static void show(struct pbc_output *o, const char *prefix, const char *text)
{
    char buf[PBC_LINE_MAX + 64];
    int n = snprintf(buf, sizeof(buf), "%s%s\n", prefix, text);

    erase_progress(o);
    if (n > 0)
        put(o, buf, (size_t)n < sizeof(buf) ? (size_t)n : sizeof(buf) - 1);
}

static void progress(struct pbc_output *o, const char *text)
{
    char buf[160];
    int n;

    if (o->verbose < 1)
        return;
    if (!o->tty) {
        if (o->verbose >= 2)
            show(o, "pbcast: ", text);
        return;
    }
    /* A line that wraps cannot be taken back. */
    n = snprintf(buf, sizeof(buf), "\r\033[Kpbcast: %.70s", text);
    if (n > 0)
        put(o, buf, (size_t)n < sizeof(buf) ? (size_t)n : sizeof(buf) - 1);
    o->shown = 1;
}

static void keep_noise(struct pbc_output *o, const char *line)
{
    size_t len = strlen(line);

    if (pbc_line_unbound(line))
        return;
    if (o->noise_lost > 0 || o->noise_len + len + 1 > sizeof(o->noise)) {
        o->noise_lost++;
        return;
    }
    memcpy(o->noise + o->noise_len, line, len);
    o->noise_len += len;
    o->noise[o->noise_len++] = '\n';
}

static const char *after(const char *line, const char *prefix)
{
    size_t len = strlen(prefix);

    return strncmp(line, prefix, len) == 0 ? line + len : NULL;
}

/* The text of an error that the plugin itself reported on a node of the step ("slurmstepd-n3:
 * error: pbcast: ..."), NULL for any other line: what it says in the step's srun need not end the
 * step. */
static const char *hook_error(const char *line)
{
    const char *mark = strstr(line, ": error: pbcast: ");

    if (mark == NULL || after(line, "slurmstepd") == NULL ||
        memchr(line, ' ', (size_t)(mark - line)) != NULL)
        return NULL;
    return mark + strlen(": error: pbcast: ");
}

/* srun's word for a slurmstepd that failed before it came to its tasks. It happens when a job is
 * requeued while it stages: the steps of the new run have the same numbers as the old ones, and
 * where an old one has not ended, because its PMIx still tries to reach others, the new one finds
 * PMIx's socket in use. Another try is another step with another number. */
static int is_unlaunched(const char *line)
{
    return strstr(line, "launch failed: Unspecified error") != NULL;
}

static void take_line(struct pbc_output *o)
{
    const char *text;

    for (char *tab = o->line; (tab = memchr(tab, '\t', o->len - (size_t)(tab - o->line))) != NULL;)
        *tab = ' ';
    pbc_text_plain(o->line, o->len);
    o->line[o->len] = '\0';
    o->len = 0;

    if ((text = after(o->line, "pbcast: error: ")) != NULL ||
        (text = hook_error(o->line)) != NULL) {
        if (o->error[0] == '\0' && !o->again && !o->ending)
            snprintf(o->error, sizeof(o->error), "%s", text[0] != '\0' ? text : "no reason given");
        else if (o->verbose >= PBC_OUTPUT_ALL)
            show(o, "pbcast: also: ", text);
    } else if ((text = after(o->line, "pbcast: again: ")) != NULL) {
        if (!o->ending) {
            o->again = o->error[0] == '\0';
            snprintf(o->why, sizeof(o->why), "%s", text);
        }
        if (o->verbose >= 2)
            show(o, "pbcast: again: ", text);
    } else if (strcmp(o->line, "pbcast: here") == 0) {
        o->here++;
    } else if ((text = after(o->line, "pbcast: progress: ")) != NULL) {
        progress(o, text);
    } else if ((text = after(o->line, "pbcast: ")) != NULL) {
        show(o, "pbcast: ", text);
    } else {
        o->unstarted |= pbc_line_unstarted(o->line);
        o->lost |= pbc_line_lost(o->line);
        o->no_mpi |= pbc_line_no_mpi(o->line);
        if (o->unreached[0] == '\0' && (text = pbc_line_unreached(o->line)) != NULL)
            snprintf(o->unreached, sizeof(o->unreached), "%.*s", PBC_ERROR_MAX - 1, text);
        if (is_unlaunched(o->line)) {
            o->unlaunched = 1;
            if (o->why[0] == '\0')
                snprintf(o->why, sizeof(o->why), "%.*s", PBC_ERROR_MAX - 1, o->line);
        }
        if (o->verbose >= PBC_OUTPUT_ALL)
            show(o, "pbcast: | ", o->line);
        else if (o->line[0] != '\0')
            keep_noise(o, o->line);
    }
}

void pbc_output_feed(struct pbc_output *o, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (data[i] == '\n')
            take_line(o);
        else if (o->len < PBC_LINE_MAX)
            o->line[o->len++] = data[i];
    }
}

void pbc_output_finish(struct pbc_output *o)
{
    if (o->len > 0)
        take_line(o);
    erase_progress(o);
}

void pbc_output_noise(struct pbc_output *o)
{
    size_t start = 0;

    for (size_t i = 0; i < o->noise_len; i++) {
        if (o->noise[i] != '\n')
            continue;
        o->noise[i] = '\0';
        show(o, "pbcast: | ", o->noise + start);
        start = i + 1;
    }
    if (o->noise_lost > 0) {
        char text[64];

        snprintf(text, sizeof(text), "(%zu more lines)", o->noise_lost);
        show(o, "pbcast: | ", text);
    }
    o->noise_len = o->noise_lost = 0;
}
