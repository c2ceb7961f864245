#pragma once
// One accepted connection, in plain text or in TLS: what asio and Beast read from and write to. Time limits are those of
// the TCP stream below (expires_after), whatever lies on it. One thread.

#include <array>
#include <boost/asio.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace nexus::http {

class Transport {
public:
    using Context = std::shared_ptr<boost::asio::ssl::context>;
    using executor_type = boost::beast::tcp_stream::executor_type;

    // Without a context: plain text. The context lives as long as the connection, also when a newer one came.
    Transport(boost::asio::ip::tcp::socket socket, Context context)
        : context_(std::move(context)), tcp_(std::move(socket)) {
        if (context_) tls_.emplace(tcp_, *context_);
    }
    executor_type get_executor() { return tcp_.get_executor(); }
    boost::beast::tcp_stream& tcp() { return tcp_; }
    bool secure() const { return tls_.has_value(); }

    // Of TLS only: before anything else.
    template <class Token>
    auto async_handshake(Token&& token) {
        return tls_->async_handshake(boost::asio::ssl::stream_base::server, std::forward<Token>(token));
    }
    template <class Buffers, class Token>
    auto async_read_some(const Buffers& buffers, Token&& token) {
        return boost::asio::async_initiate<Token, void(boost::system::error_code, std::size_t)>(
            [this](auto handler, const Buffers& into) {
                if (tls_)
                    tls_->async_read_some(into, std::move(handler));
                else
                    tcp_.async_read_some(into, std::move(handler));
            },
            token, buffers);
    }
    template <class Buffers, class Token>
    auto async_write_some(const Buffers& buffers, Token&& token) {
        return boost::asio::async_initiate<Token, void(boost::system::error_code, std::size_t)>(
            [this](auto handler, const Buffers& from) {
                if (tls_)
                    tls_->async_write_some(from, std::move(handler));
                else
                    tcp_.async_write_some(from, std::move(handler));
            },
            token, buffers);
    }
    // The names of the client's certificate, which was verified; empty when it sent none.
    std::vector<std::string> client_names();

private:
    Context context_;
    boost::beast::tcp_stream tcp_;
    std::optional<boost::asio::ssl::stream<boost::beast::tcp_stream&>> tls_;
};

}  // namespace nexus::http
