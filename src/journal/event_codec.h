#pragma once
// One event inside a batch: like encode() and decode(), but its time is stored as the distance from the event before
// it, which is one or two bytes instead of eight. Private to the journal room.

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/units.h"
#include "core/event.h"
#include "journal/codec.h"

namespace nexus::journal {

void encode_after(const core::Event& event, Instant before, std::string& out);
Result<core::Event> decode_after(std::string_view bytes, Instant before);

}  // namespace nexus::journal
