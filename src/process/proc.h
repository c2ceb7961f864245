#pragma once
// What /proc says of processes. Any thread; a process that is gone has no children, no memory and no environment.

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace nexus::process {

std::vector<pid_t> all_processes();
// The children of all threads of a process, zombies included.
std::vector<pid_t> children_of(pid_t process);
// Everything below it: children, their children and so on, without itself.
std::vector<pid_t> descendants_of(pid_t process);
pid_t group_of(pid_t process);
// Whether its environment, as it was at its exec, has this NAME=value.
bool has_variable(pid_t process, std::string_view variable);
// Memory of its own that is in use now.
std::uint64_t memory_of(pid_t process);

}  // namespace nexus::process
