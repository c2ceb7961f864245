#include "bench/server_process.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string_view>
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
                                                            const std::string& http, Protection protection) {
    std::vector<std::string> argv = {
        process::own_program(), "serve",        "--listen", "127.0.0.1:0", "--http", http, "--data",
        data + "/store",        "--durability", durability};
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

std::uint64_t ServerProcess::rss_bytes() const {
    std::ifstream statm("/proc/" + std::to_string(child_.pid()) + "/statm");
    std::uint64_t size = 0, resident = 0;
    statm >> size >> resident;
    return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

double ServerProcess::cpu_s() const {
    std::ifstream stat("/proc/" + std::to_string(child_.pid()) + "/stat");
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
