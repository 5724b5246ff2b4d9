/* frames_support.h - bundles of frames, made frame by frame. */
#ifndef PBC_TEST_FRAMES_SUPPORT_H
#define PBC_TEST_FRAMES_SUPPORT_H

#include "engine_support.h"

#include "frames.h"

/* A frame whose header tells the truth, but for what `lie` (may be NULL) makes of it. Frees `tar`.
 */
void frame_add(struct bytes *out, unsigned flags, uint32_t members, struct bytes *tar,
               void (*lie)(struct pbc_frames_head *));

/* The frame that ends an archive. */
void frame_end(struct bytes *out);

/* The bundle that pbcast convert makes of a tar archive, which is freed. `dir` is for files. */
void frames_of(const char *dir, struct bytes *tar, struct bytes *out);

/* An archive by the system's tar of what `make` puts in a new directory <dir>/<name>. */
void tar_of(const char *dir, const char *name, const char *make, struct bytes *tar);

void file_to_bytes(const char *path, struct bytes *out);

/* "content" as that of a file, of its own frame. */
void file_frame(struct bytes *out, const char *name, const char *content);

#endif
