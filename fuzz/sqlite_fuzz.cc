// F7: a database file that is not what we wrote. A good journal is built once; each input is a list of changes to its
// file (offset, xor) and a length to cut it to. Opening answers with a store that works or with a fault; so do
// verification and the export. Nothing crashes, hangs or reads beyond its buffers.
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/bytes.h"
#include "base/rng.h"
#include "journal/codec.h"
#include "journal/random_event.h"
#include "store/sqlite/journal_inspect.h"
#include "store/sqlite/sqlite_journal.h"

using namespace nexus;

namespace {

std::string make_journal(const std::string& directory) {
    std::filesystem::remove_all(directory);
    {
        auto opened = store::SqliteJournal::open({.directory = directory, .reserve_bytes = 0});
        if (!opened) std::abort();
        const auto claim = store::claim_now(**opened, {.name = "fuzz"});
        if (!claim) std::abort();
        journal::BatchWriter writer({1}, 0, 1);
        Rng rng(1);
        for (std::uint64_t i = 0; i < 12; ++i) {
            for (int n = 0; n < 4; ++n) writer.add(journal::random_event(rng, {static_cast<std::int64_t>(i)}));
            store::JournalBatch batch = store::finish_batch(writer, i);
            for (std::uint64_t k = 0; k < 3; ++k)
                batch.puts.push_back({.task = {1, 3 * i + k + 1}, .body = std::string(200 * k, 'b')});
            if (i > 2) batch.drops = {{1, 3 * i - 1}};
            batch.results.push_back({.task = {1, i + 1}, .body = "result"});
            if (!(*opened)->append(*claim, {&batch, 1})) std::abort();
        }
    }
    return *store::read_file(directory + "/journal.db");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const std::string directory = "/dev/shm/nexus-sqlite-fuzz-" + std::to_string(::getpid());
    static const std::string good = make_journal(directory);
    static const int cleanup = std::atexit([] { std::filesystem::remove_all(directory); });
    static_cast<void>(cleanup);

    Reader r({reinterpret_cast<const char*>(data), size});
    std::string damaged = good;
    const std::uint64_t cut_to = r.varint();
    while (!r.at_end() && !r.failed()) {
        const std::uint64_t offset = r.varint() % damaged.size();
        damaged[offset] = static_cast<char>(damaged[offset] ^ static_cast<char>(r.u8()));
    }
    if (cut_to != 0) damaged.resize(std::min<std::size_t>(damaged.size(), cut_to));
    for (const char* name : {"/journal.db-wal", "/journal.db-shm"}) std::filesystem::remove(directory + name);
    if (!store::write_file_durably(directory + "/journal.db", damaged)) std::abort();

    static_cast<void>(store::verify_journal(directory));
    static_cast<void>(store::export_journal(directory, {0}, [](std::string_view) -> Result<void> { return {}; }));
    auto opened = store::SqliteJournal::open({.directory = directory, .reserve_bytes = 0, .cut_damage = size % 2 == 0});
    if (!opened) return 0;
    for (std::uint64_t n = 1; n <= 36; ++n) {
        for (const auto kind : {store::BodyKind::body, store::BodyKind::result, store::BodyKind::taken})
            static_cast<void>(store::read_body(**opened, kind, {1, n}));
    }
    static_cast<void>((*opened)->read({0}, {}, [](Sequence, std::string_view bytes) -> Result<void> {
        static_cast<void>(journal::check_batch(bytes));
        return {};
    }));
    const auto head = (*opened)->head();
    const auto claim = store::claim_now(**opened, {.name = "fuzz"});
    if (!head || !claim) return 0;
    journal::BatchWriter writer({head->last.n + 1}, head->chain, 1);
    writer.add({.at = {1}, .what = core::TimePassed{}});
    store::JournalBatch batch = store::finish_batch(writer, 0);
    batch.drops = {{1, 1}, {1, 2}, {1, 3}};
    static_cast<void>((*opened)->append(*claim, {&batch, 1}));
    return 0;
}
