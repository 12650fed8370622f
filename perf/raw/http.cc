// SPDX-License-Identifier: MIT
//
// raw-http: the yardstick for examples/httpd. One thread, one io_uring, no coroutines, no parser
// and no library but liburing: as little user mode as an HTTP server can have and still keep its
// connections right. `perf/http` runs it beside httpd and nginx and divides; nobody should copy a
// server from here.
//
// It uses what costs a server least on this kernel, whatever the runtime uses: multishot accept,
// multishot receive into a provided buffer ring, SINGLE_ISSUER | DEFER_TASKRUN, registered ring fd,
// all submissions of a round in the one call that waits, answers sent inline. What it leaves out:
// it looks at no byte of a request but the terminator. Every CR LF CR LF, in whatever split it
// arrives, is one GET that gets one answer; pipelined answers leave in one send.
//
// Invariants. A file descriptor is closed only when neither its receive nor a send is in flight, so
// a completion never meets a reused number. What a connection is owed is a count of bytes of one
// periodic stream (the same answer again and again), so a short send needs a phase and no buffer.
// The date inside the answers is patched once per second in place: a peer that stops reading in the
// middle of an answer may see the date change there, which is the one dishonesty of this program.
//
// Sends are inline: 5.31 us per request (5.27 at best) against 6.07 (5.52) through the ring.
// Method: `perf/http --servers raw,raw-ring`, 5 rounds of 4 s, medians, with spreads of 22 % and 13
// % on a 2-CPU KVM guest that was not quiet. `--send ring` keeps the other one measurable.

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <string_view>
#include <vector>

#include <arpa/inet.h>
#include <getopt.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

enum class send_mode : std::uint8_t { inline_first, ring };
enum class operation : std::uint8_t { accept, receive, send, stop };

constexpr unsigned sq_entries = 1024;   // > one receive and one send for each of 500 connections
constexpr unsigned cq_entries = 16384;  // a burst of 8,000 connections does not overflow
constexpr unsigned buffer_count = 1024; // power of two, as the kernel asks
constexpr unsigned buffer_size = 4096;  // 80 pipelined requests of wrk in one completion
constexpr int buffer_group = 0;
constexpr std::size_t answers_per_block = 65; // 64 to send plus one for any phase
constexpr std::string_view terminator = "\r\n\r\n";
constexpr send_mode default_send = send_mode::inline_first;

constexpr std::string_view answer_head = "HTTP/1.1 200 OK\r\nServer: librt\r\nDate: ";
constexpr std::string_view answer_date = "Thu, 01 Jan 1970 00:00:00 GMT";
constexpr std::string_view answer_tail = "\r\nContent-Type: text/plain; charset=utf-8\r\n"
                                         "Content-Length: 13\r\n\r\nHello, World!";
constexpr std::size_t answer_size = answer_head.size() + answer_date.size() + answer_tail.size();

struct connection {
    std::uint64_t owed = 0;    // bytes of answers not yet sent
    std::size_t phase = 0;     // where in the answer the next byte lies
    std::uint8_t matched = 0;  // bytes of the terminator seen at the end of the last read
    bool is_receiving = false; // the multishot receive is armed
    bool is_sending = false;   // a send is in flight on the ring
    bool is_closing = false;   // no more requests will come or be read
};

struct server {
    io_uring ring{};
    io_uring_buf_ring* buffers = nullptr;
    std::vector<char> memory;
    std::vector<connection> connections; // by file descriptor
    std::string block;                   // answers_per_block answers, back to back
    std::time_t block_second = 0;
    int listener = -1;
    int stop_fd = -1;
    send_mode mode = default_send;
    bool is_accepting = false;
    bool is_stopping = false;
};

[[noreturn]] void die(const char* what, int error) {
    std::fprintf(stderr, "raw-http: %s: %s\n", what, std::strerror(error));
    std::exit(1);
}

std::uint64_t tag(operation op, int fd) {
    return (static_cast<std::uint64_t>(op) << 32) | static_cast<std::uint32_t>(fd);
}

