/* The header of a frame: what is taken for one is written again as it was. */
#include "fuzz.h"

#include "frames.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pbc_frames_head h;
    struct pbc_error err;
    uint8_t again[PBC_FRAMES_HEADER];

    if (size < PBC_FRAMES_HEADER)
        return 0;
    if (pbc_frames_decode(data, &h, &err) < 0) {
        CLAIM(err.code == PBC_EXIT_REFUSED);
        return 0;
    }
    CLAIM(pbc_frames_known(data));
    CLAIM(h.packed > 0 && h.raw >= 512 && h.raw % 512 == 0 && h.packed + h.raw > h.raw);
    CLAIM(h.members <= h.raw / 512);
    CLAIM(!(h.flags & PBC_FRAMES_END) == (h.members > 0));
    pbc_frames_encode(&h, again);
    CLAIM(memcmp(again, data, sizeof(again)) == 0);
    return 0;
}
