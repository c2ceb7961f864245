// A worker that makes pictures smaller. The pictures are PGM text ("P2 width height grey-levels pixels..."), so that
// the example needs no image library; the work is real: every pixel of the result is the mean of a square of the
// original.

#include <nexus/worker.h>

#include <cstdio>
#include <sstream>
#include <string>
#include <vector>

namespace {

struct Picture {
    std::size_t width = 0, height = 0;
    int levels = 255;
    std::vector<int> pixels;
};

bool read_picture(const std::string& text, Picture& picture) {
    std::istringstream in(text);
    std::string magic;
    if (!(in >> magic >> picture.width >> picture.height >> picture.levels) || magic != "P2") return false;
    if (picture.width == 0 || picture.height == 0 || picture.width > 4096 || picture.height > 4096) return false;
    picture.pixels.resize(picture.width * picture.height);
    for (int& pixel : picture.pixels)
        if (!(in >> pixel)) return false;
    return true;
}

nexus::Outcome shrink(nexus::Context& task) {
    Picture picture;
    if (!read_picture(task.payload(), picture)) return nexus::Outcome::fatal("the payload is not a PGM picture");
    const std::size_t by = task.metadata("by").empty() ? 2 : std::stoul(std::string(task.metadata("by")));
    if (by == 0) return nexus::Outcome::fatal("by: must be at least 1");
    const std::size_t width = picture.width / by;
    const std::size_t height = picture.height / by;
    if (width == 0 || height == 0) return nexus::Outcome::fatal("the picture is smaller than one square");

    std::ostringstream out;
    out << "P2 " << width << ' ' << height << ' ' << picture.levels << '\n';
    for (std::size_t y = 0; y < height; ++y) {
        if (task.cancelled()) return nexus::Outcome::cancelled();
        task.progress(static_cast<double>(y) / static_cast<double>(height), "row " + std::to_string(y));
        for (std::size_t x = 0; x < width; ++x) {
            std::size_t sum = 0;
            for (std::size_t dy = 0; dy < by; ++dy)
                for (std::size_t dx = 0; dx < by; ++dx)
                    sum += static_cast<std::size_t>(picture.pixels[(y * by + dy) * picture.width + x * by + dx]);
            out << sum / (by * by) << (x + 1 < width ? ' ' : '\n');
        }
    }
    return nexus::Outcome::success(out.str());
}

}  // namespace

int main(int argc, char** argv) {
    nexus::WorkerOptions options;
    options.name = "shrinker";
    options.target = argc > 1 ? argv[1] : "127.0.0.1:7070";
    options.slots = 2;
    options.log = [](std::string_view line) {
        std::fprintf(stderr, "shrinker: %.*s\n", static_cast<int>(line.size()), line.data());
    };
    nexus::Worker worker(options);
    worker.handle("shrink", shrink);
    worker.stop_on_signals();
    return worker.run();
}
