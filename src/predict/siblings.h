#pragma once
// What runs of one array say of each other: tasks of one type, tenant, size and demands that are under way together.
// The first of them that ends says how long the others take; before that the longest that one of them has run says how
// long they take at least. Those under way together are one piece of evidence: however many pass a mark, only how far
// the first of them got counts. When none of them has ended for as long as one takes, what comes next is another array.

#include "base/bytes.h"
#include "base/units.h"
#include "predict/band.h"
#include "predict/window.h"

namespace nexus::predict {

class Siblings {
public:
    std::uint64_t type = 0;

    // One was given to a worker. True when it is the first of an array.
    bool start(Instant now);
    // One runs for so long (ln microseconds). True when that is news.
    bool pass(float value, Instant began);
    void end(float value, Instant began, Instant now);
    // One was cut off: it is no longer what the others are judged by.
    void cut() { first_ = kNever, outlasted_ = 0; }

    // Some run, and none has ended.
    bool awaited(Instant now) const { return first_ != kNever && !fresh(now); }
    bool silent() const { return ended_.empty() && outlasted_ == 0; }
    // What is known of the next. Not of silent ones.
    Band band() const;

    void save(Writer& out) const;
    void load(Reader& in);

private:
    bool fresh(Instant now) const;  // what ended belongs to the array that runs

    Instant first_ = kNever;  // of those that run, when it began
    Instant since_;           // the first of those that began together ended: what began later belongs to the next
    Instant heard_;           // the last of them ended
    float outlasted_ = 0;     // ln microseconds that one has run while none of them had ended; 0 = nothing yet
    ModeWindow ended_;        // ln runs of those that began together
};

}  // namespace nexus::predict
