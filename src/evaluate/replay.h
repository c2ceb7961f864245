#pragma once
// Plays a trace against a predictor the way a live system would meet it: never learning a run before it ended.
//
//   dispatch   the rows go first in, first out, through W = max(8, ceil(mean load / 0.7)) equal workers; each is
//              predicted when it gets its worker and learned when it completes
//   submit     each row is predicted when it arrives, starts at once, and is learned when it completes
//
// Where a completion and a dispatch fall on the same microsecond, the completion comes first. The predictor is told of
// runs that pass their P90 at that moment, as the engine does.

#include <cstdint>
#include <string>
#include <vector>

#include "evaluate/trace.h"

namespace nexus::evaluate {

enum class Moment : std::uint8_t { dispatch, submit };

struct Outcome {  // of one row, in the order of the trace
    Duration p50, p90;
    EstimateSource source = EstimateSource::none;
    std::uint16_t confidence_permille = 0;
    std::uint64_t known = 0;  // completed runs of the type when it was predicted
};

struct Replay {
    std::vector<Outcome> outcomes;
    std::uint64_t workers = 0;  // 0 = unlimited
    double predict_ns_mean = 0;
    double learn_ns_mean = 0;
    double elapsed_s = 0;        // whole replay
    predict::Accuracy accuracy;  // as the predictor itself reports it at the end
};

// Workers of the dispatch protocol.
std::uint64_t workers_for(const std::vector<TraceRow>& rows);

Replay replay(const std::vector<TraceRow>& rows, Moment moment, predict::Predictor& predictor);

}  // namespace nexus::evaluate
