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

void Streams::look_after(Clock::time_point now, const identity::Guard& guard) {
    static const Error kOver{Fault::unauthenticated, "the credential of this stream was revoked, or has expired"};
    for (const auto& stream : all()) {
        if (const Caller* caller = stream->caller(); caller != nullptr && !guard.still(*caller))
            stream->turn_out(kOver);
        stream->look_after(now);
    }
}

void Streams::wind_up() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    for (const auto& stream : all()) stream->wind_up();
}

void WorkerNames::set(const std::string& name, SessionId session, const std::string& owner) {
    const std::lock_guard lock(mutex_);
    sessions_[name] = {session, owner};
}

void WorkerNames::erase(const std::string& name, SessionId session) {
    const std::lock_guard lock(mutex_);
    const auto found = sessions_.find(name);
    if (found != sessions_.end() && found->second.first == session) sessions_.erase(found);
}

SessionId WorkerNames::find(const std::string& name, const std::string& owner) const {
    const std::lock_guard lock(mutex_);
    const auto found = sessions_.find(name);
    return found == sessions_.end() || found->second.second != owner ? SessionId{} : found->second.first;
}

}  // namespace nexus::wire
