// Views of arrays: contiguous, in C order. They do not own the memory.
#pragma once

#include <cstdint>

template <class T> struct Span {
    T *data = nullptr;
    std::int64_t size = 0;

    T &operator[](std::int64_t i) const { return data[i]; }
    T *begin() const { return data; }
    T *end() const { return data + size; }
    Span part(std::int64_t first, std::int64_t last) const { return {data + first, last - first}; }
};

template <class T> struct Rows {
    T *data = nullptr;
    std::int64_t size = 0, width = 0;

    Span<T> operator[](std::int64_t i) const { return {data + i * width, width}; }
};

// The rows that a call works on: from `first` up to, but not including, `last`.
struct Range {
    std::int64_t first, last;
};
