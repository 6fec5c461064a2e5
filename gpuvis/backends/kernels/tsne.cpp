// One step of t-SNE, and its repulsion by all pairs.
#include "pairs.hpp"

namespace {

// Where one coordinate moves: momentum, and a gain that grows while the gradient keeps its side (Jacobs 1988).
float stepped(float at, float gradient, float &update, float &gain, const Pace &pace) {
    gain = update * gradient < 0 ? gain + 0.2f : std::max(gain * 0.8f, 0.01f);
    update = pace.momentum * update - pace.rate * gain * gradient;
    return at + update;
}

} // namespace

// Move each point of a range once: by the attraction, the sum of p K d over its neighbours, K = 1 / (1 + |d|^2), and by
// the repulsion that is in `force` (van der Maaten, Hinton 2008, equation 5).
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

// Fill the repulsion of a range, the sum of K^2 d over all points, and for each its sum of K, with 1 for itself.
// `sides` are all x, then all y.
void tsne_pairs(Rows<const float> sides, Rows<float> force, Span<float> totals, Range range) {
    constexpr std::int64_t ABREAST = 2 * LANES;
    const Span<const float> xs = sides[0], ys = sides[1];
    for (std::int64_t start = range.first; start < range.last; start += ABREAST) {
        const std::int64_t count = std::min(ABREAST, range.last - start);
        float own[2][ABREAST] = {}, sums[3][ABREAST];
        std::copy_n(xs.data + start, count, own[0]);
        std::copy_n(ys.data + start, count, own[1]);
        const Floats x0 = load(own[0]), x1 = load(own[0] + LANES), y0 = load(own[1]), y1 = load(own[1] + LANES);
        Floats total0 = {}, total1 = {}, force_x0 = {}, force_x1 = {}, force_y0 = {}, force_y1 = {};
        for (std::int64_t j = 0; j < xs.size; ++j) {
            const Floats dx0 = x0 - xs[j], dx1 = x1 - xs[j], dy0 = y0 - ys[j], dy1 = y1 - ys[j];
            const Floats k0 = 1.0f / (1.0f + dx0 * dx0 + dy0 * dy0), k1 = 1.0f / (1.0f + dx1 * dx1 + dy1 * dy1);
            total0 += k0;
            total1 += k1;
            force_x0 += k0 * k0 * dx0;
            force_x1 += k1 * k1 * dx1;
            force_y0 += k0 * k0 * dy0;
            force_y1 += k1 * k1 * dy1;
        }
        store(total0, sums[0]);
        store(total1, sums[0] + LANES);
        store(force_x0, sums[1]);
        store(force_x1, sums[1] + LANES);
        store(force_y0, sums[2]);
        store(force_y1, sums[2] + LANES);
        for (std::int64_t i = 0; i < count; ++i) {
            totals[start + i] = sums[0][i];
            force[start + i][0] = sums[1][i];
            force[start + i][1] = sums[2][i];
        }
    }
}
