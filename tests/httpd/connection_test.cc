// SPDX-License-Identifier: MIT
//
// A connection of examples/httpd on a real runtime and real loopback sockets. The client is plain
// blocking code on the test's own thread. Each read has a long timeout, so that a server that hangs
// fails its test instead of stopping it; no test asserts how long anything takes.

#include "httpd/connection.h"
#include "support/test.h"

#include <rt/net.h>
#include <rt/runtime.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <thread>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

using namespace std::chrono_literals;

namespace {

constexpr std::string_view get_plaintext = "GET /plaintext HTTP/1.1\r\nHost: a\r\n\r\n";

rt::task<void> accept_some(rt::tcp_listener* listener, httpd::server* shared) {
    for (;;) {
        rt::result<rt::tcp_stream> peer = co_await listener->accept();
        if (!peer) {
            co_return;
        }
        rt::spawn(httpd::serve, std::move(*peer), shared).detach();
    }
}

rt::config small_runtime() {
    rt::config config;
    config.workers = 2;
    config.pin = rt::pin_mode::none;
    config.introspect = false;
    return config;
}

/// A server on its own runtime, with a directory of its own.
class fixture {
public:
    explicit fixture(httpd::options settings = {})
        : directory_(make_directory())
        , shared_(settings, std::move(*httpd::static_root::open(directory_)))
        , listener_(rt::or_throw(rt::tcp_listener::bind("127.0.0.1:0")))
        , runtime_(small_runtime()) {
        port_ = rt::or_throw(listener_.local_address()).port();
        runtime_.get_handle().spawn(accept_some(&listener_, &shared_)).detach();
    }
    fixture(const fixture&) = delete;
    fixture& operator=(const fixture&) = delete;
    ~fixture() { std::filesystem::remove_all(directory_); }

    httpd::server& shared() { return shared_; }
    [[nodiscard]] std::uint16_t port() const { return port_; }

    void write_file(const std::string& name, std::string_view text) const {
        std::ofstream(directory_ + "/" + name, std::ios::binary) << text;
    }

    void make_folder(const std::string& name) const {
        std::filesystem::create_directory(directory_ + "/" + name);
    }

    /// Returns when no connection is open. The test's timeout is the limit.
    void wait_until_idle() {
        while (shared_.connections.size() != 0) {
            std::this_thread::yield();
        }
    }
    void wait_until_open(std::size_t count) {
        while (shared_.connections.size() != count) {
            std::this_thread::yield();
        }
    }

private:
    static std::string make_directory() {
        std::string pattern = std::filesystem::temp_directory_path() / "librt-httpd-XXXXXX";
        cr_assert(mkdtemp(pattern.data()) != nullptr);
        return pattern;
    }

    std::string directory_;
    httpd::server shared_;
    rt::tcp_listener listener_;
    rt::runtime runtime_; // last: its tasks use all of the above
    std::uint16_t port_ = 0;
};

/// A blocking client.
class client {
public:
    explicit client(const fixture& server) {
        fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        timeval limit{20, 0};
        setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(server.port());
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        auto* generic = reinterpret_cast<sockaddr*>(&address);
        cr_assert(connect(fd_, generic, sizeof address) == 0);
    }
    client(const client&) = delete;
    client& operator=(const client&) = delete;
    ~client() { close(fd_); }

    void send_text(std::string_view text) const {
        while (!text.empty()) {
            ssize_t sent = send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
            cr_assert(sent > 0, "the server closed too early");
            text.remove_prefix(static_cast<std::size_t>(sent));
        }
    }
    void end_output() const { shutdown(fd_, SHUT_WR); }

    /// Everything up to the end of the stream. A reset is a failure.
    std::string read_to_end() {
        while (read_some()) {
        }
        return std::exchange(input_, {});
    }

    /// One answer: head, and the body that Content-Length promises (none for HEAD).
    std::string read_answer(bool is_head = false) {
        std::size_t end = 0;
        while ((end = input_.find("\r\n\r\n")) == std::string::npos) {
            cr_assert(read_some(), "end of stream instead of an answer");
        }
        end += 4;
        std::size_t at = input_.find("Content-Length: ");
        if (!is_head && at < end) {
            end += std::strtoul(input_.c_str() + at + 16, nullptr, 10);
        }
        while (input_.size() < end) {
            cr_assert(read_some(), "end of stream inside an answer");
        }
        std::string answer = input_.substr(0, end);
        input_.erase(0, end);
        return answer;
    }

private:
    bool read_some() {
        char bytes[65536];
        ssize_t got = 0;
        do { // taking a ring down can interrupt the thread that probed it, without a signal
            got = recv(fd_, bytes, sizeof bytes, 0);
        } while (got < 0 && errno == EINTR);
        cr_assert(got >= 0, "no answer, or a reset: errno %d", errno);
        input_.append(bytes, static_cast<std::size_t>(got));
        return got > 0;
    }

