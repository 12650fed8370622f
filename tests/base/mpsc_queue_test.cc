// SPDX-License-Identifier: MIT
//
// mpsc_inbox: order of arrival, the announcement of the first push, and nothing lost or doubled
// between several pushers and the owner.
#include "base/mpsc_queue.h"
#include "support/test.h"

#include <cstdint>
#include <thread>
#include <vector>

using namespace rt::base;

namespace {

struct parcel : inbox_link<> {
    std::uint32_t sender = 0;
    std::uint32_t number = 0;
};

using inbox = mpsc_inbox<parcel>;

} // namespace

Test(mpsc_queue, gives_back_in_order_of_arrival) {
    inbox box;
    parcel parcels[3];
    cr_assert(box.is_empty());
    cr_assert(box.take_all().is_empty());
    cr_assert(box.push(parcels[0]));
    cr_assert_not(box.push(parcels[1]));
    cr_assert_not(box.push(parcels[2]));
    auto batch = box.take_all();
    cr_assert(box.is_empty());
    cr_assert(batch.pop() == &parcels[0]);
    cr_assert(batch.pop() == &parcels[1]);
    cr_assert(batch.pop() == &parcels[2]);
    cr_assert(batch.pop() == nullptr);
    cr_assert(batch.is_empty());
}

Test(mpsc_queue, a_popped_element_may_go_in_again) {
    inbox box;
    parcel parcels[2];
    box.push(parcels[0]);
    box.push(parcels[1]);
    auto batch = box.take_all();
    parcel* first = batch.pop();
    cr_assert(box.push(*first), "the inbox is empty again");
    cr_assert(batch.pop() == &parcels[1]);
    cr_assert(box.take_all().pop() == first);
}

// Goal: under concurrency each parcel arrives once, each sender's parcels in order, and an owner
// that looks only after an announcement (push returned true) misses nothing. Method: the owner
// waits for announcements alone.
Test(mpsc_queue, several_senders_lose_nothing) {
    constexpr std::uint32_t senders = 3;
    constexpr std::uint32_t parcels_each = 20'000;
    inbox box;
    rt::atomic<std::uint32_t> announced;
    std::vector<std::vector<parcel>> parcels(senders);
    std::vector<std::thread> threads;
    for (std::uint32_t sender = 0; sender < senders; ++sender) {
        parcels[sender].resize(parcels_each);
        threads.emplace_back([&, sender] {
            for (std::uint32_t number = 0; number < parcels_each; ++number) {
                parcel& sent = parcels[sender][number];
                sent.sender = sender;
                sent.number = number;
                if (box.push(sent)) {
                    announced.add_release(1); // release: pairs with the owner's acquire
                }
            }
        });
    }
    std::uint32_t expected[senders] = {};
    std::uint32_t received = 0;
    std::uint32_t seen = 0;
    while (received < senders * parcels_each) {
        while (announced.load_acquire() == seen) { // acquire: pairs with the senders' release
            std::this_thread::yield();
        }
        ++seen;
        auto batch = box.take_all();
        while (parcel* one = batch.pop()) {
            cr_assert(one->number == expected[one->sender], "sender %u", one->sender);
            ++expected[one->sender];
            ++received;
        }
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    cr_assert(box.is_empty());
}