io_uring_sqe* next_sqe(server& self) {
    io_uring_sqe* sqe = io_uring_get_sqe(&self.ring);
    while (sqe == nullptr) { // full: hand over what is queued, without waiting
        io_uring_submit(&self.ring);
        sqe = io_uring_get_sqe(&self.ring);
    }
    return sqe;
}

// Answers -----------------------------------------------------------------------------------------

void refresh_date(server& self) {
    timespec now{};
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (now.tv_sec == self.block_second) {
        return;
    }
    self.block_second = now.tv_sec;
    tm parts{};
    gmtime_r(&now.tv_sec, &parts);
    std::array<char, 64> text{};
    std::size_t length =
        std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
    if (length != answer_date.size()) {
        die("date has an unexpected length", EINVAL);
    }
    for (std::size_t i = 0; i < answers_per_block; ++i) {
        self.block.replace(i * answer_size + answer_head.size(), length, text.data(), length);
    }
}

void build_block(server& self) {
    std::string one;
    one.append(answer_head).append(answer_date).append(answer_tail);
    for (std::size_t i = 0; i < answers_per_block; ++i) {
        self.block.append(one);
    }
    refresh_date(self);
}

/// Counts the request terminators in data. `matched` carries a terminator split over two reads.
unsigned count_requests(std::string_view data, std::uint8_t& matched) {
    unsigned requests = 0;
    const char* at = data.data();
    const char* end = at + data.size();
    while (at != end) {
        if (matched == 0) {
            at =
                static_cast<const char*>(std::memchr(at, '\r', static_cast<std::size_t>(end - at)));
            if (at == nullptr) {
                break;
            }
        }
        if (*at == terminator[matched]) {
            ++matched;
        } else {
            matched = *at == '\r' ? 1 : 0;
        }
        if (matched == terminator.size()) {
            ++requests;
            matched = 0;
        }
        ++at;
    }
    return requests;
}

// Connections -------------------------------------------------------------------------------------

void arm_accept(server& self) {
    if (self.is_accepting || self.is_stopping) {
        return;
    }
    io_uring_sqe* sqe = next_sqe(self);
    io_uring_prep_multishot_accept(sqe, self.listener, nullptr, nullptr, SOCK_CLOEXEC);
    io_uring_sqe_set_data64(sqe, tag(operation::accept, self.listener));
    self.is_accepting = true;
}

