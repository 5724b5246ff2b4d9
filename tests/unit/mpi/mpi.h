/* mpi.h - as much of MPI as stage/stream_mpi.c calls, between processes of this machine: the root
 * writes what it broadcasts to a FIFO of each of the others. The directory and the ranks are those
 * of engine_agent.c. What it cannot carry as asked ends the process.
 *
 * PBC_MPI_FAILS=N: the Nth broadcast of this process fails; PBC_MPI_HANGS=N: it never ends.
 */
#ifndef PBC_TEST_MPI_H
#define PBC_TEST_MPI_H

typedef int MPI_Comm;
typedef int MPI_Datatype;
typedef int MPI_Request;
typedef int MPI_Status;

#define MPI_SUCCESS          0
#define MPI_ERR_OTHER        15
#define MPI_COMM_WORLD       1
#define MPI_BYTE             1
#define MPI_REQUEST_NULL     (-1)
#define MPI_STATUS_IGNORE    ((MPI_Status *)0)
#define MPI_MAX_ERROR_STRING 256

int MPI_Comm_size(MPI_Comm comm, int *size);
int MPI_Ibcast(void *buffer, int count, MPI_Datatype type, int root, MPI_Comm comm,
               MPI_Request *request);
int MPI_Test(MPI_Request *request, int *flag, MPI_Status *status);
int MPI_Testall(int count, MPI_Request requests[], int *flag, MPI_Status statuses[]);
int MPI_Error_string(int code, char *text, int *len);

#endif
