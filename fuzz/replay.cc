// Runs a fuzz target without libFuzzer, with any compiler: every file of the folders given, then MUTATIONS inputs made
// from them by a fixed seed. An input that fails is left in the working directory as failed-input.
//
//   NAME_replay FOLDER... [--mutations N] [--seed N]

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "base/rng.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

constexpr std::size_t kInputMax = 4096;

const std::string* running = nullptr;

// The input that aborts or crashes is what a person needs; the signal then takes its usual course.
void leave_input(int number) {
    const int file = open("failed-input", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (running != nullptr && file >= 0) (void)!write(file, running->data(), running->size());
    std::signal(number, SIG_DFL);
    std::raise(number);
}

void run(const std::string& input) {
    running = &input;
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
}

std::string mutated(std::string input, const std::vector<std::string>& seeds, nexus::Rng& rng) {
    for (std::uint64_t changes = 1 + rng.below(8); changes > 0; --changes) {
        const std::size_t at = rng.below(input.size() + 1);
        switch (rng.below(5)) {
            case 0: input.insert(at, 1, static_cast<char>(rng.below(256))); break;
            case 1:
                if (at < input.size()) input[at] = static_cast<char>(rng.below(256));
                break;
            case 2:
                if (at < input.size()) input[at] = static_cast<char>(input[at] ^ (1 << rng.below(8)));
                break;
            case 3: input.erase(at, rng.below(8)); break;
            default: {
                const std::string& other = seeds[rng.below(seeds.size())];
                const std::size_t from = rng.below(other.size() + 1);
                input.insert(at, other.substr(from, rng.below(64)));
            }
        }
    }
    input.resize(std::min(input.size(), kInputMax));
    return input;
}

}  // namespace

int main(int argc, char** argv) {
    std::uint64_t mutations = 0, seed = 1;
    std::vector<std::filesystem::path> files;
    for (int i = 1; i < argc; ++i) {
        if (std::strcmp(argv[i], "--mutations") == 0 && i + 1 < argc) {
            mutations = std::strtoull(argv[++i], nullptr, 10);
        } else if (std::strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            seed = std::strtoull(argv[++i], nullptr, 10);
        } else if (std::filesystem::is_directory(argv[i])) {
            for (const auto& entry : std::filesystem::directory_iterator(argv[i])) files.push_back(entry.path());
        } else {
            files.emplace_back(argv[i]);
        }
    }
    for (const int number : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE}) std::signal(number, leave_input);
    std::sort(files.begin(), files.end());
    std::vector<std::string> seeds{""};
    for (const auto& file : files) {
        std::ifstream stream(file, std::ios::binary);
        seeds.emplace_back(std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>());
    }
    for (const std::string& input : seeds) run(input);
    nexus::Rng rng(seed);
    for (std::uint64_t n = 0; n < mutations; ++n) run(mutated(seeds[rng.below(seeds.size())], seeds, rng));
    std::printf("%zu inputs of the corpus and %llu made from them\n", files.size(),
                static_cast<unsigned long long>(mutations));
    return 0;
}
