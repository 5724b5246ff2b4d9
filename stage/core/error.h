/* error.h - how every part of pbcast says what went wrong.
 *
 * Functions that can fail return 0 or -1 (or NULL) and fill a struct pbc_error where it happened:
 * with the path, the limit or the peer concerned and the system's own words. Nothing in core or
 * in the engine's modules prints; hooks and programs turn one pbc_error into one line.
 */
#ifndef PBC_ERROR_H
#define PBC_ERROR_H

/* Exit codes of pbcast-stage, which are also the class of an error. */
enum pbc_exit {
    PBC_EXIT_OK = 0,
    PBC_EXIT_FAILED = 1,  /* the system refused something: no permission, I/O error, no memory */
    PBC_EXIT_USAGE = 2,   /* wrong option, wrong site key */
    PBC_EXIT_REFUSED = 3, /* a bundle is refused: missing, corrupt, hostile, over a limit */
    PBC_EXIT_NOSPACE = 4, /* a node's store is too small */
    PBC_EXIT_PEER = 5,    /* a node was lost, stalled or did not answer in time */
    PBC_EXIT_AGAIN = 6,   /* the resource manager lost the start-up exchange: repeat the step */
};

#define PBC_ERROR_MAX 1024

struct pbc_error {
    enum pbc_exit code;
    char text[PBC_ERROR_MAX]; /* one line, no newline, no program prefix */
};

/* Fill `err` (may be NULL) with `code` and the formatted text, cut at PBC_ERROR_MAX; control
 * characters that came from outside (paths, peers) are replaced by '?'. Always returns -1, so that
 * `return pbc_fail(err, ...)` is the idiom. errno is left as it was. */
int pbc_fail(struct pbc_error *err, enum pbc_exit code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The same with ": " and strerror(errno) appended; what stands before is cut for it. */
int pbc_fail_errno(struct pbc_error *err, enum pbc_exit code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
