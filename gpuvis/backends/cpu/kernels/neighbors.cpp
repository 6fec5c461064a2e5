// Find the nearest rows of queries by matrix products of blocks of rows.
#include "kernels.hpp"
#include "lanes.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

Sgemm sgemm = nullptr;

namespace {

constexpr std::int64_t CHUNK = 2048;  // most rows that a matrix product compares queries with
constexpr std::int64_t TOGETHER = 32; // rows that are checked together
constexpr float FAR = std::numeric_limits<float>::infinity();

// Compute the products of all rows of A with all rows of B, (A.size, B.size).
void multiply(Rows<const float> A, Rows<const float> B, float *products) {
    char transposed = 'T', plain = 'N';
    int rows = static_cast<int>(A.size), columns = static_cast<int>(B.size), width = static_cast<int>(A.width);
    float one = 1, zero = 0;
    sgemm(&transposed, &plain, &columns, &rows, &width, &one, const_cast<float *>(B.data), &width,
          const_cast<float *>(A.data), &width, &zero, products, &columns);
}

// Insert a row into the nearest rows so far, sorted by distance, and drop the farthest of them.
template <class T> void insert(T distance, std::int32_t row, Span<T> distances, Span<std::int32_t> indices) {
    std::int64_t at = distances.size - 1;
    for (; at > 0 && distances[at - 1] > distance; --at) {
        distances[at] = distances[at - 1];
        indices[at] = indices[at - 1];
    }
    distances[at] = distance;
    indices[at] = row;
}

// Count the values below each limit, a few limits at a time. Counts have the same number of bits as values, so that the
// compiler can vectorise the loops.
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

// Insert each row that is nearer than the farthest of the nearest rows so far. `values` are the distances to the rows
// from row `base` on.
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

// Do the same from the products of a query with the rows. The query itself is row `own`, which is left out. Rows are
// ordered by their squared distance minus the squared norm of the query, which is the same for all rows.
void offer_products(Span<float> products, Span<const float> squares, std::int64_t base, std::int64_t own,
                    Span<float> distances, Span<std::int32_t> indices) {
    for (std::int64_t j = 0; j < products.size; ++j)
        products[j] = squares[j] - 2 * products[j];
    if (base <= own && own < base + products.size)
        products[own - base] = FAR;
    offer<float>({products.data, products.size}, base, distances, indices);
}

// The queries of a range, grouped by the lists that they search: compressed sparse rows, one row for each list.
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
    Sums sums[2]; // two independent sums are faster
    std::int64_t c = 0;
    for (; c + 2 * STEP <= count; c += 2 * STEP)
        for (int vector = 0; vector < 2 * PARTS; ++vector) {
            const Floats difference = load(x + c + LANES * vector) - load(y + c + LANES * vector);
            sums[vector / PARTS].parts[vector % PARTS] += difference * difference;
        }
    float rest = 0;
    for (; c < count; ++c)
        rest += (x[c] - y[c]) * (x[c] - y[c]);
    return sums[0].total() + sums[1].total() + rest;
}

} // namespace

// Find the nearest rows of each query among all rows. `own`: the row that is the query itself, left out; -1 if none.
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

// Find the nearest rows of each row in its lists. The first list of a row is likely to hold most of them.
void search_lists(Rows<const std::int32_t> lists, Rows<const float> X, Span<const float> squares,
                  Span<const std::int64_t> starts, Rows<std::int32_t> indices, Range range) {
    const std::int64_t count = range.last - range.first, k = indices.width, n_lists = starts.size - 1;
    const Members members(lists, n_lists, range);
    std::vector<float> queries(count * X.width), products(count * CHUNK), distances(count * k, FAR);
    // Start with the list that is nearest to the first row, and so to many other rows: then fewer rows of the other
    // lists are inserted.
    const std::int64_t nearest = lists[range.first][0];
    for (std::int64_t turn = 0; turn < n_lists; ++turn) {
        const std::int64_t list = (nearest + turn) % n_lists;
        const std::int64_t *in_list = members.queries.data() + members.ends[list];
        const std::int64_t n_in_list = members.ends[list + 1] - members.ends[list];
        for (std::int64_t q = 0; q < n_in_list; ++q)
            std::copy_n(X[in_list[q]].data, X.width, &queries[q * X.width]);
        for (std::int64_t start = starts[list]; n_in_list > 0 && start < starts[list + 1]; start += CHUNK) {
            const std::int64_t width = std::min(CHUNK, starts[list + 1] - start);
            multiply({queries.data(), n_in_list, X.width}, {X[start].data, width, X.width}, products.data());
            for (std::int64_t q = 0; q < n_in_list; ++q)
                offer_products({&products[q * width], width}, squares.part(start, start + width), start, in_list[q],
                               {&distances[(in_list[q] - range.first) * k], k}, indices[in_list[q]]);
        }
    }
}

// Compute the squared distances of each row of X to other rows with few columns, passed transposed as `columns`.
template <class T> void squared_distances(Rows<const T> X, Rows<const T> columns, Rows<T> squares, Range range) {
    for (std::int64_t i = range.first; i < range.last; ++i) {
        const Span<T> row = squares[i];
        std::fill(row.begin(), row.end(), T{0});
        for (std::int64_t c = 0; c < columns.size; ++c)
            for (std::int64_t j = 0; j < columns.width; ++j)
                row[j] += (columns[c][j] - X[i][c]) * (columns[c][j] - X[i][c]);
    }
}
template void squared_distances<float>(Rows<const float>, Rows<const float>, Rows<float>, Range);
template void squared_distances<double>(Rows<const double>, Rows<const double>, Rows<double>, Range);

// Update the results of each anchor from its distances, a row of `values`, to the rows from row `base` on: add the
// number of distances below each limit to `closer`, and keep the nearest rows: distances `far`, indices `near`.
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

// Fill a graph from the neighbours of each row: the row itself first, then its neighbours by ascending distance. The
// distances are computed again, from differences. Row i of X is row order[i] of the graph. For rows scaled to length 1
// (`scaled`), half the squared distance is one minus the cosine; the distance of a row of zeros (not `nonzero`) to all
// other rows is 1.
void measure(Rows<const float> X, Span<const std::uint8_t> nonzero, bool scaled, Span<const std::int32_t> order,
             Rows<const std::int32_t> neighbors, Rows<std::int32_t> indices, Rows<float> distances, Range range) {
    for (std::int64_t i = range.first; i < range.last; ++i) {
        const Span<std::int32_t> near = indices[order[i]];
        const Span<float> far = distances[order[i]];
        near[0] = order[i];
        far[0] = 0;
        for (std::int64_t t = 0; t < neighbors.width; ++t) {
            const std::int32_t j = neighbors[i][t];
            const float square = squared_distance(X[i].data, X[j].data, X.width);
            const float distance = !scaled ? std::sqrt(square) : nonzero[i] && nonzero[j] ? square * 0.5f : 1.0f;
            insert(distance, order[j], far.part(1, t + 2), near.part(1, t + 2));
        }
    }
}
