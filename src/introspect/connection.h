// SPDX-License-Identifier: MIT
//
// One client: reads one question, sends one answer, closes.
//
// Reading, answering, writing, draining, done. All I/O is non-blocking; the server calls on_ready
// when epoll says so and on_time when the deadline has passed. Draining reads what the client still
// sends after the answer, because closing a socket with unread bytes makes the kernel tell the
// client that the connection was reset, and it might not see the answer.
//
// Threads: the sentinel.
#pragma once

#include "base/unique_fd.h"
#include "introspect/command.h"
#include "introspect/http.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace rt::introspect {

inline constexpr std::size_t answer_bytes_max = std::size_t{64} << 20U;

class connection {
public:
    enum class step : std::uint8_t { reading, writing, draining, done };

    // `refusal` other than ok: the question is read and answered with this and `reason`.
    connection(base::unique_fd fd, std::uint64_t now_ns, status refusal, std::string reason);
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;
    ~connection() = default;

    // Goes as far as it can without waiting. `answer_limit` bounds the memory of an answer.
    void on_ready(service& self, std::size_t answer_limit) noexcept;
    // The deadline has passed.
    void on_time() noexcept;

    [[nodiscard]] int fd() const noexcept { return fd_.get(); }
    [[nodiscard]] step at() const noexcept { return step_; }
    [[nodiscard]] std::uint64_t deadline_ns() const noexcept { return deadline_ns_; }
    // Bytes held for an answer that the client has not taken.
    [[nodiscard]] std::size_t held_bytes() const noexcept;
    [[nodiscard]] bool is_refused() const noexcept { return refusal_ != status::ok; }

private:
    void read_some(service& self, std::size_t answer_limit);
    void make_answer(service& self, const parsed& question, std::size_t answer_limit);
    void write_some() noexcept;
    void drain_some() noexcept;

    base::unique_fd fd_;
    step step_ = step::reading;
    std::uint64_t deadline_ns_;
    const status refusal_;
    const std::string refusal_reason_;
    std::string received_;
    std::string head_;
    std::unique_ptr<response> answer_;
    bool is_body_sent_ = true; // false for HEAD
    std::size_t sent_ = 0;     // of head and body together
    std::size_t drained_ = 0;
};

} // namespace rt::introspect
