/* A block of frames as MPI has brought it. What is taken out of it goes back into the same bytes.
 */
#include "fuzz.h"

#include "stream.h"

#include <stdlib.h>
#include <string.h>

#define CHUNKS 4 /* of which a block may need more */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t again[PBC_STREAM_BLOCK];
    struct pbc_pool *pool = pbc_pool_new(CHUNKS, PBC_CHUNK_BYTES);
    struct pbc_stream *in = pbc_stream_new(pool);
    struct pbc_stream *out = pbc_stream_new(pool);
    struct pbc_error err = {.code = PBC_EXIT_OK};
    size_t at = 0, len = 0;
    int send = 0;
    int rc = 0;

    while (size <= PBC_STREAM_BLOCK && rc == 0) {
        size_t before = at;

        rc = pbc_stream_take(in, data, size, &at, &err);
        CLAIM(at <= size);
        CLAIM(rc != 0 || at > before); /* else it would wait for ever */
        for (struct pbc_chunk *c; (c = pbc_stream_next(in)) != NULL;) {
            CLAIM(c->frame.type >= PBC_FRAME_BEGIN && c->frame.type <= PBC_FRAME_DONE);
            CLAIM(pbc_stream_send(out, c) == 0);
        }
        len = pbc_stream_fill(out, again, len, &send);
        CLAIM(len == at);
    }
    CLAIM(rc != 1 || at == size);
    CLAIM(rc != -1 || err.code == PBC_EXIT_PEER);
    CLAIM(memcmp(data, again, len) == 0);
    pbc_stream_free(in);
    pbc_stream_free(out);
    pbc_pool_free(pool);
    return 0;
}
