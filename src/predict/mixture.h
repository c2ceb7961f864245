#pragma once
// The default model: a mixture of mode-seeking experts, chosen anew for each question by who was right lately.
//
//   type_mode     mode of the type's last 50 runs
//   user_mode     fast mode of the last 20 runs of (type, tenant)
//   scaled_mode   mode of the type's last 128 runs, weighted by likeness (tenant, resources, worker, payload), their durations
//                 carried over to this payload by the type's learned slope
//   joined_mode   the same joined with the tenant's runs of other types: serves types just met
//   worker_mode   mode of the last 50 runs of (type, worker)
//
// docs/prediction.md has the formulae and what they achieve. Deterministic; bounded (limits below); not thread-safe.

#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "predict/key_table.h"
#include "predict/payload_slope.h"
#include "predict/predictor.h"
#include "predict/window.h"

namespace nexus::predict {

struct MixtureLimits {
    std::size_t types_max = 8192;     // further types share one bucket until they prove busier than a kept one
    std::size_t users_max = 4096;     // further tenants go without joined_mode
    std::size_t cells_max = 32'768;   // (type, tenant); further ones are judged by their type's scores
    std::size_t places_max = 32'768;  // (type, worker); further ones go without worker_mode
    std::size_t prefixes_max = 4096;  // starts of type names; further ones do not help new types
};

inline constexpr std::size_t kExperts = 5;
inline constexpr std::size_t kSaidMax = 8;  // remembered answers of a cell
using ExpertValues = std::array<float, kExperts>;  // ln(microseconds); NaN = this expert has nothing to say

inline constexpr ExpertValues kNobody = [] {
    ExpertValues values{};
    values.fill(std::numeric_limits<float>::quiet_NaN());
    return values;
}();

// Recency-weighted record of each expert.
struct ExpertScore {
    std::array<float, kExperts> hits{};
    std::array<float, kExperts> errors{};  // |ln(estimate / actual)|, clipped
    std::array<float, kExperts> count{};

    void add(const ExpertValues& made, float actual, float decay);
    void save(Writer& out) const;
    void load(Reader& in);
};

class Mixture final : public Model {
public:
    explicit Mixture(const MixtureLimits& limits = {});

    std::string_view name() const override { return "mixture"; }
    Result<Estimate> estimate(const Features& features) override;
    void learn(const Observation& observation) override;
    void forget(std::string_view type) override;
    void shorten(std::string_view type) override;
    void describe(std::string_view type, TypeStat& stat) const override;
    void save(std::string& out) const override;
    Result<void> load(std::string_view bytes) override;

private:
    struct Query {
        std::uint64_t type = 0;
        std::uint64_t cell = 0;   // type and tenant
        std::uint64_t place = 0;  // type and worker; 0 = worker unknown
        Sample sample;            // all but the value
    };
    struct TypeState {
        ModeWindow recent;
        SampleWindow samples;
        PayloadSlope slope;
        float sorted_slope = 0;
        ExpertScore score;
        ExpertValues said = kNobody;  // lately, for describe()
        void save(Writer& out) const;
        void load(Reader& in);
    };
    struct UserState {
        SampleWindow samples;
        void save(Writer& out) const { samples.save(out); }
        void load(Reader& in) { samples.load(in, 0); }
    };
    struct Cell {
        std::uint64_t type = 0;
        ModeWindow recent;
        ExpertScore score;
        // What the experts said lately, newest last: a completion is scored with what was said at its dispatch.
        std::vector<ExpertValues> said;
        void save(Writer& out) const;
        void load(Reader& in);
    };
    struct Place {
        std::uint64_t type = 0;
        ModeWindow recent;
        void save(Writer& out) const;
        void load(Reader& in);
    };
    struct Answer {
        ExpertValues values;
        std::array<Band, kExperts> bands;
    };

    static Query query_of(const Features& features);
    Answer ask(const Query& query, TypeState* type, Cell* cell);
    void ask_similar(const Query& query, TypeState* type, Answer& answer);
    std::size_t choose(const ExpertValues& values, const TypeState* type, const Cell* cell) const;
    const ExpertValues* said_at(const Cell& cell, const Estimate& predicted) const;

    MixtureLimits limits_;
    KeyTable<TypeState> types_;
    KeyTable<UserState> users_;
    KeyTable<Cell> cells_;
    KeyTable<Place> places_;
    TypeState rest_;  // runs of the types the table has no room for
    ModeWindow all_;
    ExpertScore score_;
};

}  // namespace nexus::predict
