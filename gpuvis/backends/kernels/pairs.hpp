// The neighbours of a point, copied from all over a map, so that the loop that computes with them takes whole vectors.
#pragma once

#include "kernels.hpp"
#include "lanes.hpp"

#include <algorithm>
#include <vector>

struct Force {
    float x, y;
};

// The force of all neighbours, and the sum of their weights.
struct Pull {
    Force force;
    float weight;
};

// Positions x, y, x, y, ... and weights of the neighbours of one point, rounded up to whole vectors: the others have
// weight 0.
struct Neighbors {
    std::vector<float> positions, weights;

    // With room for the neighbours of any point of a range.
    Neighbors(const Graph &graph, Range range) {
        std::int64_t longest = 0;
        for (std::int64_t i = range.first; i < range.last; ++i)
            longest = std::max(longest, graph.indptr[i + 1] - graph.indptr[i]);
        positions.resize(2 * (longest + LANES));
        weights.resize(longest + LANES);
    }

    // Sum force(dx, dy, weight) * (dx, dy) over the neighbours of point i.
    template <class Function>
    Pull pull(const Graph &graph, const Rows<const float> &points, std::int64_t i, Function force) {
        const std::int64_t first = graph.indptr[i], count = graph.indptr[i + 1] - first;
        const std::int32_t *near = graph.indices.data + first;
        for (std::int64_t t = 0; t < count; ++t)
            std::memcpy(&positions[2 * t], points.data + 2 * static_cast<std::int64_t>(near[t]), 2 * sizeof(float));
        std::copy_n(graph.weights.data + first, count, weights.begin());
        std::fill_n(weights.begin() + count, LANES, 0.0f);
        const Floats x = all(points[i][0]), y = all(points[i][1]);
        Floats sum_x = {}, sum_y = {}, sum_weights = {};
        for (std::int64_t t = 0; t < count; t += LANES) {
            const Points other = load_points(&positions[2 * t]);
            const Floats dx = x - other.x, dy = y - other.y, weight = load(&weights[t]);
            const Floats size = force(dx, dy, weight);
            sum_x += size * dx;
            sum_y += size * dy;
            sum_weights += weight;
        }
        return {{sum(sum_x), sum(sum_y)}, sum(sum_weights)};
    }
};