void arm_receive(server& self, int fd) {
    io_uring_sqe* sqe = next_sqe(self);
    io_uring_prep_recv_multishot(sqe, fd, nullptr, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = buffer_group;
    io_uring_sqe_set_data64(sqe, tag(operation::receive, fd));
    self.connections[static_cast<std::size_t>(fd)].is_receiving = true;
}

void arm_send(server& self, int fd, connection& peer) {
    std::size_t room = self.block.size() - peer.phase;
    std::size_t size = std::min<std::uint64_t>(peer.owed, room);
    io_uring_sqe* sqe = next_sqe(self);
    io_uring_prep_send(sqe, fd, self.block.data() + peer.phase, size, MSG_NOSIGNAL | MSG_WAITALL);
    io_uring_sqe_set_data64(sqe, tag(operation::send, fd));
    peer.is_sending = true;
}

void close_if_finished(server& self, int fd, connection& peer) {
    if (!peer.is_closing || peer.is_receiving || peer.is_sending || peer.owed != 0) {
        return;
    }
    close(fd);
    peer = connection{};
    arm_accept(self); // accept may have ended with EMFILE; a number is free now
}

void abandon(connection& peer, int fd) {
    peer.is_closing = true;
    peer.owed = 0;
    shutdown(fd, SHUT_RDWR); // ends the multishot receive, whose last completion closes
}

void account_sent(connection& peer, std::size_t bytes) {
    peer.owed -= bytes;
    peer.phase = (peer.phase + bytes) % answer_size;
}

void send_answers(server& self, int fd, connection& peer) {
    while (peer.owed != 0 && !peer.is_sending) {
        if (self.mode == send_mode::ring) {
            arm_send(self, fd, peer);
            return;
        }
        std::size_t size = std::min<std::uint64_t>(peer.owed, self.block.size() - peer.phase);
        ssize_t sent = send(fd, self.block.data() + peer.phase, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0) {
            account_sent(peer, static_cast<std::size_t>(sent));
        } else if (sent < 0 && (errno == EAGAIN || errno == EINTR)) {
            arm_send(self, fd, peer); // the ring waits for room
        } else {
            abandon(peer, fd);
        }
    }
}

// Completions -------------------------------------------------------------------------------------

void on_accept(server& self, const io_uring_cqe& cqe) {
    if ((cqe.flags & IORING_CQE_F_MORE) == 0) {
        self.is_accepting = false;
    }
    if (cqe.res >= 0) {
        int fd = cqe.res;
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (static_cast<std::size_t>(fd) >= self.connections.size()) {
            self.connections.resize(static_cast<std::size_t>(fd) * 2 + 1);
        }
        arm_receive(self, fd);
    }
    if (cqe.res != -EMFILE && cqe.res != -ENFILE) {
        arm_accept(self);
    }
}

void on_receive(server& self, int fd, const io_uring_cqe& cqe) {
    connection& peer = self.connections[static_cast<std::size_t>(fd)];
    peer.is_receiving = (cqe.flags & IORING_CQE_F_MORE) != 0;
    if ((cqe.flags & IORING_CQE_F_BUFFER) != 0) {
        unsigned id = cqe.flags >> IORING_CQE_BUFFER_SHIFT;
        char* data = self.memory.data() + std::size_t{id} * buffer_size;
        if (cqe.res > 0) {
            std::string_view bytes(data, static_cast<std::size_t>(cqe.res));
            unsigned requests = count_requests(bytes, peer.matched);
            peer.owed += peer.is_closing ? 0 : requests * answer_size;
        }
        int mask = io_uring_buf_ring_mask(buffer_count);
        io_uring_buf_ring_add(
            self.buffers, data, buffer_size, static_cast<unsigned short>(id), mask, 0
        );
        io_uring_buf_ring_advance(self.buffers, 1);
    }
    if (cqe.res == 0 || (cqe.res < 0 && cqe.res != -ENOBUFS && cqe.res != -EINTR)) {
        peer.is_closing = true;
    } else if (!peer.is_receiving && !peer.is_closing) {
        arm_receive(self, fd);
    }
    send_answers(self, fd, peer);
    close_if_finished(self, fd, peer);
}

void on_send(server& self, int fd, const io_uring_cqe& cqe) {
    connection& peer = self.connections[static_cast<std::size_t>(fd)];
    peer.is_sending = false;
    if (cqe.res <= 0) {
        abandon(peer, fd);
    } else if (peer.owed != 0) { // zero after abandon()
        account_sent(peer, static_cast<std::size_t>(cqe.res));
    }
    send_answers(self, fd, peer);
    close_if_finished(self, fd, peer);
}

void on_completion(server& self, const io_uring_cqe& cqe) {
    int fd = static_cast<int>(cqe.user_data & 0xffffffffU);
    switch (static_cast<operation>(cqe.user_data >> 32)) {
    case operation::accept:
        on_accept(self, cqe);
        break;
    case operation::receive:
        on_receive(self, fd, cqe);
        break;
    case operation::send:
        on_send(self, fd, cqe);
        break;
    case operation::stop:
        self.is_stopping = true;
        break;
    }
}

// Start-up ----------------------------------------------------------------------------------------

void set_up_ring(server& self) {
    io_uring_params params{};
    params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE;
    params.cq_entries = cq_entries;
    if (int error = io_uring_queue_init_params(sq_entries, &self.ring, &params); error < 0) {
        die("io_uring_queue_init (needs Linux 6.1 and io_uring allowed)", -error);
    }
    if (int error = io_uring_register_ring_fd(&self.ring); error < 0) {
        die("io_uring_register_ring_fd", -error);
    }
    std::size_t size = buffer_count * sizeof(io_uring_buf);
    void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        die("mmap", errno);
    }
    self.buffers = static_cast<io_uring_buf_ring*>(memory);
    io_uring_buf_reg registration{};
    registration.ring_addr = reinterpret_cast<std::uint64_t>(memory);
    registration.ring_entries = buffer_count;
    registration.bgid = buffer_group;
    if (int error = io_uring_register_buf_ring(&self.ring, &registration, 0); error < 0) {
        die("io_uring_register_buf_ring", -error);
    }
    io_uring_buf_ring_init(self.buffers);
    self.memory.resize(std::size_t{buffer_count} * buffer_size);
    for (unsigned i = 0; i < buffer_count; ++i) {
        char* data = self.memory.data() + std::size_t{i} * buffer_size;
        io_uring_buf_ring_add(
            self.buffers,
            data,
            buffer_size,
            static_cast<unsigned short>(i),
            io_uring_buf_ring_mask(buffer_count),
            static_cast<int>(i)
        );
    }
    io_uring_buf_ring_advance(self.buffers, buffer_count);
}

