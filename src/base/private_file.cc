#include "base/private_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace nexus {

Error file_error(const std::string& path) {
    const bool rights = errno == EACCES || errno == EPERM || errno == EROFS;
    return {rights ? Fault::denied : Fault::invalid, path + ": " + std::strerror(errno)};
}

Result<void> write_private(const std::string& path, std::string_view bytes) {
    const std::string fresh = path + ".new";
    unlink(fresh.c_str());
    const int file = open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0) return std::unexpected(file_error(fresh));
    const bool written =
        write(file, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()) && fsync(file) == 0;
    const int why = errno;
    close(file);
    if (!written) errno = why;
    if (!written || rename(fresh.c_str(), path.c_str()) != 0) return std::unexpected(file_error(path));
    return {};
}

}  // namespace nexus
