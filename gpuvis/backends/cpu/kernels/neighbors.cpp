// The rows nearest to others, by matrix products of blocks of them.
#include "kernels.hpp"
#include "lanes.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

Sgemm sgemm = nullptr;

namespace {

constexpr std::int64_t CHUNK = 2048;  // rows of the one side of a product, at most
constexpr std::int64_t TOGETHER = 32; // rows that are looked at together
constexpr float FAR = std::numeric_limits<float>::infinity();

// Products of all rows of A with all rows of B: (A.size, B.size).
void multiply(Rows<const float> A, Rows<const float> B, float *products) {
    char transposed = 'T', plain = 'N';
    int rows = static_cast<int>(A.size), columns = static_cast<int>(B.size), width = static_cast<int>(A.width);
    float one = 1, zero = 0;
    sgemm(&transposed, &plain, &columns, &rows, &width, &one, const_cast<float *>(B.data), &width,
          const_cast<float *>(A.data), &width, &zero, products, &columns);
}

// Put a row among the nearest so far; the farthest of them goes.
template <class T> void insert(T distance, std::int32_t row, Span<T> distances, Span<std::int32_t> indices) {
    std::int64_t at = distances.size - 1;
    for (; at > 0 && distances[at - 1] > distance; --at) {
        distances[at] = distances[at - 1];
        indices[at] = indices[at - 1];
    }
    distances[at] = distance;
    indices[at] = row;
}

// Count the values below each of some limits, a few limits at a time. Counts are as wide as values, so that the loops
// are vectorised.
template <class T> void count_below(Span<const T> values, Span<const T> limits, Span<std::int64_t> counts) {
    constexpr std::int64_t GROUP = 4;
    using Count = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
    for (std::int64_t t = 0; t < limits.size; t += GROUP) {
        const std::int64_t size = std::min(GROUP, limits.size - t);
        T limit[GROUP] = {};
        Count below[GROUP] = {};
        std::copy_n(&limits[t], size, limit);
        for (std::int64_t j = 0; j < values.size; ++j)
            for (std::int64_t g = 0; g < GROUP; ++g)
                below[g] += values[j] < limit[g];
        for (std::int64_t g = 0; g < size; ++g)
            counts[t + g] += below[g];
    }
}

// Take rows, from row `base` on, that are nearer than the farthest of the nearest so far.
template <class T> void offer(Span<const T> values, std::int64_t base, Span<T> distances, Span<std::int32_t> indices) {
    T &farthest = distances[distances.size - 1];
    for (std::int64_t start = 0; start < values.size; start += TOGETHER) {
        const std::int64_t stop = std::min(start + TOGETHER, values.size);
        std::int32_t nearer = 0;
        for (std::int64_t j = start; j < stop; ++j)
            nearer += values[j] < farthest;
        for (std::int64_t j = start; nearer > 0 && j < stop; ++j)
            if (values[j] < farthest)
                insert(values[j], static_cast<std::int32_t>(base + j), distances, indices);
    }
}

// The same for a query whose products with rows are given; it is row `own` itself. Rows are ordered by the square of
// their distance less the query's own square.
void offer_products(Span<float> products, Span<const float> squares, std::int64_t base, std::int64_t own,
                    Span<float> distances, Span<std::int32_t> indices) {
    for (std::int64_t j = 0; j < products.size; ++j)
        products[j] = squares[j] - 2 * products[j];
    if (base <= own && own < base + products.size)
        products[own - base] = FAR;
    offer<float>({products.data, products.size}, base, distances, indices);
}

// The queries of a range by the list that they look into: as in compressed sparse rows, with a row for each list.
struct Members {
    std::vector<std::int64_t> ends, queries;

    Members(Rows<const std::int32_t> lists, std::int64_t count, Range range)
        : ends(count + 1), queries((range.last - range.first) * lists.width) {
        for (std::int64_t q = range.first; q < range.last; ++q)
            for (const std::int32_t list : lists[q])
                ++ends[list + 1];
        for (std::int64_t list = 0; list < count; ++list)
            ends[list + 1] += ends[list];
        std::vector<std::int64_t> fill(ends.begin(), ends.end() - 1);
        for (std::int64_t q = range.first; q < range.last; ++q)
            for (const std::int32_t list : lists[q])
                queries[fill[list]++] = q;
    }
};

float squared_distance(const float *x, const float *y, std::int64_t count) {
    Sums sums[2]; // so that one need not wait for the other
    std::int64_t c = 0;
    for (; c + 2 * STEP <= count; c += 2 * STEP)
        for (int vector = 0; vector < 2 * PARTS; ++vector) {
            const Floats off = load(x + c + LANES * vector) - load(y + c + LANES * vector);
            sums[vector / PARTS].parts[vector % PARTS] += off * off;
        }
    float rest = 0;
    for (; c < count; ++c)
        rest += (x[c] - y[c]) * (x[c] - y[c]);
    return sums[0].total() + sums[1].total() + rest;
}

} // namespace

