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

Result<void> write_snapshot_file(const std::string& directory, const StoredSnapshot& snapshot) {
    const std::string path = directory + "/" + file_name(snapshot.at);
    const std::string unfinished = path + std::string(kUnfinished);
    if (auto ok = write_file_durably(unfinished, snapshot.bytes); !ok) {
        ::unlink(unfinished.c_str());
        return ok;
    }
    if (std::rename(unfinished.c_str(), path.c_str()) != 0)
        return fail(Fault::failed, "renaming " + unfinished + ": " + std::strerror(errno));
    return sync_directory(directory);
}

Result<Sequence> newest_snapshot_file(const std::string& directory) {
    const auto listing = list(directory);
    if (!listing) return std::unexpected(listing.error());
    return listing->snapshots.empty() ? Sequence{} : listing->snapshots.back();
}

Result<std::optional<StoredSnapshot>> read_newest_snapshot_file(const std::string& directory) {
    const auto newest = newest_snapshot_file(directory);
    if (!newest) return std::unexpected(newest.error());
    if (!*newest) return std::nullopt;
    auto bytes = read_file(directory + "/" + file_name(*newest));
    if (!bytes) return std::unexpected(std::move(bytes).error());
    return StoredSnapshot{.at = *newest, .bytes = *std::move(bytes)};
}

Result<void> delete_older_snapshot_files(const std::string& directory) {
    const auto listing = list(directory);
    if (!listing) return std::unexpected(listing.error());
    for (const std::string& name : listing->unfinished) ::unlink((directory + "/" + name).c_str());
    for (std::size_t i = 0; i + 1 < listing->snapshots.size(); ++i)
        ::unlink((directory + "/" + file_name(listing->snapshots[i])).c_str());
    return {};
}

}  // namespace nexus::store
