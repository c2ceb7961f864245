#include "engine/ownership.h"

#include <algorithm>

namespace nexus::engine {
namespace {

bool moved(const store::Head& before, const store::Head& now) {
    return !(before.claim == now.claim) || before.last != now.last || before.beat != now.beat;
}

}  // namespace

void Ownership::claimed(Instant sent, bool renews) {
    owns_ = true;
    superseded_ = false;
    renews_ = renews;
    confirmed_ = sent;
    seen_.reset();
}

void Ownership::confirmed(Instant sent) {
    confirmed_ = std::max(confirmed_, sent);
}

void Ownership::superseded() {
    owns_ = false;
    superseded_ = true;
}

Instant Ownership::sure_until() const {
    if (!owns_) return {};
    return renews_ ? confirmed_ + times_.unsure_after : kNever;
}

Ownership::Stance Ownership::stance(Instant now) const {
    if (superseded_) return Stance::superseded;
    if (!owns_) return Stance::following;
    return now < sure_until() ? Stance::owning : Stance::unsure;
}

bool Ownership::renewal_due(Instant now) const {
    return owns_ && renews_ && now - confirmed_ >= times_.renew_every;
}

void Ownership::observed(const store::Head& head, Instant at) {
    const bool broken = !seen_ || at - seen_->last > times_.observe_gap || moved(seen_->head, head);
    if (broken) seen_ = Seen{.head = head, .since = at, .last = at};
    seen_->head = head;
    seen_->last = at;
}

const store::Head* Ownership::may_claim(Instant now) const {
    if (!seen_ || now - seen_->last > times_.observe_gap) return nullptr;
    return seen_->last - seen_->since >= times_.claim_after ? &seen_->head : nullptr;
}

}  // namespace nexus::engine
