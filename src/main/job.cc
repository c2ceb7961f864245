#include "main/job.h"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/ascii.h"
#include "base/hash.h"
#include "store/sqlite/data_directory.h"

namespace nexus::dev {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::size_t kSuffixBytesMax = 16;
constexpr std::size_t kKeyPathBytesMax = 200;  // with the job's id below the 256 bytes of a key

bool is_left_out(const fs::path& path, const fs::path& data) {
    const std::string name = path.filename().string();
    if (name.starts_with('.') || name.starts_with("build") || name == "nexus-data" || name == "node_modules")
        return true;
    std::error_code fault;
    return fs::equivalent(path, data, fault);
}

// A path that is not UTF-8 cannot be sent to a server.
bool is_utf8(const std::string& text) {
    const std::string dumped = Json(text).dump(-1, ' ', false, Json::error_handler_t::ignore);
    return Json::parse(dumped, nullptr, false) == Json(text);
}

}  // namespace

Result<std::vector<JobFile>> find_files(const std::string& folder, const std::string& data) {
    std::error_code fault;
    fs::recursive_directory_iterator at(folder, fs::directory_options::skip_permission_denied, fault);
    if (fault) return fail(Fault::not_found, "cannot read the folder " + folder + ": " + fault.message());
    std::vector<JobFile> files;
    for (; at != fs::recursive_directory_iterator(); at.increment(fault)) {
        if (fault) return fail(Fault::unavailable, "cannot read below " + folder + ": " + fault.message());
        const fs::file_status status = at->symlink_status(fault);
        if (fs::is_directory(status) && is_left_out(at->path(), data)) at.disable_recursion_pending();
        if (!fs::is_regular_file(status)) continue;
        const std::uint64_t bytes = at->file_size(fault);
        const std::string path = at->path().lexically_relative(folder).string();
        if (fault || bytes == 0 || !is_utf8(path)) continue;
        if (files.size() == kJobFilesMax)
            return fail(Fault::exhausted, "more than " + std::to_string(kJobFilesMax) + " files below " + folder);
        files.push_back({.path = path, .bytes = bytes});
    }
    std::ranges::sort(files, {}, &JobFile::path);
    return files;
}

Result<std::optional<Job>> read_job(const std::string& manifest) {
    std::error_code fault;
    if (!fs::exists(manifest, fault)) return std::nullopt;
    const auto text = store::read_file(manifest);
    if (!text) return std::unexpected(text.error());
    const auto bad = [&] {
        return fail(Fault::corrupt, manifest + " is not a manifest; delete it to begin a new job");
    };
    const Json object = Json::parse(*text, nullptr, false);
    if (!object.is_object()) return bad();
    Job job;
    try {
        job.id = object.at("job").get<std::string>();
        job.folder = object.at("folder").get<std::string>();
        job.finished = object.at("finished").get<bool>();
        for (const Json& file : object.at("files"))
            job.files.push_back({.path = file.at(0).get<std::string>(), .bytes = file.at(1).get<std::uint64_t>()});
    } catch (const Json::exception&) {
        return bad();
    }
    return job;
}

Result<void> write_job(const std::string& manifest, const Job& job) {
    Json object{{"job", job.id}, {"folder", job.folder}, {"finished", job.finished}, {"files", Json::array()}};
    for (const JobFile& file : job.files) object["files"].push_back(Json::array({file.path, file.bytes}));
    const std::string next = manifest + ".next";
    auto written = store::write_file_durably(next, object.dump(-1, ' ', false, Json::error_handler_t::replace));
    if (!written) return written;
    if (std::rename(next.c_str(), manifest.c_str()) != 0) return fail(Fault::unavailable, "cannot replace " + manifest);
    return store::sync_directory(fs::path(manifest).parent_path().string());
}

std::string type_of(const std::string& path) {
    std::string suffix = lower_case(fs::path(path).extension().string());
    if (!suffix.empty()) suffix.erase(0, 1);
    const bool plain = !suffix.empty() && suffix.size() <= kSuffixBytesMax &&
                       std::ranges::all_of(suffix, [](unsigned char c) { return std::isalnum(c) != 0 && c < 0x80; });
    return "digest." + (plain ? suffix : std::string("other"));
}

nexus::v1::TaskSpec task_of(const Job& job, const JobFile& file, const std::string& self) {
    nexus::v1::TaskSpec spec;
    spec.set_type(type_of(file.path));
    spec.set_tenant(kJobTenant);
    spec.set_payload(Json{{"argv", {self, "digest", file.path}}, {"cwd", job.folder}}.dump(
        -1, ' ', false, Json::error_handler_t::replace));
    (*spec.mutable_metadata())["handler"] = "exec";
    (*spec.mutable_metadata())["job"] = job.id;
    (*spec.mutable_features())["bytes"] = static_cast<double>(file.bytes);
    const bool is_long = file.path.size() > kKeyPathBytesMax;
    spec.set_idempotency_key(job.id + ":" + (is_long ? "#" + std::to_string(hash_bytes(file.path)) : file.path));
    spec.set_idempotent(true);
    return spec;
}

}  // namespace nexus::dev