void set_up_listener(server& self, std::uint16_t port) {
    self.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    setsockopt(self.listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    if (bind(self.listener, reinterpret_cast<sockaddr*>(&address), length) != 0) {
        die("bind", errno);
    }
    if (listen(self.listener, 4096) != 0) {
        die("listen", errno);
    }
    getsockname(self.listener, reinterpret_cast<sockaddr*>(&address), &length);
    std::printf("listening on 127.0.0.1:%u\n", unsigned{ntohs(address.sin_port)});
    std::fflush(stdout);
}

void set_up_signals(server& self) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, nullptr);
    self.stop_fd = signalfd(-1, &set, SFD_CLOEXEC);
    if (self.stop_fd < 0) {
        die("signalfd", errno);
    }
}

void pin_to(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<std::size_t>(cpu), &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0) {
        die("sched_setaffinity", errno);
    }
}

void run(server& self) {
    io_uring_sqe* sqe = next_sqe(self);
    io_uring_prep_poll_add(sqe, self.stop_fd, POLLIN);
    io_uring_sqe_set_data64(sqe, tag(operation::stop, self.stop_fd));
    arm_accept(self);
    while (!self.is_stopping) {
        int error = io_uring_submit_and_wait(&self.ring, 1);
        if (error < 0 && error != -EINTR && error != -EBUSY) {
            die("io_uring_enter", -error);
        }
        refresh_date(self);
        io_uring_cqe* cqe = nullptr;
        unsigned head = 0;
        unsigned seen = 0;
        io_uring_for_each_cqe(&self.ring, head, cqe) {
            on_completion(self, *cqe);
            ++seen;
        }
        io_uring_cq_advance(&self.ring, seen);
    }
}

/// The whole number in text, or -1 when it is none or exceeds `most`.
long parse_number(const char* text, long most) {
    char* end = nullptr;
    errno = 0;
    long value = std::strtol(text, &end, 10);
    return errno != 0 || end == text || *end != '\0' || value < 0 || value > most ? -1 : value;
}

} // namespace

int main(int argc, char** argv) {
    server self;
    long port = 0;
    long cpu = CPU_SETSIZE; // unpinned
    const std::array<option, 4> options{{
        {"port", required_argument, nullptr, 'p'},
        {"cpu", required_argument, nullptr, 'c'},
        {"send", required_argument, nullptr, 's'},
        {nullptr, 0, nullptr, 0},
    }};
    for (int c = 0; (c = getopt_long(argc, argv, "", options.data(), nullptr)) != -1;) {
        bool is_good = c != '?';
        if (c == 'p') {
            port = parse_number(optarg, 65535);
        } else if (c == 'c') {
            cpu = parse_number(optarg, CPU_SETSIZE - 1);
        } else if (c == 's') {
            std::string_view mode = optarg;
            self.mode = mode == "ring" ? send_mode::ring : send_mode::inline_first;
            is_good = mode == "ring" || mode == "inline";
        }
        if (!is_good || port < 0 || cpu < 0 || optind < 0) {
            std::fprintf(stderr, "usage: raw-http [--port P] [--cpu C] [--send inline|ring]\n");
            return 2;
        }
    }
    if (cpu != CPU_SETSIZE) {
        pin_to(static_cast<int>(cpu)); // first, so that the ring's pages are local
    }
    build_block(self);
    set_up_signals(self);
    set_up_ring(self);
    set_up_listener(self, static_cast<std::uint16_t>(port));
    run(self);
    io_uring_queue_exit(&self.ring);
    return 0;
}
