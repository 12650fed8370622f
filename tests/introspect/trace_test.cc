// SPDX-License-Identifier: MIT
//
// Walking chains of coroutine frames: real ones, made by hand-driven coroutines, and broken ones.
//
// Goal: a stack is true for a task that stands still, and any bytes at all are survived.
// Method: coroutines that are resumed by hand and stop; structures that look like frames.
#include "introspect/trace.h"
#include "support/test.h"

#include <rt/task.h>

#include <coroutine>
#include <cstring>
#include <string>
#include <vector>

using rt::introspect::async_stack;
using rt::introspect::stack_request;

namespace {

// Suspends and says where.
struct stop_here {
    void*& leaf;

    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> self) noexcept { leaf = self.address(); }
    void await_resume() const noexcept {}
};

rt::task<int> inner(void*& leaf) {
    co_await stop_here{leaf};
    co_return 1;
}

rt::task<int> middle(void*& leaf) {
    const int one = co_await inner(leaf);
    co_return one + 1;
}

rt::task<int> outer(void*& leaf) {
    co_return co_await middle(leaf);
}

async_stack read(void* address, std::size_t depth_max = 256) {
    async_stack stack;
    stack_request request{reinterpret_cast<std::uintptr_t>(address), depth_max, &stack};
    rt::introspect::read_stacks({&request, 1});
    return stack;
}

// What a frame looks like from outside.
struct alignas(16) fake_frame {
    std::uintptr_t resume = 1;
    std::uintptr_t destroy = 2;
    std::uintptr_t continuation = 0;
    std::uintptr_t site = 0;
};

std::uintptr_t address_of(const fake_frame& frame) {
    return reinterpret_cast<std::uintptr_t>(&frame);
}

} // namespace

Test(trace, a_suspended_chain_is_read_from_leaf_to_root_with_lines) {
    void* leaf = nullptr;
    rt::task<int> root = outer(leaf);
    root.handle().resume();
    cr_assert(leaf != nullptr);
    const async_stack stack = read(leaf);
    cr_assert_eq(stack.frames.size(), 3U);
    cr_assert(stack.end == async_stack::ending::root);
    rt::introspect::site_cache sites;
    const char* const names[] = {"inner", "middle", "outer"};
    for (std::size_t i = 0; i < 3; ++i) {
        const auto& site = sites.find(stack.frames[i].site);
        cr_assert(site.is_known());
        cr_assert(site.function.find(names[i]) != std::string::npos, "%s", site.function.c_str());
        cr_assert(site.file.ends_with("trace_test.cc"));
        cr_assert(stack.frames[i].resume != 0);
    }
    cr_assert(sites.find(stack.frames[0].site).line < sites.find(stack.frames[2].site).line);
}

Test(trace, a_coroutine_that_has_not_started_has_no_site_but_a_resume_function) {
    void* leaf = nullptr;
    const rt::task<int> root = outer(leaf);
    const async_stack stack = read(root.handle().address());
    cr_assert_eq(stack.frames.size(), 1U);
    cr_assert(stack.frames[0].resume != 0);
    rt::introspect::site_cache sites;
    const std::uintptr_t site = stack.frames[0].site;
    cr_assert(!sites.find(site).is_known());
}

Test(trace, a_chain_that_bites_its_tail_ends_at_the_limit) {
    fake_frame a;
    fake_frame b;
    a.continuation = address_of(b);
    b.continuation = address_of(a);
    const async_stack stack = read(&a);
    cr_assert_eq(stack.frames.size(), rt::introspect::stack_frames_max);
    cr_assert(stack.end == async_stack::ending::too_deep);
}

Test(trace, a_chain_into_nothing_or_to_a_foreign_frame_says_so) {
    fake_frame broken;
    broken.continuation = 0x1000;
    cr_assert(read(&broken).end == async_stack::ending::unreadable);
    cr_assert_eq(read(&broken).frames.size(), 1U);
    broken.continuation = 0x1234'5678; // not aligned as a frame is
    cr_assert(read(&broken).end == async_stack::ending::unreadable);
    fake_frame foreign;
    foreign.continuation = address_of(broken) | 1U;
    cr_assert(read(&foreign).end == async_stack::ending::foreign);
    cr_assert_eq(read(nullptr).frames.size(), 0U);
}

Test(trace, many_stacks_are_read_together) {
    std::vector<fake_frame> frames(1000);
    for (std::size_t i = 1; i < frames.size(); ++i) {
        frames[i].continuation = i % 5 == 0 ? 0 : address_of(frames[i - 1]);
        frames[i].site = i;
    }
    std::vector<async_stack> stacks(frames.size());
    std::vector<stack_request> requests;
    for (std::size_t i = 0; i < frames.size(); ++i) {
        requests.push_back({address_of(frames[i]), 256, &stacks[i]});
    }
    rt::introspect::read_stacks(requests);
    for (std::size_t i = 0; i < frames.size(); ++i) {
        cr_assert_eq(stacks[i].frames.size(), i % 5 + 1);
        cr_assert_eq(stacks[i].frames[0].site, i);
        cr_assert(stacks[i].end == async_stack::ending::root);
    }
}

Test(trace, a_site_that_is_no_location_is_unknown) {
    rt::introspect::site_cache sites;
    struct {
        const char* file = "a\x01";
        const char* function = "f";
        unsigned line = 3;
        unsigned column = 1;
    } record;
    cr_assert(!sites.find(reinterpret_cast<std::uintptr_t>(&record)).is_known());
    cr_assert(!sites.find(0x10).is_known());
    cr_assert(!sites.find(0).is_known());
    record.file = "a.cc";
    const std::uintptr_t address = reinterpret_cast<std::uintptr_t>(&record);
    cr_assert(!sites.find(address).is_known()); // remembered from before
    cr_assert_eq(rt::introspect::site_cache().find(address).line, 3U);
}
