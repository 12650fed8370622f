// SPDX-License-Identifier: MIT
//
// explore: runs a small concurrent program under every interleaving, and says which one breaks it.
//
// A scenario is a struct with `threads` bodies over model atomics (model/atomic.h). The explorer
// runs the bodies as fibers on this one thread, stops before every atomic operation and decides who
// goes on; it does so depth first, replaying the program from the start for each new path, until no
// decision is left untried. A path that comes to a state which another has visited is cut off
// there.
//
//     struct scenario {
//         static constexpr unsigned threads = 2;
//         void run(unsigned thread);      // the body of each
//         void at_end(bool is_stuck);     // checks; is_stuck: somebody still waits in wait_until
//     };
//     model::report report = model::explore<scenario>({});
//
// States. A body is deterministic: what it does next depends on what its operations returned. So a
// state is, per fiber, the chain of (operation, identity of the store it read from) and, per
// atomic, the chain of its stores. Both are kept as 64-bit hashes; that two different states hash
// alike is the one way in which a path can be missed. Plain shared data need not be hashed as long
// as the program is free of data races on it: the chains then determine it (TSan looks after the
// rest).
//
// Memory. With options::is_weak unset, interleavings are sequentially consistent. With it set, a
// load may return any store that coherence and the views gathered through acquire, release and
// seq_cst fences still allow: C++'s model without load buffering, and with modification order equal
// to the order in which stores are executed.
//
// Limits: everything lives in fixed tables; a scenario that outgrows one fails loudly. Scenarios
// must not keep state outside of themselves, nor rely on addresses of the heap.
// Rejected: real threads with a baton (20 times slower, and no faster to write), and random walks
// (tests/stress does that on the real thing).
#pragma once

#include "model/visited.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <string>
#include <vector>

namespace rt::model {

// Ways to break the machine, to see that a scenario notices. A scenario that passes on a broken
// machine proves nothing.
enum class fault : std::uint8_t {
    none,
    torn_rmw,   // a read-modify-write is a load, a gap and a store
    no_fences,  // fences do nothing; weak only
    no_release, // release orders nothing; weak only
    no_acquire, // acquire orders nothing; weak only
    no_seq_cst, // seq_cst is no more than acquire and release; weak only
    no_wake,    // waking a thread, by futex or descriptor, does nothing
};

struct options {
    bool is_weak = false;
    fault broken = fault::none;
    // Switches away from a fiber that could have gone on; no bound by default.
    unsigned preemptions_max = ~0U;
    // Gives up, as a failure, after that many executions.
    std::uint64_t executions_max = 200'000'000;
    // Shows every step of every execution (of a small scenario, to see what is going on).
    bool is_verbose = false;
};

struct report {
    std::uint64_t executions = 0;
    std::uint64_t states = 0;
    std::uint64_t steps = 0;
    unsigned deepest = 0;
    std::string failure; // empty: every interleaving passed
    std::string trace;   // the failing one, an operation a line

    [[nodiscard]] bool is_good() const { return failure.empty(); }
};

enum class order : std::uint8_t { relaxed, acquire, release, acq_rel, seq_cst };

inline constexpr unsigned fibers_max = 5;
inline constexpr unsigned locations_max = 64;
inline constexpr unsigned stores_max = 96;  // to one location in one execution; weak only
inline constexpr unsigned steps_max = 4000; // of one execution: more is a livelock
inline constexpr std::size_t fiber_stack_bytes = 256 * 1024;

// What the fibers and the atomics see of the explorer.
class machine {
public:
    static machine& instance();

    // Whether a fiber is running; set-up and checks are not explored.
    [[nodiscard]] bool is_running() const { return current_ >= 0; }
    [[nodiscard]] bool is_broken(fault how) const { return options_.broken == how; }
    [[nodiscard]] unsigned current() const { return static_cast<unsigned>(current_); }

    // An operation on the word at `address`. `size` bytes; values travel as 64 bits.
    std::uint64_t load(void* address, std::size_t size, order with);
    void store(void* address, std::size_t size, std::uint64_t value, order with);
    // change(old, context) gives the new value, or sets *is_kept to leave the word alone (a failed
    // compare-and-swap). Returns the old value.
    using change_function = std::uint64_t (*)(std::uint64_t old, void* context, bool* is_kept);
    std::uint64_t
    modify(void* address, std::size_t size, change_function change, void* context, order with);
    void fence(order with);

    // Suspends the fiber until is_so(context). What it waits for must change by an operation; the
    // caller then reads it with one. Others may go in between, unless `is_one_step`: then waiting
    // and the caller's next operation are one.
    void wait_until(bool (*is_so)(void*), void* context, bool is_one_step);

    // Pauses in a loop that spins: waits until somebody else has stored something since the fiber's
    // last pause, and sees it. Of two that store while they spin for each other it makes a
    // livelock.
    void spin();

    // The next operation belongs to the one before: nobody comes in between.
    void join_next() { is_one_step_ = true; }

    // An atomic begins its life at `address`, where another one may have ended.
    void begin_life(void* address, std::size_t size, std::uint64_t value);

    // The memory is freed: no operation may touch it any more in this execution.
    void end_life(const void* memory, std::size_t bytes);

    // A condition has looked at the word at `address`. In weak memory who has waited has seen it.
    void peek(const void* address);

    // One of `count` ways to go on, all of which are tried.
    unsigned choose(unsigned count);

    // Ends this execution as a failure.
    [[noreturn]] void fail(const char* text);

    // A block that each fiber has its own copy of: stands for thread-local data.
    void add_thread_local(void* block, std::size_t bytes);

    // The copy that another fiber has of it: what a signal handler sees that interrupts that one.
    [[nodiscard]] void* thread_local_of(unsigned fiber, const void* block);

