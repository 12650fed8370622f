// SPDX-License-Identifier: MIT
//
// The server on a real socket, with clients that behave and clients that do not.
//
// Method: a server on a thread of its own; waiting is done by reading, since an answer or the end
// of the connection always comes. Descriptors are counted to see that nothing is left behind.
#include "introspect/server.h"
#include "introspect/socket_path.h"
#include "support/test.h"

#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include <dirent.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

using rt::base::unique_fd;
using rt::introspect::server;

namespace {

// A server on a thread of its own, in a directory of its own.
class running_server {
public:
    running_server() {
        char name[] = "/tmp/rt-server-test-XXXXXX";
        directory_ = ::mkdtemp(name);
        path_ = directory_ + "/s.sock";
        file_ = rt::introspect::listen_at(path_).value();
        server_ = server::make(std::move(file_.fd), path_).value();
        thread_ = std::thread([this] { server_->run(); });
    }
    ~running_server() {
        server_->stop();
        thread_.join();
        ::unlink(path_.c_str());
        ::rmdir(directory_.c_str());
    }

    [[nodiscard]] unique_fd connect() const {
        unique_fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::memcpy(address.sun_path, path_.c_str(), path_.size());
        cr_assert_eq(
            ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0
        );
        return fd;
    }

    // Sends everything, says that nothing more comes, and reads to the end.
    [[nodiscard]] std::string ask(const std::string& question) const {
        const unique_fd fd = connect();
        std::thread sender([&] {
            std::string_view left = question;
            while (!left.empty()) {
                const ssize_t sent = ::send(fd.get(), left.data(), left.size(), MSG_NOSIGNAL);
                if (sent <= 0) {
                    return;
                }
                left.remove_prefix(static_cast<std::size_t>(sent));
            }
            ::shutdown(fd.get(), SHUT_WR);
        });
        const std::string answer = read_all(fd);
        sender.join();
        return answer;
    }

    static std::string read_all(const unique_fd& fd) {
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

private:
    std::string directory_;
    std::string path_;
    rt::introspect::listening_socket file_;
    std::unique_ptr<server> server_;
    std::thread thread_;
};

void send_text(const unique_fd& fd, std::string_view text) {
    cr_assert_eq(
        ::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size())
    );
}

std::size_t count_fds() {
    std::size_t count = 0;
    DIR* const directory = ::opendir("/proc/self/fd");
    while (::readdir(directory) != nullptr) {
        ++count;
    }
    ::closedir(directory);
    return count;
}

} // namespace

Test(server, http_and_lines_are_served_on_one_socket) {
    const running_server at;
    const std::string http = at.ask("GET /v1/ HTTP/1.1\r\n\r\n");
    cr_assert(http.starts_with("HTTP/1.1 200 OK\r\n"));
    const std::string body = http.substr(http.find("\r\n\r\n") + 4);
    cr_assert(at.ask("help\n") == body);
    cr_assert(at.ask("help") == body); // the end of the line is the end of the stream
    const std::string head = at.ask("HEAD /v1/ HTTP/1.1\r\n\r\n");
    cr_assert(head.ends_with("\r\n\r\n"));
    cr_assert(head.find("Content-Length: " + std::to_string(body.size())) != std::string::npos);
}

Test(server, errors_have_a_status) {
    const running_server at;
    cr_assert(at.ask("GET /none HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
    cr_assert(at.ask("PUT /v1/ HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
    cr_assert(at.ask("GET / HTTP/3\r\n\r\n").starts_with("HTTP/1.1 400 "));
    cr_assert(at.ask("nonsense\n").starts_with("error: unknown command 'nonsense'"));
}

Test(server, a_body_that_nobody_asked_for_does_not_cost_the_answer) {
    const running_server at;
    const std::string body(1 << 20, 'b');
    const std::string answer =
        at.ask("POST /v1/info HTTP/1.1\r\nContent-Length: 1048576\r\n\r\n" + body);
    cr_assert(answer.starts_with("HTTP/1.1 405 "));
}

Test(server, a_request_may_come_byte_by_byte) {
    const running_server at;
    const unique_fd fd = at.connect();
    for (const char one : std::string("GET /healthz HTTP/1.1\r\nHost: rt\r\n\r\n")) {
        send_text(fd, std::string_view(&one, 1));
    }
    cr_assert(running_server::read_all(fd).ends_with("ok\n"));
}

Test(server, garbage_gets_an_answer_or_the_end_and_leaks_nothing) {
    const running_server at;
    const std::size_t before = count_fds(); // no client has come yet
    const std::string megabyte(1 << 20, 'a');
    const std::string zeros(5000, '\0');
    cr_assert(at.ask(megabyte).starts_with("error: the first line is longer"));
    cr_assert(at.ask("GET /" + megabyte).starts_with("HTTP/1.1 414 "));
    cr_assert(at.ask("GET / HTTP/1.1\r\nA: " + megabyte).starts_with("HTTP/1.1 431 "));
    cr_assert(at.ask(zeros + "\n").starts_with("error: the line has control bytes"));
    cr_assert(at.ask("").empty());
    cr_assert(at.ask("GET / HTTP/1.1\r\nHost: ").empty());
    for (int i = 0; i < 200; ++i) {
        const unique_fd fd = at.connect(); // and gone again, some in the middle of a question
        if (i % 3 == 1) {
            send_text(fd, "GET /v1/dump HTT");
        } else if (i % 3 == 2) {
            send_text(fd, "GET /v1/dump HTTP/1.1\r\n\r\n");
        }
    }
    cr_assert(at.ask("health\n") == "ok\n");
    while (count_fds() != before) {
        // The server closes its end when it has seen ours closed.
    }
}

Test(server, clients_beyond_the_limit_are_told_so) {
    const running_server at;
    std::vector<unique_fd> held;
    for (std::size_t i = 0; i < rt::introspect::clients_max; ++i) {
        held.push_back(at.connect());
        send_text(held.back(), "GET");
    }
    const std::string answer = at.ask("GET /v1/info HTTP/1.1\r\n\r\n");
    cr_assert(answer.starts_with("HTTP/1.1 503 "));
    cr_assert(answer.find("Retry-After:") != std::string::npos);
    held.pop_back();
    while (!at.ask("GET /healthz HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200 ")) {
        // The place becomes free when the server has seen the end of the held connection.
    }
    send_text(held.front(), " /healthz HTTP/1.1\r\n\r\n");
    cr_assert(running_server::read_all(held.front()).starts_with("HTTP/1.1 200 "));
}

Test(server, a_client_that_does_not_read_does_not_hold_up_another) {
    const running_server at;
    const unique_fd slow = at.connect();
    std::string lines;
    for (int i = 0; i < 600; ++i) {
        lines += "help;metrics;"; // an answer larger than the socket's buffer
    }
    send_text(slow, lines.substr(0, 7800) + "\n");
    cr_assert(at.ask("health\n") == "ok\n");
    const std::string answer = running_server::read_all(slow);
    cr_assert(answer.size() > (1 << 20));
}