    int fd_ = -1;
    std::string input_;
};

std::size_t count(std::string_view text, std::string_view part) {
    std::size_t found = 0;
    for (std::size_t at = 0; (at = text.find(part, at)) != std::string_view::npos;
         at += part.size()) {
        ++found;
    }
    return found;
}

bool has(std::string_view text, std::string_view part) {
    return count(text, part) != 0;
}

/// Sends one request on a connection of its own; the answer must close it.
std::string answer_and_close(fixture& server, std::string_view request) {
    client peer(server);
    peer.send_text(request);
    return peer.read_to_end();
}

} // namespace

Test(connection, keeps_alive_and_answers_plaintext) {
    fixture server;
    client peer(server);
    for (int i = 0; i < 100; ++i) {
        peer.send_text(get_plaintext);
        std::string answer = peer.read_answer();
        cr_assert(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nHello, World!")
        );
        cr_assert(!has(answer, "Connection:"));
    }
    peer.end_output();
    cr_assert(peer.read_to_end().empty());
    server.wait_until_idle();
}

Test(connection, request_in_single_bytes_is_answered) {
    fixture server;
    client peer(server);
    for (char c : get_plaintext) {
        peer.send_text({&c, 1});
        std::this_thread::yield();
    }
    cr_assert(peer.read_answer().ends_with("Hello, World!"));
}

Test(connection, pipelined_requests_are_answered_in_order) {
    fixture server;
    server.write_file("a.txt", "file");
    client peer(server);
    std::string batch;
    for (int i = 0; i < 200; ++i) {
        batch.append(get_plaintext);
        batch.append("GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n");
        batch.append("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n");
        batch.append(std::to_string(1000 + i));
    }
    peer.send_text(batch);
    for (int i = 0; i < 200; ++i) {
        cr_assert(peer.read_answer().ends_with("\r\n\r\nHello, World!"));
        cr_assert(peer.read_answer().ends_with("\r\n\r\nfile"));
        cr_assert(peer.read_answer().ends_with("\r\n\r\n" + std::to_string(1000 + i)));
    }
}

Test(connection, large_pipeline_ends_with_the_input) {
    fixture server;
    client peer(server);
    std::string batch;
    for (int i = 0; i < 5000; ++i) {
        batch.append(get_plaintext);
    }
    std::thread sender([&] {
        peer.send_text(batch);
        peer.end_output();
    });
    std::string all = peer.read_to_end();
    sender.join();
    cr_assert_eq(count(all, "HTTP/1.1 200 OK\r\n"), 5000);
    cr_assert_eq(count(all, "Hello, World!"), 5000);
}

