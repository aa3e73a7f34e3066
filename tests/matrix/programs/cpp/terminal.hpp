// Commands come as lines on standard input, and what happens goes out as lines on standard output.
#pragma once

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>
#include <thread>

/** What the program is told when it is started. */
struct Given {
    std::string url, token, subprotocols;
    std::size_t limit;

    std::string host, port, path;

    Given(int count, char** words) : url(words[1]), token(words[2]), limit(std::stoul(words[3])) {
        for (int at = 4; at < count; ++at) subprotocols += (at > 4 ? ", " : "") + std::string(words[at]);
        auto start = url.find("://") + 3, colon = url.find(':', start), slash = url.find('/', start);
        host = url.substr(start, colon - start);
        port = url.substr(colon + 1, slash - colon - 1);
        path = url.substr(slash);
    }
};

template <typename... Words>
void say(Words const&... words) {
    const char* gap = "";
    ((std::cout << gap << words, gap = " "), ...);
    std::cout << std::endl;
}

/** Says it, and ends the process. */
template <typename... Words>
void end(Words const&... words) {
    say(words...);
    std::_Exit(0);
}

/** Says it, and is busy for a while after some messages. */
inline void hear_text(std::string const& message) {
    say("text", message);
    if (message.find("\"pause\"") != std::string::npos) std::this_thread::sleep_for(std::chrono::seconds(3));
}

inline void hear_binary(std::string const& data) {
    std::string hex;
    char digits[3];
    for (unsigned char byte : data) {
        std::snprintf(digits, sizeof digits, "%02x", byte);
        hex += digits;
    }
    say("binary", hex);
}

/** Calls with `text`, `binary` or `close`, and the message, to the end of standard input. */
template <typename Command>
void commands(Command command) {
    for (std::string line; std::getline(std::cin, line);) {
        auto space = line.find(' ');
        auto word = line.substr(0, space), rest = space == std::string::npos ? "" : line.substr(space + 1);
        if (word != "binary") {
            command(word, rest);
            continue;
        }
        std::string data;
        for (std::size_t at = 0; at + 1 < rest.size(); at += 2) data += char(std::stoi(rest.substr(at, 2), nullptr, 16));
        command(word, data);
    }
}
