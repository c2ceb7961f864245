// Submits pictures to shrink: one and waits for it, then a hundred at once, and asks when they will be done.

#include <nexus/client.h>

#include <cstdio>
#include <string>
#include <vector>

namespace {

std::string picture(int side, int shade) {
    std::string text = "P2 " + std::to_string(side) + " " + std::to_string(side) + " 255\n";
    for (int i = 0; i < side * side; ++i)
        text += std::to_string((i + shade) % 256) + (i % side == side - 1 ? "\n" : " ");
    return text;
}

nexus::Task shrink_task(int side, int shade) {
    nexus::Task task;
    task.type = "shrink";
    task.payload = picture(side, shade);
    task.metadata["by"] = "4";
    task.features["pixels"] = side * side;
    task.timeout = std::chrono::seconds(30);
    return task;
}

int complain(const nexus::Failure& failure) {
    std::fprintf(stderr, "cpp-submit: %s\n", failure.text().c_str());
    return 1;
}

}  // namespace

int main(int argc, char** argv) {
    nexus::Client client(argc > 1 ? argv[1] : "127.0.0.1:7070");

    const auto one = client.submit(shrink_task(64, 0));
    if (!one) return complain(one.error());
    std::printf("task %s is predicted to run %.3f s\n", one->id.c_str(),
                static_cast<double>(one->estimate.p50.count()) / 1e6);
    const auto done = client.wait(one->id, std::chrono::minutes(1));
    if (!done) return complain(done.error());
    std::printf("it %s, and the smaller picture has %zu bytes\n", std::string(name_of(done->state)).c_str(),
                done->result.size());
    if (!done->finished_well()) return std::fprintf(stderr, "cpp-submit: %s\n", done->error.c_str()), 1;

    std::vector<nexus::Task> tasks;
    for (int shade = 0; shade < 100; ++shade) tasks.push_back(shrink_task(32 + shade, shade));
    const auto answers = client.submit_many(tasks);
    for (const auto& answer : answers)
        if (!answer) return complain(answer.error());
    std::printf("%zu more were accepted\n", answers.size());
    std::size_t succeeded = 0;
    for (const auto& answer : answers) {
        const auto finished = client.wait(answer->id, std::chrono::minutes(1));
        if (!finished) return complain(finished.error());
        succeeded += finished->finished_well() ? 1 : 0;
    }
    std::printf("%zu of %zu succeeded\n", succeeded, answers.size());
    return succeeded == answers.size() ? 0 : 1;
}
