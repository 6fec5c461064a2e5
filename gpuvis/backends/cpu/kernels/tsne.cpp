// Compute one step of t-SNE, and its repulsion exactly, over all pairs of points.
#include "pairs.hpp"

namespace {

// Return a coordinate after a step, with momentum and a gain, which grows while the gradient keeps its sign (Jacobs
// 1988, Neural Networks 1:295).
float stepped(float at, float gradient, float &update, float &gain, const Pace &pace) {
    gain = update * gradient < 0 ? gain + 0.2f : std::max(gain * 0.8f, 0.01f);
    update = pace.momentum * update - pace.rate * gain * gradient;
    return at + update;
}

} // namespace

// Move each point of a range once: by the attraction, which is the sum of p K d over its neighbours, where
// K = 1 / (1 + |d|^2), and by the repulsion in `force` (van der Maaten, Hinton 2008, JMLR 9:2579, equation 5).
void tsne_step(Graph graph, Rows<const float> points, Rows<const float> force, Pulls pulls, Pace pace,
               Rows<float> update, Rows<float> gain, Rows<float> after, Range range) {
    Neighbors neighbors(graph, range);
    for (std::int64_t i = range.first; i < range.last; ++i) {
        const auto kernel = [](Floats dx, Floats dy, Floats p) { return p / (1.0f + dx * dx + dy * dy); };
        const Force pull = neighbors.pull(graph, points, i, kernel).force;
        const float x = pulls.attractive * pull.x + pulls.repulsive * force[i][0];
        const float y = pulls.attractive * pull.y + pulls.repulsive * force[i][1];
        after[i][0] = stepped(points[i][0], x, update[i][0], gain[i][0], pace);
        after[i][1] = stepped(points[i][1], y, update[i][1], gain[i][1], pace);
    }
}

// Fill the repulsion of each point of a range, the sum of K^2 d over all points, and its total, the sum of K, which
// includes 1 for the point itself. `sides` are all x, then all y.
void tsne_pairs(Rows<const float> sides, Rows<float> force, Span<float> totals, Range range) {
    constexpr int ABREAST = 16, VECTORS = ABREAST / LANES; // points that are computed together
    const Span<const float> xs = sides[0], ys = sides[1];
    for (std::int64_t start = range.first; start < range.last; start += ABREAST) {
        const std::int64_t count = std::min<std::int64_t>(ABREAST, range.last - start);
        float own[2][ABREAST] = {}, sums[3][ABREAST];
        std::copy_n(xs.data + start, count, own[0]);
        std::copy_n(ys.data + start, count, own[1]);
        Floats total[VECTORS] = {}, force_x[VECTORS] = {}, force_y[VECTORS] = {};
        for (std::int64_t j = 0; j < xs.size; ++j)
            for (int v = 0; v < VECTORS; ++v) {
                const Floats dx = load(own[0] + LANES * v) - xs[j], dy = load(own[1] + LANES * v) - ys[j];
                const Floats k = 1.0f / (1.0f + dx * dx + dy * dy), square = k * k;
                total[v] += k;
                force_x[v] += square * dx;
                force_y[v] += square * dy;
            }
        std::memcpy(sums[0], total, sizeof total);
        std::memcpy(sums[1], force_x, sizeof force_x);
        std::memcpy(sums[2], force_y, sizeof force_y);
        for (std::int64_t i = 0; i < count; ++i) {
            totals[start + i] = sums[0][i];
            force[start + i][0] = sums[1][i];
            force[start + i][1] = sums[2][i];
        }
    }
}
