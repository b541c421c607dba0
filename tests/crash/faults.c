/* Loaded before the C library: writes that fail, and a trace of all that is written.

   faults_begin(folder, at, how, lasting, trace) has it watch the files below a folder. The
   operation number `at`, from 1, fails: `how` is an errno, or 0 for a write of which half is
   done before the process is killed. If `lasting`, all after it fail as well. With `trace`, a
   file, every operation is written there: a line, and the bytes that were written. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static char folder[PATH_MAX];
static size_t folder_length;
static long at, done;
static int how, lasting, trace = -1, watching;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void faults_begin(const char *where, long number, int what, int always, const char *log) {
    snprintf(folder, sizeof folder, "%s/", where);
    folder_length = strlen(folder);
    at = number;
    how = what;
    lasting = always;
    done = 0;
    trace = log ? open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    watching = 1;
}

long faults_count(void) { return done; }

void faults_end(void) { watching = 0; }

static int below(const char *path) {
    /* The folder itself too, for what is done to its names. */
    return !strncmp(path, folder, folder_length) ||
           (strlen(path) == folder_length - 1 && !strncmp(path, folder, folder_length - 1));
}

static int absolute(const char *path, char *out) {
    if (path[0] == '/') {
        snprintf(out, PATH_MAX, "%s", path);
        return 1;
    }
    return 0;
}

static int path_of(int descriptor, char *out) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, out, PATH_MAX - 1);
    if (length < 0) return 0;
    out[length] = 0;
    return below(out);
}

/* Whether the operation is to fail. */
static int fails(void) {
    pthread_mutex_lock(&lock);
    long number = ++done;
    pthread_mutex_unlock(&lock);
    return at && (number == at || (lasting && number > at));
}

static void note(char what, const char *path, const char *more, long long offset,
                 const void *data, size_t length) {
    if (trace < 0) return;
    static ssize_t (*real)(int, const struct iovec *, int);
    if (!real) real = dlsym(RTLD_NEXT, "writev");
    char line[3 * PATH_MAX];
    int size = snprintf(line, sizeof line, "%c\t%s\t%s\t%lld\t%zu\n", what, path, more, offset, length);
    struct iovec parts[2] = {{line, (size_t)size}, {(void *)data, length}};
    real(trace, parts, data ? 2 : 1);
}

#define REAL(name, type, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = dlsym(RTLD_NEXT, #name)

static void die(void) { kill(getpid(), SIGKILL); for (;;) pause(); }

ssize_t write(int descriptor, const void *data, size_t length) {
    REAL(write, ssize_t, int, const void *, size_t);
    char path[PATH_MAX];
    if (!watching || !path_of(descriptor, path)) return real(descriptor, data, length);
    if (fails()) {
        if (how) { errno = how; return -1; }
        real(descriptor, data, length / 2);
        die();
    }
    off_t offset = lseek(descriptor, 0, SEEK_CUR);
    ssize_t written = real(descriptor, data, length);
    if (written > 0) note('W', path, "", offset, data, (size_t)written);
    return written;
}

#define PWRITE(name, offset_type) \
    ssize_t name(int descriptor, const void *data, size_t length, offset_type offset) { \
        REAL(name, ssize_t, int, const void *, size_t, offset_type); \
        char path[PATH_MAX]; \
        if (!watching || !path_of(descriptor, path)) \
            return real(descriptor, data, length, offset); \
        if (fails()) { \
            if (how) { errno = how; return -1; } \
            real(descriptor, data, length / 2, offset); \
            die(); \
        } \
        ssize_t written = real(descriptor, data, length, offset); \
        if (written > 0) note('W', path, "", offset, data, (size_t)written); \
        return written; \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define TRUNCATE(name, length_type) \
    int name(int descriptor, length_type length) { \
        REAL(name, int, int, length_type); \
        char path[PATH_MAX]; \
        if (!watching || !path_of(descriptor, path)) return real(descriptor, length); \
        if (fails()) { \
            if (how) { errno = how; return -1; } \
            die(); \
        } \
        int result = real(descriptor, length); \
        if (!result) note('T', path, "", length, NULL, 0); \
        return result; \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

#define SYNC(name) \
    int name(int descriptor) { \
        REAL(name, int, int); \
        char path[PATH_MAX]; \
        if (!watching || !path_of(descriptor, path)) return real(descriptor); \
        if (fails()) { \
            if (how) { errno = how; return -1; } \
            die(); \
        } \
        int result = real(descriptor); \
        if (!result) note('S', path, "", 0, NULL, 0); \
        return result; \
    }
SYNC(fsync)
SYNC(fdatasync)

int rename(const char *from, const char *to) {
    REAL(rename, int, const char *, const char *);
    char path[PATH_MAX];
    if (!watching || !absolute(from, path) || !below(path)) return real(from, to);
    if (fails()) {
        if (how) { errno = how; return -1; }
        die();
    }
    int result = real(from, to);
    if (!result) note('R', from, to, 0, NULL, 0);
    return result;
}

int unlink(const char *file) {
    REAL(unlink, int, const char *);
    char path[PATH_MAX];
    if (!watching || !absolute(file, path) || !below(path)) return real(file);
    if (fails()) {
        if (how) { errno = how; return -1; }
        die();
    }
    int result = real(file);
    if (!result) note('U', path, "", 0, NULL, 0);
    return result;
}
