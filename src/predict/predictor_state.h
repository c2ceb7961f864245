#pragma once
// What a Predictor holds. Private to this room: predictor.cc uses it, predictor_bytes.cc saves and restores it.

#include <functional>
#include <map>
#include <string>

#include "predict/band.h"
#include "predict/key_table.h"
#include "predict/model_chain.h"
#include "predict/predictor.h"
#include "predict/type_record.h"
#include "predict/worker_speed.h"

namespace nexus::predict {

inline constexpr std::size_t kTypesMax = 8192;   // further types share the record "(other)"
inline constexpr std::size_t kForcedMax = 1024;  // further overrides are not taken

// Regression of ln(actual) on ln(estimate), recent completions weighing most.
struct TrustSlope {
    float count = 0;
    float mean_x = 0;
    float mean_y = 0;
    float xx = 0;
    float xy = 0;
    void add(float expected, float actual);
    double slope() const;
};

struct Predictor::State {
    explicit State(std::unique_ptr<Model> champion) : models(std::move(champion)) { rest.name = "(other)"; }

    ModelChain models;
    KeyTable<TypeRecord> types{kTypesMax};
    TypeRecord rest;
    WorkerSpeeds speeds;
    std::map<std::string, Override, std::less<>> forced;
    float unseen_tail = 1;  // ln(P90 / P50) of types without a run
    float new_tail = 0.5F;  // what types with their first run start from
    float fleet_tail = 0;   // added to the tail of every type
    RollingMean hits;
    RollingMean hits_lately;
    RollingMean covered;
    RollingMean eta_covered;
    TrustSlope trust;

    TypeRecord& record_of(std::string_view type);
    void count_tail(TypeRecord& type, float step, bool unseen);
    TypeStat stat_of(const TypeRecord& record) const;
};

}  // namespace nexus::predict
