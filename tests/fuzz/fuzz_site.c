/* The site's words, one a line. */
#include "fuzz.h"

#include "mpi_type.h"
#include "site.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), *rest = text, *argv[32];
    struct pbc_site site, before;
    struct pbc_error err;
    int argc = 0;

    if (text == NULL)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    while (rest != NULL && argc < 32)
        argv[argc++] = strsep(&rest, "\n");
    memset(&site, 0x5a, sizeof(site));
    before = site;
    if (pbc_site_parse(argc, argv, &site, &err) < 0) {
        CLAIM(err.code == PBC_EXIT_USAGE);
        CLAIM(memcmp(&site, &before, sizeof(site)) == 0);
    } else {
        CLAIM(site.store[0] == '/' && site.store[1] != '\0');
        CLAIM(strstr(site.store, "/../") == NULL && strchr(site.store, ':') == NULL);
        CLAIM(strlen(site.store) < sizeof(site.store));
        CLAIM(site.agent[0] == '/' && site.mpi_agent[0] == '/' && site.srun[0] == '/');
        CLAIM(pbc_mpi_is_pmix(site.mpi) || strcmp(site.mpi, "auto") == 0 ||
              strcmp(site.mpi, "pmi2") == 0 || strcmp(site.mpi, "cray_shasta") == 0);
        CLAIM(site.timeout >= 1 && site.timeout <= 86400);
        CLAIM(site.stall >= 2 && site.stall <= 3600);
    }
    free(text);
    return 0;
}