Test(connection, echo_returns_bodies_of_both_kinds) {
    fixture server;
    client peer(server);
    std::string body(200'000, 'b');
    peer.send_text("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n" + body);
    cr_assert(peer.read_answer().ends_with("\r\n\r\n" + body));
    peer.send_text("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                   "5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nTrailer: t\r\n\r\n");
    std::string answer = peer.read_answer();
    cr_assert(answer.ends_with("\r\n\r\nhello world") && has(answer, "Content-Length: 11\r\n"));
    peer.send_text("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    cr_assert(has(peer.read_answer(), "Content-Length: 0\r\n"), "nothing of the body before");
}

Test(connection, expectation_is_answered_before_the_body) {
    fixture server;
    client peer(server);
    peer.send_text(
        "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    );
    cr_assert(peer.read_answer() == "HTTP/1.1 100 Continue\r\n\r\n");
    peer.send_text("ok");
    cr_assert(peer.read_answer().ends_with("\r\n\r\nok"));
    // Where the body is not wanted, the client learns it without sending one.
    std::string answer = answer_and_close(
        server, "POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"
    );
    cr_assert(answer.starts_with("HTTP/1.1 405 ") && has(answer, "\r\nConnection: close\r\n"));
}

Test(connection, unwanted_body_is_read_and_the_next_request_served) {
    fixture server;
    client peer(server);
    peer.send_text("POST /plaintext HTTP/1.1\r\nHost: a\r\nContent-Length: 33\r\n\r\n"
                   "GET /secret HTTP/1.1\r\nHost: a\r\n\r\n");
    std::string answer = peer.read_answer();
    cr_assert(
        answer.starts_with("HTTP/1.1 405 ") && has(answer, "\r\nAllow: GET, HEAD, OPTIONS\r\n")
    );
    peer.send_text(get_plaintext);
    cr_assert(peer.read_answer().ends_with("Hello, World!"));
}

Test(connection, head_has_the_fields_of_get_and_no_body) {
    fixture server;
    server.write_file("a.txt", "file");
    client peer(server);
    for (std::string_view path : {"/plaintext", "/a.txt", "/missing"}) {
        std::string rest = std::string(path) + " HTTP/1.1\r\nHost: a\r\n\r\n";
        peer.send_text("GET " + rest);
        std::string get = peer.read_answer();
        peer.send_text("HEAD " + rest);
        std::string head = peer.read_answer(true);
        std::size_t date = get.find("Date: ");
        std::size_t behind = get.find("\r\n", date);
        cr_assert(head.substr(0, date) == get.substr(0, date));
        cr_assert(head.substr(behind) == get.substr(behind, head.size() - behind));
    }
}

Test(connection, version_and_connection_field_decide_about_the_end) {
    fixture server;
    std::string answer = answer_and_close(server, "GET /plaintext HTTP/1.0\r\n\r\n");
    cr_assert(answer.starts_with("HTTP/1.1 200 ") && has(answer, "\r\nConnection: close\r\n"));
    answer = answer_and_close(
        server,
        "GET /plaintext HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" +
            std::string(get_plaintext)
    );
    cr_assert_eq(count(answer, "HTTP/1.1 200 "), 1, "nothing after close");
    client peer(server);
    peer.send_text("GET /plaintext HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    cr_assert(has(peer.read_answer(), "\r\nConnection: keep-alive\r\n"));
    peer.send_text(get_plaintext);
    cr_assert(peer.read_answer().ends_with("Hello, World!"));
}

Test(connection, faults_are_answered_behind_good_requests_and_close) {
    httpd::options settings;
    settings.limits.header_bytes_max = 256;
    settings.limits.target_bytes_max = 64;
    settings.limits.body_bytes_max = 16;
    fixture server(settings);
    const std::pair<std::string, std::string_view> faults[] = {
        {"GET / HTTP/1.1\r\n\r\n", "400"},
        {"\x16\x03\x01\x02\r\n\r\n", "400"},
        {"GET /../x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "400"},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 17\r\n\r\n" + std::string(17, 'x'),
         "413"},
        {"GET /" + std::string(80, 'x') + " HTTP/1.1\r\nHost: a\r\n\r\n", "414"},
        {"GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(300, 'x') + "\r\n\r\n", "431"},
        {"FROB / HTTP/1.1\r\nHost: a\r\n\r\n", "501"},
        {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", "505"},
    };
    for (const auto& [request, status] : faults) {
        std::string answer = answer_and_close(server, std::string(get_plaintext) + request);
        std::size_t second = answer.find("HTTP/1.1 ", 9);
        cr_assert(
            answer.starts_with("HTTP/1.1 200 ") && second != std::string::npos, "%s", answer.c_str()
        );
        cr_assert(answer.substr(second + 9, 3) == status, "%s", answer.c_str());
        cr_assert(has(answer.substr(second), "\r\nConnection: close\r\n"));
    }
    server.wait_until_idle();
}

Test(connection, answer_survives_input_that_nobody_reads) {
    fixture server;
    client peer(server);
    // Far more than a socket buffer of unread bytes behind the fault: a plain close would reset.
    std::string flood = "BAD\r\n\r\n" + std::string(300'000, 'x');
    peer.send_text(flood);
    cr_assert(peer.read_to_end().starts_with("HTTP/1.1 400 "));
}

Test(connection, file_larger_than_every_buffer_arrives_whole) {
    fixture server;
    std::string content;
    for (int i = 0; i < 200'000; ++i) {
        content.append(std::to_string(i)).push_back('\n');
    }
    server.write_file("large.bin", content);
    client peer(server);
    peer.send_text("GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n" + std::string(get_plaintext));
    cr_assert(peer.read_answer().ends_with("\r\n\r\n" + content));
    cr_assert(peer.read_answer().ends_with("Hello, World!"));
}

Test(connection, file_that_did_not_change_is_not_sent_again) {
    fixture server;
    server.write_file("a.txt", "file");
    client peer(server);
    peer.send_text("GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n");
    std::string answer = peer.read_answer();
    std::size_t at = answer.find("ETag: ") + 6;
    std::string tag = answer.substr(at, answer.find("\r\n", at) - at);
    peer.send_text("GET /a.txt HTTP/1.1\r\nHost: a\r\nIf-None-Match: " + tag + "\r\n\r\n");
    answer = peer.read_answer();
    cr_assert(answer.starts_with("HTTP/1.1 304 ") && answer.ends_with("\r\n\r\n"));
    cr_assert(has(answer, "ETag: " + tag) && !has(answer, "Content-Length"));
}

Test(connection, directory_redirect_keeps_the_query) {
    fixture server;
    server.make_folder("sub");
    client peer(server);
    peer.send_text("GET /sub?q=1 HTTP/1.1\r\nHost: a\r\n\r\n");
    std::string answer = peer.read_answer();
    cr_assert(answer.starts_with("HTTP/1.1 301 ") && has(answer, "\r\nLocation: /sub/?q=1\r\n"));
}

Test(connection, options_names_the_methods) {
    fixture server;
    client peer(server);
    peer.send_text("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    cr_assert(has(peer.read_answer(), "\r\nAllow: GET, HEAD, OPTIONS\r\n"));
    peer.send_text("OPTIONS /echo HTTP/1.1\r\nHost: a\r\n\r\n");
    cr_assert(has(peer.read_answer(), "\r\nAllow: POST, OPTIONS\r\n"));
}

Test(connection, slow_head_gets_408_and_silence_gets_nothing) {
    httpd::options settings;
    settings.idle_timeout = 50ms;
    fixture server(settings);
    client silent(server);
    cr_assert(silent.read_to_end().empty());
    client slow(server);
    slow.send_text("GET / HTTP/1.1\r\nHo");
    std::string answer = slow.read_to_end();
    cr_assert(answer.starts_with("HTTP/1.1 408 ") && has(answer, "\r\nConnection: close\r\n"));
    client stuck(server);
    stuck.send_text("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
    cr_assert(stuck.read_to_end().starts_with("HTTP/1.1 408 "));
    server.wait_until_idle();
}

Test(connection, client_that_does_not_read_is_given_up) {
    httpd::options settings;
    settings.idle_timeout = 50ms;
    fixture server(settings);
    server.write_file("large.bin", std::string(16'000'000, 'x'));
    client peer(server);
    peer.send_text("GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n");
    server.wait_until_idle();
}

Test(connection, clients_that_vanish_leave_nothing_behind) {
    fixture server;
    for (std::string_view part :
         {std::string_view(""),
          get_plaintext.substr(0, 10),
          get_plaintext,
          std::string_view("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab")}) {
        for (int i = 0; i < 20; ++i) {
            client peer(server);
            peer.send_text(part);
        }
    }
    server.wait_until_idle();
}

Test(connection, draining_closes_with_the_last_answer) {
    fixture server;
    client peer(server);
    peer.send_text(get_plaintext);
    cr_assert(!has(peer.read_answer(), "Connection: close"));
    server.shared().begin_drain();
    std::string batch;
    for (int i = 0; i < 10; ++i) {
        batch.append(get_plaintext);
    }
    peer.send_text(batch);
    std::string all = peer.read_to_end();
    cr_assert_eq(count(all, "HTTP/1.1 200 OK\r\n"), 10, "all that had arrived is answered");
    cr_assert_eq(count(all, "Connection: close"), 1);
    cr_assert(all.rfind("HTTP/1.1") < all.find("Connection: close"), "by the last one");
}

Test(connection, end_of_input_wakes_a_silent_connection) {
    fixture server;
    client silent(server);
    client halfway(server);
    halfway.send_text("GET / HTTP/1.1\r\n");
    server.wait_until_open(2);
    server.shared().begin_drain();
    server.shared().connections.end_input();
    cr_assert(silent.read_to_end().empty());
    cr_assert(halfway.read_to_end().empty());
    server.wait_until_idle();
}
