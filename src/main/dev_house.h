#pragma once
// The processes of `nexus dev`: one server and some workers, started again when they die.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "process/child.h"

namespace nexus::dev {

struct HouseOptions {
    std::string self;  // path of this program
    std::string data;
    std::string listen = "127.0.0.1:7070";  // taken when free, else any free port
    std::string http = "127.0.0.1:7080";
    int workers = 4;
};

class House {
public:
    // `note` gets what happens, in one sentence each.
    House(HouseOptions options, std::function<void(const std::string&)> note)
        : options_(std::move(options)), note_(std::move(note)) {}

    // Starts the server and waits until it is ready, then the workers.
    Result<void> start();
    // Starts again what has died; true when the server was among it.
    Result<bool> look_after();
    // Workers first, then the server; all are reaped when it returns.
    void stop();

    const std::string& server() const { return grpc_; }  // host:port
    const std::string& page() const { return page_; }    // host:port
    const std::string& ready_line() const { return ready_line_; }

private:
    Result<void> start_server();
    Result<process::Child> start_worker(std::size_t index) const;

    HouseOptions options_;
    std::function<void(const std::string&)> note_;
    std::optional<process::Child> server_;
    std::vector<process::Child> workers_;
    std::string grpc_, page_, ready_line_;
};

// Whether nobody listens on the IPv4 address host:port.
bool is_free(const std::string& address);

}  // namespace nexus::dev
