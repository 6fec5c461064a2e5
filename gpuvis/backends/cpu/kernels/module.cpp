// The Python bindings of the compiled loops.
//
// No array is copied: an array of another dtype, number of axes or order is refused. A loop releases Python's global
// lock.
#include "kernels.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/tuple.h>

namespace nb = nanobind;

namespace nanobind::detail {

// Take an array without converting it: the loop would fill a converted copy, which nobody reads.
template <class T, int N> struct array_caster {
    make_caster<ndarray<T, ndim<N>, c_contig, device::cpu>> array;

    bool load(handle source, std::uint32_t flags, cleanup_list *cleanup) noexcept {
        return array.from_python(source, flags & ~static_cast<std::uint32_t>(cast_flags::convert), cleanup);
    }
    std::int64_t shape(int axis) { return static_cast<std::int64_t>(array.value.shape(axis)); }
};

template <class T> struct type_caster<Span<T>> : array_caster<T, 1> {
    NB_TYPE_CASTER(Span<T>, const_name("ndarray"))
    bool from_python(handle source, std::uint32_t flags, cleanup_list *cleanup) noexcept {
        if (!this->load(source, flags, cleanup))
            return false;
        value = {this->array.value.data(), this->shape(0)};
        return true;
    }
};

template <class T> struct type_caster<Rows<T>> : array_caster<T, 2> {
    NB_TYPE_CASTER(Rows<T>, const_name("ndarray"))
    bool from_python(handle source, std::uint32_t flags, cleanup_list *cleanup) noexcept {
        if (!this->load(source, flags, cleanup))
            return false;
        value = {this->array.value.data(), this->shape(0), this->shape(1)};
        return true;
    }
};

// Make a struct from a tuple of its members.
template <class Struct, class... Members> struct struct_caster {
    NB_TYPE_CASTER(Struct, const_name("tuple"))
    make_caster<std::tuple<Members...>> members;

    bool from_python(handle source, std::uint32_t flags, cleanup_list *cleanup) noexcept {
        if (!members.from_python(source, flags, cleanup))
            return false;
        value =
            std::apply([](auto... member) { return Struct{member...}; }, static_cast<std::tuple<Members...>>(members));
        return true;
    }
};

template <> struct type_caster<Range> : struct_caster<Range, std::int64_t, std::int64_t> {};
template <>
struct type_caster<Graph>
    : struct_caster<Graph, Span<const std::int64_t>, Span<const std::int32_t>, Span<const float>> {};
template <> struct type_caster<Adam> : struct_caster<Adam, float, float, float, float, float> {};
template <> struct type_caster<Pulls> : struct_caster<Pulls, float, float> {};
template <> struct type_caster<Pace> : struct_caster<Pace, float, float> {};
template <> struct type_caster<Frame> : struct_caster<Frame, float, float, float> {};

} // namespace nanobind::detail

namespace {

// Take BLAS from SciPy: the capsule `scipy.linalg.cython_blas.__pyx_capi__["sgemm"]`.
void use_blas(nb::capsule blas) { sgemm = reinterpret_cast<Sgemm>(blas.data(blas.name())); }

// Return the instruction sets of this processor, the best first. The levels of x86-64 are detected by features that old
// compilers know too.
nb::list levels() {
    nb::list names;
#ifdef __x86_64__
    __builtin_cpu_init();
    const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
    if (v3 && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
        names.append("v4");
    if (v3)
        names.append("v3");
    names.append("v2");
#else
    names.append("base");
#endif
    return names;
}

} // namespace

NB_MODULE(MODULE_NAME, module) {
    const auto unlocked = nb::call_guard<nb::gil_scoped_release>();
    module.attr("DRAWN") = DRAWN;
    module.attr("STRIP") = STRIP;
    module.def("levels", levels);
    module.def("use_blas", use_blas);
    module.def("widen", widen, unlocked);
    module.def("search_all", search_all, unlocked);
    module.def("search_lists", search_lists, unlocked);
    module.def("squared_distances", squared_distances<float>, unlocked);
    module.def("squared_distances", squared_distances<double>, unlocked);
    module.def("tally", tally<float>, unlocked);
    module.def("tally", tally<double>, unlocked);
    module.def("measure", measure, unlocked);
    module.def("memberships", memberships, unlocked);
    module.def("probabilities", probabilities, unlocked);
    module.def("umap_epoch", umap_epoch, unlocked);
    module.def("tsne_step", tsne_step, unlocked);
    module.def("tsne_pairs", tsne_pairs, unlocked);
    module.def("grid_order", grid_order, unlocked);
    module.def("grid_spread", grid_spread, unlocked);
    module.def("grid_overlap", grid_overlap, unlocked);
    module.def("grid_gather", grid_gather, unlocked);
}
