// SPDX-License-Identifier: MIT
//
// Walking frames level by level, and reading source locations.
//
// Frame layout: resume function, destroy function, then the promise, which begins with
// frame_header; rt/detail/promise.h says why that holds. A std::source_location of libstdc++ is a
// pointer to {file, function, line, column}.
#include "introspect/trace.h"

#include "introspect/safe_read.h"

#include <rt/detail/promise.h>

#include <algorithm>

namespace rt::introspect {
namespace {

constexpr std::size_t site_text_max = 512; // bytes of a file or function name that are shown

// The bytes at a coroutine's address.
struct frame_image {
    std::uintptr_t resume;
    std::uintptr_t destroy;
    std::uintptr_t continuation;
    std::uintptr_t site;
};
static_assert(offsetof(frame_image, continuation) == detail::promise_offset);
static_assert(sizeof(frame_image) == detail::promise_offset + sizeof(detail::frame_header));

// std::source_location::__impl.
struct location_record {
    std::uintptr_t file;
    std::uintptr_t function;
    std::uint32_t line;
    std::uint32_t column;
};

constexpr std::size_t coroutine_alignment = 16; // what allocators give every frame

bool is_plausible(std::uintptr_t address) noexcept {
    return address != 0 && address % coroutine_alignment == 0;
}

// Takes in one frame. Returns the address of the next, or 0 with the stack's end set.
std::uintptr_t step(const frame_image& image, const stack_request& request) {
    async_stack& stack = *request.stack;
    stack.frames.push_back({image.site, image.resume});
    const std::uintptr_t up = image.continuation & ~detail::foreign_frame;
    if (up == 0) {
        stack.end = async_stack::ending::root;
        return 0;
    }
    if ((image.continuation & detail::foreign_frame) != 0) {
        stack.end = async_stack::ending::foreign;
        return 0;
    }
    if (stack.frames.size() >= request.depth_max) {
        stack.end = async_stack::ending::too_deep;
        return 0;
    }
    stack.end = async_stack::ending::unreadable; // until the next level says otherwise
    return is_plausible(up) ? up : 0;
}

// A location's text comes from a compiler; anything else means that the pointer was not one.
bool is_text(const std::string& text) noexcept {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char one) {
        return static_cast<unsigned char>(one) >= 0x20 && one != 0x7F;
    });
}

} // namespace

void read_stacks(std::span<stack_request> requests) {
    std::vector<stack_request*> walking;
    for (stack_request& request : requests) {
        request.stack->frames.clear();
        request.stack->end = async_stack::ending::unreadable;
        if (is_plausible(request.address)) {
            walking.push_back(&request);
        }
    }
    std::vector<frame_image> images(walking.size());
    std::vector<read_piece> pieces(walking.size());
    while (!walking.empty()) {
        pieces.resize(walking.size());
        for (std::size_t i = 0; i < walking.size(); ++i) {
            pieces[i] = {walking[i]->address, &images[i], sizeof(frame_image), false};
        }
        read_pieces(pieces);
        std::size_t kept = 0;
        for (std::size_t i = 0; i < walking.size(); ++i) {
            stack_request* const request = walking[i];
            request->address = pieces[i].ok ? step(images[i], *request) : 0;
            if (request->address != 0) {
                walking[kept++] = request;
            }
        }
        walking.resize(kept);
    }
}

const site_text& site_cache::find(std::uintptr_t site) {
    const auto [entry, is_new] = known_.try_emplace(site);
    if (!is_new || site == 0) {
        return entry->second;
    }
    location_record record{};
    if (!read_object(site, record)) {
        return entry->second;
    }
    site_text text;
    text.file = read_string(record.file, site_text_max);
    text.function = read_string(record.function, site_text_max);
    text.line = record.line;
    text.column = record.column;
    if (is_text(text.file) && is_text(text.function)) {
        entry->second = std::move(text);
    }
    return entry->second;
}

} // namespace rt::introspect
