// SPDX-License-Identifier: MIT
//
// rt::signals: wait for Unix signals.
//
//     auto stop = rt::signals({SIGINT, SIGTERM});
//     int number = co_await stop.recv();
//
// Listening begins with the construction, not with the first recv. Signals that arrive while nobody
// waits are kept, one of each number: like the kernel's own pending signals they coalesce. Every
// listener for a number gets each arrival, whichever runtime it is used in.
//
// While a number has a listener, the process has a handler for it (with SA_RESTART). The last
// listener that goes puts back what was there before the first came: usually the default action.
// What arrived and was not received is dropped with its listener.
#pragma once

#include <rt/detail/config.h>
#include <rt/detail/io.h>
#include <rt/result.h>
#include <rt/task.h>

#include <csignal>
#include <initializer_list>
#include <optional>
#include <span>

namespace rt {

namespace detail {
struct signal_listener;
}

class RT_API signals {
public:
    /// Listeners at one time, in the whole process.
    static constexpr unsigned listeners_max = 64;

    /// Listens for nothing: recv waits for ever.
    signals() noexcept = default;

    /// Errors: throws rt::system_error; see open.
    explicit signals(std::initializer_list<int> numbers);

    /// The same with an error instead of an exception.
    /// Errors: EINVAL for a number that is no signal, that cannot be caught (SIGKILL, SIGSTOP),
    /// that a fault raises in the faulting thread (SIGBUS, SIGFPE, SIGILL, SIGSEGV), or that the
    /// runtime uses (SIGURG); EMFILE, ENFILE or ENOMEM; ENOSPC when there are listeners_max
    /// listeners.
    static result<signals> open(std::span<const int> numbers) noexcept;

    signals(signals&& other) noexcept;
    signals& operator=(signals&& other) noexcept;
    ~signals() { close(); }

    /// Waits for a signal and takes it. The lowest number comes first when there are several.
    /// Requires: one task at a time; the object is neither moved nor closed meanwhile.
    /// Cancel: safe; nothing has been taken.
    task<int> recv();

    /// Takes a signal that has arrived, if any.
    [[nodiscard]] std::optional<int> try_recv() noexcept;

    /// Stops to listen. Requires: no recv in progress.
    void close() noexcept;

private:
    detail::io_handle io_;
    detail::signal_listener* listener_ = nullptr;
};

} // namespace rt
