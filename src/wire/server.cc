#include "wire/server.h"

#include <chrono>
#include <utility>

#include <grpc/grpc.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include "wire/acceptor.h"
#include "wire/context.h"
#include "wire/method_service.h"

namespace nexus::wire {
namespace {

using FromFd = grpc::experimental::ExternalConnectionAcceptor;

constexpr const char* kServices[] = {"nexus.v1.TaskService", "nexus.v1.WorkerService", "nexus.v1.AdminService"};

constexpr unsigned kTlsLook_s = 1;  // how often gRPC looks whether the files have changed

// TLS 1.2 or newer, which is what gRPC takes.
std::shared_ptr<grpc::ServerCredentials> credentials_of(const std::optional<identity::TlsFiles>& tls) {
    namespace security = grpc::experimental;
    if (!tls) return grpc::InsecureServerCredentials();
    const bool asks = !tls->client_ca.empty();
    const auto files =
        asks ? std::make_shared<security::FileWatcherCertificateProvider>(tls->key, tls->certificate, tls->client_ca,
                                                                          kTlsLook_s)
             : std::make_shared<security::FileWatcherCertificateProvider>(tls->key, tls->certificate, kTlsLook_s);
    security::TlsServerCredentialsOptions options(files);
    options.watch_identity_key_cert_pairs();
    options.set_cert_request_type(!asks                 ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
                                  : tls->require_client ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                                                        : GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY);
    if (asks) options.watch_root_certs();
    return security::TlsServerCredentials(options);
}

void set_arguments(grpc::ServerBuilder& builder, const Limits& limits) {
    builder.SetMaxReceiveMessageSize(static_cast<int>(limits.receive_bytes_max));
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, static_cast<int>(limits.streams_per_connection_max));
    builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, static_cast<int>(limits.header_bytes_max));
    // A connection whose peer is silently gone shows by an unanswered ping 2.5 s after its last byte. Heartbeats, one a
    // second, put the ping off: a worker that is well costs none.
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 1500);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 1000);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 500);
    builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 5000);
    // gRPC would measure each connection's bandwidth with a ping per heartbeat, a third of what an idle worker costs.
    // Instead a window that keeps 256 KiB under way, 20 MB/s at a round trip of 12 ms.
    builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 256 << 10);
    // Nobody asks for gRPC's own statistics, and nothing is compressed: half a megabyte could unpack to five hundred.
    builder.AddChannelArgument(GRPC_ARG_ENABLE_CHANNELZ, 0);
    builder.AddChannelArgument(GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0);
    builder.AddChannelArgument(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
    builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
    builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
    // All that gRPC holds for connections, half-sent messages first of all; beyond it streams are ended.
    grpc::ResourceQuota quota("nexus");
    quota.Resize(limits.transport_bytes_max);
    builder.SetResourceQuota(quota);
}

}  // namespace

struct Server::State {
    State(Options options, api::Door& door)
        : context{.options = std::move(options), .door = door, .counters = {}, .streams = {}, .workers = {}} {}

    Context context;
    MethodService tasks{context, "nexus.v1.TaskService"};
    MethodService workers{context, "nexus.v1.WorkerService"};
    MethodService admin{context, "nexus.v1.AdminService"};
    std::unique_ptr<Acceptor> acceptor;
    std::unique_ptr<FromFd> from_fd;
    std::unique_ptr<grpc::Server> server;
    bool stopped = false;
};

Server::Server(std::unique_ptr<State> state) : state_(std::move(state)) {}
Server::~Server() {
    stop();
}

Result<std::unique_ptr<Server>> Server::start(Options options, api::Door& door) {
    auto state = std::make_unique<State>(std::move(options), door);
    const Options& with = state->context.options;
    auto acceptor = Acceptor::listen(with.address, with.limits, door.grpc);
    if (!acceptor) return std::unexpected(std::move(acceptor).error());
    state->acceptor = std::move(*acceptor);

    // Both are switches of gRPC for every server that the process starts from here on.
    grpc::EnableDefaultHealthCheckService(true);
    if (with.reflection) grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::ServerBuilder builder;
    set_arguments(builder, with.limits);
    builder.RegisterService(&state->tasks);
    builder.RegisterService(&state->workers);
    builder.RegisterService(&state->admin);
    state->from_fd = builder.experimental().AddExternalConnectionAcceptor(
        grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD, credentials_of(with.tls));
    state->server = builder.BuildAndStart();
    if (state->server == nullptr)
        return fail(Fault::invalid, "gRPC server: cannot start; are the certificates in order?");

    if (auto* health = state->server->GetHealthCheckService())
        for (const char* name : kServices) health->SetServingStatus(name, true);
    State& running = *state;
    running.acceptor->run(
        [&running](int listener, int descriptor) {
            FromFd::NewConnectionParameters connection;
            connection.listener_fd = listener;
            connection.fd = descriptor;
            running.from_fd->HandleNewConnection(&connection);
        },
        [&running] { running.context.streams.look_after(Clock::now(), *running.context.door.guard); });
    return std::unique_ptr<Server>(new Server(std::move(state)));
}

std::uint16_t Server::port() const {
    return state_->acceptor->port();
}

void Server::set_ready(bool ready) {
    auto* health = state_->server->GetHealthCheckService();
    if (health == nullptr) return;
    health->SetServingStatus(ready);
    for (const char* name : kServices) health->SetServingStatus(name, ready);
}

Counts Server::counts() const {
    const api::PortCounts& connections = state_->context.door.grpc;
    const Counters& calls = state_->context.counters;
    return {.connections_open = connections.open,
            .connections_accepted = connections.accepted,
            .connections_refused = connections.refused,
            .accept_errors = connections.errors,
            .worker_streams_open = calls.worker_streams_open,
            .worker_streams_cut = calls.worker_streams_cut,
            .watches_open = calls.watches_open,
            .watches_cut = calls.watches_cut,
            .submit_streams_open = calls.submit_streams_open,
            .submit_streams_cut = calls.submit_streams_cut,
            .requests = calls.requests,
            .requests_malformed = calls.requests_malformed,
            .legacy_reports = calls.legacy_reports};
}

void Server::stop(Duration grace) {
    if (std::exchange(state_->stopped, true)) return;
    state_->acceptor->stop();
    state_->context.streams.wind_up();
    state_->server->Shutdown(std::chrono::system_clock::now() + std::chrono::microseconds(grace.us));
    state_->server->Wait();
}

}  // namespace nexus::wire
