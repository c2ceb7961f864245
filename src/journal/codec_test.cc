#include "journal/codec.h"

#include <doctest/doctest.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "journal/random_event.h"

using namespace nexus;
using namespace nexus::journal;

namespace {

std::string encoded(const core::Event& event) {
    std::string out;
    encode(event, out);
    return out;
}

core::Event plain_submission() {
    core::TaskSubmitted fact{.task = {0x0193'4e5d'7f00'7abc, 0x8123'4567'89ab'cdef}, .spec = {}, .estimate = {}};
    fact.spec.type = "resize-image";
    fact.spec.body_hash = 0x1122'3344'5566'7788;
    fact.spec.payload_bytes = 100;
    fact.estimate = {.p50 = milliseconds(120),
                     .p90 = milliseconds(300),
                     .mean = milliseconds(150),
                     .confidence_permille = 820,
                     .source = EstimateSource::type_mode};
    return {.at = {1'763'890'000'000'000}, .what = fact};
}

std::string sample_batch(Sequence first, std::uint64_t chain, int events) {
    BatchWriter writer(first, chain, 1);
    Rng rng(first.n);
    Instant at{1'763'890'000'000'000};
    for (int i = 0; i < events; ++i) {
        at = at + microseconds(rng.between(0, 5'000));
        writer.add(random_event(rng, at));
    }
    return writer.finish(rng.next());
}

// The container's checksum again, after a test changed something before it.
std::string resealed(std::string bytes) {
    bytes.resize(bytes.size() - 4);
    Writer(bytes).u32(crc32c(bytes));
    return bytes;
}

}  // namespace

TEST_CASE("every kind of event survives encoding, with plain and with extreme values") {
    std::uint64_t kinds_seen = 0;
    for (std::uint64_t seed = 1; seed <= 20'000; ++seed) {
        CAPTURE(seed);
        Rng rng(seed);
        const core::Event event = random_event(rng, {static_cast<std::int64_t>(rng.next())});
        kinds_seen |= std::uint64_t{1} << event.what.index();
        const std::string bytes = encoded(event);
        const auto back = decode(bytes);
        REQUIRE(back);
        CHECK_EQ(back->at.us, event.at.us);
        CHECK_EQ(back->what.index(), event.what.index());
        CHECK_EQ(describe(*back), describe(event));
        CHECK_EQ(encoded(*back), bytes);
    }
    CHECK_EQ(kinds_seen, (std::uint64_t{1} << std::variant_size_v<core::Fact>)-1);
}

TEST_CASE("a decoded submission has every field of the one written") {
    core::TaskSubmitted fact = std::get<core::TaskSubmitted>(plain_submission().what);
    fact.spec.tenant = "acme";
    fact.spec.priority = 9;
    fact.spec.idempotent = true;
    fact.spec.run_at = {5};
    fact.spec.labels_required = {{"gpu", "a100"}, {"zone", "b"}};
    fact.spec.resources = {.cpu_milli = 1500, .memory_bytes = 1 << 30, .gpu_milli = 0, .custom = {{"fpga", -1}}};
    fact.spec.after = {{1, 2}, {3, 4}};
    fact.spec.retry.attempts_max = 7;
    const auto back = decode(encoded({.at = {7}, .what = fact}));
    REQUIRE(back);
    const auto& got = std::get<core::TaskSubmitted>(back->what);
    CHECK(got.task == fact.task);
    CHECK(got.spec == fact.spec);
    CHECK(got.estimate == fact.estimate);
}

TEST_CASE("the events of a plain task are small") {
    CHECK_LE(encoded(plain_submission()).size(), 72);
    const core::AttemptStarted started{.task = {1, 2}, .attempt = {3, 4}, .session = {70'000}};
    CHECK_LE(encoded({.at = {1'763'890'000'000'000}, .what = started}).size(), 46);
}

TEST_CASE("an event of a newer kind is unsupported, other damage is corrupt") {
    static constexpr struct {
        const char* name;
        std::string_view bytes;
        Fault want;
    } rows[] = {
        {"empty", {}, Fault::corrupt},
        {"kind only", {"\x15", 1}, Fault::corrupt},
        {"kind zero", {"\x00\x00", 2}, Fault::corrupt},
        {"first kind of a newer release", {"\x1c\x00", 2}, Fault::unsupported},
        {"a far newer kind", {"\xff\xff\x03\x00", 4}, Fault::unsupported},
        {"bytes after the event", {"\x15\x00\x00", 3}, Fault::corrupt},
        {"a bit beyond the members", {"\x09\x00\x02", 3}, Fault::corrupt},
        {"a member cut off", {"\x04\x00\x01\x01\x02", 5}, Fault::corrupt},
        {"a text longer than the input", {"\x06\x00\x02\x7f\x41", 5}, Fault::corrupt},
        {"an outcome that does not exist", {"\x12\x00\x10\x63", 4}, Fault::corrupt},
        {"a varint without end", {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12}, Fault::corrupt},
        {"more types than bytes", {"\x07\x00\x20\xff\xff\xff\x7f", 7}, Fault::corrupt},
        {"a worker number beyond 32 bits", {"\x0e\x00\x01\xff\xff\xff\xff\x7f", 8}, Fault::corrupt},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        const auto event = decode(row.bytes);
        REQUIRE_FALSE(event);
        CHECK_EQ(fault_name(event.error().fault), fault_name(row.want));
    }
    CHECK(decode({"\x15\x00", 2}));
}

TEST_CASE("decode answers for any prefix and any flipped bit of any event") {
    for (std::uint64_t seed = 1; seed <= 300; ++seed) {
        CAPTURE(seed);
        Rng rng(seed);
        const std::string bytes = encoded(random_event(rng, {static_cast<std::int64_t>(rng.below(1 << 20))}));
        for (std::size_t n = 0; n < bytes.size(); ++n) CHECK_FALSE(decode(std::string_view(bytes).substr(0, n)));
        for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
            std::string damaged = bytes;
            damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
            if (const auto event = decode(damaged)) CHECK(decode(encoded(*event)));
        }
    }
}

TEST_CASE("batches carry their events, digest and chain") {
    BatchWriter writer({1}, 0, 7);
    CHECK(writer.empty());
    std::uint64_t chain = 0;
    std::uint64_t next = 1;
    Rng rng(3);
    for (int n = 1; n < 60; ++n) {
        std::vector<std::string> want;
        Instant at{1'000'000};
        for (int i = 0; i < n; ++i) {
            at = at + microseconds(rng.between(0, 100));
            const core::Event event = random_event(rng, at);
            writer.add(event);
            want.push_back(encoded(event));
        }
        CHECK_EQ(writer.count(), n);
        const std::string bytes = writer.finish(1'000u + static_cast<unsigned>(n));
        const auto batch = decode_batch(bytes, chain);
        REQUIRE(batch);
        CHECK_EQ(batch->first.n, next);
        CHECK_EQ(batch->core_version, 7);
        CHECK_EQ(batch->digest, 1'000 + n);
        CHECK_EQ(batch->chain, writer.chain());
        REQUIRE_EQ(batch->events.size(), want.size());
        for (std::size_t i = 0; i < want.size(); ++i) CHECK_EQ(encoded(batch->events[i]), want[i]);
        const auto head = check_batch(bytes);
        REQUIRE(head);
        CHECK_EQ(head->count, n);
        CHECK_EQ(head->chain_before, chain);
        CHECK_EQ(head->chain, batch->chain);
        chain = batch->chain;
        next += static_cast<std::uint64_t>(n);
        CHECK_EQ(writer.first().n, next);
        CHECK(writer.empty());
    }
}

TEST_CASE("a batch out of its place in the chain is refused") {
    const std::string first = sample_batch({1}, 0, 5);
    const auto one = decode_batch(first, 0);
    REQUIRE(one);
    const std::string second = sample_batch({6}, one->chain, 5);
    CHECK(decode_batch(second, one->chain));
    const auto wrong = decode_batch(second, one->chain + 1);
    REQUIRE_FALSE(wrong);
    CHECK(wrong.error().fault == Fault::corrupt);
    CHECK_FALSE(decode_batch(second, 0));
}

TEST_CASE("every cut and every flipped bit of a batch is noticed, and told with its place") {
    const std::string bytes = sample_batch({10}, 99, 8);
    REQUIRE(decode_batch(bytes, 99));
    for (std::size_t n = 0; n < bytes.size(); ++n) {
        const auto batch = decode_batch(std::string_view(bytes).substr(0, n), 99);
        REQUIRE_FALSE(batch);
        CHECK(batch.error().fault == Fault::corrupt);
        CHECK(batch.error().what.find("byte ") != std::string::npos);
    }
    for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
        std::string damaged = bytes;
        damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
        const auto batch = decode_batch(damaged, 99);
        REQUIRE_FALSE(batch);
        CHECK(batch.error().fault == Fault::corrupt);
    }
    CHECK_FALSE(decode_batch(bytes + '\0', 99));
}

TEST_CASE("a batch whose checksum is right but whose content is not is refused") {
    const std::string bytes = sample_batch({10}, 99, 3);
    static constexpr struct {
        const char* name;
        std::size_t at;
        char value;
        Fault want;
    } rows[] = {
        {"a newer format", 4, static_cast<char>(kFormatVersion + 1), Fault::unsupported},
        {"format zero", 4, 0, Fault::corrupt},
        {"fewer events than there are", 12, 2, Fault::corrupt},
        {"more events than there are", 12, 4, Fault::corrupt},
        {"no events", 12, 0, Fault::corrupt},
        {"four thousand million events", 15, '\xff', Fault::corrupt},
        {"first sequence zero", 16, 0, Fault::corrupt},
        {"a frame longer than the batch", 32, '\x7f', Fault::corrupt},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        std::string changed = bytes;
        changed[row.at] = row.value;
        const auto batch = decode_batch(resealed(changed), 99);
        REQUIRE_FALSE(batch);
        CHECK_EQ(fault_name(batch.error().fault), fault_name(row.want));
    }
}

TEST_CASE("snapshots survive, and every damage is noticed") {
    Snapshot snapshot{.at = {77},
                      .chain = 5,
                      .digest = 6,
                      .core_version = 1,
                      .core = std::string(1000, 'c'),
                      .predictor = "",
                      .engine = std::string("\0x", 2)};
    const std::string bytes = encode_snapshot(snapshot);
    const auto back = decode_snapshot(bytes);
    REQUIRE(back);
    CHECK_EQ(back->at.n, 77);
    CHECK_EQ(back->chain, 5);
    CHECK_EQ(back->digest, 6);
    CHECK_EQ(back->core_version, 1);
    CHECK_EQ(back->core, snapshot.core);
    CHECK_EQ(back->predictor, snapshot.predictor);
    CHECK_EQ(back->engine, snapshot.engine);
    for (std::size_t n = 0; n < bytes.size(); ++n) CHECK_FALSE(decode_snapshot(std::string_view(bytes).substr(0, n)));
    for (std::size_t at = 0; at < bytes.size(); ++at) {
        std::string damaged = bytes;
        damaged[at] = static_cast<char>(damaged[at] ^ 0x20);
        CHECK_FALSE(decode_snapshot(damaged));
    }
    std::string newer = bytes;
    newer[4] = 9;
    const auto refused = decode_snapshot(resealed(newer));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().fault == Fault::unsupported);
}
