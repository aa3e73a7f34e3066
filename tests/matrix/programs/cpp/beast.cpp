// Talks to Forestay with Boost.Beast.

#include "terminal.hpp"

#include <boost/asio.hpp>
#include <boost/beast.hpp>
#include <deque>

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace websocket = beast::websocket;
using beast::error_code;

class Client {
public:
    explicit Client(asio::io_context& context) : socket(context) {}

    void connect(asio::io_context& context, Given const& given) {
        asio::connect(socket.next_layer(), asio::ip::tcp::resolver(context).resolve(given.host, given.port));
        socket.set_option(websocket::stream_base::decorator([&](websocket::request_type& request) {
            if (!given.token.empty()) request.set(http::field::authorization, "Bearer " + given.token);
            request.set(http::field::sec_websocket_protocol, given.subprotocols);
        }));
        if (given.limit) socket.read_message_max(given.limit); // as shipped 16 MiB
        // handshake() leaves the answer empty where it is a refusal.
        socket.async_handshake(answer, given.host + ":" + given.port, given.path, [this](error_code error) {
            if (error == websocket::error::upgrade_declined)
                end("refused", answer.result_int(), answer[http::field::retry_after], answer.body());
            if (error) end("failed", error.message());
            say("open");
            read();
        });
    }

    void read() {
        socket.async_read(buffer, [this](error_code error, std::size_t) {
            if (error == websocket::error::closed)
                end("closed", unsigned(socket.reason().code), socket.reason().reason.c_str());
            if (error == websocket::error::message_too_big) end("closed", 1009, error.message());
            if (error) end("closed", 1006, error.message());
            auto message = beast::buffers_to_string(buffer.data());
            buffer.consume(buffer.size());
            if (socket.got_text()) hear_text(message);
            else hear_binary(message);
            read();
        });
    }

    /** One message is written after the other: the library takes no second one before the first is out. */
    void send(std::string const& word, std::string const& message) {
        waiting.push_back({word, message});
        if (waiting.size() == 1) write();
    }

private:
    void write() {
        auto const& [word, message] = waiting.front();
        auto next = [this](error_code error, std::size_t = 0) {
            waiting.pop_front();
            if (!error && !waiting.empty()) write();
        };
        if (word == "close") return socket.async_close(websocket::close_code::normal, next);
        socket.text(word == "text");
        socket.async_write(asio::buffer(message), next);
    }

    websocket::stream<asio::ip::tcp::socket> socket;
    websocket::response_type answer;
    beast::flat_buffer buffer;
    std::deque<std::pair<std::string, std::string>> waiting;
};

int main(int count, char** words) {
    Given given(count, words);
    asio::io_context context;
    Client client(context);
    client.connect(context, given);
    std::thread([&] {
        commands([&](std::string word, std::string message) {
            asio::post(context, [&client, word, message] { client.send(word, message); });
        });
    }).detach();
    context.run();
}
