#!/usr/bin/env bash
# Boost.Beast's handshake(answer, …) leaves the answer empty when the server refuses; async_handshake fills it.
#
# Seen with Boost 1.74.0 of Debian 12: a server answers the handshake with 403. Both functions fail with
# `upgrade_declined`. Their documents promise the server's answer in the argument. After handshake() it is a fresh
# object, which says 200 and has no fields; after async_handshake() it says 403. A client that decides by the status
# takes every refusal for the same.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

mkdir -p packages/archives/partial
apt-get install -qq --yes --reinstall --download-only --no-install-recommends -o "Dir::Cache=$folder/packages" \
    libboost1.74-dev >/dev/null 2>&1
for package in packages/archives/*.deb; do dpkg -x "$package" root; done

cat >refused.cpp <<'CPP'
#include <boost/asio.hpp>
#include <boost/beast.hpp>
#include <iostream>
#include <thread>

namespace asio = boost::asio;
namespace websocket = boost::beast::websocket;
using boost::beast::error_code;
using tcp = asio::ip::tcp;

int main() {
    asio::io_context context;
    tcp::acceptor acceptor(context, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
    std::thread server([&] {
        for (int count = 0; count < 2; ++count) {
            auto socket = acceptor.accept();
            std::string request;
            asio::read_until(socket, asio::dynamic_buffer(request), "\r\n\r\n");
            asio::write(socket, asio::buffer(std::string("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")));
        }
    });
    for (bool waits : {true, false}) {
        websocket::stream<tcp::socket> socket(context);
        socket.next_layer().connect(acceptor.local_endpoint());
        websocket::response_type answer;
        error_code error;
        if (waits) {
            socket.handshake(answer, "127.0.0.1", "/", error);
        } else {
            socket.async_handshake(answer, "127.0.0.1", "/", [&](error_code seen) { error = seen; });
            context.run();
        }
        bool declined = error == websocket::error::upgrade_declined;
        std::cout << (waits ? "handshake: " : "async_handshake: ") << (declined ? "declined, " : "other, ")
                  << answer.result_int() << "\n";
    }
    server.join();
}
CPP
g++ -std=c++17 -O0 -Iroot/usr/include refused.cpp -o refused -lpthread
seen=$(./refused)
expected="handshake: declined, 200
async_handshake: declined, 403"
printf 'Boost 1.74.0\n%s\n' "$seen"
if [[ $seen != "$expected" ]]; then
    printf 'expected:\n%s\n' "$expected" >&2
    exit 1
fi
