// Talks to Forestay with WebSocket++.

#include "terminal.hpp"

#include <websocketpp/client.hpp>
#include <websocketpp/config/asio_no_tls_client.hpp>

using Client = websocketpp::client<websocketpp::config::asio_client>;
using websocketpp::connection_hdl;
namespace opcode = websocketpp::frame::opcode;

int main(int count, char** words) {
    Given given(count, words);
    Client client;
    client.clear_access_channels(websocketpp::log::alevel::all);
    client.clear_error_channels(websocketpp::log::elevel::all);
    client.init_asio();
    if (given.limit) client.set_max_message_size(given.limit); // as shipped 32,000,000

    client.set_open_handler([](connection_hdl) { say("open"); });
    client.set_fail_handler([&](connection_hdl handle) {
        auto connection = client.get_con_from_hdl(handle);
        auto status = connection->get_response_code();
        if (!status || status == 101) end("failed", connection->get_ec().message());
        auto const& answer = connection->get_response();
        end("refused", int(status), answer.get_header("Retry-After"), answer.get_body());
    });
    client.set_message_handler([](connection_hdl, Client::message_ptr message) {
        if (message->get_opcode() == opcode::text) hear_text(message->get_payload());
        else hear_binary(message->get_payload());
    });
    client.set_close_handler([&](connection_hdl handle) {
        auto connection = client.get_con_from_hdl(handle);
        auto code = connection->get_remote_close_code();
        if (code < 1000 || code == 1006) code = connection->get_local_close_code(); // its own, such as 1009
        end("closed", code, connection->get_remote_close_reason());
    });

    websocketpp::lib::error_code error;
    auto connection = client.get_connection(given.url, error);
    if (error) end("failed", error.message());
    if (!given.token.empty()) connection->append_header("Authorization", "Bearer " + given.token);
    connection->append_header("Sec-WebSocket-Protocol", given.subprotocols);
    client.connect(connection);
    std::thread([&] {
        commands([&](std::string word, std::string message) {
            if (word == "text") client.send(connection, message, opcode::text);
            else if (word == "binary") client.send(connection, message, opcode::binary);
            else client.close(connection, websocketpp::close::status::normal, "");
        });
    }).detach();
    client.run();
}
