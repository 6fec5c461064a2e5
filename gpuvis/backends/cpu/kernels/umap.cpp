// Compute one epoch of UMAP: each point moves by a gradient from the positions of all points in the last epoch.
#include "pairs.hpp"

#include <cmath>

namespace {

constexpr std::int64_t NEGATIVES = 32; // positions drawn for each point
constexpr float RATIO = 5;             // repulsions for each attraction, as in umap-learn
constexpr float SHORTEST = 1e-12f;     // added to squared distances: logarithms need a number above 0
constexpr float CLOSE = 1e-3f;         // squared distance below which the repulsion hardly grows, as in umap-learn
constexpr float STRONGEST = 4;         // limit of one repulsion along an axis, as in umap-learn

// Return a random number from another one (the mixing of SplitMix64; Steele, Lea, Flood 2014, OOPSLA).
std::uint64_t mixed(std::uint64_t x) {
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
    return x ^ (x >> 31);
}

Floats limited(Floats force) { return most(all(-STRONGEST), least(all(STRONGEST), force)); }

// Return the attraction of the neighbours on point i: the gradient of -w log(1 / (1 + a d^2b)), for both directions.
Pull attraction(const Graph &graph, const Rows<const float> &points, std::int64_t i, float a, float b,
                Neighbors &neighbors) {
    const Pull pull = neighbors.pull(graph, points, i, [a, b](Floats dx, Floats dy, Floats weight) {
        const Floats square = dx * dx + dy * dy + SHORTEST, powered = power(square, b);
        return weight * powered / (square * (1.0f + a * powered));
    });
    return {{-4 * a * b * pull.force.x, -4 * a * b * pull.force.y}, pull.weight};
}

// Return the repulsion on a point from positions drawn at random.
Force repulsion(float at_x, float at_y, const Rows<const float> &shuffled, std::int64_t rows, std::uint64_t random,
                float a, float b) {
    const Floats x = all(at_x), y = all(at_y);
    Sums sum_x, sum_y;
    for (std::int64_t draw = 0; draw < NEGATIVES / DRAWN; ++draw) {
        random = mixed(random);
        const std::int64_t first = static_cast<std::int64_t>(((random >> 32) * static_cast<std::uint64_t>(rows)) >> 32);
        for (int vector = 0; vector < DRAWN / LANES; ++vector) {
            const Points other = load_points(shuffled[first + LANES * vector].data);
            const Floats dx = x - other.x, dy = y - other.y, square = dx * dx + dy * dy;
            const Floats push = 2 * b / ((CLOSE + square) * (1.0f + a * power(square + SHORTEST, b)));
            sum_x.parts[vector % PARTS] += limited(push * dx);
            sum_y.parts[vector % PARTS] += limited(push * dy);
        }
    }
    return {sum_x.total(), sum_y.total()};
}

// Return a coordinate after one step of Adam (Kingma, Ba 2015, arXiv:1412.6980).
float moved(float at, float gradient, float &mean, float &square, const Adam &adam) {
    mean = adam.mean * mean + (1 - adam.mean) * gradient;
    square = adam.square * square + (1 - adam.square) * gradient * gradient;
    return at + adam.rate * mean / (std::sqrt(square) * adam.unbiased + adam.epsilon);
}

} // namespace

// Move each point of a range once. `shuffled` are all positions in random order, and then the first DRAWN once more.
void umap_epoch(Graph graph, Rows<const float> points, Rows<float> after, Rows<float> means, Rows<float> squares,
                Rows<const float> shuffled, float a, float b, std::uint64_t random, Adam adam, Range range) {
    Neighbors neighbors(graph, range);
    for (std::int64_t i = range.first; i < range.last; ++i) {
        const float x = points[i][0], y = points[i][1];
        const std::uint64_t own = random ^ (static_cast<std::uint64_t>(i + 1) * 0x9E3779B97F4A7C15);
        const Pull pull = attraction(graph, points, i, a, b, neighbors);
        const Force push = repulsion(x, y, shuffled, points.size, own, a, b);
        const float ratio = pull.weight * RATIO / NEGATIVES;
        after[i][0] = moved(x, pull.force.x + ratio * push.x, means[i][0], squares[i][0], adam);
        after[i][1] = moved(y, pull.force.y + ratio * push.y, means[i][1], squares[i][1], adam);
    }
}
