// SPDX-License-Identifier: MIT
//
// Asking over a socket: servers that answer, that do not, and that answer nonsense.
//
// Goal: every way in which a process can fail to answer has its own exit code and words.
// Method: small servers of the test's own, one answer each, on a thread.
#include "base/unique_fd.h"
#include "support/test.h"
#include "tools/client.h"

#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

using rt::tools::ask;
using rt::tools::exit_code;
using rt::tools::reply;

namespace {

constexpr std::uint64_t long_time_ns = 20'000'000'000;
constexpr std::uint64_t short_time_ns = 20'000'000;

// Listens on a socket; answers the first client with `text`, or never if there is none.
class fake_process {
public:
    explicit fake_process(const char* text)
        : text_(text == nullptr ? "" : text) {
        char name[] = "/tmp/rt-client-test-XXXXXX";
        directory_ = ::mkdtemp(name);
        path_ = directory_ + "/s.sock";
        listener_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::memcpy(address.sun_path, path_.c_str(), path_.size());
        cr_assert_eq(
            ::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0
        );
        cr_assert_eq(::listen(listener_.get(), 4), 0);
        if (text != nullptr) {
            thread_ = std::thread([this] { answer(); });
        }
    }
    ~fake_process() {
        if (thread_.joinable()) {
            thread_.join();
        }
        ::unlink(path_.c_str());
        ::rmdir(directory_.c_str());
    }
    void stop_listening() { listener_.reset(); }

    [[nodiscard]] const std::string& path() const { return path_; }
    std::string received;

private:
    void answer() {
        const rt::base::unique_fd client(::accept(listener_.get(), nullptr, nullptr));
        char part[4096];
        while (received.find("\r\n\r\n") == std::string::npos) {
            const ssize_t length = ::recv(client.get(), part, sizeof(part), 0);
            if (length <= 0) {
                return;
            }
            received.append(part, static_cast<std::size_t>(length));
        }
        (void)::send(client.get(), text_.data(), text_.size(), MSG_NOSIGNAL);
    }

    std::string directory_;
    std::string path_;
    std::string text_;
    rt::base::unique_fd listener_;
    std::thread thread_;
};

} // namespace

Test(client, an_answer_is_its_body) {
    fake_process process("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    const reply answer = ask(process.path(), "/v1/info", long_time_ns);
    cr_assert(answer.outcome == exit_code::success);
    cr_assert_eq(answer.status, 200U);
    cr_assert(answer.body == "hello");
    cr_assert(process.received.starts_with("GET /v1/info HTTP/1.1\r\nHost: "));
}

Test(client, each_status_has_its_exit_code_and_words) {
    const struct {
        const char* line;
        exit_code code;
    } cases[] = {
        {"HTTP/1.1 400 Bad Request", exit_code::usage},
        {"HTTP/1.1 403 Forbidden", exit_code::denied},
        {"HTTP/1.1 404 Not Found", exit_code::failed},
        {"HTTP/1.1 503 Service Unavailable", exit_code::failed},
    };
    for (const auto& one : cases) {
        const std::string text =
            std::string(one.line) + "\r\nContent-Length: 11\r\n\r\nerror: why\n";
        fake_process process(text.c_str());
        const reply answer = ask(process.path(), "/", long_time_ns);
        cr_assert(answer.outcome == one.code, "%s", one.line);
        cr_assert(answer.problem == "why");
    }
}

Test(client, an_answer_that_is_cut_off_is_a_failure) {
    for (const char* const text :
         {"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello",
          "HTTP/1.1 200 OK\r\nConte",
          "",
          "hello there"}) {
        fake_process process(text);
        const reply answer = ask(process.path(), "/", long_time_ns);
        cr_assert(answer.outcome == exit_code::failed, "%s", text);
        cr_assert(!answer.problem.empty());
    }
}

Test(client, a_process_that_is_stopped_is_a_timeout) {
    const fake_process process(nullptr);
    const reply answer = ask(process.path(), "/", short_time_ns);
    cr_assert(answer.outcome == exit_code::timed_out);
    cr_assert(answer.problem.find("kill -CONT") != std::string::npos);
}

Test(client, nobody_there_is_told_from_nobody_left) {
    fake_process process(nullptr);
    const reply none = ask(process.path() + "x", "/", long_time_ns);
    cr_assert(none.outcome == exit_code::no_process && !none.is_stale);
    process.stop_listening();
    const reply stale = ask(process.path(), "/", long_time_ns);
    cr_assert(stale.outcome == exit_code::no_process && stale.is_stale);
    const reply too_long = ask("/" + std::string(200, 'x'), "/", long_time_ns);
    cr_assert(too_long.outcome == exit_code::usage);
}

Test(client, what_could_end_a_parameter_is_escaped) {
    cr_assert(rt::tools::encode("a-b_c.1") == "a-b_c.1");
    cr_assert(rt::tools::encode("a&b=c d/\n%\xff") == "a%26b%3Dc%20d%2F%0A%25%FF");
}
