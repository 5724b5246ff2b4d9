/* What a bundle of frames says of its frames. A tar reader passes over it, a node goes by it. */
#include "frames.h"
#include "scan.h"

#include <unistd.h>

/* The header at `at`; *at is then that of the next. */
static int take_header(struct pbc_scan *s, int fd, uint64_t *at, struct pbc_frames_head *head,
                       struct pbc_error *err)
{
    uint8_t bytes[PBC_FRAMES_HEADER];

    if (pread(fd, bytes, sizeof(bytes), (off_t)*at) != (ssize_t)sizeof(bytes))
        return pbc_fail(err, PBC_EXIT_REFUSED,
                        "truncated: the archive ends in the middle of a frame");
    if (pbc_frames_decode(bytes, head, err) != 0)
        return -1;
    *at += sizeof(bytes);
    if (head->packed > s->packed - *at)
        return pbc_fail(err, PBC_EXIT_REFUSED,
                        "truncated: the archive ends in the middle of a frame");
    *at += head->packed;
    s->frames++;
    s->frame_members += head->members;
    return 0;
}

void pbc_scan_frames(struct pbc_scan *s, int fd)
{
    uint8_t first[PBC_FRAMES_HEADER];
    struct pbc_frames_head head = {0};
    uint64_t at = 0;

    if (pread(fd, first, sizeof(first), 0) != (ssize_t)sizeof(first) || !pbc_frames_known(first))
        return;
    while (at < s->packed && !(head.flags & PBC_FRAMES_END)) {
        if (take_header(s, fd, &at, &head, &s->refused) != 0)
            return;
    }
    if (!(head.flags & PBC_FRAMES_END))
        pbc_fail(&s->refused, PBC_EXIT_REFUSED,
                 "truncated: the archive has no end mark (two blocks of zeros)");
    else if (at < s->packed)
        pbc_fail(&s->refused, PBC_EXIT_REFUSED,
                 "corrupt: something follows the frame that ends the archive");
}
