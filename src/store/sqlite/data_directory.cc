#include "store/sqlite/data_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace nexus::store {
namespace {

std::unexpected<Error> system_error(const std::string& doing, int code) {
    Fault fault = Fault::failed;
    if (code == ENOSPC || code == EDQUOT) fault = Fault::no_space;
    if (code == EACCES || code == EPERM || code == EROFS) fault = Fault::denied;
    if (code == ENOENT) fault = Fault::not_found;
    if (code == ELOOP) return fail(Fault::denied, doing + ": it is a symbolic link, which is never followed here");
    return fail(fault, doing + ": " + std::strerror(code));
}

// Of the data directory, which may be a link itself: a link planted in it would have us overwrite somebody's file.
class OpenFile {
public:
    OpenFile(const std::string& path, int flags)
        : fd_(::open(path.c_str(), flags | O_CLOEXEC | ((flags & O_DIRECTORY) != 0 ? 0 : O_NOFOLLOW), 0600)) {}
    OpenFile(const OpenFile&) = delete;
    OpenFile& operator=(const OpenFile&) = delete;
    ~OpenFile() {
        if (fd_ >= 0) ::close(fd_);
    }
    int fd() const { return fd_; }
    explicit operator bool() const { return fd_ >= 0; }

private:
    int fd_;
};

}  // namespace

Result<void> make_private_directory(const std::string& path) {
    // Parents are made with the usual mode: only the last one is ours alone.
    for (std::size_t at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1))
        if (::mkdir(path.substr(0, at).c_str(), 0755) != 0 && errno != EEXIST)
            return system_error("creating " + path.substr(0, at), errno);
    if (::mkdir(path.c_str(), 0700) == 0) return {};
    if (errno != EEXIST) return system_error("creating " + path, errno);
    struct stat info{};
    if (::stat(path.c_str(), &info) != 0) return system_error("looking at " + path, errno);
    if (!S_ISDIR(info.st_mode)) return fail(Fault::invalid, path + " is not a directory");
    if ((info.st_mode & 077) != 0 && ::chmod(path.c_str(), 0700) != 0)
        return system_error("making " + path + " private", errno);
    return {};
}

Result<void> sync_directory(const std::string& path) {
    const OpenFile directory(path, O_RDONLY | O_DIRECTORY);
    if (!directory || ::fsync(directory.fd()) != 0) return system_error("syncing " + path, errno);
    return {};
}

Result<void> write_parts_durably(const std::string& path, const std::function<Result<std::string_view>()>& next) {
    constexpr std::size_t kStepBytes = 4 << 20;
    const OpenFile file(path, O_WRONLY | O_CREAT | O_TRUNC);
    if (!file) return system_error("creating " + path, errno);
    std::size_t since_sync = 0;
    for (;;) {
        const auto part = next();
        if (!part) return std::unexpected(part.error());
        if (part->empty()) break;
        for (std::string_view bytes = *part; !bytes.empty();) {
            const ssize_t n = ::write(file.fd(), bytes.data(), std::min(bytes.size(), kStepBytes));
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) return system_error("writing " + path, errno);
            bytes.remove_prefix(static_cast<std::size_t>(n));
            since_sync += static_cast<std::size_t>(n);
            if (since_sync < kStepBytes) continue;
            if (::fdatasync(file.fd()) != 0) return system_error("syncing " + path, errno);
            since_sync = 0;
        }
    }
    if (::fsync(file.fd()) != 0) return system_error("syncing " + path, errno);
    return {};
}

Result<void> write_file_durably(const std::string& path, std::string_view bytes) {
    return write_parts_durably(path, [&]() -> Result<std::string_view> { return std::exchange(bytes, {}); });
}

Result<void> read_parts(const std::string& path, const std::function<Result<void>(std::string_view)>& take) {
    const OpenFile file(path, O_RDONLY);
    if (!file) return system_error("opening " + path, errno);
    std::string part(1 << 20, '\0');
    for (;;) {
        const ssize_t n = ::read(file.fd(), part.data(), part.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return system_error("reading " + path, errno);
        if (n == 0) return {};
        if (auto ok = take(std::string_view(part).substr(0, static_cast<std::size_t>(n))); !ok) return ok;
    }
}

Result<std::string> read_file(const std::string& path) {
    std::string bytes;
    const auto done = read_parts(path, [&](std::string_view part) -> Result<void> {
        bytes += part;
        return {};
    });
    if (!done) return std::unexpected(done.error());
    return bytes;
}

Result<DirectoryLock> DirectoryLock::take(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return system_error("opening " + path, errno);
    DirectoryLock lock(fd);
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK) return system_error("locking " + path, errno);
        char holder[32] = {};
        const ssize_t n = ::pread(fd, holder, sizeof holder - 1, 0);
        const std::string pid(holder, static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
        return fail(Fault::conflict,
                    path + " is held by process " + (pid.empty() ? "(unknown)" : pid.substr(0, pid.find('\n'))));
    }
    // A full disk may refuse the pid; the lock is held all the same, only the name of its holder is missing for others.
    const std::string pid = std::to_string(::getpid()) + "\n";
    const bool emptied = ::ftruncate(fd, 0) == 0;
    if (emptied && ::pwrite(fd, pid.data(), pid.size(), 0) < 0 && errno != ENOSPC && errno != EDQUOT)
        return system_error("writing " + path, errno);
    return lock;
}

DirectoryLock::~DirectoryLock() {
    if (fd_ >= 0) ::close(fd_);
}

bool SpaceReserve::hold() {
    if (held_ || bytes_ == 0) return true;
    const OpenFile file(path_, O_RDWR | O_CREAT);
    if (!file) return false;
    if (::fallocate(file.fd(), 0, 0, static_cast<off_t>(bytes_)) != 0) {
        const bool full = errno == ENOSPC || errno == EDQUOT;
        release();
        // A file system that cannot set blocks aside leaves us without a reserve, not without a service.
        return !full;
    }
    held_ = true;
    return true;
}

void SpaceReserve::release() {
    ::unlink(path_.c_str());
    held_ = false;
}

}  // namespace nexus::store
