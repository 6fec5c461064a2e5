// The compiled loops of the CPU backend.
//
// Each works on a range of rows, so that Python can divide the rows among any number of threads. Results do not depend
// on how rows are divided into ranges, except for the loops with matrix products; for these the ranges depend only on
// the shape of the data.
#pragma once

#include "arrays.hpp"

// The matrix product of SciPy's BLAS, in single precision; see `use_blas`.
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
template <class T> void squared_distances(Rows<const T> X, Rows<const T> columns, Rows<T> squares, Range range);
template <class T>
void tally(Rows<const T> values, std::int64_t base, Rows<const T> limits, Rows<std::int64_t> closer, Rows<T> far,
           Rows<std::int32_t> near, Range range);
void measure(Rows<const float> X, Span<const std::uint8_t> nonzero, bool scaled, Span<const std::int32_t> order,
             Rows<const std::int32_t> neighbors, Rows<std::int32_t> indices, Rows<float> distances, Range range);

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
constexpr std::int64_t DRAWN = 16; // consecutive shuffled positions that are drawn together

// The parameters of Adam: the rate, including the bias correction of the mean gradient; the bias correction of the root
// mean square; the decay rates of both means; and epsilon.
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
constexpr std::int64_t STRIP = 8; // rows of the grid that are filled at a time; a point touches 4 of them

struct Frame {
    float low_x, low_y, inverse;
};
void grid_order(Rows<const float> points, Frame frame, Span<std::int64_t> ends, Span<std::int32_t> order);
void grid_spread(Rows<const float> points, Frame frame, Span<const std::int64_t> ends, Span<const std::int32_t> order,
                 Rows<float> charge, int odd, Range range);
void grid_overlap(Rows<const float> charge, Rows<const float> potential, Span<double> sums, Range range);
void grid_gather(Rows<const float> points, Frame frame, Rows<const float> potential, Rows<float> force, Range range);
