#pragma once
// One question to the experts of a mixture: each is asked when its answer is wanted, and what it said is kept with the
// cell while neither the type nor the tenant learns.

#include "predict/likeness.h"
#include "predict/mixture.h"

namespace nexus::predict {

class Mixture::Asking {
public:
    // All outlive it; null: unknown.
    Asking(Mixture& mixture, const Query& query, TypeState* type, UserState* user, Cell* cell);

    // ln(microseconds); NaN: it has nothing to say.
    float value(Expert expert);
    // Of an expert that had something to say.
    Band band(Expert expert) const;
    ExpertValues all();
    // Some of its array run, and none has ended.
    bool awaited() const { return awaited_; }

private:
    Band prefix() const;
    Band place() const;
    void set(Expert expert, Band band, float shift);
    bool worth(Expert expert) const;
    void ask(Expert expert);
    void ask_joined();
    const Likes& own();  // the type's own runs, all of which count more beside other types'

    const Query& query_;
    TypeState* type_;
    UserState* user_;
    Cell* cell_;
    const Recent* place_;
    const Siblings* array_;
    const Recent* family_ = nullptr;
    bool awaited_;
    bool is_new_;
    Answer own_;
    Answer* kept_;
    Likes likes_;
};

}  // namespace nexus::predict