    // A line of the trace, in words.
    void note(const char* text);

    // For explore().
    using body_function = void (*)(void* scenario, unsigned fiber);
    void begin(const options& wanted, unsigned fibers);
    [[nodiscard]] bool execute(body_function body, void* scenario); // false: it was cut off
    [[nodiscard]] bool is_stuck() const;
    // Calls what belongs to an execution but is not explored. False: it failed, and was left.
    bool attempt(void (*step)(void*), void* context);
    [[nodiscard]] bool advance(); // to the next path; false: all have been tried
    void show_failure();          // the next execution repeats the one that failed, and is traced
    [[nodiscard]] bool has_failed() const { return !result_.failure.empty(); }
    [[nodiscard]] bool has_given_up() const { return has_given_up_; } // not a path's failure
    [[nodiscard]] report finish();
    void reset_locations();
    void ignore_failures(bool shall = true) { is_ignoring_ = shall; }

private:
    struct view {
        std::array<std::uint8_t, locations_max> at{};
        void join(const view& other);
    };
    struct message {
        std::uint64_t value;
        std::uint64_t tag;
        view released;
    };
    struct location {
        void* address = nullptr;
        std::uint64_t chain = 0; // hash of all stores in order
        std::uint64_t last_tag = 0;
        unsigned index = 0;
        unsigned newest_seq_cst = 0; // of the stores: a seq_cst load returns no older one
        std::vector<message> stores; // weak only
    };
    struct fiber;
    struct decision {
        std::uint8_t chosen;
        std::uint8_t count;
    };

    machine();
    location& find(void* address, std::size_t size);
    [[nodiscard]] bool is_freed(const void* address) const;
    void step(const char* what);
    void point();
    void switch_to(int next);
    void trampoline();
    static void enter_fiber();
    static void on_crash(int signal);
    unsigned decide(unsigned count, std::uint64_t salt);
    int next_fiber();
    void append(location& at, std::uint64_t value, order with, const view* carried);
    void read(location& at, const message& from, bool is_acquire);
    void remember(std::uint64_t what);
    void write_trace(const char* what, const void* address, std::uint64_t value);
    [[nodiscard]] std::uint64_t memory_hash() const;
    [[nodiscard]] std::uint64_t state_hash() const;
    [[nodiscard]] bool is_enabled(unsigned fiber) const;
    [[noreturn]] void leave(int reason);

    options options_;
    report result_;
    bool has_given_up_ = false;
    struct handlers;
    handlers* former_ = nullptr; // of the signals that a crash raises
    unsigned fiber_count_ = 0;
    int current_ = -1;
    int last_ = -1;
    int reason_ = 0;
    bool is_one_step_ = false; // the next operation belongs to the wait that has just ended
    bool is_peeking_ = false;  // peek() means the current fiber
    unsigned preemptions_ = 0;
    unsigned steps_ = 0;
    std::size_t depth_ = 0;
    bool is_tracing_ = false;
    bool is_ignoring_ = false;
    std::vector<decision> path_;
    visited_set visited_;
    std::array<location, locations_max> locations_;
    unsigned location_count_ = 0;
    std::uint64_t store_count_ = 0; // in this execution
    view sc_view_;
    std::uint64_t sc_chain_ = 0;
    body_function body_ = nullptr;
    void* scenario_ = nullptr;
    std::vector<fiber*> fibers_;
    struct local_block {
        void* live;
        std::size_t bytes;
        std::vector<std::vector<std::byte>> copies;
    };
    std::vector<local_block> locals_;
    struct range {
        std::uintptr_t first;
        std::uintptr_t end;
    };
    std::vector<range> freed_;
};

inline void check(bool is_so, const char* text) {
    if (!is_so) {
        machine::instance().fail(text);
    }
}

template<typename Predicate>
void wait_until(Predicate is_so, bool is_one_step = false) {
    machine::instance().wait_until(
        [](void* context) { return (*static_cast<Predicate*>(context))(); }, &is_so, is_one_step
    );
}

template<typename Function>
bool attempt(machine& m, Function step) {
    return m.attempt([](void* context) { (*static_cast<Function*>(context))(); }, &step);
}

// One execution, along the path that the machine is at.
template<typename Scenario, typename... Args>
void execute_once(machine& m, const Args&... arguments) {
    // One place for all executions: addresses are part of states.
    alignas(128) static std::byte storage[sizeof(Scenario)];
    m.reset_locations();
    std::memset(storage, 0, sizeof(storage));
    auto* const scenario = reinterpret_cast<Scenario*>(storage);
    if (!attempt(m, [&] { ::new (static_cast<void*>(storage)) Scenario(arguments...); })) {
        return;
    }
    const bool is_complete =
        m.execute([](void* s, unsigned fiber) { static_cast<Scenario*>(s)->run(fiber); }, scenario);
    if (!is_complete || !attempt(m, [&] { scenario->at_end(m.is_stuck()); })) {
        m.ignore_failures(); // a world that was left in the middle need not come apart cleanly
    }
    static_cast<void>(attempt(m, [&] { scenario->~Scenario(); }));
    m.ignore_failures(false);
}

// Runs every interleaving of Scenario, until one fails. `arguments` go to its constructor.
template<typename Scenario, typename... Args>
report explore(const options& wanted, const Args&... arguments) {
    machine& m = machine::instance();
    m.begin(wanted, Scenario::threads);
    do {
        execute_once<Scenario>(m, arguments...);
    } while (!m.has_failed() && m.advance());
    if (m.has_failed() && !m.has_given_up()) {
        m.show_failure();
        execute_once<Scenario>(m, arguments...);
    }
    return m.finish();
}

// How deep `make model` goes: the value of RT_MODEL_DEPTH, 0 in `make check`.
unsigned wanted_depth();

} // namespace rt::model
