// SPDX-License-Identifier: MIT
//
// Accepting, polling, and the limits on clients.
//
// epoll, level-triggered: a client is polled for input while it is reading or draining and for
// output while it is writing, so that a peer which sends without reading cannot make the loop spin.
// A request is answered where it is read, on this thread: the next client waits for it, which the
// deadlines of dump.cc bound.
#include "introspect/server.h"

#include "base/clock.h"

#include <algorithm>
#include <cerrno>
#include <new>
#include <utility>

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

namespace rt::introspect {
namespace {

constexpr std::size_t events_max = 32;
constexpr std::uint64_t no_descriptor_pause_ns = 100 * base::ns_per_millisecond;
constexpr std::uint64_t full_pause_ns = 20 * base::ns_per_millisecond;
constexpr std::size_t answer_bytes_min = std::size_t{1} << 20U;

int open_reserve() noexcept {
    return ::open("/dev/null", O_RDONLY | O_CLOEXEC);
}

bool watch(int epoll, int operation, int fd, std::uint32_t events, void* what) noexcept {
    epoll_event event{};
    event.events = events;
    event.data.ptr = what;
    return ::epoll_ctl(epoll, operation, fd, &event) == 0;
}

// Whether the peer may look: our own user, or root. The overflow uid, which stands for users of
// other namespaces, is neither unless it is us, and then it could be anybody.
bool is_allowed(int fd, uid_t& peer) noexcept {
    constexpr uid_t overflow_uid = 65534;
    ucred credentials{};
    socklen_t size = sizeof(credentials);
    if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
        peer = overflow_uid;
        return false;
    }
    peer = credentials.uid;
    return peer == 0 || (peer == ::geteuid() && peer != overflow_uid);
}

} // namespace

result<std::unique_ptr<server>> server::make(base::unique_fd listener, std::string path) {
    std::unique_ptr<server> made(new server);
    made->service_.socket_path = std::move(path);
    made->listener_ = std::move(listener);
    made->epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
    if (!made->epoll_) {
        return failure(errno, "epoll_create1");
    }
    made->wake_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!made->wake_) {
        return failure(errno, "eventfd");
    }
    made->reserve_.reset(open_reserve());
    for (const base::unique_fd* const one : {&made->listener_, &made->epoll_, &made->wake_}) {
        made->remember(one->get());
    }
    made->remember(made->reserve_.get());
    if (!watch(
            made->epoll_.get(), EPOLL_CTL_ADD, made->listener_.get(), EPOLLIN, &made->listener_
        ) ||
        !watch(made->epoll_.get(), EPOLL_CTL_ADD, made->wake_.get(), EPOLLIN, &made->wake_)) {
        return failure(errno, "epoll_ctl");
    }
    return made;
}

void server::stop() noexcept {
    is_stopping_.store_release(true); // release: pairs with run()
    const std::uint64_t one = 1;
    static_cast<void>(!::write(wake_.get(), &one, sizeof(one)));
}

void server::run() noexcept {
    std::array<epoll_event, events_max> events;
    // acquire: pairs with stop().
    while (!is_stopping_.load_acquire()) {
        const int timeout = timeout_ms(base::monotonic_ns());
        const int ready = ::epoll_wait(epoll_.get(), events.data(), events.size(), timeout);
        bool is_knocking = false;
        for (int i = 0; i < ready; ++i) {
            void* const what = events[static_cast<std::size_t>(i)].data.ptr;
            if (what == &listener_) {
                is_knocking = true;
            } else if (what != &wake_) {
                serve(*static_cast<connection*>(what));
            }
        }
        expire(base::monotonic_ns());
        drop_done(); // from here on no event refers to a client that is gone
        if (is_knocking) {
            accept_all();
        }
    }
    for (const std::unique_ptr<connection>& client : clients_) {
        client->on_time();
    }
    drop_done();
}

// Each client is served as far as it goes before the next is let in, so that clients which have
// come and gone again do not count against the limit.
void server::accept_all() noexcept {
    for (std::size_t i = 0; i < clients_max && clients_.size() < connections_max; ++i) {
        if (!accept_one()) {
            break;
        }
        serve(*clients_.back());
        drop_done();
    }
    if (clients_.size() == connections_max) {
        pause_listening(full_pause_ns); // the others wait in the backlog
    }
}

