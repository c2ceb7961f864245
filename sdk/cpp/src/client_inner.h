#pragma once
// What a Client holds, shared by client.cc and bulk.cc.

#include <grpcpp/grpcpp.h>
#include <nexus/v1/nexus.grpc.pb.h>

#include <memory>
#include <string>
#include <thread>

#include "channel.h"
#include "client_messages.h"
#include "nexus/client.h"
#include "random.h"
#include "retry.h"

namespace nexus {

struct Client::Inner {
    using SteadyTime = std::chrono::steady_clock::time_point;

    std::string target;
    ClientOptions options;
    std::shared_ptr<grpc::Channel> channel;
    std::unique_ptr<v1::TaskService::Stub> stub;
    std::string failure;  // of the TLS files; then stub is null

    sdk::Backoff backoff() const { return {options.retry_first, options.retry_max, sdk::random_bits()}; }

    void prepare(grpc::ClientContext& context, Micros time_left) const {
        sdk::authorize(context, options.token);
        context.set_deadline(std::chrono::system_clock::now() + time_left);
    }
    // Between two tries. While no call is open nobody drives gRPC's attempt to connect, which then runs into its
    // timeout though the server is back: measured 3 to 4 s instead of 0.1. So this thread drives it, and waits in any
    // case for the whole delay.
    void pause(Micros delay) const {
        const auto end = std::chrono::system_clock::now() + delay;
        if (channel) {
            grpc::experimental::ChannelResetConnectionBackoff(channel.get());
            channel->WaitForConnected(end);
        }
        std::this_thread::sleep_until(end);
    }
    static Micros until(SteadyTime end) {
        return std::chrono::duration_cast<Micros>(end - std::chrono::steady_clock::now());
    }

    // One unary call with its retries, for at most `limit`.
    template <class Request, class Response>
    Answer<Response> call(grpc::Status (v1::TaskService::Stub::*method)(grpc::ClientContext*, const Request&,
                                                                        Response*),
                          const Request& request, Micros limit) {
        const SteadyTime end = std::chrono::steady_clock::now() + limit;
        sdk::Backoff delays = backoff();
        return sdk::with_retries(
            delays, [end] { return until(end); }, [this](Micros delay) { pause(delay); },
            [&](Micros time_left) -> Answer<Response> {
                if (!stub) return std::unexpected(Failure{.kind = FailureKind::invalid, .message = failure});
                grpc::ClientContext context;
                prepare(context, time_left);
                Response response;
                const grpc::Status status = (stub.get()->*method)(&context, request, &response);
                if (!status.ok()) return std::unexpected(about(sdk::to_failure(status)));
                return response;
            });
    }

    // Names the server in failures that come from not reaching it.
    Failure about(Failure answer) const {
        if (answer.kind == FailureKind::unknown) answer.message = target + ": " + answer.message;
        return answer;
    }
};

}  // namespace nexus
