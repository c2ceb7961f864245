#include "bench/server_process.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "bench/certificate.h"

namespace nexus::bench {
namespace {

constexpr Duration kReadyMax = minutes(5);

}  // namespace

ScratchDirectory::ScratchDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "nexus-bench-XXXXXX").string();
    if (mkdtemp(name.data()) != nullptr) path_ = name;
}

ScratchDirectory::~ScratchDirectory() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

// What stands between `mark` and the next comma; empty when there is no such mark.
static std::string after(const std::string& line, std::string_view mark) {
    const std::size_t from = line.find(mark);
    return from == std::string::npos
               ? ""
               : line.substr(from + mark.size(), line.find(',', from + mark.size()) - from - mark.size());
}

Result<std::unique_ptr<ServerProcess>> ServerProcess::start(const std::string& data, const std::string& durability,
                                                            const std::string& http, Protection protection,
                                                            const std::string& store) {
    std::vector<std::string> argv = {
        process::own_program(), "serve",        "--listen", "127.0.0.1:0", "--http", http, "--data",
        data + "/store",        "--durability", durability, "--store", store};
    if (protection.tokens) argv.insert(argv.end(), {"--auth", "tokens"});
    if (protection.tls) {
        if (auto made = make_certificate(data + "/server"); !made) return std::unexpected(std::move(made).error());
        argv.insert(argv.end(), {"--tls-cert", data + "/server.crt", "--tls-key", data + "/server.key"});
    }
    auto child = process::Child::start(argv, data + "/server.log", true);
    if (!child) return std::unexpected(std::move(child).error().during("start the server"));
    const auto line = child->read_line(kReadyMax);
    if (!line) return std::unexpected(Error(line.error()).during("wait until the server is ready"));
    std::string address = after(*line, "ready on ");
    if (address.empty()) return fail(Fault::unavailable, "the server said: " + *line);
    Target target(std::move(address));
    if (protection.tls) target.tls = TlsFiles{.ca = data + "/server.crt", .certificate = {}, .key = {}};
    if (protection.tokens) std::ifstream(data + "/store/admin.token") >> target.token;
    return std::unique_ptr<ServerProcess>(
        new ServerProcess(std::move(*child), std::move(target), after(*line, ", http://")));
}

Result<std::unique_ptr<RedisProcess>> RedisProcess::start(const std::string& directory, const std::string& durability) {
    std::string program;
    for (const char* folder : {"/usr/bin", "/usr/local/bin"})
        if (const std::string file = std::string(folder) + "/redis-server"; access(file.c_str(), X_OK) == 0)
            program = file;
    if (program.empty()) return fail(Fault::not_found, "redis-server is not installed: apt-get install redis-server");
    const std::string socket = directory + "/redis.sock";
    const bool always = durability == "disk";
    auto child = process::Child::start({program, "--port", "0", "--unixsocket", socket, "--dir", directory, "--save",
                                        "", "--appendonly", "yes", "--appendfsync", always ? "always" : "everysec"},
                                       directory + "/redis.log", false);
    if (!child) return std::unexpected(std::move(child).error().during("start redis-server"));
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (access(socket.c_str(), F_OK) != 0) {
        if (std::chrono::steady_clock::now() > end || child->ended())
            return fail(Fault::unavailable, "redis-server did not start; see " + directory + "/redis.log");
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return std::unique_ptr<RedisProcess>(new RedisProcess(std::move(*child), "redis+unix://" + socket));
}

std::uint64_t rss_bytes(pid_t process) {
    std::ifstream statm("/proc/" + std::to_string(process) + "/statm");
    std::uint64_t size = 0, resident = 0;
    statm >> size >> resident;
    return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

double cpu_s(pid_t process) {
    std::ifstream stat("/proc/" + std::to_string(process) + "/stat");
    std::stringstream text;
    text << stat.rdbuf();
    std::istringstream fields(text.str().substr(text.str().rfind(')') + 1));
    std::string skipped;
    for (int i = 0; i < 11; ++i) fields >> skipped;  // state to cmajflt
    double user = 0, system = 0;
    fields >> user >> system;
    return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

}  // namespace nexus::bench
