/*
 * C++ objects in the server's memory.
 *
 * A server error leaves by longjmp and runs no destructor. So nothing here owns anything but memory
 * of a MemoryContext, and no object with a destructor lives on the stack: make<T>() places it in
 * the current context, which frees it, on success and on error alike. What runs out of memory
 * throws std::bad_alloc, which the entry points turn into the server's error (see function.h).
 */
#pragma once

#include "pg/server.h"

#include <boost/container/flat_map.hpp>
#include <boost/container/flat_set.hpp>
#include <boost/container/vector.hpp>

#include <algorithm>
#include <new>
#include <utility>

namespace hermet::pg {

/* Memory of `size` bytes in `context`; throws std::bad_alloc. May exceed 1 GB. */
void *allocate(MemoryContext context, size_t size);

/*
 * Where index scans live, each of which takes 27 KB: a block that is kept for the session, as
 * malloc() would give so much back to the kernel each time and ask for it anew. What an error left
 * there goes with its transaction.
 */
MemoryContext scan_memory();
/* For one that ends before the next begins: the same few pages, still in the processor's caches. */
MemoryContext short_scan_memory();

/* A standard allocator over the MemoryContext that was current when it was made. */
template <class T> struct ContextAllocator {
    using value_type = T;

    MemoryContext context = CurrentMemoryContext;

    ContextAllocator() = default;
    template <class U> ContextAllocator(const ContextAllocator<U> &other) : context(other.context)
    {
    }

    /* NOLINTNEXTLINE(bugprone-sizeof-expression): T may well be a pointer */
    T *allocate(size_t n) { return static_cast<T *>(pg::allocate(context, n * sizeof(T))); }
    void deallocate(T *p, size_t) { pfree(p); }

    template <class U> bool operator==(const ContextAllocator<U> &other) const
    {
        return context == other.context;
    }
    template <class U> bool operator!=(const ContextAllocator<U> &other) const
    {
        return context != other.context;
    }
};

template <class T> using Vector = boost::container::vector<T, ContextAllocator<T>>;

template <class T, class Less = std::less<T>>
using Set = boost::container::flat_set<T, Less, ContextAllocator<T>>;

template <class K, class V>
using Map = boost::container::flat_map<K, V, std::less<K>, ContextAllocator<std::pair<K, V>>>;

/* A T in the current MemoryContext. Its destructor never runs. */
template <class T, class... Args> T &make(Args &&...args)
{
    return *new (allocate(CurrentMemoryContext, sizeof(T))) T(std::forward<Args>(args)...);
}

/* Sorts and drops duplicates: how keys become a set when they are collected one by one. */
template <class T> void make_unique(Vector<T> &items)
{
    std::sort(items.begin(), items.end());
    items.erase(std::unique(items.begin(), items.end()), items.end());
}

/* The same of pairs that are two parallel columns: by the first, then the second. */
inline void make_unique(Vector<int64> &first, Vector<int64> &second)
{
    Vector<std::pair<int64, int64>> &pairs = make<Vector<std::pair<int64, int64>>>();
    pairs.reserve(first.size());
    for (size_t i = 0; i < first.size(); i++)
        pairs.push_back({first[i], second[i]});
    make_unique(pairs);
    first.clear();
    second.clear();
    for (const std::pair<int64, int64> &pair : pairs) {
        first.push_back(pair.first);
        second.push_back(pair.second);
    }
}

/*
 * Values added up by a bigint key. Memory for twice the distinct keys, however many are added.
 * begin(), end() and find() are valid after finish().
 */
template <class V> class Totals {
  public:
    using Item = std::pair<int64, V>;

    void add(int64 key, const V &value)
    {
        items_.push_back(Item(key, value));
        if (items_.size() > merge_at_) {
            finish();
            merge_at_ = Max(items_.size() * 2, smallest_merge);
        }
    }

    void finish()
    {
        std::sort(items_.begin(), items_.end(),
                  [](const Item &a, const Item &b) { return a.first < b.first; });
        size_t kept = 0;
        for (size_t i = 1; i < items_.size(); i++) {
            if (items_[i].first == items_[kept].first)
                items_[kept].second += items_[i].second;
            else
                items_[++kept] = items_[i];
        }
        if (!items_.empty())
            items_.resize(kept + 1);
    }

    void clear() { items_.clear(); }

    const Item *begin() const { return items_.data(); }
    const Item *end() const { return items_.data() + items_.size(); }

    /* NULL if nothing was added for the key. */
    const V *find(int64 key) const
    {
        const Item *item = std::lower_bound(
            begin(), end(), key, [](const Item &a, int64 wanted) { return a.first < wanted; });
        return item != end() && item->first == key ? &item->second : nullptr;
    }

  private:
    static constexpr size_t smallest_merge = 1024;

    Vector<Item> items_;
    size_t merge_at_ = smallest_merge;
};

} // namespace hermet::pg
