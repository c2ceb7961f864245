#include "channel.h"

#include <fstream>
#include <iterator>

namespace nexus::sdk {
namespace {

bool read_file(const std::string& path, std::string& into, std::string& failure) {
    if (path.empty()) return true;
    std::ifstream file(path, std::ios::binary);
    into.assign(std::istreambuf_iterator<char>(file), {});
    if (file.good() || (file.eof() && !into.empty())) return true;
    failure = "cannot read " + path;
    return false;
}

grpc::ChannelArguments arguments() {
    grpc::ChannelArguments args;
    // A dead peer is noticed 2.5 s after its last byte, also while no call is open. Answered heartbeats put the ping
    // off.
    args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 1500);
    args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 1000);
    args.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    args.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
    // No pings to measure the bandwidth: with a heartbeat a second they are most of what an idle worker costs the
    // server.
    args.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    args.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 256 << 10);
    // gRPC's own statistics, retries (ours: retry.h) and compression are not used.
    args.SetInt(GRPC_ARG_ENABLE_CHANNELZ, 0);
    args.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
    args.SetInt(GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0);
    // A proxy of the environment is for the web; a server next door is not behind it.
    args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    // Equal channels would otherwise share one connection, and a second worker of a process its fate.
    args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    // The backoff is ours (backoff.h); gRPC's own must not stretch it. The minimum is also gRPC's connect timeout.
    args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
    args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 2000);
    args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
    // One message may carry an assignment with a full payload for each slot.
    args.SetMaxReceiveMessageSize(-1);
    args.SetMaxSendMessageSize(-1);
    return args;
}

}  // namespace

std::shared_ptr<grpc::Channel> open_channel(const std::string& target, const std::optional<TlsFiles>& tls,
                                            std::string& failure) {
    std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
    if (tls) {
        grpc::SslCredentialsOptions files;
        if (!read_file(tls->ca, files.pem_root_certs, failure) ||
            !read_file(tls->certificate, files.pem_cert_chain, failure) ||
            !read_file(tls->key, files.pem_private_key, failure))
            return nullptr;
        credentials = grpc::SslCredentials(files);
    }
    return grpc::CreateCustomChannel(target, credentials, arguments());
}

std::shared_ptr<grpc::Channel> open_channel(const std::string& target) {
    return grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments());
}

void authorize(grpc::ClientContext& context, const std::string& token) {
    if (!token.empty()) context.AddMetadata("authorization", "Bearer " + token);
}

}  // namespace nexus::sdk
