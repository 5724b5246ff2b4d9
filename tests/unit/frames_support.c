#include "frames_support.h"

#include "convert.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void frame_add(struct bytes *out, unsigned flags, uint32_t members, struct bytes *tar,
               void (*lie)(struct pbc_frames_head *))
{
    struct pbc_frames_head head = {.flags = (uint8_t)flags, .raw = tar->len, .members = members};
    struct bytes packed = {0};
    uint8_t header[PBC_FRAMES_HEADER];

    compress_to(PBC_FORMAT_ZSTD, tar->data, tar->len, &packed);
    bytes_free(tar);
    head.packed = packed.len;
    crypto_generichash(head.digest, sizeof(head.digest), packed.data, packed.len, NULL, 0);
    if (lie != NULL)
        lie(&head);
    pbc_frames_encode(&head, header);
    bytes_add(out, header, sizeof(header));
    bytes_add(out, packed.data, packed.len);
    bytes_free(&packed);
}

void frame_end(struct bytes *out)
{
    struct bytes tar = {0};

    tar_end(&tar);
    frame_add(out, PBC_FRAMES_ORDERED | PBC_FRAMES_END, 0, &tar, NULL);
}

void file_frame(struct bytes *out, const char *name, const char *content)
{
    struct bytes tar = {0};

    tar_add(&tar, (struct member){.name = name, .data = content, .len = strlen(content)});
    frame_add(out, 0, 1, &tar, NULL);
}

void file_to_bytes(const char *path, struct bytes *out)
{
    char buf[65536];
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    while ((n = read(fd, buf, sizeof(buf))) > 0)
        bytes_add(out, buf, (size_t)n);
    close(fd);
}

void tar_of(const char *dir, const char *name, const char *make, struct bytes *tar)
{
    make_dir(in(dir, name), 0755);
    shell(in(dir, name), make);
    shell(in(dir, name), "tar --format=pax --sparse -cf ../made.tar .");
    file_to_bytes(in(dir, "made.tar"), tar);
}

void frames_of(const char *dir, struct bytes *tar, struct bytes *out)
{
    struct pbc_converted made;
    struct pbc_error err;

    make_file(in(dir, "frames-in.tar"), tar->data, tar->len);
    bytes_free(tar);
    if (pbc_convert(in(dir, "frames-in.tar"), in(dir, "frames-out.tar.zst"), 1, NULL, &made,
                    &err) != 0)
        fail_msg("%s", err.text);
    free(made.in_order);
    file_to_bytes(in(dir, "frames-out.tar.zst"), out);
    assert_int_equal(out->len, made.figures.packed);
}
