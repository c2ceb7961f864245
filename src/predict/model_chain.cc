#include "predict/model_chain.h"

#include <algorithm>

#include "base/bytes.h"
#include "predict/baselines.h"
#include "predict/mixture.h"

namespace nexus::predict {
namespace {

constexpr std::uint32_t kFailuresMax = 3;
constexpr std::uint32_t kRest = 1000;

bool sound(const Estimate& made) {
    return made.p50.us >= 1 && made.p50 <= kRunMax && made.mean.us >= 0 && made.mean <= kRunMax && made.p90.us >= 0 &&
           made.p90 <= kRunMax && made.source != EstimateSource::none;
}

}  // namespace

ModelChain::ModelChain(std::unique_ptr<Model> champion)
    : champion_(champion ? std::move(champion) : std::make_unique<Mixture>()), stand_in_(make_ema()) {}

bool ModelChain::ask_champion(const Features& features, Estimate& made) {
    if (resting_ > 0) {
        --resting_;
        ++failures_.skipped;
        return false;
    }
    const Instant began = stopwatch_ == nullptr ? Instant{} : stopwatch_();
    std::uint64_t* failure = nullptr;
    try {
        Result<Estimate> answer = champion_->estimate(features);
        if (!answer)
            failure = &failures_.errors;
        else if (!sound(*answer))
            failure = &failures_.invalid;
        else
            made = *answer;
    } catch (...) {
        failure = &failures_.exceptions;
    }
    // A late answer is thrown away although it is there: a model that hangs must be seen to fail.
    if (failure == nullptr && stopwatch_ != nullptr && stopwatch_() - began > kSlowMax) failure = &failures_.slow;
    if (failure == nullptr) {
        in_a_row_ = 0;
        return true;
    }
    ++*failure;
    if (++in_a_row_ >= kFailuresMax) resting_ = kRest;
    return false;
}

Estimate ModelChain::estimate(const Features& features) {
    Estimate made;
    if (ask_champion(features, made)) return made;
    // An unknown type gets nothing rather than the stand-in's constant: without a model the scheduler must not pretend.
    const Result<Estimate> simple = stand_in_->estimate(features);
    if (simple && simple->source == EstimateSource::ema && sound(*simple)) return *simple;
    ++failures_.unanswered;
    return {};
}

void ModelChain::learn(const Observation& observation) {
    try {
        champion_->learn(observation);
    } catch (...) {
        ++failures_.exceptions;
    }
    stand_in_->learn(observation);
}

bool ModelChain::began(const Features& features) {
    try {
        return champion_->began(features);
    } catch (...) {
        ++failures_.exceptions;
        return false;
    }
}

bool ModelChain::passed(const Features& features, Duration ran, Instant began) {
    try {
        return champion_->passed(features, ran, began);
    } catch (...) {
        ++failures_.exceptions;
        return false;
    }
}

void ModelChain::forget(std::string_view type) {
    try {
        champion_->forget(type);
    } catch (...) {
        ++failures_.exceptions;
    }
    stand_in_->forget(type);
}

void ModelChain::shorten(std::string_view type) {
    try {
        champion_->shorten(type);
    } catch (...) {
        ++failures_.exceptions;
    }
}

void ModelChain::describe(std::string_view type, TypeStat& stat) const {
    try {
        champion_->describe(type, stat);
    } catch (...) {
        stat.experts.clear();  // a page without details is better than none
    }
}

void ModelChain::save(std::string& out) const {
    Writer writer(out);
    std::string bytes;
    std::string_view name;
    try {
        name = champion_->name();
        champion_->save(bytes);
    } catch (...) {
        bytes.clear();  // it will start cold, which its load() must bear anyway
        name = {};
    }
    writer.text(name);
    writer.text(bytes);
    bytes.clear();
    stand_in_->save(bytes);
    writer.text(bytes);
    for (const std::uint64_t n :
         {failures_.errors, failures_.exceptions, failures_.invalid, failures_.slow, failures_.skipped,
          failures_.unanswered, failures_.drifts, std::uint64_t{in_a_row_}, std::uint64_t{resting_}})
        writer.varint(n);
}

Result<void> ModelChain::load(std::string_view bytes) {
    Reader in(bytes);
    const std::string_view name = in.text();
    const std::string_view champion = in.text();
    const std::string_view stand_in = in.text();
    ModelFailures failures;
    for (std::uint64_t* n : {&failures.errors, &failures.exceptions, &failures.invalid, &failures.slow,
                             &failures.skipped, &failures.unanswered, &failures.drifts})
        *n = in.varint();
    const std::uint64_t in_a_row = in.varint();
    const std::uint64_t resting = in.varint();
    if (in.failed() || !in.at_end() || resting > kRest || in_a_row > UINT32_MAX)
        return fail(Fault::corrupt, "models: bytes do not parse");
    try {
        if (name == champion_->name())
            if (auto loaded = champion_->load(champion); !loaded) return loaded;
    } catch (...) {
        return fail(Fault::corrupt, "models: the champion could not read its bytes");
    }
    if (auto loaded = stand_in_->load(stand_in); !loaded) return loaded;
    failures_ = failures;
    in_a_row_ = static_cast<std::uint32_t>(in_a_row);
    resting_ = static_cast<std::uint32_t>(resting);
    return {};
}

}  // namespace nexus::predict
