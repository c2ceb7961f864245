// A sick disk for one process: preloaded (LD_PRELOAD) into a server, it changes what writing and syncing the files
// below NEXUS_SHIM_FOLDER does, as told by the words in the file NEXUS_SHIM_ORDERS, which may change at any time:
//
//   quota=BYTES     the files together may hold no more than this: writes that grow them and fallocate give ENOSPC
//   sync_error      fsync and fdatasync give EIO
//   sync_once       the same once: then the word is struck out, as a kernel does that forgets the error
//   sync_ms=N       each fsync and fdatasync takes N ms longer
//
// The folder must be flat or one level deep.

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

namespace {

template <class F>
F next(const char* name) {
    return reinterpret_cast<F>(dlsym(RTLD_NEXT, name));
}

bool ours(int fd) {
    static const char* folder = getenv("NEXUS_SHIM_FOLDER");
    if (folder == nullptr) return false;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t length = readlink(link, path, sizeof path - 1);
    return length > 0 && strncmp(path, folder, strlen(folder)) == 0;
}

// The number after `word`, -1 when the word is not among the orders.
long order(const char* word) {
    static const char* orders = getenv("NEXUS_SHIM_ORDERS");
    if (orders == nullptr) return -1;
    const int fd = open(orders, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    char text[256];
    const ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    if (length <= 0) return -1;
    text[length] = 0;
    const char* found = strstr(text, word);
    return found == nullptr ? -1 : strtol(found + strlen(word), nullptr, 10);
}

long long bytes_below(const char* folder, int depth) {
    DIR* dir = opendir(folder);
    if (dir == nullptr) return 0;
    long long sum = 0;
    while (const dirent* entry = readdir(dir)) {
        if (entry->d_name[0] == '.') continue;
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        struct stat about{};
        if (stat(path, &about) != 0) continue;
        if (S_ISDIR(about.st_mode) && depth > 0) sum += bytes_below(path, depth - 1);
        if (S_ISREG(about.st_mode))
            sum += about.st_blocks * 512LL > about.st_size ? about.st_blocks * 512LL : about.st_size;
    }
    closedir(dir);
    return sum;
}

// True when the file may not grow to `end`.
bool full(int fd, long long end) {
    const long quota = order("quota=");
    if (quota < 0) return false;
    struct stat about{};
    if (fstat(fd, &about) != 0) return false;
    if (end <= about.st_size) return false;
    return bytes_below(getenv("NEXUS_SHIM_FOLDER"), 1) + end - about.st_size > quota;
}

int sync_as(const char* name, int fd) {
    if (ours(fd)) {
        if (const long ms = order("sync_ms="); ms > 0) {
            const timespec pause{ms / 1000, ms % 1000 * 1'000'000};
            nanosleep(&pause, nullptr);
        }
        const bool once = order("sync_once") >= 0;
        if (once) unlink(getenv("NEXUS_SHIM_ORDERS"));
        if (once || order("sync_error") >= 0) {
            errno = EIO;
            return -1;
        }
    }
    return next<int (*)(int)>(name)(fd);
}

ssize_t pwrite_as(const char* name, int fd, const void* data, size_t size, off_t at) {
    if (ours(fd) && full(fd, at + static_cast<long long>(size))) {
        errno = ENOSPC;
        return -1;
    }
    return next<ssize_t (*)(int, const void*, size_t, off_t)>(name)(fd, data, size, at);
}

int fallocate_as(const char* name, int fd, int mode, off_t at, off_t length) {
    if (ours(fd) && full(fd, at + length)) {
        errno = ENOSPC;
        return -1;
    }
    return next<int (*)(int, int, off_t, off_t)>(name)(fd, mode, at, length);
}

int posix_fallocate_as(const char* name, int fd, off_t at, off_t length) {
    if (ours(fd) && full(fd, at + length)) return ENOSPC;
    return next<int (*)(int, off_t, off_t)>(name)(fd, at, length);
}

}  // namespace

extern "C" {
int fsync(int fd) {
    return sync_as("fsync", fd);
}
int fdatasync(int fd) {
    return sync_as("fdatasync", fd);
}
ssize_t pwrite(int fd, const void* data, size_t size, off_t at) {
    return pwrite_as("pwrite", fd, data, size, at);
}
ssize_t pwrite64(int fd, const void* data, size_t size, off64_t at) {
    return pwrite_as("pwrite64", fd, data, size, at);
}
int fallocate(int fd, int mode, off_t at, off_t length) {
    return fallocate_as("fallocate", fd, mode, at, length);
}
int fallocate64(int fd, int mode, off64_t at, off64_t length) {
    return fallocate_as("fallocate64", fd, mode, at, length);
}
int posix_fallocate(int fd, off_t at, off_t length) {
    return posix_fallocate_as("posix_fallocate", fd, at, length);
}
int posix_fallocate64(int fd, off64_t at, off64_t length) {
    return posix_fallocate_as("posix_fallocate64", fd, at, length);
}
ssize_t write(int fd, const void* data, size_t size) {
    if (ours(fd)) {
        const off_t at = lseek(fd, 0, SEEK_CUR);
        if (at >= 0 && full(fd, at + static_cast<long long>(size))) {
            errno = ENOSPC;
            return -1;
        }
    }
    return next<ssize_t (*)(int, const void*, size_t)>("write")(fd, data, size);
}
}
