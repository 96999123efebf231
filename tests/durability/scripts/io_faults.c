/* Makes writes and syncs of the files below $FAULTS_FOLDER fail, be late, be short or be torn, in an order that follows
 * from $FAULTS_SEED; one of $FAULTS_EVERY calls. $FAULTS_KIND is fail, late, short, torn, quota (EDQUOT, only of a log), reads (late
 * ones), or index: then reads, writes and syncs of a database or its log truncate the index of that, once. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_ulong calls;

/* The kind of fault of this call; 0: none. */
static char fault(int fd) {
    const char *folder = getenv("FAULTS_FOLDER"), *kind = getenv("FAULTS_KIND");
    char link[64], path[4096];
    if (folder == NULL || kind == NULL) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    if (strncmp(path, folder, strlen(folder)) != 0) return 0;
    if (kind[0] == 'q' && (length < 4 || strcmp(path + length - 4, "-wal") != 0)) return 0;
    unsigned long seed = strtoul(getenv("FAULTS_SEED"), NULL, 10);
    unsigned long z = seed * 0x9E3779B97F4A7C15UL + atomic_fetch_add(&calls, 1) * 0xBF58476D1CE4E5B9UL;
    z = (z ^ (z >> 30)) * 0x94D049BB133111EBUL;
    return (z ^ (z >> 31)) % strtoul(getenv("FAULTS_EVERY"), NULL, 10) == 0 ? kind[0] : 0;
}

/* Truncates the index of the log of a database, whose file or log is open. */
static void truncate_index(int fd) {
    static atomic_flag done = ATOMIC_FLAG_INIT;
    char link[64], path[4096 + 8];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, 4096);
    if (length < 4) return;
    path[length] = 0;
    char *suffix = path + length - 4;
    if (strcmp(suffix, "-wal") == 0) strcpy(suffix, "-shm");
    else strcat(path, "-shm");
    struct stat found;
    if (stat(path, &found) != 0 || found.st_size == 0 || atomic_flag_test_and_set(&done)) return;
    truncate(path, 0);
}

#define REAL(name) ((typeof(&name))dlsym(RTLD_NEXT, #name))

#define WRITE(name, parameters, ...)                                                      \
    ssize_t name parameters {                                                             \
        switch (fault(fd)) {                                                              \
        case 'f': errno = EIO; return -1;                                                 \
        case 'l': usleep(50000); break;                                                   \
        case 's': count = count > 1 ? count / 2 : count; break;                           \
        case 'q': errno = EDQUOT; return -1;                                              \
        case 'i': truncate_index(fd); break;                                              \
        case 't': count /= 2; REAL(name)(__VA_ARGS__); errno = EIO; return -1;            \
        }                                                                                 \
        return REAL(name)(__VA_ARGS__);                                                   \
    }

#define SYNC(name, parameters, ...)                                                       \
    int name parameters {                                                                 \
        switch (fault(fd)) {                                                              \
        case 'f': case 't': errno = EIO; return -1;                                       \
        case 'i': truncate_index(fd); break;                                              \
        case 'l': usleep(50000); break;                                                   \
        }                                                                                 \
        return REAL(name)(__VA_ARGS__);                                                   \
    }

WRITE(write, (int fd, const void *data, size_t count), fd, data, count)
WRITE(pwrite, (int fd, const void *data, size_t count, off_t at), fd, data, count, at)
WRITE(pwrite64, (int fd, const void *data, size_t count, off64_t at), fd, data, count, at)
SYNC(fsync, (int fd), fd)
SYNC(fdatasync, (int fd), fd)
SYNC(ftruncate, (int fd, off_t length), fd, length)
SYNC(ftruncate64, (int fd, off64_t length), fd, length)

ssize_t read(int fd, void *data, size_t count) {
    ssize_t done = REAL(read)(fd, data, count);
    switch (fault(fd)) {
    case 'i': truncate_index(fd); break;
    case 'r': usleep(3000); break;
    }
    return done;
}
