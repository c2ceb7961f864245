#include <algorithm>
#include <memory>
#include <mutex>
#include <utility>

#include "main/configuration.h"

namespace nexus::serve {
namespace {

// What a running server began with and, of the live part, what it took over since.
struct Known {
    std::mutex mutex;  // guards both
    config::Start started;
    config::Start read;  // the last reading
};

Result<config::Start> read_again(const StartFlags& flags) {
    auto read = read_start(flags);
    if (!read) return fail(Fault::invalid, read.error().what);
    return *std::move(read);
}

Result<api::Reread> lay(const config::Start& read, const config::Server& running, const core::Config& live) {
    auto config = config::laid_over(live, read);
    if (!config) return std::unexpected(std::move(config).error());
    return api::Reread{.live = *std::move(config), .restart_keys = config::restart_keys(running, read.values.server)};
}

}  // namespace

std::unique_ptr<api::StartFiles> start_files(const StartFlags& flags, config::Start started) {
    const auto known = std::make_shared<Known>();
    known->started = std::move(started);
    auto files = std::make_unique<api::StartFiles>();
    files->read = [flags, known]() -> Result<api::StartFiles::Lay> {
        auto read = read_again(flags);
        if (!read) return std::unexpected(std::move(read).error());
        const std::lock_guard lock(known->mutex);
        known->read = *read;
        return [read = *std::move(read), running = known->started.values.server](const core::Config& live) {
            return lay(read, running, live);
        };
    };
    files->taken = [known] {
        const std::lock_guard lock(known->mutex);
        known->started.values.scheduler = known->read.values.scheduler;
        std::erase_if(known->started.origins, [](const auto& row) { return !row.first.starts_with("server."); });
        for (const auto& row : known->read.origins)
            if (!row.first.starts_with("server.")) known->started.origins.insert(row);
    };
    files->in_force = [known](const core::Config& live) {
        const std::lock_guard lock(known->mutex);
        return config::in_force(known->started, live);
    };
    files->effective = [known](const core::Config& live) {
        const std::lock_guard lock(known->mutex);
        return config::to_toml(config::in_force(known->started, live), true);
    };
    return files;
}

}  // namespace nexus::serve
