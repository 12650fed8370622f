// SPDX-License-Identifier: MIT
//
// The loop of a connection: see connection.h for what it promises.
//
// Waiting always has a deadline. Between requests it is --idle-timeout from now, and running out of
// it is no fault: the connection is closed in silence. Once the first byte of a head has come, the
// whole head must be there --idle-timeout later, however it trickles (408). A body must only go on.
//
// After a fault nobody knows where the next request starts, so the answer closes. The unread
// input is then drained for a moment: closing a socket with unread bytes makes the kernel send a
// reset, which can overtake the answer and erase it at the client.

#include "connection.h"

#include "request_parser.h"
#include "response.h"

#include <rt/blocking.h>
#include <rt/buffer.h>
#include <rt/deadline.h>
#include <rt/result.h>
#include <rt/time.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>
#include <string_view>

#include <sys/ioctl.h>
#include <unistd.h>

namespace httpd {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t input_bytes_first = 1024;     // 20 requests of wrk; comes from the frame pool
constexpr std::size_t input_bytes_most = 16 * 1024; // unless a head may be larger
constexpr std::size_t output_bytes_max = 64 * 1024; // pending answers; then they are sent
constexpr std::size_t file_block_bytes = 128 * 1024; // one read of a file
constexpr auto linger_time = 1s;
constexpr std::size_t linger_bytes_max = 1024 * 1024;

constexpr std::string_view file_methods = "GET, HEAD, OPTIONS";
constexpr std::string_view echo_methods = "POST, OPTIONS";

class connection {
public:
    connection(rt::tcp_stream& peer, server& shared)
        : peer_(peer)
        , server_(shared)
        , parser_(shared.settings.limits)
        , input_(input_bytes_first) {}

    rt::task<void> run();

private:
    enum class step : std::uint8_t {
        read,   // the parser wants more bytes
        send,   // there is more output than should be kept
        answer, // a whole request that needs a coroutine to answer
        reject, // a request whose body is not wanted, or one that is no request
    };

    step consume();
    step on_headers();
    bool answer_plainly();
    [[nodiscard]] bool is_last_request() const;
    [[nodiscard]] bool has_unread_input() const;
    [[nodiscard]] rt::clock::time_point input_deadline();
    bool make_room();

    bool try_flush();
    rt::task<bool> flush();
    rt::task<void> time_out();
    rt::task<bool> answer();
    rt::task<bool> answer_file(response_head head);
    rt::task<bool> send_rest_of_file(const found_file& file, std::string block);
    void append_simple_answer(const response_head& head);
    rt::task<void> reject();
    rt::task<void> linger();

