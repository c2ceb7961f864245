#pragma once
// The picture of `nexus top`: pure, so that it can be tested.

#include <string>

#include "cli/output.h"
#include "nexus/v1/nexus.pb.h"

namespace nexus::cli {

namespace pb = ::nexus::v1;

struct Picture {
    pb::Status status;
    pb::ListWorkersResponse workers;
    pb::ListTasksResponse running;  // assigned and running tasks
};

// A status block, the workers with their load, and what runs with how far it is and when it will be done. At most
// `terminal.rows` lines of at most `terminal.columns` columns when standard output is a terminal, all of it otherwise.
std::string top_picture(const Picture& picture, const std::string& server, const Terminal& terminal);

}  // namespace nexus::cli
