#include "bench/readers_bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <thread>
#include <vector>

#include "bench/server_process.h"
#include "bench/submitter.h"
#include "bench/workers.h"

namespace nexus::bench {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;

constexpr std::chrono::seconds kConnectMax{60};
constexpr int kFinds = 20;
const std::string kNeedle = "needle";  // the type of the one task that is searched for

// A connection to the server's HTTP port. Throws what Beast throws: this is a bench, and the caller turns it into an
// error.
class HttpConnection {
public:
    explicit HttpConnection(const std::string& address) : address_(address), stream_(context_) {
        const std::size_t colon = address.rfind(':');
        asio::ip::tcp::resolver resolver(context_);
        stream_.connect(resolver.resolve(address.substr(0, colon), address.substr(colon + 1)));
    }
    std::string get(const std::string& target) {
        send(target);
        http::response<http::string_body> response;
        http::read(stream_, buffer_, response);
        return std::move(response.body());
    }
    void send(const std::string& target) {
        http::request<http::empty_body> request{http::verb::get, target, 11};
        request.set(http::field::host, address_);
        http::write(stream_, request);
    }
    // Whatever comes; 0 at the end of the stream.
    std::size_t read_some() {
        char bytes[65536];
        boost::system::error_code ended;
        const std::size_t got = stream_.read_some(asio::buffer(bytes), ended);
        return ended ? 0 : got;
    }
    void shut() {
        boost::system::error_code ignored;
        stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_both, ignored);
    }

private:
    std::string address_;
    asio::io_context context_;
    beast::tcp_stream stream_;
    beast::flat_buffer buffer_;
};

// One open page and one list a second, until destroyed.
class Readers {
public:
    explicit Readers(const std::string& address) : page_(address), lists_(address) {
        page_.send("/v1/live?topics=status,attention,queues,types,tenants,series,fleet");
        page_thread_ = std::thread([this] {
            while (const std::size_t got = page_.read_some()) bytes_ += got;
        });
        list_thread_ = std::thread([this] {
            auto due = Clock::now();
            while (!stop_) {
                bytes_ += lists_.get("/v1/tasks?state=waiting&limit=100").size();
                due += std::chrono::seconds(1);
                while (!stop_ && Clock::now() < due) std::this_thread::sleep_for(std::chrono::milliseconds(20));
            }
        });
    }
    ~Readers() {
        stop_ = true;
        page_.shut();
        page_thread_.join();
        list_thread_.join();
    }
    std::uint64_t bytes() const { return bytes_; }

private:
    HttpConnection page_, lists_;
    std::atomic<bool> stop_{false};
    std::atomic<std::uint64_t> bytes_{0};
    std::thread page_thread_, list_thread_;
};

// Submits tasks first … first + count - 1 at the rate, and waits for their results.
Result<void> measure(const std::string& address, const ReadersOptions& options, std::uint64_t first,
                     std::uint64_t count, Ledger& ledger) {
    const auto done = submit_all(
        address, {.tasks = count, .rate = options.rate, .seed = options.seed + first, .first = first}, ledger);
    if (!done) return std::unexpected(done.error());
    const auto began = Clock::now();
    while (ledger.acknowledged < first + count) {
        if (Clock::now() - began > kConnectMax) return fail(Fault::exhausted, "results are missing after a minute");
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return {};
}

double ms(std::vector<std::int64_t>& ns, double q) {
    std::sort(ns.begin(), ns.end());
    return static_cast<double>(quantile(ns, q)) / 1e6;
}

Result<Report> run(const ReadersOptions& options) {
    const ScratchDirectory scratch;
    auto server = ServerProcess::start(scratch.path(), "disk", "127.0.0.1:0");
    if (!server) return std::unexpected(std::move(server).error());
    const std::string& address = (*server)->address();
    const auto each = static_cast<std::uint64_t>(options.rate * options.seconds);
    const std::uint64_t measured = each * options.rounds * 2;
    Ledger ledger(measured + options.pending + 1);
    Workers workers(address, 2, 50, false, ledger);
    if (Result<void> connected = workers.wait_connected(kConnectMax); !connected)
        return std::unexpected(std::move(connected).error());
    progress(fmt::format("submitting {} tasks that no worker may run", options.pending));
    for (const auto& plan : {SubmitPlan{.tasks = options.pending,
                                        .batch = 500,
                                        .inflight = 4,
                                        .first = measured,
                                        .type = "blocked",
                                        .zone = "nowhere"},
                             SubmitPlan{.tasks = 1,
                                        .batch = 1,
                                        .inflight = 1,
                                        .first = measured + options.pending,
                                        .type = kNeedle,
                                        .zone = "nowhere"}})
        if (const auto done = submit_all(address, plan, ledger); !done) return std::unexpected(done.error());

    std::vector<std::int64_t> start_ns[2], find_ns;
    std::uint64_t bytes = 0;
    for (std::uint32_t half = 0; half < options.rounds * 2; ++half) {
        const bool beside = half % 2 == 1;
        progress(fmt::format("round {} of {}, {}", half / 2 + 1, options.rounds, beside ? "beside readers" : "alone"));
        std::unique_ptr<Readers> readers;
        if (beside) readers = std::make_unique<Readers>((*server)->http_address());
        if (auto ok = measure(address, options, half * each, each, ledger); !ok)
            return std::unexpected(std::move(ok).error());
        if (readers) bytes += readers->bytes();
        for (std::uint64_t task = half * each; task < (half + 1) * each; ++task)
            start_ns[beside ? 1 : 0].push_back(ledger.started_ns[task] - ledger.submitted_ns[task]);
    }
    HttpConnection finder((*server)->http_address());
    for (int i = 0; i < kFinds; ++i) {
        const std::int64_t began = now_ns();
        const std::string found = finder.get("/v1/tasks?type=" + kNeedle);
        find_ns.push_back(now_ns() - began);
        if (found.find("\"" + kNeedle + "\"") == std::string::npos)
            return fail(Fault::not_found, "the list of type " + kNeedle + " is empty: " + found.substr(0, 200));
    }
    Report report{.command = "bench readers", .name = "sqlite"};
    report.args = {{"pending", options.pending},
                   {"rounds", options.rounds},
                   {"seconds", options.seconds},
                   {"rate", options.rate},
                   {"seed", options.seed}};
    report.metrics = {{"alone_start_ms_p50", ms(start_ns[0], 0.5)},
                      {"alone_start_ms_p99", ms(start_ns[0], 0.99)},
                      {"readers_start_ms_p50", ms(start_ns[1], 0.5)},
                      {"readers_start_ms_p99", ms(start_ns[1], 0.99)},
                      {"p99_ratio", ms(start_ns[1], 0.99) / ms(start_ns[0], 0.99)},
                      {"find_ms_p50", ms(find_ns, 0.5)},
                      {"find_ms_max", ms(find_ns, 1)},
                      {"read_bytes", bytes},
                      {"server_rss_bytes", (*server)->rss_bytes()}};
    return report;
}

}  // namespace

Result<Report> run_readers(const ReadersOptions& options) {
    try {
        return run(options);
    } catch (const std::exception& error) {
        return fail(Fault::exhausted, std::string("HTTP: ") + error.what());
    }
}

}  // namespace nexus::bench
