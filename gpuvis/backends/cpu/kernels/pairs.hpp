// Copy the positions of a point's neighbours into one buffer, so that forces can be computed in whole vectors.
#pragma once

#include "kernels.hpp"
#include "lanes.hpp"

#include <algorithm>
#include <vector>

struct Force {
    float x, y;
};

// The force of all neighbours on a point, and the sum of their weights.
struct Pull {
    Force force;
    float weight;
};

// A buffer for the positions x, y, x, y, ... of the neighbours of any point in a range, rounded up to whole steps.
struct Neighbors {
    std::vector<float> positions;

    Neighbors(const Graph &graph, Range range) {
        std::int64_t longest = 0;
        for (std::int64_t i = range.first; i < range.last; ++i)
            longest = std::max(longest, graph.indptr[i + 1] - graph.indptr[i]);
        positions.resize(2 * (longest + STEP));
    }

    // Sum force(dx, dy, weight) * (dx, dy) over the neighbours of point i.
    template <class Function>
    Pull pull(const Graph &graph, const Rows<const float> &points, std::int64_t i, Function force) {
        const std::int64_t first = graph.indptr[i], count = graph.indptr[i + 1] - first;
        const std::int32_t *near = graph.indices.data + first;
        const float *weights = graph.weights.data + first;
        for (std::int64_t t = 0; t < count; ++t)
            std::memcpy(&positions[2 * t], points.data + 2 * static_cast<std::int64_t>(near[t]), 2 * sizeof(float));
        const Floats x = all(points[i][0]), y = all(points[i][1]);
        Sums sum_x, sum_y, sum_weights;
        const auto add = [&](const float *from, const float *of_edges) {
            for (int part = 0; part < PARTS; ++part) {
                const Points other = load_points(from + 2 * LANES * part);
                const Floats dx = x - other.x, dy = y - other.y, weight = load(of_edges + LANES * part);
                const Floats size = force(dx, dy, weight);
                sum_x.parts[part] += size * dx;
                sum_y.parts[part] += size * dy;
                sum_weights.parts[part] += weight;
            }
        };
        std::int64_t t = 0;
        for (; t + STEP <= count; t += STEP)
            add(&positions[2 * t], weights + t);
        if (t < count) {
            float rest[STEP] = {}; // weight 0 for the remaining positions, which belong to another point
            std::copy(weights + t, weights + count, rest);
            add(&positions[2 * t], rest);
        }
        return {{sum_x.total(), sum_y.total()}, sum_weights.total()};
    }
};
