#include "store/sqlite/snapshot_files.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <vector>

#include "store/sqlite/data_directory.h"

namespace nexus::store {
namespace {

constexpr std::string_view kPrefix = "snapshot-";
constexpr std::string_view kSuffix = ".nxs";
constexpr std::string_view kUnfinished = ".unfinished";

std::string file_name(Sequence at) {
    std::string digits = std::to_string(at.n);
    return std::string(kPrefix) + std::string(20 - digits.size(), '0') + digits + std::string(kSuffix);
}

std::optional<Sequence> sequence_of(std::string_view name) {
    if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) return std::nullopt;
    name.remove_prefix(kPrefix.size());
    name.remove_suffix(kSuffix.size());
    Sequence at;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), at.n);
    if (error != std::errc{} || end != name.data() + name.size() || name.size() != 20) return std::nullopt;
    return at;
}

struct Listing {
    std::vector<Sequence> snapshots;  // ascending
    std::vector<std::string> unfinished;
};

Result<Listing> list(const std::string& directory) {
    Listing listing;
    std::error_code error;
    for (std::filesystem::directory_iterator at(directory, error), end; !error && at != end; at.increment(error)) {
        const std::string name = at->path().filename().string();
        if (const auto sequence = sequence_of(name)) listing.snapshots.push_back(*sequence);
        if (name.starts_with(kPrefix) && name.ends_with(kUnfinished)) listing.unfinished.push_back(name);
    }
    if (error) return fail(Fault::failed, "listing " + directory + ": " + error.message());
    std::ranges::sort(listing.snapshots);
    return listing;
}

}  // namespace

Result<void> write_snapshot_file(const std::string& directory, Sequence at, const SnapshotSource& source) {
    const std::string path = directory + "/" + file_name(at);
    const std::string unfinished = path + std::string(kUnfinished);
    if (auto ok = write_parts_durably(unfinished, source); !ok) {
        ::unlink(unfinished.c_str());
        return ok;
    }
    if (std::rename(unfinished.c_str(), path.c_str()) != 0)
        return fail(Fault::failed, "renaming " + unfinished + ": " + std::strerror(errno));
    return sync_directory(directory);
}

Result<std::vector<Sequence>> snapshot_files(const std::string& directory) {
    auto listing = list(directory);
    if (!listing) return std::unexpected(std::move(listing).error());
    return std::move(listing->snapshots);
}

Result<void> read_snapshot_file(const std::string& directory, Sequence at, const SnapshotSink& sink) {
    return read_parts(directory + "/" + file_name(at), sink);
}

Result<std::vector<Sequence>> delete_old_snapshot_files(const std::string& directory) {
    auto listing = list(directory);
    if (!listing) return std::unexpected(std::move(listing).error());
    for (const std::string& name : listing->unfinished) ::unlink((directory + "/" + name).c_str());
    std::vector<Sequence>& kept = listing->snapshots;
    while (kept.size() > 2) {
        ::unlink((directory + "/" + file_name(kept.front())).c_str());
        kept.erase(kept.begin());
    }
    return std::move(kept);
}

}  // namespace nexus::store
