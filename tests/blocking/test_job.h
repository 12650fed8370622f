// SPDX-License-Identifier: MIT
#pragma once

#include <rt/detail/blocking.h>

#include <functional>
#include <latch>
#include <utility>

// A job that calls a function and counts down.
struct test_job : rt::detail::blocking_job {
    explicit test_job(std::function<void()> f, std::latch* finished = nullptr)
        : blocking_job(&call)
        , function(std::move(f))
        , done(finished) {}

    static void call(blocking_job* base) noexcept {
        auto* const self = static_cast<test_job*>(base);
        self->function();
        if (self->done != nullptr) {
            self->done->count_down();
        }
    }

    std::function<void()> function;
    std::latch* done;
};
