// SPDX-License-Identifier: MIT
//
// process_vm_readv in batches, and the pipe that stands in for it.
//
// Both are raw system calls: the C library's wrappers are intercepted by ThreadSanitizer, which
// would take the kernel's copy for a racing read of ours.
#include "introspect/safe_read.h"

#include "base/unique_fd.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <limits.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

namespace rt::introspect {
namespace {

constexpr std::size_t page_bytes = 4096;   // the smallest there is; a string read stops at each
constexpr std::size_t batch_max = IOV_MAX; // the kernel's limit on pieces per call
constexpr std::size_t pipe_bytes = 4096;   // what a pipe takes without blocking (PIPE_BUF)

// process_vm_readv, restarted after each piece that cannot be read. Returns false, with nothing
// read, if the call itself is refused.
bool read_by_kernel(std::span<read_piece> pieces) noexcept {
    std::array<iovec, batch_max> local;
    std::array<iovec, batch_max> remote;
    std::size_t next = 0;
    while (next < pieces.size()) {
        const std::size_t count = std::min(pieces.size() - next, batch_max);
        std::size_t wanted = 0;
        for (std::size_t i = 0; i < count; ++i) {
            const read_piece& piece = pieces[next + i];
            local[i] = {piece.target, piece.size};
            remote[i] = {reinterpret_cast<void*>(piece.address), piece.size};
            wanted += piece.size;
        }
        const long copied = ::syscall(
            SYS_process_vm_readv, ::getpid(), local.data(), count, remote.data(), count, 0UL
        );
        if (copied < 0 && errno != EFAULT) {
            return false;
        }
        std::size_t left = copied > 0 ? static_cast<std::size_t>(copied) : 0;
        const bool all = left == wanted;
        while (next < pieces.size() && left >= pieces[next].size && left > 0) {
            left -= pieces[next].size;
            pieces[next++].ok = true;
        }
        if (!all) {
            pieces[next++].ok = false; // the one it stopped at
        }
    }
    return true;
}

struct pipe_pair {
    base::unique_fd in;
    base::unique_fd out;
};

// The pipe, made at the first use and kept, because the process may be out of descriptors later.
pipe_pair& shared_pipe() noexcept {
    static pipe_pair pair;
    int ends[2];
    if (!pair.in && ::pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0) {
        pair.out.reset(ends[0]);
        pair.in.reset(ends[1]);
    }
    return pair;
}

bool read_by_pipe(read_piece& piece) noexcept {
    const pipe_pair& pair = shared_pipe();
    if (!pair.in) {
        return false;
    }
    std::size_t done = 0;
    while (done < piece.size) {
        const std::size_t part = std::min(piece.size - done, pipe_bytes);
        const long written = ::syscall(SYS_write, pair.in.get(), piece.address + done, part);
        if (written <= 0) {
            return false;
        }
        char* const target = static_cast<char*>(piece.target) + done;
        if (::syscall(SYS_read, pair.out.get(), target, written) != written) {
            return false;
        }
        done += static_cast<std::size_t>(written);
    }
    return true;
}

} // namespace

std::size_t read_pieces(std::span<read_piece> pieces) noexcept {
    static bool kernel_refuses = false; // one thread; a seccomp filter is never lifted
    if (kernel_refuses || !read_by_kernel(pieces)) {
        kernel_refuses = true;
        for (read_piece& piece : pieces) {
            piece.ok = read_by_pipe(piece);
        }
    }
    return static_cast<std::size_t>(
        std::count_if(pieces.begin(), pieces.end(), [](const read_piece& one) { return one.ok; })
    );
}

bool read_bytes(std::uintptr_t address, void* target, std::size_t size) noexcept {
    read_piece piece{address, target, size, false};
    return read_pieces({&piece, 1}) == 1;
}

std::string read_string(std::uintptr_t address, std::size_t size_max) {
    std::string made;
    char part[256];
    while (made.size() < size_max) {
        const std::size_t to_page_end = page_bytes - address % page_bytes;
        const std::size_t size = std::min({sizeof(part), to_page_end, size_max - made.size()});
        if (!read_bytes(address, part, size)) {
            break;
        }
        const std::size_t length = ::strnlen(part, size);
        made.append(part, length);
        if (length < size) {
            break;
        }
        address += size;
    }
    return made;
}

bool copy_from_own(std::uintptr_t address, void* target, std::size_t size) noexcept {
    const iovec local{target, size};
    const iovec remote{reinterpret_cast<void*>(address), size};
    const long copied = ::syscall(SYS_process_vm_readv, ::getpid(), &local, 1UL, &remote, 1UL, 0UL);
    return copied == static_cast<long>(size);
}

} // namespace rt::introspect
