// SPDX-License-Identifier: MIT
//
// The life of one connection, step by step.
//
// A client may send garbage, nothing, or for ever, and may stop reading: each step has a deadline
// and a limit, and every error of the socket means that the client is gone. Threads: the sentinel.
#include "introspect/connection.h"

#include "base/clock.h"

#include <cerrno>
#include <new>
#include <utility>

#include <sys/socket.h>
#include <sys/uio.h>

namespace rt::introspect {
namespace {

using base::ns_per_second;

constexpr std::uint64_t head_time_ns = 5 * ns_per_second;   // for the whole question
constexpr std::uint64_t write_time_ns = 10 * ns_per_second; // without progress
constexpr std::uint64_t drain_time_ns = ns_per_second;
constexpr std::size_t drain_bytes_max = std::size_t{4} << 20U;
constexpr std::size_t read_bytes = 4096;

void count(service& self, status code) {
    for (auto& [known, number] : self.counts.by_code) {
        if (known == code) {
            ++number;
            return;
        }
    }
    self.counts.by_code.emplace_back(code, 1);
}

// Answers, or says that memory has run out; whatever else throws is a fault of ours.
void answer_safely(service& self, const parsed& question, response& answer) noexcept {
    try {
        if (question.spoken == protocol::http) {
            answer_request(self, question.made, answer);
        } else {
            answer_line(self, question.line, answer);
        }
    } catch (const std::bad_alloc&) {
        set_error(answer, status::unavailable, "out of memory; ask for less", false);
    } catch (...) {
        set_error(answer, status::internal_error, "the answer could not be made", false);
    }
}

} // namespace

connection::connection(base::unique_fd fd, std::uint64_t now_ns, status refusal, std::string reason)
    : fd_(std::move(fd))
    , deadline_ns_(now_ns + head_time_ns)
    , refusal_(refusal)
    , refusal_reason_(std::move(reason)) {
}

void connection::on_ready(service& self, std::size_t answer_limit) noexcept {
    try {
        if (step_ == step::reading) {
            read_some(self, answer_limit);
        }
    } catch (const std::bad_alloc&) {
        step_ = step::done;
    }
    if (step_ == step::writing) {
        write_some();
    }
    if (step_ == step::draining) {
        drain_some();
    }
}

void connection::on_time() noexcept {
    step_ = step::done;
}

std::size_t connection::held_bytes() const noexcept {
    return answer_ == nullptr ? 0 : answer_->body.size();
}

void connection::read_some(service& self, std::size_t answer_limit) {
    bool at_end = false;
    while (!at_end && received_.size() < head_bytes_max) {
        char part[read_bytes];
        const ssize_t length = ::recv(fd_.get(), part, sizeof(part), MSG_DONTWAIT);
        if (length > 0) {
            received_.append(part, static_cast<std::size_t>(length));
        } else if (length == 0) {
            at_end = true;
        } else if (errno == EAGAIN) {
            break;
        } else if (errno != EINTR) {
            step_ = step::done;
            return;
        }
    }
    const parsed question = parse_request(received_, at_end);
    if (question.what != parsed::outcome::incomplete) {
        make_answer(self, question, answer_limit);
    } else if (at_end) {
        step_ = step::done; // half a question, and nobody to answer
    }
}

void connection::make_answer(service& self, const parsed& question, std::size_t answer_limit) {
    answer_ = std::make_unique<response>(answer_limit);
    if (question.what == parsed::outcome::fault) {
        set_error(*answer_, question.code, question.fault, false);
    } else if (is_refused()) {
        set_error(*answer_, refusal_, refusal_reason_, false);
    } else {
        answer_safely(self, question, *answer_);
    }
    count(self, answer_->code);
    if (question.spoken == protocol::http) {
        head_ = http_head(*answer_, answer_->body.size());
        is_body_sent_ = !question.made.is_head;
    }
    received_ = {};
    step_ = step::writing;
    deadline_ns_ = base::monotonic_ns() + write_time_ns;
}

void connection::write_some() noexcept {
    const std::string_view body = is_body_sent_ ? answer_->body.view() : std::string_view();
    while (sent_ < head_.size() + body.size()) {
        const std::size_t of_head = sent_ < head_.size() ? head_.size() - sent_ : 0;
        const std::size_t of_body = sent_ > head_.size() ? sent_ - head_.size() : 0;
        iovec parts[] = {
            {head_.data() + (head_.size() - of_head), of_head},
            {const_cast<char*>(body.data()) + of_body, body.size() - of_body}};
        msghdr message{};
        message.msg_iov = parts;
        message.msg_iovlen = std::size(parts);
        const ssize_t length = ::sendmsg(fd_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (length >= 0) {
            sent_ += static_cast<std::size_t>(length);
            deadline_ns_ = base::monotonic_ns() + write_time_ns;
        } else if (errno == EAGAIN) {
            return;
        } else if (errno != EINTR) {
            step_ = step::done; // the client is gone
            return;
        }
    }
    answer_.reset();
    ::shutdown(fd_.get(), SHUT_WR);
    step_ = step::draining;
    deadline_ns_ = base::monotonic_ns() + drain_time_ns;
}

void connection::drain_some() noexcept {
    char part[read_bytes];
    for (;;) {
        const ssize_t length = ::recv(fd_.get(), part, sizeof(part), MSG_DONTWAIT);
        if (length > 0) {
            drained_ += static_cast<std::size_t>(length);
            if (drained_ > drain_bytes_max) {
                step_ = step::done;
                return;
            }
        } else if (length < 0 && errno == EAGAIN) {
            return;
        } else if (length == 0 || errno != EINTR) {
            step_ = step::done;
            return;
        }
    }
}

} // namespace rt::introspect
