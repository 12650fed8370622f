// SPDX-License-Identifier: MIT
//
// Task headers without tasks, for the tests of queues: they have an address and a link.
//
// A real header is never constructed either (rt/detail/header.h): it is memory that is zero first.
#pragma once

#include <rt/detail/header.h>

#include <cstddef>
#include <cstring>
#include <memory>

namespace rt::test {

class fake_tasks {
public:
    explicit fake_tasks(std::size_t count)
        : storage_(new block[count]())
        , count_(count) {}

    [[nodiscard]] detail::task_header* operator[](std::size_t index) const {
        return reinterpret_cast<detail::task_header*>(storage_[index].bytes);
    }
    [[nodiscard]] std::size_t index_of(const detail::task_header* task) const {
        return static_cast<std::size_t>(reinterpret_cast<const block*>(task) - storage_.get());
    }
    [[nodiscard]] std::size_t size() const { return count_; }

private:
    struct block {
        alignas(64) std::byte bytes[sizeof(detail::task_header)];
    };

    std::unique_ptr<block[]> storage_;
    std::size_t count_;
};

} // namespace rt::test
