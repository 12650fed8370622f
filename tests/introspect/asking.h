// SPDX-License-Identifier: MIT
//
// Questions to the socket of this process: a directory of the test's own for it, a configuration
// that puts it there, and one question by the line protocol. What is on its way when a test asks,
// such as a task that is about to wait, is asked for until it has arrived; no test waits for a
// time.
#pragma once

#include "base/unique_fd.h"
#include "support/test.h"

#include <rt/config.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace rt::test {

class scratch {
public:
    scratch() {
        char name[] = "/tmp/rt-observer-test-XXXXXX";
        path_ = ::mkdtemp(name);
    }
    ~scratch() { ::rmdir(path_.c_str()); }
    [[nodiscard]] std::string socket() const { return path_ + "/s.sock"; }

private:
    std::string path_;
};

inline config observed_settings(const scratch& at, std::uint32_t workers = 2) {
    config made;
    made.workers = workers;
    made.pin = pin_mode::none;
    made.introspect = true;
    made.socket_path = at.socket();
    return made;
}

// Absent connection: empty.
inline std::string ask(const std::string& path, const std::string& line) {
    const base::unique_fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size());
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
        return {};
    }
    const std::string text = line + "\n";
    if (::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL) < 0) {
        return {};
    }
    std::string all;
    char part[4096];
    for (;;) {
        const ssize_t length = ::recv(fd.get(), part, sizeof(part), 0);
        if (length <= 0) {
            return all;
        }
        all.append(part, static_cast<std::size_t>(length));
    }
}

inline bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

// Asks until the answer has `part`: what is asked for is on its way.
inline std::string
ask_until(const std::string& path, const std::string& line, const std::string& part) {
    for (;;) {
        std::string answer = ask(path, line);
        if (has(answer, part)) {
            return answer;
        }
    }
}

} // namespace rt::test
