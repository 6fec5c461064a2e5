// The compiled loops of the CPU backend. Each works on a range of rows, so that the Python side may share them out
// among any number of threads. Results do not depend on how rows are split into ranges, but for those of matrix
// products: there the split is by the shape of the data alone.
#pragma once

#include "arrays.hpp"

// BLAS in single precision, as SciPy has it; see `use_blas`.
using Sgemm = void (*)(char *, char *, int *, int *, int *, float *, float *, int *, float *, int *, float *, float *,
                       int *);
extern Sgemm sgemm;

// halves.cpp
void widen(Span<const std::uint16_t> halves, Span<float> values, Range range);

// neighbors.cpp
void search_all(Rows<const float> queries, Span<const std::int32_t> own, Rows<const float> X, Span<const float> squares,
                Rows<std::int32_t> indices, Range range);
void search_lists(Rows<const std::int32_t> lists, Rows<const float> X, Span<const float> squares,
                  Span<const std::int64_t> starts, Rows<std::int32_t> indices, Range range);
template <class T> void squared_distances(Rows<const T> X, Rows<const T> columns, Rows<T> found, Range range);
template <class T>
void tally(Rows<const T> values, std::int64_t base, Rows<const T> limits, Rows<std::int64_t> closer, Rows<T> far,
           Rows<std::int32_t> near, Range range);
void measure(Rows<const float> X, Span<const std::uint8_t> real, bool scaled, Span<const std::int32_t> order,
             Rows<const std::int32_t> found, Rows<std::int32_t> indices, Rows<float> distances, Range range);

// affinities.cpp
void memberships(Rows<const float> distances, Rows<float> values, Range range);
void probabilities(Rows<const float> distances, double entropy, Rows<float> values, Range range);

// A weighted graph in compressed sparse rows.
struct Graph {
    Span<const std::int64_t> indptr;
    Span<const std::int32_t> indices;
    Span<const float> weights;
};

// umap.cpp
constexpr std::int64_t DRAWN = 16; // positions that are drawn together

// The rate, and what the averages of the gradient (`mean`) and of its square keep; `unbiased` is what makes the root of
// the latter so.
struct Adam {
    float rate, unbiased, mean, square, epsilon;
};
void umap_epoch(Graph graph, Rows<const float> points, Rows<float> after, Rows<float> means, Rows<float> squares,
                Rows<const float> shuffled, float a, float b, std::uint64_t random, Adam adam, Range range);

// tsne.cpp
struct Pulls {
    float attractive, repulsive;
};
struct Pace {
    float rate, momentum;
};
void tsne_step(Graph graph, Rows<const float> points, Rows<const float> force, Pulls pulls, Pace pace,
               Rows<float> update, Rows<float> gain, Rows<float> after, Range range);
void tsne_pairs(Rows<const float> sides, Rows<float> force, Span<float> totals, Range range);

// tsne_grid.cpp
constexpr std::int64_t STRIP = 8; // rows of the grid that are filled at a time; more than the 4 that a point touches

struct Frame {
    float low_x, low_y, inverse;
};
void grid_order(Rows<const float> points, Frame frame, Span<std::int64_t> ends, Span<std::int32_t> order);
void grid_spread(Rows<const float> points, Frame frame, Span<const std::int64_t> ends, Span<const std::int32_t> order,
                 Rows<float> charge, int odd, Range range);
void grid_overlap(Rows<const float> charge, Rows<const float> potential, Span<double> sums, Range range);
void grid_gather(Rows<const float> points, Frame frame, Rows<const float> potential, Rows<float> force, Range range);
