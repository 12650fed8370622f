// SPDX-License-Identifier: MIT
//
// fatal() and the context it prints. Everything here may run in a signal handler, with any lock
// held and with a damaged heap: only stack buffers, vsnprintf without floating point, and write(2).
//
// The ring of notes is thread-local and needs no ordering: fatal() prints the ring of its own
// thread only. Printing the rings of others was rejected, because a thread that exits meanwhile
// takes its ring along.
#include "base/assert.h"

#include <rt/detail/atomic.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <unistd.h>

namespace rt::base {

namespace {

constexpr std::size_t note_count_max = 16; // a power of two; enough to see one scheduler turn
constexpr std::size_t text_bytes_max = 1024;

static_assert((note_count_max & (note_count_max - 1)) == 0);

struct note {
    const char* what;
    std::uint64_t value;
};

struct note_ring {
    note notes[note_count_max];
    std::uint64_t written;
    bool is_dying; // a second fatal() on this thread, from the describer or a handler, aborts at
                   // once
};

thread_local constinit note_ring ring{};

// Written by set_fatal_describer on any thread, read by fatal().
constinit atomic<fatal_describer> describer_in_use{nullptr};

void write_all(const char* text, std::size_t length) noexcept {
    while (length > 0) {
        const ssize_t written = ::write(STDERR_FILENO, text, length);
        if (written <= 0) {
            return; // nowhere to complain; EINTR included, the abort matters more than the tail
        }
        text += written;
        length -= static_cast<std::size_t>(written);
    }
}

/// Ends `text` with a newline and writes it. REQUIRES: length <= capacity - 1.
void write_line(char* text, std::size_t length) noexcept {
    text[length] = '\n';
    write_all(text, length + 1);
}

std::size_t clamp_length(int wanted, std::size_t capacity) noexcept {
    if (wanted < 0) {
        return 0;
    }
    const auto length = static_cast<std::size_t>(wanted);
    return length < capacity ? length : capacity - 1;
}

void write_context() noexcept {
    char line[text_bytes_max];
    // acquire: pairs with the release in set_fatal_describer, so that what the describer reads is
    // there.
    if (const fatal_describer describe = describer_in_use.load_acquire(); describe != nullptr) {
        const std::size_t length = describe(line, sizeof(line) - 1);
        if (length > 0 && length < sizeof(line)) {
            write_line(line, length);
        }
    }
    const std::uint64_t end = ring.written;
    const std::uint64_t begin = end > note_count_max ? end - note_count_max : 0;
    for (std::uint64_t index = begin; index < end; ++index) {
        const note& shown = ring.notes[index % note_count_max];
        const int wanted = std::snprintf(
            line,
            sizeof(line),
            "librt:   context %llu: %s %llu",
            static_cast<unsigned long long>(index),
            shown.what,
            static_cast<unsigned long long>(shown.value)
        );
        write_line(line, clamp_length(wanted, sizeof(line)));
    }
}

} // namespace

void context_note(const char* what, std::uint64_t value) noexcept {
    ring.notes[ring.written % note_count_max] = note{what, value};
    ++ring.written;
}

void set_fatal_describer(fatal_describer describer) noexcept {
    // release: pairs with the acquire in write_context.
    describer_in_use.store_release(describer);
}

void fatal(const char* format, ...) noexcept {
    char text[text_bytes_max] = "librt: ";
    const std::size_t prefix = std::strlen(text);
    std::va_list arguments;
    va_start(arguments, format);
    const int wanted = std::vsnprintf(text + prefix, sizeof(text) - prefix, format, arguments);
    va_end(arguments);
    write_line(text, prefix + clamp_length(wanted, sizeof(text) - prefix));
    if (!ring.is_dying) {
        ring.is_dying = true;
        write_context();
    }
    std::abort();
}

void assert_failed(
    const char* condition, const char* file, unsigned line, const char* function
) noexcept {
    fatal("assertion failed: %s (%s:%u, %s)", condition, file, line, function);
}

} // namespace rt::base
