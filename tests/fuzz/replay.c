/* Runs a fuzz target over files and over the files of directories: what a fuzzer found once is a
 * test ever after, without the fuzzer. */
#include "fuzz.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#define INPUT_MAX (8u << 20)

static int replay_file(const char *path)
{
    FILE *in = fopen(path, "rbe");
    uint8_t *all = malloc(INPUT_MAX), *exact;
    size_t size;

    if (in == NULL || all == NULL) {
        perror(path);
        exit(1);
    }
    size = fread(all, 1, INPUT_MAX, in);
    fclose(in);
    /* of the exact size, so that a sanitizer sees a byte read too far */
    exact = malloc(size > 0 ? size : 1);
    if (exact == NULL)
        abort();
    memcpy(exact, all, size);
    free(all);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    return 1;
}

static int replay(const char *path)
{
    struct dirent *entry;
    struct stat st;
    int count = 0;
    DIR *dir;

    if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
        return replay_file(path);
    dir = opendir(path);
    if (dir == NULL) {
        perror(path);
        exit(1);
    }
    while ((entry = readdir(dir)) != NULL) {
        char file[4096];

        if (entry->d_name[0] == '.')
            continue;
        snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
        count += replay_file(file);
    }
    closedir(dir);
    return count;
}

int main(int argc, char **argv)
{
    int count = 0;

    for (int i = 1; i < argc; i++)
        count += replay(argv[i]);
    printf("%d inputs\n", count);
    return count > 0 ? 0 : 1;
}