    rt::tcp_stream& peer_;
    server& server_;
    request_parser parser_;
    rt::buffer input_;
    std::size_t begin_ = 0; // of what was read and not yet parsed
    std::size_t end_ = 0;
    std::string output_;
    std::string body_;   // of a request to /echo
    rt::deadline limit_; // of the wait for input
    rt::clock::time_point head_deadline_{};
    bool keeps_body_ = false;
};

/// Parses and answers what needs no waiting.
connection::step connection::consume() {
    while (begin_ != end_ || !parser_.is_between_messages()) {
        std::string_view input = rt::as_text(input_.bytes()).substr(begin_, end_ - begin_);
        begin_ += parser_.feed({input.data(), input.size()});
        switch (parser_.state()) {
        case parse_state::need_more:
            return step::read;
        case parse_state::failed:
            return step::reject;
        case parse_state::headers_complete:
            if (on_headers() == step::reject) {
                return step::reject;
            }
            break;
        case parse_state::body_chunk:
            if (keeps_body_) {
                body_.append(parser_.body());
            }
            break;
        case parse_state::message_complete:
            if (!answer_plainly()) {
                return step::answer;
            }
            parser_.next_message();
            if (output_.size() >= output_bytes_max) {
                return step::send;
            }
            break;
        }
    }
    return step::read;
}

/// Decides about a body before it comes.
connection::step connection::on_headers() {
    const request_head& head = parser_.head();
    keeps_body_ = head.method == method::post && head.path() == "/echo";
    if (!head.expects_continue) {
        return step::read;
    }
    bool is_read = head.method == method::get || head.method == method::head;
    if (!keeps_body_ && !is_read) {
        return step::reject; // the client asked first, so it is told before it sends
    }
    output_.append(continue_answer); // sent before the next read
    return step::read;
}

/// The hot answer. False: not hot, or not a case for it.
bool connection::answer_plainly() {
    const request_head& head = parser_.head();
    bool is_head = head.method == method::head;
    if ((head.method != method::get && !is_head) || !head.keeps_alive || !head.is_http_1_1 ||
        server_.is_draining() || head.path() != "/plaintext") {
        return false;
    }
    append_plaintext(output_, is_head);
    return true;
}

bool connection::has_unread_input() const {
    int waiting = 0;
    return begin_ != end_ || (::ioctl(peer_.fd(), FIONREAD, &waiting) == 0 && waiting > 0);
}

/// While the server ends, the last request whose bytes have arrived is told that it was the last.
bool connection::is_last_request() const {
    return server_.is_draining() && !has_unread_input();
}

rt::clock::time_point connection::input_deadline() {
    rt::clock::time_point deadline = rt::coarse_now() + server_.settings.idle_timeout;
    if (parser_.is_between_messages() || parser_.is_head_done()) {
        head_deadline_ = {};
        return deadline;
    }
    if (head_deadline_ == rt::clock::time_point{}) {
        head_deadline_ = deadline; // the first byte of a head has come
    }
    return head_deadline_;
}

/// Makes room behind end_ for at least one byte. False: out of memory.
bool connection::make_room() {
    if (begin_ != 0) {
        std::memmove(input_.data(), input_.data() + begin_, end_ - begin_);
        end_ -= begin_;
        begin_ = 0;
    }
    std::size_t most = std::max(input_bytes_most, server_.settings.limits.header_bytes_max);
    bool is_body = parser_.is_head_done() && input_.size() < input_bytes_most;
    if (end_ != input_.size() && !is_body) {
        return true;
    }
    // The parser fails before a head fills a buffer of this size, so there is always a byte left.
    std::size_t wanted = is_body ? input_bytes_most : std::min(input_.size() * 2, most);
    rt::result<rt::buffer> larger = rt::buffer::make(wanted);
    if (!larger || wanted <= end_) {
        return false;
    }
    std::memcpy(larger->data(), input_.data(), end_);
    input_ = std::move(*larger);
    return true;
}

/// Sends what the socket takes at once. False: the connection is over.
bool connection::try_flush() {
    rt::result<std::size_t> sent = peer_.try_write(rt::as_bytes(output_));
    if (sent && *sent == output_.size()) [[likely]] {
        output_.clear();
    } else if (sent) {
        output_.erase(0, *sent);
    }
    return sent.has_value() || sent.error().is(EAGAIN);
}

/// Sends the pending output, waiting for room if need be. False: the connection is over.
rt::task<bool> connection::flush() {
    if (!try_flush()) {
        co_return false;
    }
    if (output_.empty()) {
        co_return true;
    }
    rt::result<void> sent =
        co_await rt::timeout(server_.settings.idle_timeout, peer_.write_all(rt::as_bytes(output_)));
    output_.clear();
    co_return sent.has_value();
}

/// Tells a client that began a request and did not go on.
rt::task<void> connection::time_out() {
    if (!parser_.is_between_messages()) {
        response_head head;
        head.keeps_alive = false;
        append_page(output_, head, 408, "", false);
        bool is_open = co_await flush();
        static_cast<void>(is_open); // it is over either way
    }
}

/// Answers one whole request. False: the answer closes the connection.
rt::task<bool> connection::answer() {
    const request_head& request = parser_.head();
    response_head head;
    head.is_http_1_1 = request.is_http_1_1;
    head.keeps_alive = request.keeps_alive && !is_last_request();
    bool is_file = request.path() != "/plaintext" && request.path() != "/echo";
    bool is_read = request.method == method::get || request.method == method::head;
    if (is_file && is_read) {
        bool is_complete = co_await answer_file(head);
        co_return is_complete&& head.keeps_alive;
    }
    append_simple_answer(head);
    co_return head.keeps_alive;
}

/// The answers that need no file.
void connection::append_simple_answer(const response_head& base) {
    const request_head& request = parser_.head();
    response_head head = base;
    bool is_head = request.method == method::head;
    bool is_echo = request.path() == "/echo";
    if (request.method == method::options) {
        head.allow = is_echo ? echo_methods : file_methods;
        head.content_length = 0;
        append_head(output_, head);
    } else if (is_echo && request.method == method::post) {
        head.content_type = "application/octet-stream";
        head.content_length = body_.size();
        append_head(output_, head);
        output_.append(body_);
    } else if (!is_echo && (request.method == method::get || is_head)) {
        head.content_type = "text/plain; charset=utf-8";
        head.content_length = std::string_view("Hello, World!").size();
        append_head(output_, head);
        output_.append(is_head ? "" : "Hello, World!");
    } else {
        head.allow = is_echo ? echo_methods : file_methods;
        append_page(output_, head, 405, "", is_head);
    }
    body_.clear();
}

/// Opens and sends a file. False: the client did not get all of it.
rt::task<bool> connection::answer_file(response_head head) {
    const request_head& request = parser_.head();
    bool is_head = request.method == method::head;
    bool is_unchanged = false;
    found_file file;
    std::string block;
    try {
        co_await rt::blocking([&] {
            file = server_.root.find(request.path());
            is_unchanged = file.status == 200 &&
                is_not_modified(file, request.if_none_match, request.if_modified_since);
            if (file.status == 200 && !is_head && !is_unchanged) {
                block.resize(std::min<std::uint64_t>(file.size, file_block_bytes));
                ssize_t size = ::pread(file.fd.get(), block.data(), block.size(), 0);
                block.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
            }
        });
    } catch (const std::exception&) { // no thread for it, no memory
        file = found_file{};
        file.status = 503;
    }
    if (file.status == 301) {
        file.location.append(request.query());
        head.location = file.location;
    }
    if (file.status != 200) {
        append_page(output_, head, file.status, "", is_head);
        co_return true;
    }
    head.status = is_unchanged ? 304 : 200;
    head.etag = file.etag;
    head.last_modified = file.modified;
    if (!is_unchanged) {
        head.content_type = file.content_type;
        head.content_length = file.size;
    }
    append_head(output_, head);
    output_.append(block);
    if (is_head || is_unchanged || block.size() == file.size) {
        co_return true;
    }
    co_return co_await send_rest_of_file(file, std::move(block));
}

rt::task<bool> connection::send_rest_of_file(const found_file& file, std::string block) {
    std::uint64_t offset = block.size();
    while (offset < file.size) {
        bool is_open = co_await flush();
        if (!is_open) {
            co_return false;
        }
        std::size_t size = std::min<std::uint64_t>(file.size - offset, file_block_bytes);
        output_.resize(size);
        ssize_t got = co_await rt::blocking([&] {
            return ::pread(file.fd.get(), output_.data(), size, static_cast<off_t>(offset));
        });
        if (got <= 0) { // the file became shorter: the promised length cannot be kept
            output_.clear();
            co_return false;
        }
        output_.resize(static_cast<std::size_t>(got));
        offset += static_cast<std::uint64_t>(got);
    }
    co_return true;
}

/// Says why the connection ends, then ends it gently.
rt::task<void> connection::reject() {
    response_head head;
    head.keeps_alive = false;
    head.is_http_1_1 = parser_.head().is_http_1_1;
    if (parser_.state() == parse_state::failed) {
        append_page(output_, head, parser_.failure_status(), parser_.failure_reason(), false);
    } else { // a body that would be thrown away, announced with Expect: 100-continue
        head.allow = parser_.head().path() == "/echo" ? echo_methods : file_methods;
        append_page(output_, head, 405, "", parser_.head().method == method::head);
    }
    bool is_open = co_await flush();
    if (is_open) {
        co_await linger();
    }
}

rt::task<void> connection::linger() {
    static_cast<void>(peer_.shutdown_write());
    rt::clock::time_point deadline = rt::clock::now() + linger_time;
    for (std::size_t dropped = 0; dropped < linger_bytes_max;) {
        rt::result<std::size_t> got = co_await rt::timeout_at(deadline, peer_.read(input_.bytes()));
        if (!got || *got == 0) {
            break;
        }
        dropped += *got;
    }
}

rt::task<void> connection::run() {
    for (;;) {
        step next = consume();
        bool keeps_open = true;
        if (next == step::reject) {
            co_await reject();
            co_return;
        }
        if (next == step::answer) {
            keeps_open = co_await answer();
            parser_.next_message();
            if (keeps_open && output_.size() < output_bytes_max) {
                continue; // more requests may lie in the buffer: one write for all of them
            }
        }
        if (!output_.empty()) {
            bool is_open = try_flush();
            if (is_open && !output_.empty()) {
                is_open = co_await flush();
            }
            if (!is_open) {
                co_return;
            }
        }
        if (!keeps_open) {
            if (has_unread_input()) {
                co_await linger();
            }
            co_return;
        }
        if (next != step::read) {
            continue;
        }
        if (!make_room()) {
            co_return;
        }
        rt::result<std::size_t> got = peer_.try_read(input_.from(end_));
        while (!got && got.error().is(EAGAIN)) {
            limit_.set(input_deadline());
            rt::result<void> ready = co_await peer_.readable(limit_);
            if (!ready && ready.error().is(rt::errc::timed_out)) {
                co_await time_out();
            }
            if (!ready) {
                co_return;
            }
            got = peer_.try_read(input_.from(end_));
        }
        if (!got || *got == 0) {
            co_return;
        }
        end_ += *got;
    }
}

/// Enters the set of connections for as long as it lives.
class membership {
public:
    membership(connection_set& set, int fd)
        : set_(set)
        , fd_(fd) {
        set_.enter(fd);
    }
    membership(const membership&) = delete;
    membership& operator=(const membership&) = delete;
    ~membership() { set_.leave(fd_); }

private:
    connection_set& set_;
    int fd_;
};

} // namespace

rt::task<void> serve(rt::tcp_stream peer, server* shared) {
    membership member(shared->connections, peer.fd());
    connection self(peer, *shared);
    co_await self.run();
}

} // namespace httpd
