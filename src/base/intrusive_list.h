// SPDX-License-Identifier: MIT
//
// intrusive_list<T, Tag>: a doubly linked list through links that the elements carry, so that
// linking allocates nothing and an element can leave from the middle in constant time.
//
// An element derives from list_link<Tag>, once per list it may be on at the same time. A link knows
// whether it is linked; destroying a linked one is a bug and is caught, since the list would keep a
// dangling pointer. The list is a ring through its own anchor, so no operation has a special case
// for the ends. There is no size: most owners do not need it, and those that do count with their
// own rules.
//
// No locking: whoever owns the list protects it, and its elements' links with it.
//
// Rejected: offsets computed from a pointer to member (one base class less to write, but it is not
// defined behaviour), and std::list (a node per element, and no way from the element to its place).
#pragma once

#include "base/assert.h"

#include <concepts>
#include <cstddef>
#include <iterator>

namespace rt::base {

template<class T, class Tag>
class intrusive_list;

template<class Tag = void>
class list_link {
public:
    constexpr list_link() noexcept = default;
    list_link(const list_link&) = delete;
    list_link& operator=(const list_link&) = delete;
    ~list_link() { RT_ASSERT(!is_linked()); }

    [[nodiscard]] bool is_linked() const noexcept { return next_ != nullptr; }

    /// Leaves whatever list it is on. REQUIRES: is_linked().
    void unlink() noexcept {
        RT_ASSERT(is_linked());
        RT_DEBUG_ASSERT(next_->previous_ == this);
        RT_DEBUG_ASSERT(previous_->next_ == this);
        next_->previous_ = previous_;
        previous_->next_ = next_;
        next_ = nullptr;
        previous_ = nullptr;
    }

private:
    template<class T, class U>
    friend class intrusive_list;

    void link_before(list_link& place) noexcept {
        RT_ASSERT(!is_linked());
        next_ = &place;
        previous_ = place.previous_;
        previous_->next_ = this;
        place.previous_ = this;
    }

    list_link* next_ = nullptr; // both null, or both not
    list_link* previous_ = nullptr;
};

template<class T, class Tag = void>
class intrusive_list {
    using link = list_link<Tag>;

public:
    /// Removing the element an iterator stands on invalidates that iterator only.
    class iterator {
    public:
        using iterator_category = std::bidirectional_iterator_tag;
        using value_type = T;
        using difference_type = std::ptrdiff_t;
        using pointer = T*;
        using reference = T&;

        iterator() noexcept = default;
        T& operator*() const noexcept { return *element_of(at_); }
        T* operator->() const noexcept { return element_of(at_); }
        iterator& operator++() noexcept {
            at_ = at_->next_;
            return *this;
        }
        iterator operator++(int) noexcept {
            iterator before = *this;
            ++*this;
            return before;
        }
        iterator& operator--() noexcept {
            at_ = at_->previous_;
            return *this;
        }
        iterator operator--(int) noexcept {
            iterator before = *this;
            --*this;
            return before;
        }
        friend bool operator==(iterator a, iterator b) noexcept { return a.at_ == b.at_; }

    private:
        friend class intrusive_list;
        explicit iterator(link* at) noexcept
            : at_(at) {}
        link* at_ = nullptr;
    };

    intrusive_list() noexcept { reset_anchor(); }
    intrusive_list(const intrusive_list&) = delete;
    intrusive_list& operator=(const intrusive_list&) = delete;
    ~intrusive_list() {
        RT_ASSERT(is_empty());
        anchor_.next_ = nullptr; // the anchor is linked to itself; its own destructor asks
        anchor_.previous_ = nullptr;
    }

    [[nodiscard]] bool is_empty() const noexcept { return anchor_.next_ == &anchor_; }

    /// The ends, or nullptr.
    [[nodiscard]] T* front() noexcept { return is_empty() ? nullptr : element_of(anchor_.next_); }
    [[nodiscard]] T* back() noexcept {
        return is_empty() ? nullptr : element_of(anchor_.previous_);
    }

    void push_back(T& element) noexcept { link_of(element).link_before(anchor_); }
    void push_front(T& element) noexcept { link_of(element).link_before(*anchor_.next_); }
    void insert_before(T& place, T& element) noexcept {
        RT_ASSERT(link_of(place).is_linked());
        link_of(element).link_before(link_of(place));
    }

    /// Takes from an end, or returns nullptr.
    [[nodiscard]] T* pop_front() noexcept { return take(front()); }
    [[nodiscard]] T* pop_back() noexcept { return take(back()); }

    /// REQUIRES: `element` is on this list; walked through under RT_CHECKS.
    void remove(T& element) noexcept {
        RT_EXPENSIVE_ASSERT(contains(element));
        link_of(element).unlink();
    }

    /// Moves every element of `other` to this list's end, in order and in constant time.
    void splice_back(intrusive_list& other) noexcept {
        RT_ASSERT(&other != this);
        if (other.is_empty()) {
            return;
        }
        link* first = other.anchor_.next_;
        link* last = other.anchor_.previous_;
        first->previous_ = anchor_.previous_;
        anchor_.previous_->next_ = first;
        last->next_ = &anchor_;
        anchor_.previous_ = last;
        other.reset_anchor();
    }

    [[nodiscard]] iterator begin() noexcept { return iterator(anchor_.next_); }
    [[nodiscard]] iterator end() noexcept { return iterator(&anchor_); }

    /// Walks the list. For assertions and tests.
    [[nodiscard]] bool contains(const T& element) noexcept {
        for (T& one : *this) {
            if (&one == &element) {
                return true;
            }
        }
        return false;
    }
    [[nodiscard]] std::size_t count() noexcept {
        return static_cast<std::size_t>(std::distance(begin(), end()));
    }

private:
    static link& link_of(T& element) noexcept {
        static_assert(std::derived_from<T, link>, "an element derives from list_link<Tag>");
        return element;
    }
    static T* element_of(link* at) noexcept { return static_cast<T*>(at); }

    static T* take(T* element) noexcept {
        if (element != nullptr) {
            link_of(*element).unlink();
        }
        return element;
    }

    void reset_anchor() noexcept {
        anchor_.next_ = &anchor_;
        anchor_.previous_ = &anchor_;
    }

    link anchor_;
};

} // namespace rt::base
