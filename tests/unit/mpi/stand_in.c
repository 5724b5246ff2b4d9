#include "mpi.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FLYING 64 /* broadcasts, at most */

struct broadcast {
    uint32_t count; /* goes before the bytes: all must give the same */
    unsigned char *bytes;
};

struct way { /* to one of the others, or from the root */
    int fd;
    int next;    /* broadcast */
    size_t done; /* bytes of it, count included */
};

static struct broadcast flying[FLYING];
static int posted;
static int size, rank;
static struct way *way;
static int ways;

static int number(const char *name, int otherwise)
{
    const char *text = getenv(name);

    return text != NULL ? atoi(text) : otherwise;
}

static void broken(const char *what)
{
    perror(what);
    abort();
}

static void open_way(struct way *w, int to)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/%d.mpi", getenv("PBC_LOCAL_DIR"), to);
    if (mkfifo(path, 0600) != 0 && errno != EEXIST)
        broken(path);
    w->fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (w->fd < 0)
        broken(path);
}

static void start(void)
{
    rank = number("PBC_LOCAL_RANK", 0);
    size = number("PBC_LOCAL_SIZE", 1);
    ways = rank == 0 ? size - 1 : 1;
    way = calloc((size_t)ways, sizeof(*way));
    if (way == NULL)
        broken("calloc");
    for (int i = 0; i < ways; i++)
        open_way(&way[i], rank == 0 ? i + 1 : rank);
}

/* What is next of a broadcast: its count, then its bytes. */
static ssize_t move(struct way *w, struct broadcast *b, uint32_t *count)
{
    int in_count = w->done < sizeof(*count);
    void *at = in_count ? (char *)count + w->done : (char *)b->bytes + w->done - sizeof(*count);
    size_t left = in_count ? sizeof(*count) - w->done : b->count + sizeof(*count) - w->done;

    return rank == 0 ? write(w->fd, at, left) : read(w->fd, at, left);
}

static void go_on(struct way *w)
{
    static uint32_t count; /* others: as it comes */
    const int hangs = number("PBC_MPI_HANGS", 0);

    while (w->next < posted && !(hangs > 0 && w->next >= hangs - 1)) {
        struct broadcast *b = &flying[w->next % FLYING];
        ssize_t n = move(w, b, rank == 0 ? &b->count : &count);

        if (n < 0 && errno != EAGAIN)
            broken("broadcast");
        if (n <= 0)
            return;
        w->done += (size_t)n;
        if (rank != 0 && w->done == sizeof(count) && count != b->count)
            broken("another count than the root's");
        if (w->done == sizeof(count) + b->count) {
            w->done = 0;
            w->next++;
        }
    }
}

static int is_done(MPI_Request request)
{
    for (int i = 0; i < ways; i++) {
        if (request != MPI_REQUEST_NULL && way[i].next <= request)
            return 0;
    }
    return 1;
}

int MPI_Comm_size(MPI_Comm comm, int *ret)
{
    (void)comm;
    if (way == NULL)
        start();
    *ret = size;
    return MPI_SUCCESS;
}

int MPI_Ibcast(void *buffer, int count, MPI_Datatype type, int root, MPI_Comm comm,
               MPI_Request *request)
{
    if (way == NULL)
        start();
    if (type != MPI_BYTE || root != 0 || comm != MPI_COMM_WORLD || count <= 0 ||
        (posted >= FLYING && !is_done(posted - FLYING)))
        broken("MPI_Ibcast");
    flying[posted % FLYING] = (struct broadcast){.count = (uint32_t)count, .bytes = buffer};
    *request = posted++;
    return MPI_SUCCESS;
}

int MPI_Test(MPI_Request *request, int *flag, MPI_Status *status)
{
    return MPI_Testall(1, request, flag, status);
}

int MPI_Testall(int count, MPI_Request requests[], int *flag, MPI_Status statuses[])
{
    const int fails = number("PBC_MPI_FAILS", 0);

    (void)statuses;
    for (int i = 0; i < ways; i++)
        go_on(&way[i]);
    *flag = 1;
    for (int i = 0; i < count; i++) {
        if (fails > 0 && requests[i] >= fails - 1)
            return MPI_ERR_OTHER;
        *flag &= is_done(requests[i]);
    }
    for (int i = 0; *flag && i < count; i++)
        requests[i] = MPI_REQUEST_NULL;
    return MPI_SUCCESS;
}

int MPI_Error_string(int code, char *text, int *len)
{
    *len =
        snprintf(text, MPI_MAX_ERROR_STRING,
                 "Other error %d, error stack:\nouter(1): \ninner(2): the fabric is down\n", code);
    return MPI_SUCCESS;
}
