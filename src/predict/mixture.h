#pragma once
// The default model: a mixture of mode-seeking experts, chosen anew for each question by who was right lately.
//
//   type_mode     mode of the type's last 50 runs
//   user_mode     fast mode of the last 20 runs of (type, tenant)
//   scaled_mode   mode of the type's last 128 runs, weighted by likeness (tenant, resources, worker, payload), their
//                 durations carried over to this payload by the type's learned slope
//   near_mode     the same among runs of nearly the same payload: serves types whose growth is no straight line
//   joined_mode   mode of the tenant's last 128 runs of whatever type, weighted by likeness; serves types just met. Of
//                 a type that grows with its payload, joined with all of the type's runs
//   worker_mode   mode of the last 50 runs of (type, worker)
//   sibling_mode  mode of the last runs of the same array: equal tasks that are under way together (siblings.h)
//   hint          what the submitter says
//   prefix        mode of types with a similar name; asked only while the type is new
//
// When none of them has anything to say: the mode of all runs, then 5 s. docs/prediction.md has the formulae and what
// they achieve. Deterministic; bounded (limits below); not thread-safe.

#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "predict/experts.h"
#include "predict/key_table.h"
#include "predict/predictor.h"
#include "predict/siblings.h"
#include "predict/size_driver.h"
#include "predict/window.h"

namespace nexus::predict {

struct MixtureLimits {
    std::size_t types_max = 8192;     // further types share one bucket until they prove busier than a kept one
    std::size_t users_max = 4096;     // further tenants go without joined_mode
    std::size_t cells_max = 16'384;   // (type, tenant); further ones are judged by their type's scores
    std::size_t places_max = 16'384;  // (type, worker); further ones go without worker_mode
    std::size_t families_max = 4096;  // further families of names do not help new types
    std::size_t arrays_max = 8192;    // further arrays go without sibling_mode
    std::size_t said_max = 32'768;    // answers kept until their runs end; one that is lost counts as the newest one
};

class Mixture final : public Model {
public:
    explicit Mixture(const MixtureLimits& limits = {});

    std::string_view name() const override { return "mixture"; }
    Result<Estimate> estimate(const Features& features) override;
    void learn(const Observation& observation) override;
    bool began(const Features& features) override;
    bool passed(const Features& features, Duration ran, Instant began) override;
    void forget(std::string_view type) override;
    void shorten(std::string_view type) override;
    void describe(std::string_view type, TypeStat& stat) const override;
    void save(std::string& out) const override;
    Result<void> load(std::string_view bytes) override;

private:
    static constexpr std::uint64_t kNewRuns = 3;  // a type with fewer runs is new

    struct Query {
        std::uint64_t type = 0;
        std::uint64_t cell = 0;   // type and tenant
        std::uint64_t place = 0;  // type and worker; 0 = worker unknown
        std::uint64_t array = 0;  // type, tenant, demands and all that is known of its size
        Sample sample;            // all but the value; the payload is the type's size
        float user_size = 0;      // by what the tenant's runs of all types grow with
        float hint = std::numeric_limits<float>::quiet_NaN();
        std::string_view family;
        Instant at;
    };
    struct Answer {
        ExpertValues values = kNobody;
        std::array<Band, expert_count> bands;
        std::uint8_t asked = 0;  // bit e: expert e was asked
    };
    class Asking;
    struct TypeState {
        std::uint64_t seen = 0;    // runs learned
        std::uint32_t beyond = 0;  // censored runs since the last success that outlasted the estimate
        ModeWindow recent;
        SampleWindow samples;
        SizeDriver size;
        float sorted_slope = 0;
        ExpertScore score;
        ExpertValues said = kNobody;  // lately, for describe()
        std::uint64_t version = 0;    // of what experts answer from: see Cell::answered
        void save(Writer& out) const;
        void load(Reader& in);
    };
    struct UserState {
        std::uint64_t version = 0;
        SizeDriver size;  // of all its types together
        SampleWindow samples;
        void save(Writer& out) const {
            size.save(out);
            samples.save(out);
        }
        void load(Reader& in) {
            size.load(in);
            samples.load(in, 0);
        }
    };
    // What the experts said when an estimate was made, found again by the estimate itself: a completion is scored with
    // what was said at its dispatch, however many of its like were dispatched since.
    struct Said {
        std::uint64_t key = 0;  // of cell and estimate; 0 = free
        ExpertValues values = kNobody;
    };
    struct Cell {
        std::uint64_t type = 0;
        ModeWindow recent;
        ExpertScore score;
        ExpertValues said = kNobody;  // by the newest answer
        // The answers to the last question, good while neither the type nor the tenant learned: tasks often come in
        // bursts of their like. Not saved; a restored cell finds the same answer anew.
        Answer answered;
        Sample asked;
        float asked_user_size = 0;
        std::uint64_t type_version = UINT64_MAX;
        std::uint64_t user_version = 0;
        void save(Writer& out) const;
        void load(Reader& in);
    };
    struct Recent {  // a window of its own: of a (type, worker), of a family
        std::uint64_t type = 0;
        ModeWindow recent;
        void save(Writer& out) const;
        void load(Reader& in);
    };

    static Query query_of(const Features& features);
    static void set_sizes(Query& query, const TypeState* type, const UserState* user, const Features& features);
    using Standings = ExpertNumbers;
    Standings standings(const TypeState* type, const Cell* cell) const;
    static Expert choose(const ExpertValues& values, const Standings& standings);
    static Expert choose_first(Asking& asking, Standings standings);
    Said& said_slot(std::uint64_t key) { return said_[key % said_.size()]; }
    const ExpertValues& said_at(std::uint64_t cell_key, const Cell& cell, const Estimate& predicted);
    void load_more(Reader& in);
    static bool alike(const TypeState* type, const Standings& standings);
    bool believes_siblings(const Query& query);
    void learn_run(Query& query, TypeState& type, Cell* cell, const Features& features);

    MixtureLimits limits_;
    std::uint64_t stamp_ = 0;  // the newest version given out
    KeyTable<TypeState> types_;
    KeyTable<UserState> users_;
    KeyTable<Cell> cells_;
    KeyTable<Recent> places_;
    KeyTable<Recent> families_;
    KeyTable<Siblings> arrays_;
    std::vector<Said> said_;
    TypeState rest_;  // runs of the types the table has no room for
    ModeWindow all_;
    ExpertScore score_;      // of all types
    ExpertScore new_score_;  // of types with less than three runs
};

}  // namespace nexus::predict
