#include "wire/context.h"

namespace nexus::wire {

bool Streams::add(const std::shared_ptr<Stream>& stream) {
    const std::lock_guard lock(mutex_);
    if (stopping_) return false;
    open_.emplace(stream.get(), stream);
    return true;
}

void Streams::remove(const Stream* stream) {
    const std::lock_guard lock(mutex_);
    open_.erase(stream);
}

// Streams are visited outside the lock: their ends come back here to remove themselves.
std::vector<std::shared_ptr<Stream>> Streams::all() const {
    const std::lock_guard lock(mutex_);
    std::vector<std::shared_ptr<Stream>> streams;
    streams.reserve(open_.size());
    for (const auto& [key, weak] : open_)
        if (auto stream = weak.lock()) streams.push_back(std::move(stream));
    return streams;
}

void Streams::look_after(Clock::time_point now) {
    for (const auto& stream : all()) stream->look_after(now);
}

void Streams::wind_up() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    for (const auto& stream : all()) stream->wind_up();
}

void WorkerNames::set(const std::string& name, SessionId session) {
    const std::lock_guard lock(mutex_);
    sessions_[name] = session;
}

void WorkerNames::erase(const std::string& name, SessionId session) {
    const std::lock_guard lock(mutex_);
    const auto found = sessions_.find(name);
    if (found != sessions_.end() && found->second == session) sessions_.erase(found);
}

SessionId WorkerNames::find(const std::string& name) const {
    const std::lock_guard lock(mutex_);
    const auto found = sessions_.find(name);
    return found == sessions_.end() ? SessionId{} : found->second;
}

}  // namespace nexus::wire
