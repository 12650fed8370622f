// SPDX-License-Identifier: MIT
//
// The harness of the benchmarks: a program is a list of rows, a row is a function that prepares its
// workload and hands it to one of the three ways to measure.
//
//     void spawn_empty(perf::bench& b) {
//         rt::runtime runtime({.workers = b.workers()});
//         b.measure([&] { runtime.block_on(spawn_and_join()); });
//     }
//
// measure           times an iteration, again and again, in batches
// measure_batches   the same when a batch can be run at less cost than its iterations one by one,
//                   or when not all of it counts: the function says how long its batch took
// samples           collects latencies that the workload has timed itself
//
// Method: batches are doubled until one lasts 10 ms and the warm-up is over (a third of the time of
// measuring, 1 s at most), then batches of about 10 ms are run for the time asked for. Median,
// minimum and 90th percentile are over the means of the batches, so an iteration of less than 10 ms
// is never judged by its luckiest run. CPU time is that of the whole process, all threads, divided
// by the iterations. With --smoke a row runs one iteration, which shows that it works and no more.
//
// One process measures one row: allocator, page cache of the process and clock of the processor are
// then the same for every row, whatever ran before. The result is one line of JSON.
//
// Includes nothing of librt, so that peers in C++ use the same harness. Used from the main thread;
// samples may be added by any one thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace perf {

// CLOCK_MONOTONIC in nanoseconds.
[[nodiscard]] std::uint64_t now_ns() noexcept;

// Makes the compiler believe that the value is used, and that memory may have changed.
template<typename T>
inline void keep(const T& value) noexcept {
    asm volatile("" : : "r"(&value) : "memory");
}

// What the command line says.
struct arguments {
    std::uint32_t workers = 2;
    double seconds = 3;
    bool is_smoke = false;
};

class bench {
public:
    using batch_function = std::function<std::uint64_t(std::uint64_t)>;

    bench(const char* row, const arguments& wanted)
        : row_(row)
        , wanted_(wanted) {}

    // Worker threads of the runtime to make. 0 stands for a runtime on the calling thread.
    [[nodiscard]] std::uint32_t workers() const noexcept { return wanted_.workers; }
    // For rows that leave no choice.
    void set_workers(std::uint32_t workers) noexcept { wanted_.workers = workers; }
    // Whether anything that can be made smaller should be.
    [[nodiscard]] bool is_smoke() const noexcept { return wanted_.is_smoke; }

    // Times `iteration()`.
    template<typename F>
    void measure(F&& iteration) {
        measure_batches([&](std::uint64_t count) {
            const std::uint64_t begin = now_ns();
            for (std::uint64_t i = 0; i < count; ++i) {
                iteration();
            }
            return now_ns() - begin;
        });
    }

    // `batch(n)` runs n iterations and returns how many nanoseconds they took.
    void measure_batches(const batch_function& batch);

    // A row that takes samples:  b.start_samples();  while (b.wants_sample()) { b.add_sample(ns); }
    // Between two calls of wants_sample any number may be added; those of the warm-up are dropped.
    void start_samples();
    [[nodiscard]] bool wants_sample();
    void add_sample(double ns);

    // Times one call of `all`, which stands for so many iterations: for a row that cannot be
    // repeated.
    template<typename F>
    void measure_once(std::uint64_t iterations, F&& all) {
        start_clocks();
        all();
        stop_clocks(iterations);
    }

    // One more field in the row's line.
    void note(const char* name, double value) { notes_.emplace_back(name, value); }

    // Says that the workload came to a wrong result, and ends the process with status 1.
    [[noreturn]] void fail(const char* what) const;

    // The line of JSON. Ends the process like fail when nothing was measured.
    [[nodiscard]] std::string to_json();

private:
    [[nodiscard]] std::uint64_t warm_up(const batch_function& batch) const;
    void start_clocks();
    void stop_clocks(std::uint64_t iterations);

    const char* row_;
    arguments wanted_;
    std::vector<double> means_;
    std::vector<std::pair<const char*, double>> notes_;
    std::uint64_t iterations_ = 0;
    std::uint64_t cpu_ns_ = 0;
    bool has_samples_ = false;
    std::uint64_t begin_ns_ = 0; // of the warm-up, then of what counts
    std::uint64_t samples_wanted_ns_ = 0;
    std::uint64_t cpu_begin_ns_ = 0;
    bool is_warm_ = false;
};

enum class needs : std::uint8_t {
    any_runtime, // runs with --workers 0 too, on the calling thread
    workers,     // the main thread waits for the workers
};

struct row {
    const char* name;
    void (*run)(bench&);
    needs what = needs::workers;
};

// Rows that a file adds to its program, so that nothing has to name the file:
//
//     const perf::table table(rows);
//
// at namespace scope. The tables stand in the order in which the files are linked.
class table {
public:
    explicit table(std::span<const row> rows) noexcept;
    table(const table&) = delete;
    table& operator=(const table&) = delete;

    [[nodiscard]] std::span<const row> rows() const noexcept { return rows_; }
    [[nodiscard]] const table* next() const noexcept { return next_; }
    [[nodiscard]] static const table* first() noexcept;

private:
    std::span<const row> rows_;
    const table* next_ = nullptr;
};

// The program:  perf-NAME ROW [--workers N] [--seconds S]  |  --list  |  --smoke [ROW]
// Returns what main returns: 0, or 2 for a command line that makes no sense.
int run_rows(int argc, char** argv, std::span<const row> rows);
// The same with the rows of all tables.
int run_tables(int argc, char** argv);

} // namespace perf