bool server::accept_one() noexcept {
    int code = 0;
    base::unique_fd fd;
    {
        const std::lock_guard hold(fork_lock_);
        fd.reset(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        code = errno;
        if (!fd && (code == EMFILE || code == ENFILE) && reserve_) {
            forget(reserve_.get());
            reserve_.reset();
            fd.reset(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
            code = errno;
        }
        remember(fd.get());
    }
    const int number = fd.get();
    if (fd) {
        try {
            add_client(std::move(fd));
            return true;
        } catch (const std::bad_alloc&) {
            // The connection is closed; there is nothing to tell the client with.
            const std::lock_guard hold(fork_lock_);
            forget(number);
            return false;
        }
    }
    if (code == EMFILE || code == ENFILE || code == ENOBUFS || code == ENOMEM) {
        // The connection stays in the backlog, and the listener ready: do not spin on it.
        pause_listening(no_descriptor_pause_ns);
    }
    return false;
}

void server::add_client(base::unique_fd fd) {
    status refusal = status::ok;
    std::string reason;
    uid_t peer = 0;
    if (!is_allowed(fd.get(), peer)) {
        refusal = status::forbidden;
        reason = "uid " + std::to_string(peer) + " may not look into a process of uid " +
            std::to_string(::geteuid()) + "; try sudo";
    } else if (count_served() >= clients_max) {
        refusal = status::unavailable;
        reason = "busy: " + std::to_string(clients_max) + " clients are connected; try again";
    }
    const int number = fd.get();
    clients_.push_back(std::make_unique<connection>(
        std::move(fd), base::monotonic_ns(), refusal, std::move(reason)
    ));
    connection& client = *clients_.back();
    if (!watch(epoll_.get(), EPOLL_CTL_ADD, number, EPOLLIN, &client)) {
        client.on_time();
    }
}

void server::serve(connection& client) noexcept {
    if (client.at() == connection::step::done) {
        return;
    }
    service_.counts.clients = static_cast<std::uint32_t>(clients_.size());
    const connection::step before = client.at();
    client.on_ready(service_, answer_limit());
    if (client.at() != before) {
        update(client);
    }
}

void server::update(connection& client) noexcept {
    const std::uint32_t events = client.at() == connection::step::writing ? EPOLLOUT : EPOLLIN;
    if (client.at() != connection::step::done &&
        !watch(epoll_.get(), EPOLL_CTL_MOD, client.fd(), events, &client)) {
        client.on_time();
    }
}

void server::expire(std::uint64_t now_ns) noexcept {
    for (const std::unique_ptr<connection>& client : clients_) {
        if (client->deadline_ns() <= now_ns) {
            client->on_time();
        }
    }
    if (!is_listening_ && listen_again_ns_ <= now_ns) {
        set_listening(true);
    }
}

void server::drop_done() {
    const std::lock_guard hold(fork_lock_);
    std::erase_if(clients_, [this](const std::unique_ptr<connection>& client) {
        if (client->at() != connection::step::done) {
            return false;
        }
        // Closing alone would leave it in the epoll while a forked child has the file open.
        static_cast<void>(::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, client->fd(), nullptr));
        forget(client->fd());
        return true;
    });
    service_.counts.clients = static_cast<std::uint32_t>(clients_.size());
    if (!reserve_) {
        reserve_.reset(open_reserve());
        remember(reserve_.get());
    }
}

void server::remember(int fd) noexcept {
    const auto unused = std::find(open_fds_.begin(), open_fds_.end(), -1);
    if (fd >= 0 && unused != open_fds_.end()) {
        *unused = fd;
    }
}

void server::forget(int fd) noexcept {
    std::replace(open_fds_.begin(), open_fds_.end(), fd, -1);
}

void server::set_listening(bool on) noexcept {
    if (on != is_listening_ &&
        watch(epoll_.get(), EPOLL_CTL_MOD, listener_.get(), on ? EPOLLIN : 0U, &listener_)) {
        is_listening_ = on;
    }
}

void server::pause_listening(std::uint64_t duration_ns) noexcept {
    set_listening(false);
    listen_again_ns_ = base::monotonic_ns() + duration_ns;
}

int server::timeout_ms(std::uint64_t now_ns) const noexcept {
    std::uint64_t next_ns = is_listening_ ? UINT64_MAX : listen_again_ns_;
    for (const std::unique_ptr<connection>& client : clients_) {
        next_ns = std::min(next_ns, client->deadline_ns());
    }
    if (next_ns == UINT64_MAX) {
        return -1;
    }
    const std::uint64_t left_ns = next_ns > now_ns ? next_ns - now_ns : 0;
    return static_cast<int>(left_ns / base::ns_per_millisecond + 1);
}

std::size_t server::answer_limit() const noexcept {
    std::size_t held = 0;
    for (const std::unique_ptr<connection>& client : clients_) {
        held += client->held_bytes();
    }
    return std::max(answer_bytes_min, answer_bytes_max - std::min(held, answer_bytes_max));
}

std::size_t server::count_served() const noexcept {
    return static_cast<std::size_t>(std::count_if(
        clients_.begin(),
        clients_.end(),
        [](const auto& client) {
            return !client->is_refused() && client->at() != connection::step::draining;
        }
    ));
}

void server::after_fork_in_child() noexcept {
    for (const int fd : open_fds_) {
        if (fd >= 0) {
            ::close(fd);
        }
    }
}

} // namespace rt::introspect
