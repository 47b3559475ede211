/* A disk that is slow: loaded before the C library (LD_PRELOAD), fdatasync takes longer by SLOW_DISK_MS milliseconds.  A line in the
   file SLOW_DISK_LOG says that one begins, and which process asked for it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int fdatasync(int file) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    int log = open(getenv("SLOW_DISK_LOG"), O_WRONLY | O_CREAT | O_APPEND, 0600);
    dprintf(log, "%d\n", getpid());
    close(log);
    usleep(1000 * atoi(getenv("SLOW_DISK_MS")));
    return real(file);
}
