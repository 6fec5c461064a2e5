// Turn distances to neighbours into weights, by a kernel whose width is found for each row by bisection.
#include "kernels.hpp"
#include "lanes.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace {

constexpr float SMALLEST_WIDTH = 1e-3f; // least width of a UMAP kernel, as a share of the row's mean distance
constexpr float BEYOND = std::numeric_limits<float>::max(); // a distance at which every kernel is 0
constexpr double INFINITE = std::numeric_limits<double>::infinity();

std::int64_t padded(std::int64_t count) { return (count + STEP - 1) / STEP * STEP; }

// Return the middle of two bounds; while there is no upper bound, twice the value.
double between(double low, double high, double value) { return high == INFINITE ? value * 2 : (low + high) / 2; }

// Return the distance to the nearest neighbour that is not in the same place; 0 if there is none.
float nearest_distinct(Span<const float> distances) {
    for (std::int64_t t = 1; t < distances.size; ++t)
        if (distances[t] > 0)
            return distances[t];
    return 0;
}

// Return the width at which the kernel exp(-d / width) sums to a target. The distances are padded to whole steps.
double width_for(const std::vector<float> &distances, double target) {
    double low = 0, high = INFINITE, width = 1;
    for (int step = 0; step < 64; ++step) {
        Sums sums;
        for (std::size_t t = 0; t < distances.size(); t += LANES)
            sums.parts[t / LANES % PARTS] += exp_below_0(-load(&distances[t]) / static_cast<float>(width));
        const double total = sums.total();
        if (std::abs(total - target) < 1e-5)
            break;
        (total > target ? high : low) = width;
        width = between(low, high, width);
    }
    return width;
}

} // namespace

// Compute the memberships of UMAP from distances, the row itself first (McInnes, Healy, Melville 2018,
// arXiv:1802.03426, algorithm 3). They sum to log2(k), except where that would take a width far below the distances of
// the row.
void memberships(Rows<const float> distances, Rows<float> values, Range range) {
    const std::int64_t k = distances.width;
    const double target = log_of(static_cast<double>(k)) / log_of(2);
    std::vector<float> beyond(padded(k - 1), BEYOND);
    for (std::int64_t i = range.first; i < range.last; ++i) {
        const Span<const float> row = distances[i];
        const float nearest = nearest_distinct(row);
        double total = 0;
        for (std::int64_t t = 1; t < k; ++t) {
            beyond[t - 1] = std::max(row[t] - nearest, 0.0f);
            total += row[t];
        }
        const double least = SMALLEST_WIDTH * total / static_cast<double>(k);
        const float width = static_cast<float>(std::max(width_for(beyond, target), least));
        for (std::int64_t t = 0; t < k - 1; t += LANES) {
            const Floats membership = exp_below_0(-load(&beyond[t]) / width);
            std::copy_n(reinterpret_cast<const float *>(&membership), std::min<std::int64_t>(LANES, k - 1 - t),
                        &values[i][t]);
        }
    }
}

// Compute the conditional probabilities of t-SNE, exp(-beta d^2) divided by their sum (van der Maaten, Hinton 2008,
// JMLR 9:2579, equation 1), with the beta at which they have a given entropy.
void probabilities(Rows<const float> distances, double entropy, Rows<float> values, Range range) {
    const std::int64_t count = distances.width - 1;
    std::vector<float> squares(padded(count), BEYOND), kernel(padded(count));
    for (std::int64_t i = range.first; i < range.last; ++i) {
        const Span<const float> row = distances[i].part(1, count + 1);
        for (std::int64_t t = 0; t < count; ++t)
            squares[t] = row[t] * row[t] - row[0] * row[0]; // a constant cancels out
        double low = 0, high = INFINITE, beta = 1, total = 1;
        for (int step = 0; step < 100; ++step) {
            Sums totals, moments;
            for (std::int64_t t = 0; t < count; t += LANES) {
                const Floats square = load(&squares[t]), value = exp_below_0(square * static_cast<float>(-beta));
                store(value, &kernel[t]);
                totals.parts[t / LANES % PARTS] += value;
                moments.parts[t / LANES % PARTS] += value * square;
            }
            total = totals.total();
            const double reached = log_of(total) + beta * static_cast<double>(moments.total()) / total;
            if (std::abs(reached - entropy) < 1e-5)
                break;
            (reached > entropy ? low : high) = beta;
            beta = between(low, high, beta);
        }
        for (std::int64_t t = 0; t < count; ++t)
            values[i][t] = kernel[t] / static_cast<float>(total);
    }
}