// Find the nearest rows of each query among all; `own`: which row a query is itself, or -1.
void search_all(Rows<const float> queries, Span<const std::int32_t> own, Rows<const float> X, Span<const float> squares,
                Rows<std::int32_t> indices, Range range) {
    const std::int64_t count = range.last - range.first, k = indices.width;
    std::vector<float> products(count * std::min(CHUNK, X.size)), distances(count * k, FAR);
    for (std::int64_t start = 0; start < X.size; start += CHUNK) {
        const std::int64_t width = std::min(CHUNK, X.size - start);
        multiply({queries[range.first].data, count, X.width}, {X[start].data, width, X.width}, products.data());
        for (std::int64_t q = 0; q < count; ++q)
            offer_products({&products[q * width], width}, squares.part(start, start + width), start,
                           own[range.first + q], {&distances[q * k], k}, indices[range.first + q]);
    }
}

// Find the nearest rows of each row in some lists, of which the first is likely to have most of them.
void search_lists(Rows<const std::int32_t> lists, Rows<const float> X, Span<const float> squares,
                  Span<const std::int64_t> starts, Rows<std::int32_t> indices, Range range) {
    const std::int64_t count = range.last - range.first, k = indices.width, n_lists = starts.size - 1;
    const Members members(lists, n_lists, range);
    std::vector<float> queries(count * X.width), products(count * CHUNK), distances(count * k, FAR);
    // The nearest list to many of the range comes first: that leaves less to take from others.
    const std::int64_t nearest = lists[range.first][0];
    for (std::int64_t turn = 0; turn < n_lists; ++turn) {
        const std::int64_t list = (nearest + turn) % n_lists;
        const std::int64_t *asking = members.queries.data() + members.ends[list];
        const std::int64_t some = members.ends[list + 1] - members.ends[list];
        for (std::int64_t q = 0; q < some; ++q)
            std::copy_n(X[asking[q]].data, X.width, &queries[q * X.width]);
        for (std::int64_t start = starts[list]; some > 0 && start < starts[list + 1]; start += CHUNK) {
            const std::int64_t width = std::min(CHUNK, starts[list + 1] - start);
            multiply({queries.data(), some, X.width}, {X[start].data, width, X.width}, products.data());
            for (std::int64_t q = 0; q < some; ++q)
                offer_products({&products[q * width], width}, squares.part(start, start + width), start, asking[q],
                               {&distances[(asking[q] - range.first) * k], k}, indices[asking[q]]);
        }
    }
}

// Fill the squared distances of each row to others of few columns, which are given as a row for each column.
template <class T> void squared_distances(Rows<const T> X, Rows<const T> columns, Rows<T> found, Range range) {
    for (std::int64_t i = range.first; i < range.last; ++i) {
        const Span<T> squares = found[i];
        std::fill(squares.begin(), squares.end(), T{0});
        for (std::int64_t c = 0; c < columns.size; ++c)
            for (std::int64_t j = 0; j < columns.width; ++j)
                squares[j] += (columns[c][j] - X[i][c]) * (columns[c][j] - X[i][c]);
    }
}
template void squared_distances<float>(Rows<const float>, Rows<const float>, Rows<float>, Range);
template void squared_distances<double>(Rows<const double>, Rows<const double>, Rows<double>, Range);

// Take in the distances of each anchor (a row of `values`) to rows from row `base` on: count those below limits, and
// keep the nearest.
template <class T>
void tally(Rows<const T> values, std::int64_t base, Rows<const T> limits, Rows<std::int64_t> closer, Rows<T> far,
           Rows<std::int32_t> near, Range range) {
    for (std::int64_t i = range.first; i < range.last; ++i) {
        count_below(values[i], limits[i], closer[i]);
        if (far.width > 0)
            offer(values[i], base, far[i], near[i]);
    }
}
template void tally<float>(Rows<const float>, std::int64_t, Rows<const float>, Rows<std::int64_t>, Rows<float>,
                           Rows<std::int32_t>, Range);
template void tally<double>(Rows<const double>, std::int64_t, Rows<const double>, Rows<std::int64_t>, Rows<double>,
                            Rows<std::int32_t>, Range);

// Fill a graph: distances anew, from differences, rising along each row; the row itself first. Row i of X is row
// order[i] of the graph. Of rows brought to length 1 (`scaled`), half the square is one minus the cosine; a row of
// zeros (not `real`) is 1 away from all.
void measure(Rows<const float> X, Span<const std::uint8_t> real, bool scaled, Span<const std::int32_t> order,
             Rows<const std::int32_t> found, Rows<std::int32_t> indices, Rows<float> distances, Range range) {
    for (std::int64_t i = range.first; i < range.last; ++i) {
        const Span<std::int32_t> near = indices[order[i]];
        const Span<float> far = distances[order[i]];
        near[0] = order[i];
        far[0] = 0;
        for (std::int64_t t = 0; t < found.width; ++t) {
            const std::int32_t j = found[i][t];
            const float square = squared_distance(X[i].data, X[j].data, X.width);
            const float distance = !scaled ? std::sqrt(square) : real[i] && real[j] ? square * 0.5f : 1.0f;
            insert(distance, order[j], far.part(1, t + 2), near.part(1, t + 2));
        }
    }
}
