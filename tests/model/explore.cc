// SPDX-License-Identifier: MIT
//
// The explorer's engine: fibers and decisions. See explore.h; memory.cc has the rest.
//
// Fibers are entered once with makecontext and from then on with _setjmp and _longjmp, which make
// no system call. A fiber whose execution was cut off is simply left where it is: its next
// execution jumps back to the top of its stack, where enter_fiber has a setjmp of its own.
#include "model/explore.h"

#include "model/fiber.h"

#include <algorithm>
#include <charconv>
#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include <ucontext.h>

namespace rt::model {

namespace {

enum reason : int { reason_done, reason_cut, reason_failed }; // why an execution ends

std::jmp_buf home; // the explorer's own stack

// Of a constructor or of at_end: they would be left there without a word.
constexpr char waits_outside[] = "somebody waits while no fiber runs, so nobody can end it";

constexpr std::array crash_signals{SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};

} // namespace

struct machine::handlers {
    std::array<struct sigaction, crash_signals.size()> actions;
    std::array<std::byte, 64 * 1024> memory;
    stack_t stack{.ss_sp = memory.data(), .ss_flags = 0, .ss_size = memory.size()};
};

machine::machine()
    : former_(new handlers) {
    for (unsigned i = 0; i < fibers_max; ++i) {
        fibers_.push_back(new fiber);
    }
}

machine& machine::instance() {
    static auto* const only = new machine; // fibers may be in it until the process ends
    return *only;
}

// ---- executions ---------------------------------------------------------------------------------

void machine::begin(const options& wanted, unsigned fibers) {
    if (fibers > fibers_max) {
        std::abort();
    }
    options_ = wanted;
    fiber_count_ = fibers;
    result_ = {};
    has_given_up_ = false;
    path_.clear();
    visited_.clear();
    is_tracing_ = wanted.is_verbose;
    locals_.clear();
    // Code that a broken machine has misled may crash, which is as good a failure as any.
    ::sigaltstack(&former_->stack, nullptr);
    struct sigaction action {};
    action.sa_handler = &on_crash;
    action.sa_flags = SA_ONSTACK | SA_NODEFER; // left by a jump, which does not unblock anything
    for (std::size_t i = 0; i < crash_signals.size(); ++i) {
        ::sigaction(crash_signals[i], &action, &former_->actions[i]);
    }
}

void machine::reset_locations() {
    for (unsigned i = 0; i < location_count_; ++i) {
        locations_[i].stores.clear();
    }
    location_count_ = 0;
    freed_.clear();
    store_count_ = 0;
    sc_view_ = {};
    sc_chain_ = 0;
}

void machine::add_thread_local(void* block, std::size_t bytes) {
    for (local_block& each : locals_) {
        if (each.live == block) {
            return;
        }
    }
    locals_.push_back({block, bytes, {}});
}

void* machine::thread_local_of(unsigned fiber, const void* block) {
    for (local_block& each : locals_) {
        if (each.live == block) {
            return each.copies[fiber].data();
        }
    }
    fail("not a thread-local block");
}

bool machine::execute(body_function body, void* scenario) {
    body_ = body;
    scenario_ = scenario;
    current_ = last_ = -1;
    preemptions_ = 0;
    steps_ = 0;
    depth_ = 0;
    ++result_.executions;
    if (is_tracing_) {
        result_.trace.clear();
    }
    for (unsigned i = 0; i < fiber_count_; ++i) {
        fiber& each = *fibers_[i];
        each.now = fiber::state::fresh;
        each.is_so = nullptr;
        each.history = each.operations = each.stores = 0;
        each.others_at_spin = ~std::uint64_t{0};
        each.seen = each.released = each.pending = {};
    }
    for (local_block& each : locals_) {
        const auto* const bytes = static_cast<std::byte*>(each.live);
        each.copies.assign(fiber_count_, std::vector<std::byte>(bytes, bytes + each.bytes));
    }
    reason_ = reason_done;
    is_one_step_ = false;
    if (_setjmp(home) == 0) {
        const int first = next_fiber();
        if (first >= 0) {
            switch_to(first);
        }
    }
    current_ = -1;
    return reason_ == reason_done;
}

bool machine::is_stuck() const {
    for (unsigned i = 0; i < fiber_count_; ++i) {
        if (fibers_[i]->now != fiber::state::done) {
            return true;
        }
    }
    return false;
}

bool machine::attempt(void (*step)(void*), void* context) {
    if (_setjmp(home) != 0) {
        return false;
    }
    step(context);
    return true;
}

bool machine::advance() {
    result_.steps += steps_;
    result_.deepest = std::max(result_.deepest, static_cast<unsigned>(depth_));
    if (result_.executions >= options_.executions_max) {
        result_.failure = "too many executions: the scenario is too large";
        has_given_up_ = true;
        return false;
    }
    while (!path_.empty() && path_.back().chosen + 1 == path_.back().count) {
        path_.pop_back();
    }
    if (path_.empty()) {
        return false;
    }
    ++path_.back().chosen;
    return true;
}

report machine::finish() {
    for (std::size_t i = 0; i < crash_signals.size(); ++i) {
        ::sigaction(crash_signals[i], &former_->actions[i], nullptr);
    }
    result_.states = visited_.size();
    visited_.clear();
    return std::move(result_);
}

void machine::fail(const char* text) {
    if (!is_ignoring_) {
        result_.failure = text;
    }
    leave(reason_failed);
}

void machine::on_crash(int signal) {
    switch (signal) {
    case SIGABRT:
        instance().fail("a crash: abort");
    case SIGSEGV:
        instance().fail("a crash: bad address");
    default:
        instance().fail("a crash");
    }
}

void machine::show_failure() {
    is_tracing_ = true;
    result_.failure.clear();
    --result_.executions;
}

void machine::leave(int reason) {
    reason_ = reason;
    _longjmp(home, 1);
}

// ---- fibers -------------------------------------------------------------------------------------

void machine::enter_fiber() {
    machine& m = instance();
    fiber& self = *m.fibers_[m.current()];
    static_cast<void>(_setjmp(self.top)); // each further execution comes back to this line
    m.trampoline();
}

void machine::trampoline() {
    body_(scenario_, current());
    fiber& self = *fibers_[current()];
    end_life(self.stack.get(), fiber_stack_bytes); // who wakes it now has come too late
    self.now = fiber::state::done;
    step("ends");
    const int next = next_fiber();
    if (next < 0) {
        leave(reason_done);
    }
    switch_to(next);
    std::abort();
}

void machine::switch_to(int next) {
    const int before = current_;
    if (before == next) {
        return;
    }
    for (local_block& each : locals_) {
        if (before >= 0) {
            std::memcpy(each.copies[static_cast<unsigned>(before)].data(), each.live, each.bytes);
        }
        std::memcpy(each.live, each.copies[static_cast<unsigned>(next)].data(), each.bytes);
    }
    current_ = next;
    last_ = next;
    fiber& to = *fibers_[static_cast<unsigned>(next)];
    if (before >= 0 && _setjmp(fibers_[static_cast<unsigned>(before)]->here) != 0) {
        return;
    }
    if (to.now != fiber::state::fresh) {
        _longjmp(to.here, 1);
    }
    to.now = fiber::state::running;
    if (to.is_entered) {
        _longjmp(to.top, 1);
    }
    to.is_entered = true;
    getcontext(&to.first);
    to.first.uc_stack.ss_sp = to.stack.get();
    to.first.uc_stack.ss_size = fiber_stack_bytes;
    to.first.uc_link = nullptr;
    makecontext(&to.first, &machine::enter_fiber, 0);
    setcontext(&to.first);
    std::abort();
}

bool machine::is_enabled(unsigned index) const {
    const fiber& each = *fibers_[index];
    return each.now != fiber::state::done && (each.is_so == nullptr || each.is_so(each.context));
}

// Who goes on, or -1 when nobody can. The fiber that ran last comes first, so that the first path
// tried has no preemption.
int machine::next_fiber() {
    std::array<int, fibers_max> candidates{};
    unsigned count = 0;
    const bool can_stay = last_ >= 0 && is_enabled(static_cast<unsigned>(last_));
    if (can_stay) {
        candidates[count++] = last_;
    }
    if (!can_stay || preemptions_ < options_.preemptions_max) {
        for (unsigned i = 0; i < fiber_count_; ++i) {
            if (static_cast<int>(i) != last_ && is_enabled(i)) {
                candidates[count++] = static_cast<int>(i);
            }
        }
    }
    if (count == 0) {
        return -1;
    }
    // With a bound it matters who ran last and what is left of the bound.
    const bool is_bounded = options_.preemptions_max != ~0U;
    const std::uint64_t salt =
        is_bounded ? 16U * preemptions_ + static_cast<std::uint64_t>(last_ + 1) : 0;
    const unsigned chosen = decide(count, salt);
    if (can_stay && chosen != 0) {
        ++preemptions_;
    }
    return candidates[chosen];
}

// Called before each operation: somebody else may go first.
void machine::point() {
    if (!is_running()) {
        fail(waits_outside);
    }
    if (std::exchange(is_one_step_, false)) {
        return;
    }
    if (++steps_ > steps_max) {
        fail("a livelock: the execution does not end");
    }
    const int next = next_fiber();
    if (next < 0) {
        leave(reason_done); // this fiber waits, like everybody else
    }
    switch_to(next);
}

void machine::wait_until(bool (*is_so)(void*), void* context, bool is_one_step) {
    if (!is_running()) {
        fail(waits_outside);
    }
    fiber& self = *fibers_[current()];
    self.is_so = is_so;
    self.context = context;
    point();
    self.is_so = nullptr;
    if (options_.is_weak) {
        is_peeking_ = true;
        static_cast<void>(is_so(context));
        is_peeking_ = false;
    }
    remember(7);
    step("has waited");
    is_one_step_ = is_one_step;
}

void machine::spin() {
    if (!is_running()) {
        return;
    }
    fiber& self = *fibers_[current()];
    const auto others = [this, &self] {
        return store_count_ - self.stores;
    };
    if (others() == self.others_at_spin) {
        model::wait_until([&] { return others() != self.others_at_spin; });
    }
    self.others_at_spin = others();
    remember(mix(9, self.others_at_spin)); // when it may go on next depends on it
    if (options_.is_weak) {
        for (unsigned i = 0; i < location_count_; ++i) {
            self.seen.at[i] = static_cast<std::uint8_t>(locations_[i].stores.size() - 1);
        }
    }
}

// ---- decisions ----------------------------------------------------------------------------------

std::uint64_t machine::memory_hash() const {
    std::uint64_t hash = sc_chain_;
    for (unsigned i = 0; i < location_count_; ++i) {
        hash ^= mix(reinterpret_cast<std::uintptr_t>(locations_[i].address), locations_[i].chain);
    }
    return hash;
}

std::uint64_t machine::state_hash() const {
    std::uint64_t hash = memory_hash();
    for (unsigned i = 0; i < fiber_count_; ++i) {
        const fiber& each = *fibers_[i];
        hash ^= mix(i + 1, mix(each.history, static_cast<std::uint64_t>(each.now)));
    }
    return hash;
}

unsigned machine::decide(unsigned count, std::uint64_t salt) {
    if (count == 1) {
        return 0;
    }
    if (depth_ == path_.size()) {
        if (!visited_.insert(mix(state_hash(), salt))) {
            leave(reason_cut);
        }
        path_.push_back({0, static_cast<std::uint8_t>(count)});
    }
    return path_[depth_++].chosen;
}

unsigned machine::choose(unsigned count) {
    const unsigned chosen = decide(count, 1000 + current());
    remember(mix(8, chosen));
    return chosen;
}

void machine::remember(std::uint64_t what) {
    fiber& self = *fibers_[current()];
    self.history = mix(self.history, what);
}

// ---- traces -------------------------------------------------------------------------------------

void machine::step(const char* what) {
    write_trace(what, nullptr, 0);
}

void machine::note(const char* text) {
    if (is_running()) {
        write_trace(text, nullptr, 0);
    }
}

void machine::write_trace(const char* what, const void* address, std::uint64_t value) {
    if (!is_tracing_) {
        return;
    }
    char line[160];
    const int length = std::snprintf(
        line,
        sizeof(line),
        address != nullptr ? "  %u: %s %p = %llx\n" : "  %u: %s\n",
        current(),
        what,
        address,
        static_cast<unsigned long long>(value)
    );
    result_.trace.append(line, static_cast<std::size_t>(length));
}

unsigned wanted_depth() {
    const char* const text = std::getenv("RT_MODEL_DEPTH");
    unsigned depth = 0;
    if (text != nullptr) {
        std::from_chars(text, text + std::strlen(text), depth);
    }
    return depth;
}

} // namespace rt::model
