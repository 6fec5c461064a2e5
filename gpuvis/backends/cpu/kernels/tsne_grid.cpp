// Interpolate by cubic B-splines between points and a grid: spread charges to its nodes, read slopes of a potential.
#include "kernels.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

namespace {

using Quad = float __attribute__((vector_size(16))); // a value for each of the four nodes around a point, along an axis

Quad load(const float *from) {
    Quad values;
    std::memcpy(&values, from, sizeof values);
    return values;
}

float sum(Quad v) { return (v[0] + v[2]) + (v[1] + v[3]); }

// Return the spline at the four nodes around a point, where t is its position between the middle two, from 0 to 1.
Quad weights(float t) {
    const float s = 1 - t, t2 = t * t, t3 = t * t2;
    return Quad{s * s * s, 3 * t3 - 6 * t2 + 4, 3 * (t + t2 - t3) + 1, t3} * (1.0f / 6);
}

// Return the derivatives of the weights.
Quad slopes(float t) {
    const float s = 1 - t, t2 = t * t;
    return Quad{-0.5f * s * s, 1.5f * t2 - 2 * t, -1.5f * t2 + t + 0.5f, 0.5f * t2};
}

// The place of a point on the grid: the node below it along each axis, and its distance from that node, from 0 to 1.
struct Place {
    std::int32_t row, column;
    float along_rows, along_columns;
};

Place place_of(Span<const float> point, const Frame &frame) {
    const float u = (point[0] - frame.low_x) * frame.inverse, v = (point[1] - frame.low_y) * frame.inverse;
    const std::int32_t row = static_cast<std::int32_t>(u), column = static_cast<std::int32_t>(v);
    return {row, column, u - static_cast<float>(row), v - static_cast<float>(column)};
}

} // namespace

// Sort the points by their row of the grid, stably; the points of row r end at ends[r].
void grid_order(Rows<const float> points, Frame frame, Span<std::int64_t> ends, Span<std::int32_t> order) {
    std::vector<std::int32_t> rows(points.size);
    std::fill(ends.begin(), ends.end(), 0);
    for (std::int64_t i = 0; i < points.size; ++i) {
        rows[i] = place_of(points[i], frame).row;
        ++ends[rows[i] + 1];
    }
    for (std::int64_t r = 1; r < ends.size; ++r)
        ends[r] += ends[r - 1];
    for (std::int64_t i = 0; i < points.size; ++i)
        order[ends[rows[i]]++] = static_cast<std::int32_t>(i);
}

// Add a charge of 1 for each point to the grid, in a range of the odd or of the even strips of rows. Two strips of the
// same parity never touch the same node.
void grid_spread(Rows<const float> points, Frame frame, Span<const std::int64_t> ends, Span<const std::int32_t> order,
                 Rows<float> charge, int odd, Range range) {
    for (std::int64_t half = range.first; half < range.last; ++half) {
        const std::int64_t first = (2 * half + odd) * STRIP, last = std::min(first + STRIP, charge.size);
        for (std::int64_t p = first ? ends[first - 1] : 0; p < ends[last - 1]; ++p) {
            const Place place = place_of(points[order[p]], frame);
            const Quad down = weights(place.along_rows), across = weights(place.along_columns);
            for (std::int64_t q = 0; q < 4; ++q) {
                float *nodes = &charge[place.row - 1 + q][place.column - 1];
                const Quad filled = load(nodes) + down[q] * across;
                std::memcpy(nodes, &filled, sizeof filled);
            }
        }
    }
}

// Sum the products of charges and potentials over each row of the grid.
void grid_overlap(Rows<const float> charge, Rows<const float> potential, Span<double> sums, Range range) {
    for (std::int64_t r = range.first; r < range.last; ++r) {
        double total = 0;
        for (std::int64_t c = 0; c < charge.width; ++c)
            total += static_cast<double>(charge[r][c]) * static_cast<double>(potential[r][c]);
        sums[r] = total;
    }
}

// Fill the repulsion of each point of a range from the slopes of the potential: K^2 d is -grad K / 2.
void grid_gather(Rows<const float> points, Frame frame, Rows<const float> potential, Rows<float> force, Range range) {
    const float scale = -0.5f * frame.inverse;
    for (std::int64_t i = range.first; i < range.last; ++i) {
        const Place place = place_of(points[i], frame);
        const Quad down = weights(place.along_rows), across = weights(place.along_columns);
        const Quad steep_down = slopes(place.along_rows), steep_across = slopes(place.along_columns);
        Quad x = {}, y = {};
        for (std::int64_t q = 0; q < 4; ++q) {
            const Quad nodes = load(&potential[place.row - 1 + q][place.column - 1]);
            x += steep_down[q] * nodes;
            y += down[q] * nodes;
        }
        force[i][0] = scale * sum(x * across);
        force[i][1] = scale * sum(y * steep_across);
    }
}
