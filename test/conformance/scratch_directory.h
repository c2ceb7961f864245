#pragma once
// A directory of its own for one test, gone afterwards.

#include <stdlib.h>

#include <filesystem>
#include <string>

#include "base/must.h"

namespace nexus::test {

class ScratchDirectory {
public:
    ScratchDirectory() {
        std::string pattern = (std::filesystem::temp_directory_path() / "nexus-store-XXXXXX").string();
        MUST(::mkdtemp(pattern.data()) != nullptr);
        path_ = pattern;
    }
    ScratchDirectory(const ScratchDirectory&) = delete;
    ScratchDirectory& operator=(const ScratchDirectory&) = delete;
    ~ScratchDirectory() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    const std::string& path() const { return path_; }
    std::string file(const std::string& name) const { return path_ + "/" + name; }

private:
    std::string path_;
};

}  // namespace nexus::test
