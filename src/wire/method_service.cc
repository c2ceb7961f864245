#include "wire/method_service.h"

#include <google/protobuf/message.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/impl/codegen/server_callback_handlers.h>
#include <grpcpp/impl/rpc_service_method.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "base/must.h"
#include "wire/answer.h"
#include "wire/streams.h"

namespace nexus::wire {
namespace {

using grpc::internal::RpcMethod;
using grpc::internal::RpcServiceMethod;
using UnaryHandler = grpc::internal::CallbackUnaryHandler<grpc::ByteBuffer, grpc::ByteBuffer>;

constexpr std::size_t kSmallAnswer = 64 << 10;  // is never refused, and not looked after

// What lives as long as a call: owned by itself until OnDone, and by whoever looks after a large answer.
class Unary final : public grpc::ServerUnaryReactor, public Stream, public std::enable_shared_from_this<Unary> {
public:
    Unary(Context& context, const api::Method& method, grpc::CallbackServerContext* call, grpc::ByteBuffer* out)
        : context_(context), method_(method), call_(call), out_(out) {}
    void keep() { self_ = shared_from_this(); }

    std::unique_ptr<google::protobuf::Message> request, response;
    identity::Limits::Place place;  // among its caller's requests
    Caller listening(Caller caller) const {
        caller.gone = gone_;
        return caller;
    }

    void finish(const Result<void>& outcome) {
        grpc::Status status;
        bool own_buffer = false;
        if (outcome)
            status = grpc::GenericSerialize<grpc::ProtoBufferWriter, google::protobuf::MessageLite>(*response, out_,
                                                                                                    &own_buffer);
        else
            status = to_grpc(outcome.error());
        const std::size_t bytes = outcome && status.ok() ? out_->Length() : 0;
        // What has been changed is told, whatever it takes: those answers are short.
        if (bytes > kSmallAnswer && !method_.changes &&
            context_.answer_bytes.load() + bytes > context_.options.limits.answer_bytes_max)
            status = to_grpc({Fault::exhausted, "too many answers wait for their clients to read them; retry later"});
        if (!outcome && outcome.error().fault == Fault::invalid) context_.malformed();
        response.reset();  // several times the size of its bytes, which may wait for long
        if (!status.ok()) out_->Clear();
        finish(status, bytes);
    }
    // The call may be over, and this object gone, when it returns.
    void finish(const grpc::Status& status, std::size_t bytes) {
        context_.door.counts->add(method_, status.error_code());
        if (status.ok() && bytes > kSmallAnswer) {
            held_ = bytes;
            context_.answer_bytes.fetch_add(bytes);
            began_ = Clock::now();
            (void)context_.streams.add(shared_from_this());  // not looked after while the server stops
        }
        Finish(status);
    }

    void OnCancel() override { gone_->store(true, std::memory_order_relaxed); }
    void OnDone() override {
        {
            const std::lock_guard lock(mutex_);
            done_ = true;
        }
        context_.answer_bytes.fetch_sub(held_);
        if (held_ > 0) context_.streams.remove(this);
        self_.reset();
    }
    void look_after(Clock::time_point now) override {
        const std::lock_guard lock(mutex_);
        if (done_ || cut_ || now - began_ < std::chrono::microseconds(context_.options.limits.answer_stall_max.us))
            return;
        cut_ = true;
        context_.door.grpc.cut.fetch_add(1, std::memory_order_relaxed);
        call_->TryCancel();
    }
    void wind_up() override {}

private:
    Context& context_;
    const api::Method& method_;
    grpc::CallbackServerContext* const call_;  // valid until OnDone
    grpc::ByteBuffer* const out_;              // gRPC keeps it until the end of the call
    std::shared_ptr<Unary> self_;              // until OnDone
    const std::shared_ptr<std::atomic<bool>> gone_ =
        std::make_shared<std::atomic<bool>>(false);  // shared with the Caller
    std::size_t held_ = 0;
    Clock::time_point began_;
    std::mutex mutex_;  // guards the two below
    bool done_ = false, cut_ = false;
};

}  // namespace

MethodService::MethodService(Context& context, std::string_view name) : context_(context) {
    int index = 0;
    for (const api::Method& method : api::methods()) {
        const std::string_view full(method.name);
        const bool ours = full.starts_with('/') && full.substr(1).starts_with(name) && full[name.size() + 1] == '/';
        if (!ours) continue;
        if (method.kind == api::Kind::unary) {
            AddMethod(new RpcServiceMethod(method.name, RpcMethod::NORMAL_RPC, nullptr));
            MarkMethodRawCallback(
                index, new UnaryHandler([this, &method](grpc::CallbackServerContext* call,
                                                        const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
                    return answer(method, call, request, response);
                }));
        } else {
            const StreamRow* stream = find_stream(full);
            MUST(stream != nullptr);  // a row without code
            AddMethod(new RpcServiceMethod(method.name, stream->type, nullptr));
            MarkMethodCallback(index, stream->handler(context, method));
        }
        ++index;
    }
}

grpc::ServerUnaryReactor* MethodService::answer(const api::Method& method, grpc::CallbackServerContext* call,
                                                const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
    context_.counters.requests.fetch_add(1, std::memory_order_relaxed);
    const auto unary = std::make_shared<Unary>(context_, method, call, response);
    unary->keep();
    if (method.changes && given_up(*call)) {
        unary->finish({grpc::StatusCode::DEADLINE_EXCEEDED, "the deadline passed before the call was taken"}, 0);
        return unary.get();
    }
    const auto refuse_with = [&](const Error& error) {
        unary->finish(std::unexpected(error));
        return unary.get();
    };
    auto caller = enter(context_, method, *call);
    if (!caller) return refuse_with(caller.error());
    auto place = context_.door.guard->limits.enter(*caller);
    if (!place) return refuse_with(place.error());
    unary->place = std::move(*place);
    if (request->Length() > method.body_bytes_max)
        return refuse_with(
            {Fault::invalid, "the request is longer than " + std::to_string(method.body_bytes_max) + " bytes"});
    unary->request.reset(method.request().New());
    unary->response.reset(method.response().New());
    // gRPC made the buffer for this call alone.
    auto* bytes = const_cast<grpc::ByteBuffer*>(request);
    if (!grpc::GenericDeserialize<grpc::ProtoBufferReader, google::protobuf::Message>(bytes, unary->request.get()).ok())
        return refuse_with({Fault::invalid, "the request is not a " + unary->request->GetTypeName()});
    method.run(context_.door, unary->listening(std::move(*caller)), *unary->request, *unary->response,
               [unary](Result<void>&& outcome) { unary->finish(outcome); });
    return unary.get();
}

}  // namespace nexus::wire
